// The review's rings as paths, in millimetres from the pane's upper left corner: as they are on a slice, and where a
// sagittal or coronal plane cuts them.

export const BOUNDS = ["upper", "lower", "mean"]; // the mean is drawn last, on top

export class Contours {
  constructor(structure, geometry) {
    this.structure = structure;
    this.geometry = geometry;
    this.stored = Object.fromEntries(BOUNDS.map((bound) => [bound, this.#bySlice(structure.contours[bound] ?? [])]));
    this.rings = new Map(); // made upright when a slice is first looked at, which is soon enough
    this.paths = new Map();
  }

  // The rings of one bound on one slice, upright; none where there are none.
  on(bound, h) {
    const key = `${bound} ${h}`;
    if (!this.rings.has(key)) this.rings.set(key, (this.stored[bound].get(h) ?? []).map(this.#upright));
    return this.rings.get(key);
  }

  heights = (bound) => [...this.stored[bound].keys()];

  // Left, top, right, bottom of all of a bound, in mm; null where there is none of it.
  box(bound) {
    const corners = [Infinity, Infinity, -Infinity, -Infinity]; // x and y, least and most
    for (const { points_px: points } of [...this.stored[bound].values()].flat()) {
      for (let at = 0; at < points.length; at += 1) {
        corners[at % 2] = Math.min(corners[at % 2], points[at]);
        corners[2 + (at % 2)] = Math.max(corners[2 + (at % 2)], points[at]);
      }
    }
    if (corners[0] > corners[2]) return null;
    const [one, other] = [corners.slice(0, 2), corners.slice(2)].map(([x, y]) => this.#mm(...this.geometry.toUpright(x, y)));
    return [Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.max(one[0], other[0]), Math.max(one[1], other[1])];
  }

  // All lines of one bound on one slice; null where there is none.
  axial(bound, h) {
    const rings = this.on(bound, h);
    if (!rings.length) return null;
    const key = `${bound} ${h}`;
    if (!this.paths.has(key)) {
      const path = new Path2D();
      for (const { points } of rings) {
        points.forEach(([l, p], index) => path[index ? "lineTo" : "moveTo"](...this.#mm(l, p)));
        path.closePath();
      }
      this.paths.set(key, path);
    }
    return this.paths.get(key);
  }

  // Pieces of the upper bound with the band's width there: [from, to, width in mm].
  widths(h) {
    return this.on("upper", h).flatMap(({ points, widths }) => (!widths ? [] : points.map((point, index) => [
      this.#mm(...point), this.#mm(...points[(index + 1) % points.length]), widths[index],
    ])));
  }

  // Where the plane through column l (or row p) cuts the structure: lines from slice to slice along both edges.
  cut(bound, axis, at) {
    const path = new Path2D();
    const spans = [];
    for (let h = 0; h < this.geometry.slices; h += 1) spans.push(this.#spans(bound, h, axis, at));
    for (let h = -1; h < spans.length; h += 1) this.#join(path, spans, h);
    return path;
  }

  #mm = (l, p) => [this.geometry.acrossMm(l), this.geometry.downMm(p)];

  #upright = ({ points_px: stored, width_mm: widths }) => {
    const points = [];
    for (let at = 0; at < stored.length; at += 2) points.push(this.geometry.toUpright(stored[at], stored[at + 1]));
    return { points, widths };
  };

  #bySlice(rings) {
    const found = new Map();
    for (const ring of rings) {
      const h = this.geometry.heightOf(ring.slice_index);
      found.set(h, [...(found.get(h) ?? []), ring]);
    }
    return found;
  }

  #spans(bound, h, axis, at) {
    const [across, along] = axis === "sagittal" ? [0, 1] : [1, 0];
    const toMm = axis === "sagittal" ? this.geometry.downMm : this.geometry.acrossMm;
    const crossings = [];
    for (const { points } of this.on(bound, h)) {
      points.forEach((one, index) => {
        const other = points[(index + 1) % points.length];
        if (one[across] <= at === other[across] <= at) return;
        const share = (at - one[across]) / (other[across] - one[across]);
        crossings.push(toMm(one[along] + share * (other[along] - one[along])));
      });
    }
    crossings.sort((a, b) => a - b);
    const pairs = [];
    for (let index = 0; index + 1 < crossings.length; index += 2) pairs.push([crossings[index], crossings[index + 1]]);
    return pairs;
  }

  // From one slice to the next, edge to edge; a span without a partner is closed where it is.
  #join(path, spans, h) {
    const [lower, upper] = [spans[h] ?? [], spans[h + 1] ?? []];
    const pairs = partners(lower, upper);
    for (const [one, other] of pairs) {
      for (const edge of [0, 1]) {
        path.moveTo(one[edge], this.geometry.fromTopMm(h));
        path.lineTo(other[edge], this.geometry.fromTopMm(h + 1));
      }
    }
    const joined = new Set(pairs.flat());
    for (const span of lower) if (!joined.has(span)) close(path, span, this.geometry.fromTopMm(h));
    for (const span of upper) if (!joined.has(span)) close(path, span, this.geometry.fromTopMm(h + 1));
  }
}

// Which spans of two neighbouring slices belong together: those that overlap most, each once.
function partners(lower, upper) {
  const overlap = ([one, other]) => Math.min(one[1], other[1]) - Math.max(one[0], other[0]);
  const all = lower.flatMap((one) => upper.map((other) => [one, other])).filter((pair) => overlap(pair) > 0);
  const taken = new Set();
  return all.sort((a, b) => overlap(b) - overlap(a)).filter((pair) => {
    const isFree = pair.every((span) => !taken.has(span));
    if (isFree) pair.forEach((span) => taken.add(span));
    return isFree;
  });
}

function close(path, span, y) {
  path.moveTo(span[0], y);
  path.lineTo(span[1], y);
}
