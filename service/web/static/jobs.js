// The rows on display: built once per job and then only changed where the job changed.

import { getJson } from "./api.js";
import { element } from "./elements.js";
import { learn, patientOf } from "./patients.js";
import { fill, fillProgress, isSameShape, refreshTime } from "./row.js";

const rows = new Map(); // job id -> { job, row }
const body = document.getElementById("jobs");
let onStateChange = () => {};

const page = {
  show: (job) => update(job),
  refresh: async (job) => update(await getJson(job.links.self)),
};

export const whenStatesChange = (action) => { onStateChange = action; };

function paint(job) {
  const known = rows.get(job.id);
  const row = known?.row ?? element("tr");
  rows.set(job.id, { job, row });
  if (known && isSameShape(known.job, job)) {
    if (job.state === "running") fillProgress(row, job);
  } else {
    fill(row, job, page);
  }
  return row;
}

// A job that changed. One that is not on display, or whose state is another now, may belong elsewhere in the list.
export function update(job) {
  const known = rows.get(job.id);
  if (known && known.job.version > job.version) return;
  if (known) paint(job);
  if (known?.job.state !== job.state) onStateChange();
}

// Shows just these jobs, in this order. Rows that stay are not moved, so that focus and scroll stay as well.
export function showPage(jobs) {
  const wanted = new Set(jobs.map((job) => job.id));
  for (const [id, { row }] of rows) {
    if (!wanted.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  jobs.forEach((job, index) => {
    const row = paint(job);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  nameThem(jobs).catch(() => {}); // a row without a name is complete as well
}

async function nameThem(jobs) {
  const nameless = jobs.filter((job) => patientOf(job) === undefined);
  if (!(await learn(nameless))) return;
  for (const { id } of nameless) {
    const shown = rows.get(id);
    if (shown) fill(shown.row, shown.job, page);
  }
}

export function refreshTimes() {
  for (const { job, row } of rows.values()) refreshTime(row, job);
}
