// The list page by page: which jobs are on display, and reading them again soon after something changed.

import { getJson } from "./api.js";
import * as filters from "./filters.js";
import { showPage, whenStatesChange } from "./jobs.js";
import { askForToken, isLockedOut } from "./shell.js";

const PAGE = 50;
const SOON_MS = 400;
const SOON_SEARCHING_MS = 5000; // a search by name reads headers
const byId = (id) => document.getElementById(id);

let cursors = [null]; // of the pages from the first to the one that is wanted
let shown = cursors; // those to the one on display: another list while a page is being turned
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
  const page = await getJson(`/api/v1/jobs?${wanted}`).catch((error) => {
    if (mine === reading) cursors = shown;
    throw error;
  });
  if (mine !== reading) return; // another filter was chosen meanwhile
  if (page.jobs.length === 0 && cursors.length > 1) return loadFirst(); // what stood there is gone
  shown = cursors;
  next = page.next_cursor;
  showPage(page.jobs);
  showPlace(page.jobs.length, filters.showCounts(page.counts));
}

function showPlace(count, total) {
  const first = (cursors.length - 1) * PAGE;
  const number = (value) => value.toLocaleString("en-GB");
  byId("empty").hidden = count > 0 || filters.isNarrowed();
  byId("no-match").hidden = count > 0 || !filters.isNarrowed();
  byId("pages").hidden = total <= PAGE && cursors.length === 1;
  byId("range").textContent = `${number(first + 1)}–${number(first + count)} of ${number(total)}`;
  byId("newer").disabled = cursors.length === 1;
  byId("older").disabled = next === null;
  byId("search-hint").textContent = filters.searches() ? "Names are looked for among the newest 2,000 series." : "";
}

export function loadSoon() {
  if (timer === 0) timer = setTimeout(() => load().catch(() => {}), filters.searches() ? SOON_SEARCHING_MS : SOON_MS);
}

export function loadFirst() {
  cursors = shown = [null];
  next = null; // belongs to what was on display
  return load();
}

// Both buttons wait until the page that was asked for is on display, so that a double click turns one page.
async function turn(wanted) {
  if (cursors !== shown) return;
  cursors = wanted;
  await tell(load);
}

async function tell(work) {
  byId("trouble").textContent = "";
  try {
    await work();
  } catch (error) {
    byId("trouble").textContent = error.message;
    if (isLockedOut(error)) askForToken();
  }
}

export function begin() {
  filters.readAddress();
  filters.whenChanged(() => tell(loadFirst));
  whenStatesChange(loadSoon);
  byId("newer").addEventListener("click", () => cursors.length > 1 && turn(cursors.slice(0, -1)));
  byId("older").addEventListener("click", () => next !== null && turn([...cursors, next]));
  byId("clear").addEventListener("click", () => {
    filters.clear();
    tell(loadFirst);
  });
}
