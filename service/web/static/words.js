// What the service's short names are called for people.

const STATES = {
  receiving: "Receiving",
  queued: "Waiting",
  running: "Contouring",
  done: "Done",
  rejected: "Rejected",
  failed: "Failed",
  cancelled: "Cancelled",
  "not-routed": "Not routed",
};

const STAGES = {
  starting: "Starting",
  reading: "Reading the series",
  localising: "Finding the organs",
  segmenting: "Contouring",
  writing: "Writing and checking the RTSTRUCT",
};

const STRUCTURES = {
  CTV: "the target volume",
  Bladder: "the bladder",
  Rectum: "the rectum",
  Femur_Head_L: "the left femoral head",
  Femur_Head_R: "the right femoral head",
  PenileBulb: "the penile bulb",
};

const DELIVERIES = {
  waiting: "waiting to be sent",
  sending: "being sent",
  delivered: "delivered",
  failed: "not delivered",
};

const sentence = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll(/[-_]/g, " ");

export const stateName = (state) => STATES[state] ?? sentence(state);

export const stateWord = (job) => (job.state === "running" && job.cancel_requested ? "Stopping" : STATES[job.state] ?? sentence(job.state));

export function stageSentence(job) {
  const stage = job.stage ? STAGES[job.stage] ?? sentence(job.stage) : "Starting";
  const structure = job.structure ? STRUCTURES[job.structure] ?? job.structure : "";
  const pass = job.passes_done ? `pass ${job.passes_done}${job.passes_total ? ` of ${job.passes_total}` : ""}` : "";
  return [structure ? `${stage}: ${structure}` : stage, pass].filter(Boolean).join(" · ");
}

const COMMITMENTS = {
  waiting: " · storage to be confirmed",
  asked: " · storage to be confirmed",
  committed: " · storage confirmed",
  refused: " · storage not confirmed. ",
  unconfirmed: " · storage unconfirmed. ",
};

const commitmentSentence = ({ commitment, commitment_note }) =>
  commitment ? `${COMMITMENTS[commitment] ?? ""}${COMMITMENTS[commitment]?.endsWith(". ") ? commitment_note ?? "" : ""}` : "";

export function deliverySentence(delivery) {
  const state = DELIVERIES[delivery.state] ?? sentence(delivery.state);
  if (isDelivered(delivery) || !delivery.last_error) return [`${delivery.node}: ${state}`, ...delivery.remarks].join(". ") + commitmentSentence(delivery);
  const times = delivery.attempts === 1 ? "one attempt" : `${delivery.attempts} attempts`;
  const outlook = delivery.state === "failed" ? "given up" : "will be tried again";
  return `${delivery.node}: not delivered after ${times}, ${outlook}. ${delivery.last_error}`;
}

export const isDelivered = (delivery) => delivery.state === "delivered";
export const hasRemarks = (delivery) => delivery.remarks.length > 0 || ["refused", "unconfirmed"].includes(delivery.commitment);

// A name as in DICOM, DOE^JOHN^^DR, as people read it: in the first of its scripts that has it.
export const personName = (name) => name.split("=").map(nameGroup).find(Boolean) ?? "";
const nameGroup = (group) => group.split("^").map((part) => part.trim()).filter(Boolean).join(", ");

export const dicomDate = (date) => (/^\d{8}$/.test(date) ? `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : date);

export function timeLeft(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 10) return "a few seconds left";
  if (seconds < 95) return `about ${Math.round(seconds / 10) * 10} s left`;
  return `about ${Math.round(seconds / 60)} min left`;
}

export const bytes = (number) => {
  const [unit, factor] = number >= 1e12 ? ["TB", 1e12] : number >= 1e9 ? ["GB", 1e9] : ["MB", 1e6];
  return `${(number / factor).toFixed(number / factor < 10 ? 1 : 0)} ${unit}`;
};

export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export function ago(iso, now = Date.now()) {
  const minutes = Math.floor((now - Date.parse(iso)) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(iso).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}
