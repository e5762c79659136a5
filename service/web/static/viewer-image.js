// CT numbers to grey: a plane of any of the three directions as a canvas, one canvas pixel per number.

import { NO_TISSUE_HU } from "./viewer-volume.js";

const GREYS = 65_536; // all int16

export class Window {
  constructor(width, level) {
    this.width = Math.max(1, Math.min(6000, Math.round(width)));
    this.level = Math.max(-1024, Math.min(4000, Math.round(level)));
    this.greys = new Uint32Array(GREYS);
    const low = this.level - this.width / 2;
    for (let stored = 0; stored < GREYS; stored += 1) {
      const share = ((stored << 16 >> 16) - low) / this.width;
      const grey = Math.round(255 * Math.max(0, Math.min(1, share)));
      this.greys[stored] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
  }
}

export class Picture {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
  }

  paint(plane, width, height, grey) {
    if (this.canvas.width !== width || this.canvas.height !== height || !this.image) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    const { pixels } = this;
    const { greys } = grey;
    for (let index = 0; index < plane.length; index += 1) pixels[index] = greys[plane[index] & 0xffff];
    this.context.putImageData(this.image, 0, 0);
    return this.canvas;
  }
}

// A plane from the head down, `step` mm a row, between neighbouring slices linearly: for uneven slices too.
export function upright(volume, pick, width, step) {
  const { geometry } = volume;
  const height = Math.max(1, Math.round(geometry.heightMm / step));
  const plane = new Int16Array(width * height).fill(NO_TISSUE_HU);
  let above = geometry.slices - 1;
  for (let row = 0; row < height; row += 1) {
    const fromTop = (row + 0.5) * step;
    while (above > 1 && geometry.fromTopMm(above - 1) <= fromTop) above -= 1;
    const below = Math.max(0, above - 1);
    const [upper, lower] = [volume.planes[above], volume.planes[below]];
    if (!upper || !lower) continue;
    const gap = geometry.fromTopMm(below) - geometry.fromTopMm(above);
    const share = gap ? Math.max(0, Math.min(1, (fromTop - geometry.fromTopMm(above)) / gap)) : 0;
    for (let column = 0; column < width; column += 1) {
      const at = pick(column);
      plane[row * width + column] = upper[at] + (lower[at] - upper[at]) * share;
    }
  }
  return { plane, height };
}
