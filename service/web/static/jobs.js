// The list of jobs: one row per job, built once and then only changed where the job changed.
// Everything that comes from the service is set as text.

import { ask, download, getPicture, post } from "./api.js";
import { element } from "./elements.js";
import { ago, deliverySentence, hasRemarks, isDelivered, stageSentence, stateWord } from "./words.js";

const rows = new Map(); // job id -> { job, row }

function button(text, label, action, className = "plain") {
  const made = element("button", className, text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await action();
    } catch (error) {
      made.closest(".job").querySelector(".trouble").textContent = error.message;
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

const shortId = (job) => job.id.slice(0, 8);

function progressBar(job) {
  const bar = element("progress");
  bar.max = 100;
  bar.value = job.percent;
  bar.setAttribute("aria-label", `Progress of job ${shortId(job)}`);
  return bar;
}

const instances = (job) => `${job.instance_count} ${job.instance_count === 1 ? "instance" : "instances"}`;
const origin = (job) => (job.source === "dicom" ? `from ${job.sender}` : "by upload");

function summary(job) {
  if (job.state === "receiving") return "Waiting for the rest of the series";
  if (job.state === "queued") return job.attempts ? "Waiting to be tried again" : "Waiting for a worker";
  if (job.state === "running") return stageSentence(job);
  if (job.state === "done") return "RTSTRUCT ready";
  return "";
}

function body(job) {
  const part = element("div", "body");
  const text = summary(job);
  if (text) part.append(element("p", "what", text));
  if (job.state === "done" && job.notice) part.firstChild.append(element("strong", "notice", job.notice));
  if (job.state === "running") part.append(progressBar(job));
  if (job.reason) {
    part.append(element("p", "reason", job.reason.message));
    part.append(element("p", "remedy", job.reason.remedy));
  }
  if (job.superseded_by) part.append(element("p", "remedy", `Replaced by job ${job.superseded_by.slice(0, 8)}: later slices arrived.`));
  part.append(element("p", "series", `${job.series_instance_uid} · ${instances(job)} ${origin(job)}`));
  if (job.deliveries.length) {
    const list = element("ul", "deliveries");
    for (const delivery of job.deliveries) {
      const tone = hasRemarks(delivery) ? "remark" : isDelivered(delivery) ? "good" : delivery.last_error ? "bad" : "";
      const item = element("li", tone, deliverySentence(delivery));
      if (delivery.attempts && delivery.state !== "sending") item.append(" ", button("Send again", `Send the result of job ${shortId(job)} to ${delivery.node} again`, () => sendAgain(job, delivery)));
      list.append(item);
    }
    part.append(list);
  }
  const trouble = element("p", "message bad trouble");
  trouble.setAttribute("role", "status");
  part.append(trouble);
  return part;
}

function side(job) {
  const part = element("div", "side");
  const time = element("time", "", ago(job.created_at));
  time.dateTime = job.created_at;
  time.title = new Date(job.created_at).toLocaleString();
  const actions = element("div", "actions");
  const { rtstruct, cancel, retry } = job.links;
  if (rtstruct) actions.append(button("Download RTSTRUCT", `Download the RTSTRUCT of job ${shortId(job)}`, () => download(rtstruct), ""));
  if (cancel && !job.cancel_requested) actions.append(button("Cancel", `Cancel job ${shortId(job)}`, () => change(cancel)));
  if (retry) actions.append(button(retryWord(job), `${retryWord(job)}: job ${shortId(job)}`, () => change(retry)));
  part.append(time, actions);
  return part;
}

const retryWord = (job) => (job.state === "not-routed" ? "Contour anyway" : "Try again");

async function sendAgain(job, delivery) {
  await post(`/api/v1/deliveries/${delivery.id}/resend`);
  await change(job.links.self, ask);
}

const change = async (path, request = post) => show(await (await request(path)).json());

function draw(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

async function addThumbnail(job, row) {
  const picture = await getPicture(job.links.preview);
  const thumb = element("button", "thumb");
  thumb.type = "button";
  thumb.setAttribute("aria-label", `Enlarge the preview of job ${shortId(job)}`);
  const canvas = element("canvas");
  draw(canvas, picture);
  thumb.append(canvas);
  thumb.addEventListener("click", () => {
    draw(document.getElementById("viewer-canvas"), picture);
    document.getElementById("viewer").showModal();
  });
  row.append(thumb);
}

function fill(row, job) {
  const kept = row.querySelector(".thumb");
  const state = element("p", "state", stateWord(job));
  row.dataset.state = job.state;
  row.classList.toggle("superseded", Boolean(job.superseded_by));
  row.replaceChildren(state, body(job), side(job));
  if (!job.links.preview) return;
  if (kept) row.append(kept);
  else addThumbnail(job, row).catch(() => {}); // a row without a picture is complete as well
}

// While a job runs only its words and its bar move: focus, hover and screen readers stay where they are.
function isSameShape(old, job) {
  const shape = (each) => JSON.stringify([each.state, each.cancel_requested, each.links, each.deliveries, each.reason, each.superseded_by]);
  return job.state === "running" && shape(old) === shape(job);
}

export function show(job) {
  const known = rows.get(job.id);
  if (known && isSameShape(known.job, job)) {
    known.row.querySelector(".what").textContent = summary(job);
    known.row.querySelector("progress").value = job.percent;
    known.job = job;
    return;
  }
  const row = known?.row ?? element("li", "job");
  fill(row, job);
  rows.set(job.id, { job, row });
  if (!known) insert(row, job);
  tally();
}

// Newest first; jobs come in any order.
function insert(row, job) {
  const list = document.getElementById("jobs");
  const next = [...list.children].find((other) => rows.get(other.dataset.id).job.created_at < job.created_at);
  row.dataset.id = job.id;
  list.insertBefore(row, next ?? null);
}

function tally() {
  const count = (...states) => [...rows.values()].filter(({ job }) => states.includes(job.state)).length;
  const parts = [[count("running"), "contouring"], [count("queued", "receiving"), "waiting"]];
  document.getElementById("tally").textContent = parts.filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(", ");
  document.getElementById("empty").hidden = rows.size > 0;
}

export function refreshTimes() {
  for (const { job, row } of rows.values()) row.querySelector("time").textContent = ago(job.created_at);
}

export async function load(cursor) {
  const query = cursor ? `?limit=50&cursor=${encodeURIComponent(cursor)}` : "?limit=50";
  const page = await (await ask(`/api/v1/jobs${query}`)).json();
  page.jobs.forEach(show);
  tally();
  return page.next_cursor;
}
