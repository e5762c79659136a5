// Which places have been looked at: kept in this browser, per job, so that a reload forgets nothing.

export class Looked extends EventTarget {
  #keys;

  constructor(jobId) {
    super();
    this.name = `penumbra-looked-${jobId}`;
    this.#keys = new Set(JSON.parse(localStorage.getItem(this.name) ?? "[]"));
  }

  has = (key) => this.#keys.has(key);

  set(key, isLooked) {
    if (isLooked) this.#keys.add(key);
    else this.#keys.delete(key);
    localStorage.setItem(this.name, JSON.stringify([...this.#keys]));
    this.dispatchEvent(new Event("change"));
  }
}
