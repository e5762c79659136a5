// What the worklist is narrowed to. It stands in the page's address, so that going back, reloading and bookmarks keep it;
// but not words that may be a patient's name or ID, for addresses stay in histories and logs. This tab keeps those.

import { keepSearch, keptSearch } from "./kept-search.js";

const form = document.getElementById("filters");
const DAY_MS = 24 * 3600 * 1000;
const TYPING_MS = 250;
const PUBLIC = /^((1\.[23]|2\.25)\.[0-9.]{8,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]*)$/; // a UID, or a job's id

export function readAddress() {
  const given = new URLSearchParams(location.search);
  form.q.value = given.get("q") ?? keptSearch();
  form.since.value = given.get("since") ?? "";
  const state = given.get("state") ?? "";
  for (const radio of form.elements.namedItem("state")) radio.checked = radio.value === state;
  writeAddress();
}

function writeAddress() {
  const given = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim()));
  const isPublic = PUBLIC.test(form.q.value.trim());
  if (!isPublic) given.delete("q");
  keepSearch(isPublic ? "" : form.q.value);
  history.replaceState(null, "", given.size ? `?${given}` : location.pathname);
}

export const searches = () => form.q.value.trim() !== "";
export const isNarrowed = () => searches() || form.since.value !== "" || form.state.value !== "";

// As REST wants it.
export function query() {
  const wanted = new URLSearchParams();
  if (searches()) wanted.set("q", form.q.value.trim());
  if (form.since.value) wanted.set("since", new Date(Date.now() - form.since.value * DAY_MS).toISOString());
  for (const state of form.state.value.split(",").filter(Boolean)) wanted.append("state", state);
  return wanted;
}

export function clear() {
  form.reset();
  writeAddress();
}

export function search(text) {
  form.reset();
  form.q.value = text;
  writeAddress();
}

// How many jobs each choice would show.
export function showCounts(counts) {
  const total = (states) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
  for (const place of form.querySelectorAll("[data-count]")) {
    const states = place.dataset.count ? place.dataset.count.split(",") : Object.keys(counts);
    place.textContent = total(states).toLocaleString("en-GB");
  }
  return total(form.state.value ? form.state.value.split(",") : Object.keys(counts));
}

export function whenChanged(action) {
  let typing = 0;
  const changed = () => {
    clearTimeout(typing);
    writeAddress();
    action();
  };
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(changed, event.target === form.q ? TYPING_MS : 0);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
  event.preventDefault();
  form.q.focus();
});
