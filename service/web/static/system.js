// The system page, for whoever runs Penumbra: read again every few seconds while it is looked at.

import { getJson } from "./api.js";
import { element } from "./elements.js";
import { fact } from "./facts.js";
import { loadPeers } from "./peers.js";
import { askForToken, enter, isLockedOut, setConnection } from "./shell.js";
import { ago, bytes, span, stateName } from "./words.js";

const AGAIN_MS = 5000;
const QUEUE = ["receiving", "queued", "running", "failed"];
const KINDS = { job: "Job", delivery: "Delivery to", association: "Association of" };
const byId = (id) => document.getElementById(id);

// What somebody should look at is coloured; the words say it too.
function showQueue({ jobs, oldest_waiting_s, waits_long, undelivered }) {
  const found = QUEUE.map((state) => fact(stateName(state), String(jobs[state] ?? 0), `large ${state === "failed" && jobs[state] ? "bad" : ""}`));
  if (oldest_waiting_s !== null) found.push(fact("Longest wait", span(oldest_waiting_s), `large ${waits_long ? "bad" : ""}`));
  for (const [node, number] of Object.entries(undelivered)) found.push(fact(`Not yet at ${node}`, String(number), "large remark"));
  byId("queue").replaceChildren(...found);
}

function showDisk({ free_bytes, total_bytes, reserve_bytes }) {
  const short = free_bytes < reserve_bytes;
  byId("disk").className = short ? "bad" : "hint";
  const reserve = reserve_bytes ? `; nothing is taken below ${bytes(reserve_bytes)}` : "";
  byId("disk").textContent = `${bytes(free_bytes)} of ${bytes(total_bytes)} free${reserve}`;
  byId("disk-meter").value = 1 - free_bytes / total_bytes;
}

const gpuSentence = (gpu) =>
  `${gpu.model}: ${Math.round(100 * gpu.utilisation)} % busy, ${bytes(gpu.memory_used_bytes)} of ${bytes(gpu.memory_total_bytes)}, ${gpu.temperature_c} °C`;

function life({ lives, at_work_on: job, seen_at }) {
  if (!lives) return element("p", "hint bad", `last seen ${ago(seen_at)}`);
  const made = element("p", "hint good", job ? "at work on " : "ready, nothing to do");
  if (job) made.append(jobLink(`job ${job.slice(0, 8)}`, job));
  return made;
}

function worker(each) {
  const made = element("li");
  made.append(element("strong", "", each.name), life(each));
  for (const gpu of each.lives && each.queue === "gpu" ? each.gpus : []) made.append(element("p", "hint", gpuSentence(gpu)));
  return made;
}

function showWorkers(workers) {
  const items = workers.map(worker);
  if (items.length === 0) items.push(element("li", "bad", "No worker has shown itself during the last day."));
  byId("workers").replaceChildren(...items);
}

function named({ kind, of, job_id }) {
  const text = `${KINDS[kind] ?? kind} ${of}`;
  return job_id === null ? element("strong", "", text) : jobLink(text, job_id);
}

function jobLink(text, id) {
  const link = element("a", "", text);
  link.href = `/?q=${encodeURIComponent(id)}`;
  return link;
}

function trouble(each) {
  const made = element("li", "trouble");
  const time = element("time", "hint", ago(each.at));
  time.dateTime = each.at;
  time.title = new Date(each.at).toLocaleString();
  const words = element("div", "words");
  words.append(named(each), element("p", "", each.words));
  made.append(time, words);
  return made;
}

async function load() {
  const found = await getJson("/api/v1/system");
  byId("version").textContent = found.version;
  showQueue(found);
  showDisk(found.disk);
  showWorkers(found.workers);
  byId("troubles").replaceChildren(...found.troubles.map(trouble));
  byId("no-troubles").hidden = found.troubles.length > 0;
}

async function again() {
  try {
    if (!document.hidden) await load();
    setConnection("live");
  } catch (error) {
    if (isLockedOut(error)) return askForToken();
    setConnection("reconnecting");
  }
  setTimeout(again, AGAIN_MS);
}

enter(async () => {
  await load();
  await loadPeers();
  await again();
});
