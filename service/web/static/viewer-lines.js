// How contours look: the mean solid, the upper bound in long dashes, the lower bound in dots, all in the structure's
// colour, on a dark edge that keeps them apart from bone.

const EDGE = "rgb(0 0 0 / 65%)";
const DASHES = { mean: [], upper: [6, 4], lower: [0.1, 3.6] };
const WIDTHS = { mean: 2, upper: 1.4, lower: 1.6 };
const EDGES = { mean: 1.8, upper: 1.2, lower: 0.8 };
const CHOSEN_WIDER = 0.6;

export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
export const lighter = (colour) => css(colour.map((part) => Math.round(part + (255 - part) * 0.35)));

// Strokes a path whose context is scaled to millimetres; widths stay those of the screen.
export function stroke(context, path, { bound, colour, scale, isChosen = false }) {
  const width = WIDTHS[bound] + (isChosen ? CHOSEN_WIDER : 0);
  const line = (style, pixels) => {
    context.strokeStyle = style;
    context.lineWidth = pixels / scale;
    context.stroke(path);
  };
  context.lineJoin = "round";
  context.lineCap = bound === "lower" ? "round" : "butt";
  context.setLineDash(DASHES[bound].map((pixels) => pixels / scale));
  line(EDGE, width + EDGES[bound]);
  line(bound === "mean" ? css(colour) : lighter(colour), width);
  context.setLineDash([]);
}

// Dark blue over teal to yellow, like viridis: rises in lightness, so it reads without telling hues apart.
const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
export const MAP_MOST_MM = 20;

export function mapColour(mm) {
  const at = Math.max(0, Math.min(1, mm / MAP_MOST_MM)) * (SCALE.length - 1);
  const low = Math.min(SCALE.length - 2, Math.floor(at));
  return css(SCALE[low].map((part, index) => Math.round(part + (SCALE[low + 1][index] - part) * (at - low))));
}

// The band between the bounds, coloured by how wide it is: wide strokes along the upper bound, cut to the band.
export function drawMap(context, contours, h) {
  const [upper, lower] = [contours.axial("upper", h), contours.axial("lower", h)];
  if (!upper) return;
  const band = new Path2D(upper);
  if (lower) band.addPath(lower);
  context.save();
  context.clip(band, "evenodd");
  context.globalAlpha = 0.8;
  context.lineCap = "round";
  for (const [from, to, mm] of contours.widths(h)) {
    context.strokeStyle = mapColour(mm);
    context.lineWidth = 2 * mm + 4;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }
  context.restore();
}
