// Which places have been looked at: kept on the server, per reviewer. Whoever may only read keeps ticks in this browser.

import { ask, getJson } from "./api.js";

const READERS = ["view"];

export class Looked extends EventTarget {
  #mine = new Set();
  #others = new Map(); // place -> names of those who looked before
  #pending = Promise.resolve(); // ticks go to the server one after the other, so that the last one counts

  constructor(jobId, session) {
    super();
    this.path = `/api/v1/jobs/${jobId}/looked`;
    this.name = `penumbra-looked-${jobId}`;
    this.isReader = READERS.includes(session.role);
  }

  has = (key) => this.#mine.has(key);
  by = (key) => this.#others.get(key) ?? [];

  async load() {
    const { me, mine, looks } = await getJson(this.path);
    for (const key of this.isReader ? JSON.parse(localStorage.getItem(this.name) ?? "[]") : mine) this.#mine.add(key);
    for (const { place, reviewer, reviewer_name: name } of looks) {
      if (reviewer !== me) this.#others.set(place, [...this.by(place), name]);
    }
    this.#tell();
  }

  // Shown at once, and taken back where the server does not keep it.
  async set(key, isLooked) {
    if (this.has(key) === isLooked) return;
    this.#mark(key, isLooked);
    if (this.isReader) return localStorage.setItem(this.name, JSON.stringify([...this.#mine]));
    this.#pending = this.#pending.then(() => this.#keep(key, isLooked));
    await this.#pending;
  }

  async #keep(key, isLooked) {
    try {
      const options = { method: "PUT", body: JSON.stringify({ places: { [key]: isLooked } }), headers: { "Content-Type": "application/json" } };
      await ask(this.path, options);
      this.trouble = "";
    } catch (error) {
      this.trouble = `Not kept: ${error.message}`;
      this.#mark(key, !isLooked);
    }
    this.#tell();
  }

  #mark(key, isLooked) {
    if (isLooked) this.#mine.add(key);
    else this.#mine.delete(key);
    this.#tell();
  }

  #tell = () => this.dispatchEvent(new Event("change"));
}
