// Whose series the jobs on display are about. Asked for once per series, and kept in this page's memory only.

import { getJson } from "./api.js";

const known = new Map(); // series UID -> patient, or null where nothing is left of the series

export const patientOf = (job) => known.get(job.series_instance_uid);

// Asks for those that are not known yet; true if something was learned.
export async function learn(jobs) {
  const bySeries = new Map(jobs.map((job) => [job.series_instance_uid, job.id]));
  const asked = [...bySeries].filter(([uid]) => !known.has(uid));
  if (asked.length === 0) return false;
  const { patients } = await getJson(`/api/v1/patients?${new URLSearchParams(asked.map(([, id]) => ["job", id]))}`);
  const found = new Map(patients.map((patient) => [patient.job_id, patient]));
  for (const [uid, id] of asked) known.set(uid, found.get(id) ?? null);
  return true;
}
