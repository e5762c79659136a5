// The bundles page: what is installed, what it was trained on, its figures and how its bounds were calibrated.

import { getJson } from "./api.js";
import { element } from "./elements.js";
import { facts, table } from "./facts.js";
import { enter } from "./shell.js";

const byId = (id) => document.getElementById(id);
const HOW = ["recipe", "seed", "cohort_seed", "command", "begun_with", "recipe_file"];
const plain = (name) => name.replaceAll("_", " ");
const fixed = (value, digits) => (typeof value === "number" ? value.toFixed(digits) : "–");
const figure = (value) => fixed(value, value >= 10 ? 1 : value >= 1 ? 2 : 3);
const percent = (value) => (typeof value === "number" ? `${(100 * value).toFixed(1)} %` : "–");

function head(bundle) {
  const made = element("header");
  made.append(element("h2", "", `${bundle.name} ${bundle.version}`));
  if (bundle.notice) made.append(element("strong", "notice", bundle.notice));
  if (bundle.default) made.append(element("span", "hint", "used where a job names no bundle"));
  return made;
}

function about(bundle) {
  const bounds = bundle.calibration ? "calibrated" : "the paper's, not calibrated";
  return facts({
    "Intended use": bundle.intended_use || "not declared",
    Bounds: bounds,
    Networks: bundle.networks.map(plain).join(", "),
    Licence: bundle.licence,
    "SHA-256": bundle.sha256.slice(0, 16),
  });
}

// On what and on how many; how it was done again is for those who unfold it. How many steps each network was trained is
// for the record, not for this page.
function training(found) {
  const named = Object.entries(found).filter(([name]) => !name.startsWith("steps "));
  const some = (wanted) => facts(Object.fromEntries(named.filter(([name]) => HOW.includes(name) === wanted).map(([name, value]) => [plain(name), String(value)])));
  const how = element("details");
  how.append(element("summary", "hint", "How it was trained"), some(true));
  return [element("h3", "", "Trained on"), some(false), how];
}

function calibration({ bands, quality, cases, passes, alpha, date }) {
  const made = [date, `on ${cases} cases, ${passes} passes`].filter(Boolean).join(" ");
  const share = `${Math.round(100 * (1 - alpha))} %`;
  const rows = Object.entries(bands ?? {}).map(([name, band]) => {
    const score = quality?.[name];
    const told = score?.validated ? `validated (ρ ${fixed(score.rank_correlation, 2)})` : "not validated";
    return [plain(name), String(band.cases), fixed(band.width_mm, 1), percent(band.held_out_risk ?? band.risk), told];
  });
  const columns = ["structure", "cases", "band, mm", "surface outside", "quality score"];
  return table(`Calibrated ${made}: the bounds aim to hold ${share} of the surface.`, columns, rows);
}

// One row a figure, one column a structure; the least of all cases in brackets, where it was kept.
function metrics(found) {
  const unique = (name) => [...new Set(found.map((each) => each[name]))];
  const structures = unique("structure");
  const cell = (name, structure) => {
    const each = found.find((one) => one.name === name && one.structure === structure);
    if (!each) return "";
    return typeof each.minimum === "number" ? `${figure(each.mean)} (${figure(each.minimum)})` : figure(each.mean);
  };
  const rows = unique("name").map((name) => [name, ...structures.map((structure) => cell(name, structure))]);
  const caption = `Measured on ${unique("cases").join(" or ")} cases: mean (least)`;
  const made = element("div", "part whole");
  made.append(table(caption, ["", ...structures.map((name) => plain(name ?? "all"))], rows));
  made.append(...unique("command").map((command) => element("p", "hint code", command)));
  return made;
}

function item(bundle) {
  const made = element("li", "panel bundle");
  const [what, figures] = [element("div", "part"), element("div", "part")];
  what.append(element("p", "", bundle.description), about(bundle), ...(bundle.training ? training(bundle.training) : []));
  if (bundle.calibration) figures.append(calibration(bundle.calibration));
  made.append(head(bundle), what, figures);
  if (bundle.metrics?.length) made.append(metrics(bundle.metrics));
  return made;
}

enter(async () => {
  const { bundles } = await getJson("/api/v1/bundles");
  byId("bundles").replaceChildren(...bundles.map(item));
  if (bundles.length === 0) byId("bundles-note").textContent = "No bundle is installed.";
});
