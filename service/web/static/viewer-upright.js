// The smaller pictures: the sagittal and the coronal plane through the chosen point, put together from the slices.

import { BOUNDS } from "./viewer-contours.js";
import { Picture, upright } from "./viewer-image.js";
import { stroke } from "./viewer-lines.js";
import { Pane } from "./viewer-pane.js";

const SOON_MS = 200;

export function uprightPane(box, axis, { state, volume, contours, geometry, area }) {
  const isSagittal = axis === "sagittal";
  const width = isSagittal ? geometry.rows : geometry.columns;
  const step = isSagittal ? geometry.rowMm : geometry.columnMm;
  const most = isSagittal ? geometry.columns : geometry.rows;
  const picture = new Picture();
  let [made, painted, cuts] = [null, null, null];

  const at = () => Math.max(0, Math.min(most - 1, Math.round(isSagittal ? state.point.l : state.point.p)));
  const pick = (index) => (isSagittal ? (column) => column * geometry.columns + index : (column) => index * geometry.columns + column);

  function drawPlane(context) {
    const index = at();
    if (made?.index !== index || made.loaded !== volume.loaded) {
      made = { index, loaded: volume.loaded, ...upright(volume, pick(index), width, step) };
    }
    if (painted?.made !== made || painted.window !== state.window) {
      picture.paint(made.plane, width, made.height, state.window);
      painted = { made, window: state.window };
    }
    context.drawImage(picture.canvas, 0, 0, width * step, made.height * step);
  }

  function drawContours(context, scale) {
    const index = at();
    if (cuts?.index !== index) cuts = { index, paths: new Map() };
    for (const each of contours.filter(({ structure }) => !state.hidden.has(structure.name))) {
      for (const bound of BOUNDS.filter((name) => name === "mean" || state.showsBounds)) {
        const key = `${each.structure.name} ${bound}`;
        if (!cuts.paths.has(key)) cuts.paths.set(key, each.cut(bound, axis, index));
        stroke(context, cuts.paths.get(key), { bound, colour: each.structure.colour, scale });
      }
    }
  }

  function drawSliceLine(context, scale) {
    context.fillStyle = "rgb(255 255 255 / 70%)";
    context.fillRect(0, geometry.fromTopMm(state.h) - 0.5 / scale, width * step, 1 / scale);
  }

  // While slices arrive, a few times a second: a plane is made of all of them.
  let soon = null;
  function refreshSoon() {
    soon ??= setTimeout(() => {
      soon = null;
      pane.refresh();
    }, SOON_MS);
  }

  const pane = new Pane(box, {
    state,
    area,
    onPick([across, down]) {
      const index = across / step - 0.5;
      const point = isSagittal ? { ...state.point, p: index } : { ...state.point, l: index };
      state.change({ point, h: geometry.nearestHeight(down), place: null });
    },
    draw(context, scale) {
      if (!volume.loaded) return; // the slice comes first
      drawPlane(context);
      if (!state.isBare) drawContours(context, scale);
      drawSliceLine(context, scale);
    },
  });
  state.addEventListener("change", pane.refresh);
  volume.addEventListener("slice", () => (volume.loaded === geometry.slices ? pane.refresh() : refreshSoon()));
  return pane;
}
