// The list page by page: which jobs are on display, and reading them again soon after something changed.

import { getJson } from "./api.js";
import * as filters from "./filters.js";
import { showPage, whenStatesChange } from "./jobs.js";

const PAGE = 50;
const SOON_MS = 400;
const SOON_SEARCHING_MS = 5000; // a search by name reads headers
const byId = (id) => document.getElementById(id);

let cursors = [null]; // of the pages from the first to the one on display
let next = null;
let reading = 0;
let timer = 0;

export async function load() {
  clearTimeout(timer);
  timer = 0;
  const mine = ++reading;
  const wanted = filters.query();
  wanted.set("limit", PAGE);
  wanted.set("counts", "true");
  if (cursors.at(-1)) wanted.set("cursor", cursors.at(-1));
  const page = await getJson(`/api/v1/jobs?${wanted}`);
  if (mine !== reading) return; // another filter was chosen meanwhile
  next = page.next_cursor;
  showPage(page.jobs);
  showPlace(page.jobs.length, filters.showCounts(page.counts));
}

function showPlace(shown, total) {
  const first = (cursors.length - 1) * PAGE;
  const number = (value) => value.toLocaleString("en-GB");
  byId("empty").hidden = shown > 0 || filters.isNarrowed();
  byId("no-match").hidden = shown > 0 || !filters.isNarrowed();
  byId("pages").hidden = total <= PAGE && cursors.length === 1;
  byId("range").textContent = `${number(first + 1)}–${number(first + shown)} of ${number(total)}`;
  byId("newer").disabled = cursors.length === 1;
  byId("older").disabled = next === null;
  byId("search-hint").textContent = filters.searches() ? "Names are looked for among the newest 2,000 series." : "";
}

export function loadSoon() {
  if (timer === 0) timer = setTimeout(() => load().catch(() => {}), filters.searches() ? SOON_SEARCHING_MS : SOON_MS);
}

export function loadFirst() {
  cursors = [null];
  return load();
}

export function begin() {
  filters.readAddress();
  filters.whenChanged(loadFirst);
  whenStatesChange(loadSoon);
  byId("newer").addEventListener("click", () => {
    cursors.pop();
    load();
  });
  byId("older").addEventListener("click", () => {
    cursors.push(next);
    load();
  });
  byId("clear").addEventListener("click", () => {
    filters.clear();
    loadFirst();
  });
}
