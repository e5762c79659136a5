// The rail: one bar per slice, as wide as the band of the chosen structure is there. Head up, like the body; it is a
// slider for the slice, by mouse and by keys.

import { css } from "./viewer-lines.js";

const LEAST_SCALE_MM = 10;
const MARGIN = 8;

export function rail(box, { state, structures, places, geometry }) {
  const canvas = box.querySelector("canvas");
  const context = canvas.getContext("2d");
  const most = Math.max(LEAST_SCALE_MM, ...structures.flatMap((each) => each.band_by_slice_mm.map((mm) => mm ?? 0)));
  const chosen = () => structures.find(({ name }) => name === state.chosen);
  const bandAt = (h) => chosen().band_by_slice_mm[geometry.sliceOf(h)];
  let [width, height] = [0, 0];

  const y = (h) => MARGIN + ((geometry.slices - 1 - h + 0.5) / geometry.slices) * (height - 2 * MARGIN);
  const thick = () => Math.max(1, (height - 2 * MARGIN) / geometry.slices - 0.6);

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    drawBars();
    drawPlaces();
    drawNow();
  }

  function drawBars() {
    const room = width - 14;
    for (let h = 0; h < geometry.slices; h += 1) {
      const mm = bandAt(h);
      context.fillStyle = "rgb(150 165 180 / 18%)";
      context.fillRect(12, y(h) - thick() / 2, room, thick());
      if (mm === null || mm === undefined) continue;
      context.globalAlpha = 0.4 + 0.6 * (mm / most);
      context.fillStyle = css(chosen().colour);
      context.fillRect(12, y(h) - thick() / 2, Math.max(2, (room * mm) / most), thick());
      context.globalAlpha = 1;
    }
  }

  function drawPlaces() {
    for (const place of places.filter(({ structure }) => structure === state.chosen)) {
      const at = y(geometry.heightOf(place.slice_index));
      context.fillStyle = "#fff";
      context.beginPath();
      context.moveTo(1, at - 5);
      context.lineTo(9, at);
      context.lineTo(1, at + 5);
      context.fill();
    }
  }

  function drawNow() {
    const at = y(state.h);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.strokeRect(10.5, at - Math.max(3, thick() / 2 + 1.5), width - 12, 2 * Math.max(3, thick() / 2 + 1.5));
  }

  function tell() {
    const mm = bandAt(state.h);
    const slice = geometry.sliceOf(state.h);
    canvas.setAttribute("aria-valuenow", String(slice + 1));
    canvas.setAttribute("aria-valuetext", `Slice ${slice + 1} of ${geometry.slices}, ${mm === null ? "no band" : `band ${mm.toFixed(0)} mm`}`);
    box.querySelector(".rail-title").textContent = chosen().name.replaceAll("_", " ");
    box.querySelector(".rail-value").textContent = mm === null ? "no band" : `${mm.toFixed(1)} mm`;
  }

  function go(event) {
    const at = event.clientY - canvas.getBoundingClientRect().top;
    const share = (at - MARGIN) / (height - 2 * MARGIN);
    state.change({ h: geometry.slices - 1 - Math.floor(share * geometry.slices), place: null });
  }

  new ResizeObserver(() => {
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * (window.devicePixelRatio || 1);
    canvas.height = height * (window.devicePixelRatio || 1);
    draw();
  }).observe(canvas);
  canvas.setAttribute("aria-valuemin", "1");
  canvas.setAttribute("aria-valuemax", String(geometry.slices));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    go(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons === 1 && go(event));
  state.on(["h", "chosen"], () => {
    tell();
    if (width) draw();
  });
  box.querySelector(".rail-most").textContent = `${most.toFixed(0)} mm`;
}
