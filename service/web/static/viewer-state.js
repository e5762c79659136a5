// What the viewer shows: one object that panes, rail and lists follow. `change` tells which fields have changed.

import { Window } from "./viewer-image.js";

export const PRESETS = [
  { name: "Pelvis", width: 400, level: 40 },
  { name: "Bone", width: 1500, level: 300 },
];

export class ViewState extends EventTarget {
  constructor(geometry, structures) {
    super();
    this.geometry = geometry;
    this.h = 0;
    this.point = { l: geometry.columns / 2, p: geometry.rows / 2 };
    this.window = new Window(PRESETS[0].width, PRESETS[0].level);
    this.hidden = new Set();
    this.showsBounds = true;
    this.showsMap = false;
    this.isBare = false; // while the space bar is held
    this.chosen = structures[0].name;
    this.place = null; // where one is looking, of the list "look here"
  }

  change(fields) {
    const { slices } = this.geometry;
    if ("h" in fields) fields.h = Math.max(0, Math.min(slices - 1, Math.round(fields.h)));
    const changed = Object.keys(fields).filter((name) => this[name] !== fields[name]);
    if (changed.length === 0) return;
    Object.assign(this, fields);
    this.dispatchEvent(new CustomEvent("change", { detail: new Set(changed) }));
  }

  // Up to the head, down to the feet.
  step(count) {
    this.change({ h: this.h + count, place: null });
  }

  toggle(name) {
    const hidden = new Set(this.hidden);
    if (!hidden.delete(name)) hidden.add(name);
    this.change({ hidden });
  }

  preset({ width, level }) {
    this.change({ window: new Window(width, level) });
  }

  nextPreset() {
    const now = PRESETS.findIndex(({ width, level }) => width === this.window.width && level === this.window.level);
    this.preset(PRESETS[(now + 1) % PRESETS.length]);
  }

  on(fields, react) {
    this.addEventListener("change", ({ detail }) => fields.some((field) => detail.has(field)) && react());
    react();
  }
}
