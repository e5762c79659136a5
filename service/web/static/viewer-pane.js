// A canvas with a view: zoom, pan, window by dragging. What it shows is drawn by the pane that is made of it.
// Coordinates of a drawing are millimetres from the picture's upper left corner.

import { Window } from "./viewer-image.js";

const ZOOM_STEP = 1.2;
const MOST_ZOOM = 40; // screen pixels per millimetre
const WINDOW_PER_PIXEL = 2;
const WHEEL_PER_SLICE = 40;
const USUAL_PIXELS = 600; // of a pane: on a larger one lines are thicker, on a smaller one thinner

export class Pane {
  // `area` is what "fit" shows: [left, top, right, bottom] in mm. `draw(context, scale)` draws in mm; a line that is
  // one pixel wide on a pane of the usual size is 1 / scale.
  constructor(box, { state, area, draw, onPick, onPoint }) {
    this.box = box;
    this.canvas = box.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    Object.assign(this, { state, area, draw, onPick, onPoint });
    this.rolled = 0;
    this.isDue = false;
    new ResizeObserver(() => this.#resize()).observe(box);
    this.#listen();
  }

  fit() {
    const [left, top, right, bottom] = this.area;
    this.scale = Math.min(this.width / (right - left), this.height / (bottom - top));
    this.centre = [(left + right) / 2, (top + bottom) / 2];
    this.isFitted = true;
    this.refresh();
  }

  zoom(factor, at = [this.width / 2, this.height / 2]) {
    const before = this.toMm(at);
    this.scale = Math.max(this.#leastZoom(), Math.min(MOST_ZOOM, this.scale * factor));
    const after = this.toMm(at);
    this.centre = this.centre.map((value, axis) => value + before[axis] - after[axis]);
    this.isFitted = false;
    this.refresh();
  }

  // Brings a point into view if it is not well inside.
  reveal(mm) {
    const [x, y] = this.toScreen(mm);
    const isInside = x > this.width * 0.15 && x < this.width * 0.85 && y > this.height * 0.15 && y < this.height * 0.85;
    if (!isInside) this.centre = [...mm];
    this.refresh();
  }

  toMm = ([x, y]) => [this.centre[0] + (x - this.width / 2) / this.scale, this.centre[1] + (y - this.height / 2) / this.scale];
  toScreen = ([u, v]) => [(u - this.centre[0]) * this.scale + this.width / 2, (v - this.centre[1]) * this.scale + this.height / 2];

  // Draws once before the screen is painted, however often it is asked to.
  refresh = () => {
    if (this.isDue || !this.width) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.#paint();
    });
  };

  #paint() {
    const { context, ratio, scale } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const [x, y] = this.toScreen([0, 0]);
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
    const thickness = Math.max(0.75, Math.min(1.6, Math.min(this.width, this.height) / USUAL_PIXELS));
    this.draw(context, scale / thickness);
  }

  #resize() {
    const { clientWidth, clientHeight } = this.box;
    if (!clientWidth || !clientHeight) return;
    this.ratio = window.devicePixelRatio || 1;
    [this.width, this.height] = [clientWidth, clientHeight];
    this.canvas.width = Math.round(clientWidth * this.ratio);
    this.canvas.height = Math.round(clientHeight * this.ratio);
    if (this.isFitted ?? true) this.fit();
    else this.#paint();
  }

  #leastZoom = () => 0.2 * Math.min(this.width / (this.area[2] - this.area[0]), this.height / (this.area[3] - this.area[1]));
  #at = (event) => {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#roll(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => (this.drag = null));
    canvas.addEventListener("pointercancel", () => (this.drag = null));
    canvas.addEventListener("pointerleave", () => this.onPoint?.(null));
    canvas.addEventListener("dblclick", () => this.fit());
  }

  // A notch of the wheel is a slice; a touchpad rolls in small steps, which add up.
  #roll(event) {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) return this.zoom(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, this.#at(event));
    const pixels = event.deltaMode === 0 ? event.deltaY : event.deltaY * WHEEL_PER_SLICE;
    if (Math.abs(pixels) >= WHEEL_PER_SLICE) return this.state.step(-Math.sign(pixels) * Math.max(1, Math.round(Math.abs(pixels) / 120)));
    this.rolled += pixels;
    const steps = Math.trunc(this.rolled / WHEEL_PER_SLICE);
    this.rolled -= steps * WHEEL_PER_SLICE;
    if (steps) this.state.step(-steps);
  }

  #press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const isPan = event.button === 1 || (event.button === 0 && event.shiftKey);
    this.drag = { kind: isPan ? "pan" : event.button === 2 ? "window" : "pick", at: this.#at(event) };
    if (this.drag.kind === "pick") this.onPick(this.toMm(this.drag.at));
    if (event.button === 1) event.preventDefault();
  }

  #move(event) {
    const at = this.#at(event);
    this.onPoint?.(this.toMm(at));
    if (!this.drag) return;
    const [dx, dy] = at.map((value, axis) => value - this.drag.at[axis]);
    this.drag.at = at;
    if (this.drag.kind === "pick") this.onPick(this.toMm(at));
    if (this.drag.kind === "pan") {
      this.centre = [this.centre[0] - dx / this.scale, this.centre[1] - dy / this.scale];
      this.isFitted = false;
      this.refresh();
    }
    if (this.drag.kind === "window") {
      const { width, level } = this.state.window;
      this.state.change({ window: new Window(width + dx * WINDOW_PER_PIXEL, level + dy * WINDOW_PER_PIXEL) });
    }
  }
}
