// The large picture: one slice, its contours, and where one is to look.

import { BOUNDS } from "./viewer-contours.js";
import { Picture } from "./viewer-image.js";
import { drawMap, stroke } from "./viewer-lines.js";
import { Pane } from "./viewer-pane.js";

const MARK_PX = 22;

export function axialPane(box, { state, volume, contours, geometry, area, onPoint }) {
  const picture = new Picture();
  let painted = null;

  function drawSlice(context) {
    const plane = volume.planes[state.h];
    if (!plane) return;
    if (painted?.plane !== plane || painted.window !== state.window) {
      picture.paint(plane, geometry.columns, geometry.rows, state.window);
      painted = { plane, window: state.window };
    }
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "medium";
    context.drawImage(picture.canvas, 0, 0, geometry.widthMm, geometry.depthMm);
  }

  function drawContours(context, scale) {
    const shown = contours.filter(({ structure }) => !state.hidden.has(structure.name));
    const chosen = shown.find(({ structure }) => structure.name === state.chosen);
    if (state.showsMap && chosen) drawMap(context, chosen, state.h);
    for (const each of shown) {
      for (const bound of BOUNDS) {
        const path = bound === "mean" || state.showsBounds ? each.axial(bound, state.h) : null;
        const { colour, name } = each.structure;
        if (path) stroke(context, path, { bound, colour, scale, isChosen: name === state.chosen });
      }
    }
  }

  function drawMark(context, scale) {
    const { place } = state;
    if (!place || geometry.heightOf(place.slice_index) !== state.h) return;
    const [l, p] = geometry.toUpright(...place.point_px);
    const circle = new Path2D();
    circle.arc(geometry.acrossMm(l), geometry.downMm(p), MARK_PX / scale, 0, 2 * Math.PI);
    context.strokeStyle = "#000";
    context.lineWidth = 4.5 / scale;
    context.stroke(circle);
    context.strokeStyle = "#fff";
    context.lineWidth = 2 / scale;
    context.stroke(circle);
  }

  function drawCross(context, scale) {
    const [u, v] = [geometry.acrossMm(state.point.l), geometry.downMm(state.point.p)];
    context.fillStyle = "rgb(255 255 255 / 75%)";
    const [near, far, thin] = [7, 14, 1].map((pixels) => pixels / scale);
    for (const side of [-1, 1]) {
      context.fillRect(u + (side > 0 ? near : -far), v - thin / 2, far - near, thin);
      context.fillRect(u - thin / 2, v + (side > 0 ? near : -far), thin, far - near);
    }
  }

  const pane = new Pane(box, {
    state,
    area,
    onPoint,
    onPick: ([u, v]) => state.change({ point: { l: u / geometry.columnMm - 0.5, p: v / geometry.rowMm - 0.5 } }),
    draw(context, scale) {
      drawSlice(context);
      if (!state.isBare) {
        drawContours(context, scale);
        drawMark(context, scale);
        drawCross(context, scale);
      }
      box.dataset.slice = String(geometry.sliceOf(state.h));
      box.dataset.ready = String(volume.planes[state.h] !== null);
      if (volume.planes[state.h]) document.documentElement.dataset.firstSliceMs ??= performance.now().toFixed(0);
    },
  });
  state.addEventListener("change", pane.refresh);
  volume.addEventListener("slice", ({ detail: h }) => h === state.h && pane.refresh());
  return pane;
}
