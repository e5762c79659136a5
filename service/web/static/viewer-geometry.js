// From the CT's own pixels to the screen and back. Everything drawn is upright: to the left of the patient is to the
// right of the screen, the back is down, the head is up. `h`, `p`, `l` count slices to the head, rows to the back and
// columns to the left; (x, y) and `slice` are the review's pixel coordinates (`worker/review_document.py`), where a whole
// number is a pixel's centre.

export class Geometry {
  constructor(grid) {
    const [columns, rows, slices] = grid.size_xyz;
    const isTransverse = grid.upright_axes[0] === 0;
    const [, back] = isTransverse ? grid.upright_axes : [0, 1, 2];
    [this.flipsSlices, this.flipsRows, this.flipsColumns] = isTransverse ? grid.upright_flipped : [false, false, false];
    this.grid = grid;
    this.isTurned = back === 2; // rows and columns change places
    this.slices = slices;
    this.rows = this.isTurned ? columns : rows;
    this.columns = this.isTurned ? rows : columns;
    const [dx, dy] = grid.spacing_mm;
    this.columnMm = this.isTurned ? dy : dx;
    this.rowMm = this.isTurned ? dx : dy;
    this.widthMm = this.columns * this.columnMm;
    this.depthMm = this.rows * this.rowMm;
    this.heights = this.#heights();
    this.heightMm = this.heights[slices - 1] + this.#half(0) + this.#half(slices - 1);
  }

  sliceOf = (h) => (this.flipsSlices ? this.slices - 1 - h : h);
  heightOf = (slice) => this.sliceOf(slice);

  // Pixel coordinates to upright columns and rows.
  toUpright(x, y) {
    const [l, p] = this.isTurned ? [y, x] : [x, y];
    return [this.flipsColumns ? this.columns - 1 - l : l, this.flipsRows ? this.rows - 1 - p : p];
  }

  toPixel(l, p) {
    const column = this.flipsColumns ? this.columns - 1 - l : l;
    const row = this.flipsRows ? this.rows - 1 - p : p;
    return this.isTurned ? [row, column] : [column, row];
  }

  // Millimetres in the plane of a pane: from the image's upper left corner.
  acrossMm = (l) => (l + 0.5) * this.columnMm;
  downMm = (p) => (p + 0.5) * this.rowMm;
  fromTopMm = (h) => this.heightMm - this.#half(0) - this.heights[h];

  // The patient's coordinates (LPS, mm) of a point of a slice.
  toPatient(slice, l, p) {
    const [x, y] = this.toPixel(l, p);
    const { direction: d, spacing_mm: [dx, dy] } = this.grid;
    const at = this.grid.slice_positions_mm[slice];
    return at.map((start, axis) => start + x * dx * d[3 * axis] + y * dy * d[3 * axis + 1]);
  }

  // The slice whose plane is nearest to so many millimetres below the top.
  nearestHeight(fromTopMm) {
    let best = 0;
    for (let h = 1; h < this.slices; h += 1) {
      if (Math.abs(this.fromTopMm(h) - fromTopMm) < Math.abs(this.fromTopMm(best) - fromTopMm)) best = h;
    }
    return best;
  }

  // Which side of the patient lies where on the screen (PS3.3 C.7.6.1.1.1).
  letters() {
    const [l, p] = this.isTurned ? [1, 0] : [0, 1];
    const right = letter(this.#axis(l), this.flipsColumns);
    const down = letter(this.#axis(p), this.flipsRows);
    const up = letter(this.#axis(2), this.flipsSlices);
    return { right, left: OPPOSITE[right], down, up: OPPOSITE[down], head: up, feet: OPPOSITE[up] };
  }

  #axis = (index) => [0, 1, 2].map((row) => this.grid.direction[3 * row + index]);

  #heights() {
    const offsets = this.grid.slice_offsets_mm;
    const last = offsets[offsets.length - 1];
    return offsets.map((_, h) => (this.flipsSlices ? last - offsets[this.sliceOf(h)] : offsets[h]));
  }

  // Half the distance to a slice's inner neighbour: so far the first and the last slice reach beyond their planes.
  #half(h) {
    if (this.slices === 1) return this.grid.spacing_mm[2] / 2;
    const inner = h === 0 ? 1 : h - 1;
    return Math.abs(this.heights[h] - this.heights[inner]) / 2;
  }
}

const OPPOSITE = { L: "R", R: "L", P: "A", A: "P", H: "F", F: "H" };

function letter(axis, isFlipped) {
  const strongest = axis.map(Math.abs).indexOf(Math.max(...axis.map(Math.abs)));
  const isPositive = axis[strongest] > 0 !== isFlipped;
  return isPositive ? "LPH"[strongest] : "RAF"[strongest];
}
