// The keyboard, wherever the focus is, except where keys have a meaning of their own.

const PAGE = 5;
const OWN_KEYS = "input:not([type=checkbox]), textarea, select, [contenteditable], dialog";

export function listenToKeys({ state, structures, panes, nextPlace, help }) {
  const actions = {
    ArrowUp: () => state.step(1),
    ArrowDown: () => state.step(-1),
    PageUp: () => state.step(PAGE),
    PageDown: () => state.step(-PAGE),
    Home: () => state.step(state.geometry.slices),
    End: () => state.step(-state.geometry.slices),
    b: () => state.change({ showsBounds: !state.showsBounds }),
    m: () => state.change({ showsMap: !state.showsMap }),
    n: () => nextPlace(1),
    p: () => nextPlace(-1),
    w: () => state.nextPreset(),
    "+": () => panes[0].zoom(1.25),
    "-": () => panes[0].zoom(0.8),
    0: () => panes.forEach((pane) => pane.fit()),
    "?": () => help.showModal(),
  };
  structures.forEach(({ name }, index) => {
    actions[String(index + 1)] = () => state.toggle(name);
  });

  document.addEventListener("keydown", (event) => {
    const isElsewhere = event.target.closest(OWN_KEYS) || event.ctrlKey || event.metaKey || event.altKey;
    if (isElsewhere) return;
    if (event.key === " " && !event.target.closest("button, summary, a, input")) {
      event.preventDefault();
      state.change({ isBare: true });
      return;
    }
    const action = actions[event.key] ?? actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.addEventListener("keyup", (event) => event.key === " " && state.change({ isBare: false }));
  window.addEventListener("blur", () => state.change({ isBare: false }));
  giveKeysBack(panes[0].canvas);
}

// After a click with the mouse the keys belong to the picture again; who works by keyboard keeps the focus.
function giveKeysBack(canvas) {
  document.addEventListener("click", (event) => {
    const isByMouse = event.detail > 0;
    if (isByMouse && event.target.closest(".bar button, .choose, input[type=checkbox]")) canvas.focus({ preventScroll: true });
  });
}
