// What stands beside the pictures: structures, places to look at, and the figures. All of it comes from the review.

import { element } from "./elements.js";
import { css } from "./viewer-lines.js";

const plain = (name) => name.replaceAll("_", " ");
const mm = (value) => (value === null ? "–" : value.toFixed(1));
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function swatch(structure) {
  const made = element("span", "swatch");
  made.style.backgroundColor = css(structure.colour);
  return made;
}

export function listStructures(list, structures, state) {
  const rows = structures.map((structure, index) => structureRow(structure, index, state));
  list.replaceChildren(...rows.map(({ item }) => item));
  state.on(["hidden", "chosen"], () => rows.forEach(({ refresh }) => refresh()));
}

function structureRow(structure, index, state) {
  const item = element("li");
  const box = element("input");
  box.type = "checkbox";
  box.setAttribute("aria-label", `Show ${plain(structure.name)} (key ${index + 1})`);
  box.addEventListener("change", () => state.toggle(structure.name));
  const choose = element("button", "choose plain");
  choose.type = "button";
  choose.title = "Show its band on the rail";
  choose.append(swatch(structure), element("span", "name", plain(structure.name)));
  choose.append(element("span", "figure", `${structure.volume_cc.toFixed(1)} cc`));
  choose.append(element("span", "figure", structure.band.mean_mm === null ? "unbounded" : `${mm(structure.band.mean_mm)} mm`));
  choose.addEventListener("click", () => state.change({ chosen: structure.name }));
  item.append(element("kbd", "", String(index + 1)), box, choose);
  const refresh = () => {
    box.checked = !state.hidden.has(structure.name);
    item.classList.toggle("is-hidden", !box.checked);
    choose.setAttribute("aria-pressed", String(state.chosen === structure.name));
  };
  return { item, refresh };
}

export function listPlaces(list, tally, { places, structures, state, looked, go }) {
  if (!places.length) list.replaceChildren(element("li", "hint", "No place where the band is wide."));
  const rows = places.map((place, index) => placeRow({ place, index, structures, state, looked, go }));
  if (rows.length) list.replaceChildren(...rows.map(({ item }) => item));
  const refresh = () => {
    rows.forEach((row) => row.refresh());
    tally.textContent = looked.trouble || (places.length ? `${places.filter(({ key }) => looked.has(key)).length} of ${places.length} looked at` : "");
  };
  looked.addEventListener("change", refresh);
  state.on(["place"], refresh);
}

function placeRow({ place, index, structures, state, looked, go }) {
  const structure = structures.find(({ name }) => name === place.structure);
  const item = element("li");
  const box = element("input");
  box.type = "checkbox";
  box.setAttribute("aria-label", `Looked at ${plain(place.structure)}, ${place.reason}`);
  box.addEventListener("change", () => looked.set(place.key, box.checked));
  const button = element("button", "choose plain");
  button.type = "button";
  button.append(element("span", "rank", String(index + 1)), swatch(structure));
  const text = element("span", "what");
  const [where, width] = place.reason.split(": ");
  const others = element("span", "by-others hint");
  text.append(element("strong", "", plain(place.structure)), element("span", "", ` ${where}`), others);
  button.append(text, element("span", "figure", width.replace("band ", "")));
  button.addEventListener("click", () => go(place));
  item.append(button, box);
  const refresh = () => {
    box.checked = looked.has(place.key);
    item.classList.toggle("is-looked", box.checked);
    others.textContent = looked.by(place.key).length ? `seen by ${looked.by(place.key).join(", ")}` : "";
    button.setAttribute("aria-current", String(state.place === place));
  };
  return { item, refresh };
}

function fillTable(table, titles, rows) {
  const head = element("thead");
  const line = element("tr");
  for (const title of titles) {
    const cell = element("th", "", title);
    cell.scope = "col";
    line.append(cell);
  }
  head.append(line);
  const body = element("tbody");
  body.append(...rows.map(([structure, ...values]) => {
    const row = element("tr");
    const name = element("th");
    name.scope = "row";
    name.append(swatch(structure), plain(structure.name));
    row.append(name, ...values.map((value) => element("td", value.tone ?? "", value.text ?? value)));
    return row;
  }));
  table.replaceChildren(head, body);
}

// The quality of the CTV was never shown to tell anything, so no number of it is shown.
export function showQuality(table, structures) {
  fillTable(table, ["", "Quality", "Expected DSC (90 %)"], structures.map((each) => {
    if (!each.quality_validated) return [each, { text: "not validated", tone: "remark" }, "–"];
    const expected = each.predicted_dsc;
    const range = expected ? `${expected.value.toFixed(2)} (${expected.low.toFixed(2)} to ${expected.high.toFixed(2)})` : "–";
    return [each, each.quality.toFixed(3), range];
  }));
}

export function showThirds(table, structures) {
  const part = (structure, name) => mm(structure.thirds.find((third) => third.part === name)?.mean_mm ?? null);
  fillTable(table, ["mm, mean", "Inferior", "Middle", "Superior"], structures.map((each) => [each, ...["inferior", "middle", "superior"].map((name) => part(each, name))]));
}

const MARKS = { pass: ["✓", "good"], warn: ["!", "remark"], "not assessable": ["?", "hint"] };

export function listChecks(list, checks) {
  const order = ["warn", "not assessable", "pass"];
  const sorted = [...checks].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
  list.replaceChildren(...sorted.map((check) => {
    const item = element("li");
    const [sign, tone] = MARKS[check.verdict];
    const mark = element("span", `mark ${tone}`, sign);
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", check.verdict);
    const text = element("span");
    text.append(element("strong", "", `${capital(check.title)}. `), check.message);
    item.append(mark, text);
    return item;
  }));
}

export function listFindings(list, findings) {
  if (!findings.length) return list.replaceChildren(element("li", "hint", "Nothing was noticed."));
  list.replaceChildren(...findings.map(({ code, message }) => {
    const item = element("li");
    const mark = element("span", "mark remark", "!");
    mark.setAttribute("aria-hidden", "true");
    const text = element("span", "", message);
    text.title = code;
    item.append(mark, text);
    return item;
  }));
}

export function showMaking(list, review) {
  const proofs = review.structures.flatMap(({ round_trip }) => Object.values(round_trip));
  const facts = [
    ["Bounds", boundsSentence(review)],
    ["Round trip", proofs.length ? `${proofs.length} contour sets read back from the written RTSTRUCT; least DSC with what was computed ${Math.min(...proofs).toFixed(4)}` : "no proof"],
    ["Bundle", `${review.bundle.name} ${review.bundle.version}, ${review.bundle.intended_use}, ${review.bundle.sha256.slice(0, 12)}`],
    ["Computed", `${review.passes} passes, seed ${review.seed}, ${review.device}, Penumbra ${review.software_version}`],
    ["CT series", review.series_instance_uid],
  ];
  list.replaceChildren(...facts.map(([name, value]) => {
    const row = element("div");
    row.append(element("dt", "", name), element("dd", "", value));
    return row;
  }));
}

function boundsSentence(review) {
  const percents = [...new Set(review.structures.map(({ percent }) => percent).filter((percent) => percent !== null))];
  if (review.bounds === "calibrated") return `calibrated: on average at least ${percents.join(", ")} % of a reference's surface lies between them, on cases like those of the calibration`;
  if (review.bounds === "mixed") return "calibrated for some structures, for the others the paper's (uncalibrated)";
  return "the paper's (mean ± 1.96 standard deviations), uncalibrated: they claim no share";
}
