// One row of the worklist. Everything that comes from the service is set as text.

import { download, post } from "./api.js";
import { button, element } from "./elements.js";
import { patientOf } from "./patients.js";
import { ago, deliverySentence, dicomDate, hasRemarks, isDelivered, personName, stageSentence, stateWord, timeLeft } from "./words.js";

const shortId = (job) => job.id.slice(0, 8);
const cell = (...parts) => {
  const made = element("td");
  made.append(...parts);
  return made;
};

function summary(job) {
  if (job.state === "receiving") return "Waiting for the rest of the series";
  if (job.state === "queued") return job.attempts ? "Waiting to be tried again" : "Waiting for a worker";
  if (job.state === "running") return stageSentence(job);
  return "";
}

function state(job) {
  const parts = [element("p", "state", stateWord(job))];
  if (job.superseded_by) parts.push(element("p", "hint", "Replaced: later slices arrived"));
  return parts;
}

function patient(job) {
  const found = patientOf(job);
  const name = element("p", "patient");
  const text = found ? personName(found.name) || "No name" : `Job ${shortId(job)}`;
  if (job.state === "done") {
    const link = element("a", "", text);
    link.href = `/jobs/${job.id}`;
    name.append(link);
  } else {
    name.textContent = text;
  }
  return [name, element("p", "hint", found ? found.patient_id : found === null ? "The series has been deleted" : "")];
}

function series(job) {
  const found = patientOf(job);
  const slices = `${job.instance_count} ${job.instance_count === 1 ? "slice" : "slices"}`;
  const origin = job.source === "dicom" ? job.sender : "uploaded";
  const date = found ? dicomDate(found.study_date) : "";
  const first = element("p", "series", found?.series_description || found?.study_description || job.series_instance_uid);
  first.title = job.series_instance_uid;
  return [first, element("p", "hint", [date, slices, origin].filter(Boolean).join(" · "))];
}

function progress(job) {
  const line = element("p", "what");
  line.append(element("span", "stage", summary(job)), element("span", "left", timeLeft(job.seconds_left)));
  const bar = element("progress");
  bar.max = 100;
  bar.value = job.percent;
  bar.setAttribute("aria-label", `Progress of job ${shortId(job)}`);
  return [line, bar];
}

function deliveries(job, tools) {
  const list = element("ul", "deliveries");
  for (const delivery of job.deliveries) {
    const tone = hasRemarks(delivery) ? "remark" : isDelivered(delivery) ? "good" : delivery.last_error ? "bad" : "";
    const item = element("li", tone, deliverySentence(delivery));
    const label = `Send the result of job ${shortId(job)} to ${delivery.node} again`;
    const again = () => post(`/api/v1/deliveries/${delivery.id}/resend`).then(() => tools.refresh(job));
    if (delivery.attempts && delivery.state !== "sending") item.append(" ", button("Send again", label, again, tools));
    list.append(item);
  }
  return list;
}

function reason({ message, remedy }) {
  const made = element("p", "reason", `${message} `);
  made.append(element("span", "remedy", remedy));
  return made;
}

function result(job, tools) {
  const parts = job.state === "running" ? progress(job) : summary(job) ? [element("p", "what", summary(job))] : [];
  if (job.reason) parts.push(reason(job.reason));
  if (job.deliveries.length) parts.push(deliveries(job, tools));
  if (job.state === "done" && !job.deliveries.length) parts.push(element("p", "hint", "Ready; it goes to no node"));
  if (job.state === "done" && job.notice) parts.push(element("p", "notice", job.notice));
  return parts;
}

const retryWord = (job) => (job.state === "not-routed" ? "Contour anyway" : "Try again");

function actions(job, tools) {
  const part = element("div", "actions");
  const { rtstruct, cancel, retry } = job.links;
  const change = (path) => async () => tools.show(await (await post(path)).json());
  if (job.state === "done") {
    const review = element("a", "button", "Review");
    review.href = `/jobs/${job.id}`;
    review.setAttribute("aria-label", `Review job ${shortId(job)}`);
    part.append(review);
  }
  if (rtstruct) part.append(button("RTSTRUCT", `Download the RTSTRUCT of job ${shortId(job)}`, () => download(rtstruct), tools));
  if (cancel && !job.cancel_requested) part.append(button("Cancel", `Cancel job ${shortId(job)}`, change(cancel), tools));
  if (retry) part.append(button(retryWord(job), `${retryWord(job)}: job ${shortId(job)}`, change(retry), tools));
  return part;
}

function received(job) {
  const time = element("time", "", ago(job.created_at));
  time.dateTime = job.created_at;
  time.title = new Date(job.created_at).toLocaleString();
  return time;
}

// `page.show` takes a changed job, `page.refresh` fetches one.
export function fill(row, job, page) {
  const trouble = element("p", "message bad");
  trouble.setAttribute("role", "status");
  const tools = { ...page, told: (text) => { trouble.textContent = text; } };
  const hadFocus = row.contains(document.activeElement);
  row.dataset.state = job.state;
  row.replaceChildren(cell(...state(job)), cell(...patient(job)), cell(...series(job)), cell(...result(job, tools), trouble), cell(received(job)), cell(actions(job, tools)));
  if (hadFocus) row.querySelector(".actions > *, a")?.focus();
}

// While a job runs only its words and its bar move: focus, hover and screen readers stay where they are.
export function fillProgress(row, job) {
  row.querySelector(".stage").textContent = summary(job);
  row.querySelector(".left").textContent = timeLeft(job.seconds_left);
  row.querySelector("progress").value = job.percent;
}

export function isSameShape(old, job) {
  const shape = (each) => JSON.stringify([each.state, each.cancel_requested, each.links, each.deliveries, each.reason, each.superseded_by, each.instance_count]);
  return shape(old) === shape(job);
}

export function refreshTime(row, job) {
  row.querySelector("time").textContent = ago(job.created_at);
}
