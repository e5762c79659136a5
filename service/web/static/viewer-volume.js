// The CT's numbers, fetched slice by slice: first what is looked at, then its neighbours, the rest in the background.

import { ask } from "./api.js";

export const NO_TISSUE_HU = -1024;
const AT_ONCE = 5;
const TRIES = 3;
const BUSY = [429, 503]; // passes by itself
const BUSY_TRIES = 60;

export class Volume extends EventTarget {
  constructor(jobId, geometry) {
    super();
    this.jobId = jobId;
    this.geometry = geometry;
    this.size = geometry.rows * geometry.columns;
    this.planes = new Array(geometry.slices).fill(null); // upright, by h
    this.loaded = 0;
    this.asked = new Set();
    this.failed = null;
    this.wanted = 0;
  }

  // Fetches everything, always the nearest to `wanted` next; resolves when all is there.
  async load(wanted) {
    this.wanted = wanted;
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#fetchOneAfterTheOther()));
    if (this.failed) throw this.failed;
  }

  // A slice as it was fetched.
  put(h, stored) {
    this.asked.add(h);
    this.planes[h] = upright(littleEndian(stored), this.geometry);
    this.loaded += 1;
    this.dispatchEvent(new CustomEvent("slice", { detail: h }));
  }

  hu(h, p, l) {
    const plane = this.planes[h];
    const isInside = p >= 0 && l >= 0 && p < this.geometry.rows && l < this.geometry.columns;
    return plane && isInside ? plane[p * this.geometry.columns + l] : null;
  }

  async #fetchOneAfterTheOther() {
    for (let h = this.#next(); h !== null && !this.failed; h = this.#next()) {
      try {
        this.put(h, await this.#fetch(h));
      } catch (error) {
        this.failed = error;
      }
    }
  }

  #next() {
    const { slices } = this.geometry;
    for (let away = 0; away < slices; away += 1) {
      for (const h of [this.wanted + away, this.wanted - away]) {
        if (h >= 0 && h < slices && !this.asked.has(h)) {
          this.asked.add(h);
          return h;
        }
      }
    }
    return null;
  }

  async #fetch(h, tries = TRIES, busyTries = BUSY_TRIES) {
    try {
      const answer = await ask(`/api/v1/jobs/${this.jobId}/slices/${this.geometry.sliceOf(h)}`);
      return await answer.arrayBuffer();
    } catch (error) {
      if (BUSY.includes(error.status) && busyTries > 1) {
        await seconds(error.retryAfterS ?? 1);
        return this.#fetch(h, tries, busyTries - 1);
      }
      if (error.status || tries <= 1) throw error; // any other refusal stays one; a broken connection may mend
      return this.#fetch(h, tries - 1, busyTries);
    }
  }
}

const seconds = (number) => new Promise((resolve) => setTimeout(resolve, 1000 * number));

const littleEndian = (buffer) => new Int16Array(buffer); // as every machine is that runs a browser

function upright(stored, geometry) {
  const { rows, columns, flipsRows, flipsColumns, isTurned } = geometry;
  if (stored.length !== rows * columns) throw new Error("A slice is not as large as the review says.");
  if (!flipsRows && !flipsColumns && !isTurned) return stored;
  const turned = new Int16Array(stored.length);
  const storedColumns = isTurned ? rows : columns;
  for (let p = 0; p < rows; p += 1) {
    for (let l = 0; l < columns; l += 1) {
      const [x, y] = geometry.toPixel(l, p);
      turned[p * columns + l] = stored[y * storedColumns + x];
    }
  }
  return turned;
}
