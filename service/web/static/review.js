// The review of one job: fetches what there is to see and puts pictures, rail, lists and keys together.

import { getJson, Refused } from "./api.js";
import { mountDownloads } from "./downloads.js";
import { listChecks, listFindings, listPlaces, listStructures, showMaking, showQuality, showThirds } from "./review-lists.js";
import { firstSlice, jobId, take, whoAsks } from "./review-early.js";
import { Looked } from "./review-looked.js";
import { enter } from "./shell.js";
import { mountVerdict } from "./verdict.js";
import { axialPane } from "./viewer-axial.js";
import { Contours } from "./viewer-contours.js";
import { Geometry } from "./viewer-geometry.js";
import { listenToKeys } from "./viewer-keys.js";
import { MAP_MOST_MM, mapColour } from "./viewer-lines.js";
import { rail } from "./viewer-rail.js";
import { PRESETS, ViewState } from "./viewer-state.js";
import { uprightPane } from "./viewer-upright.js";
import { Volume } from "./viewer-volume.js";
import { personName, stateWord } from "./words.js";

const MARGIN_MM = 45;
const LONGEST_WAIT_MS = 1000; // of all else for the first slice
const byId = (id) => document.getElementById(id);
let isOpen = false;

enter(async (session) => {
  const coming = take();
  const [job, review] = await Promise.all([coming.job, coming.review]);
  if (review instanceof Refused) return explain(job, review);
  if (isOpen) return;
  isOpen = true;
  byId("review-body").hidden = false;
  const pictures = openPictures(review);
  await showFirst(coming.slice, pictures);
  const looked = new Looked(jobId, session);
  showHead(job, review);
  openLists(review, pictures, looked);
  load(pictures);
  await Promise.all([looked.load(), mountVerdict(byId("verdict"), job, session), mountDownloads(byId("downloads"), job, session)]);
}, whoAsks);

function explain(job, refusal) {
  const reason = job.reason ? `${job.reason.message} ${job.reason.remedy}` : "";
  const told = job.state === "done" ? refusal.message : `There is nothing to review: ${stateWord(job).toLowerCase()}.\n${reason}`;
  byId("review-note").textContent = told;
}

function showHead(job, review) {
  const { name, version } = review.bundle;
  byId("review-bundle").textContent = `${name} ${version} · bounds ${review.bounds} · ${review.passes} passes`;
  showPatient(job, review.grid.size_xyz[2]).catch((error) => (byId("trouble").textContent = error.message));
  if (!review.not_for_clinical_use) return;
  byId("stamp").textContent = "NOT FOR CLINICAL USE";
  byId("stamp").hidden = false;
  const banner = document.querySelector("body > .banner") ?? byId("review-banner");
  banner.textContent = `NOT FOR CLINICAL USE · contoured by ${name} ${version}, ${review.bundle.intended_use === "research-phantom" ? "trained on phantoms" : review.bundle.intended_use}`;
  banner.hidden = false;
}

async function showPatient(job, slices) {
  byId("review-subject").textContent = `Job ${job.id.slice(0, 8)}, ${slices} slices`;
  const { patients } = await getJson(`/api/v1/patients?job=${job.id}`);
  if (!patients.length) return;
  const [{ name, patient_id: id }] = patients;
  byId("review-subject").textContent = [personName(name), id, `${slices} slices`].filter(Boolean).join(" · ");
}

function openPictures(review) {
  const { structures } = review;
  const geometry = new Geometry(review.grid);
  const state = new ViewState(geometry, structures);
  const contours = structures.map((structure) => new Contours(structure, geometry));
  const volume = new Volume(jobId, geometry);
  const shared = { state, volume, contours, geometry };
  const panes = [
    axialPane(byId("axial"), { ...shared, area: axialArea(contours, geometry), onPoint: (mm) => showCursor(mm, shared) }),
    uprightPane(byId("sagittal"), "sagittal", { ...shared, area: uprightArea(contours, geometry, "sagittal") }),
    uprightPane(byId("coronal"), "coronal", { ...shared, area: uprightArea(contours, geometry, "coronal") }),
  ];
  begin(review, shared);
  return { ...shared, panes };
}

function openLists(review, { state, volume, geometry, panes }, looked) {
  const { structures, look_here: places } = review;
  const go = (place) => goTo(place, { state, geometry, looked, axial: panes[0] });
  const nextPlace = (step) => {
    const now = places.indexOf(state.place);
    if (places.length) go(places[now < 0 ? (step > 0 ? 0 : places.length - 1) : (now + step + places.length) % places.length]);
  };
  rail(byId("rail"), { state, structures, places, geometry });
  showLetters(geometry);
  listStructures(byId("structures"), structures, state);
  listPlaces(byId("places"), byId("places-tally"), { places, structures, state, looked, go });
  showQuality(byId("quality"), structures);
  showThirds(byId("thirds"), structures);
  listChecks(byId("checks"), review.guideline);
  listFindings(byId("findings"), review.findings);
  showMaking(byId("made"), review);
  followState({ state, geometry, volume, panes });
  listenToKeys({ state, structures, panes, nextPlace, help: byId("help") });
  byId("next-place").addEventListener("click", () => nextPlace(1));
  byId("next-place").disabled = places.length === 0;
}

// The first view: the middle of the target, and the planes through it.
function begin(review, { state, contours, geometry }) {
  const h = geometry.heightOf(firstSlice(review));
  const points = contours[0].on("mean", h).flatMap((ring) => ring.points);
  const middle = (axis) => (Math.min(...points.map((point) => point[axis])) + Math.max(...points.map((point) => point[axis]))) / 2;
  state.change(points.length ? { h, point: { l: middle(0), p: middle(1) } } : { h });
}

// The first slice before anything else is made. Where it does not come, or late, it is fetched again with the others.
async function showFirst(coming, { volume, geometry }) {
  const late = new Promise((done) => setTimeout(done, LONGEST_WAIT_MS, null));
  const first = await Promise.race([coming.catch(() => null), late]);
  if (!first) return;
  volume.put(geometry.heightOf(first.index), first.stored);
  await painted();
}

const painted = () => new Promise((done) => {
  requestAnimationFrame(() => setTimeout(done));
  setTimeout(done, 300); // a hidden tab paints nothing
});

function goTo(place, { state, geometry, looked, axial }) {
  const [l, p] = geometry.toUpright(...place.point_px);
  const hidden = new Set(state.hidden);
  hidden.delete(place.structure);
  state.change({ h: geometry.heightOf(place.slice_index), point: { l, p }, chosen: place.structure, place, hidden });
  axial.reveal([geometry.acrossMm(l), geometry.downMm(p)]);
  looked.set(place.key, true);
}

async function load({ volume, state }) {
  const note = byId("loading");
  const total = volume.geometry.slices;
  volume.addEventListener("slice", () => {
    note.textContent = volume.loaded < total ? `Slices ${volume.loaded} of ${total}` : "";
  });
  state.addEventListener("change", () => (volume.wanted = state.h));
  try {
    await volume.load(state.h);
    document.documentElement.dataset.allSlicesMs = performance.now().toFixed(0);
  } catch (error) {
    note.textContent = error.message;
  }
}

function followState({ state, geometry, volume, panes }) {
  const press = (id, isPressed) => byId(id).setAttribute("aria-pressed", String(isPressed));
  state.on(["h"], () => {
    const slice = geometry.sliceOf(state.h);
    const z = geometry.grid.slice_positions_mm[slice][2];
    byId("slice-text").textContent = `Slice ${slice + 1} of ${geometry.slices} · z ${z.toFixed(1)} mm`;
  });
  state.on(["window"], () => {
    const { width, level } = state.window;
    byId("window-text").textContent = `W ${width} L ${level}`;
    PRESETS.forEach((preset, index) => press(`preset-${index}`, preset.width === width && preset.level === level));
  });
  state.on(["showsBounds"], () => press("bounds", state.showsBounds));
  state.on(["showsMap"], () => {
    press("map", state.showsMap);
    byId("legend-text").hidden = !state.showsMap;
  });
  PRESETS.forEach((preset, index) => byId(`preset-${index}`).addEventListener("click", () => state.preset(preset)));
  byId("bounds").addEventListener("click", () => state.change({ showsBounds: !state.showsBounds }));
  byId("map").addEventListener("click", () => state.change({ showsMap: !state.showsMap }));
  byId("fit").addEventListener("click", () => panes.forEach((pane) => pane.fit()));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  drawLegend();
}

function drawLegend() {
  const canvas = byId("legend");
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = mapColour((x / canvas.width) * MAP_MOST_MM);
    context.fillRect(x, 0, 1, canvas.height);
  }
  byId("legend-most").textContent = `${MAP_MOST_MM} mm band`;
}

// Coordinates are the patient's: x to the left, y to the back, z to the head, as the planning system shows them.
function showCursor(mm, { state, volume, geometry }) {
  if (!mm) return (byId("cursor-text").textContent = "");
  const [l, p] = [mm[0] / geometry.columnMm - 0.5, mm[1] / geometry.rowMm - 0.5];
  const [x, y, z] = geometry.toPatient(geometry.sliceOf(state.h), l, p).map((value) => value.toFixed(1));
  const hu = volume.hu(state.h, Math.round(p), Math.round(l));
  byId("cursor-text").textContent = `x ${x} y ${y} z ${z} mm · ${hu === null ? "outside" : `${hu} HU`}`;
}

function showLetters(geometry) {
  const { left, right, up, down, head, feet } = geometry.letters();
  const set = (id, letters) => Object.entries(letters).forEach(([side, text]) => (byId(id).querySelector(`.letter.${side}`).textContent = text));
  set("axial", { left, right, up, down });
  set("sagittal", { left: up, right: down, up: head, down: feet });
  set("coronal", { left, right, up: head, down: feet });
}

function axialArea(contours, geometry) {
  const boxes = contours.map((each) => each.box("mean")).filter(Boolean);
  if (!boxes.length) return [0, 0, geometry.widthMm, geometry.depthMm];
  const [left, top] = [0, 1].map((side) => Math.min(...boxes.map((box) => box[side])) - MARGIN_MM);
  const [right, bottom] = [2, 3].map((side) => Math.max(...boxes.map((box) => box[side])) + MARGIN_MM);
  return [left, top, right, bottom];
}

function uprightArea(contours, geometry, axis) {
  const [left, top, right, bottom] = axialArea(contours, geometry);
  const heights = contours.flatMap((each) => [...each.heights("upper"), ...each.heights("mean")]).map(geometry.fromTopMm);
  const [low, high] = heights.length ? [Math.min(...heights), Math.max(...heights)] : [0, geometry.heightMm];
  const [from, to] = axis === "sagittal" ? [top, bottom] : [left, right];
  return [from, Math.max(0, low - MARGIN_MM), to, Math.min(geometry.heightMm, high + MARGIN_MM)];
}
