// What can be taken away from a review: files, a link, and the result on its way to a node.

import { ask, download, getJson } from "./api.js";
import { element } from "./elements.js";

const OPERATORS = ["operate", "admin"];
const FILES = [
  ["rtstruct", "RTSTRUCT", "The contours with their bounds, for the planning system"],
  ["report_pdf", "Report (PDF)", "The report with the verdict, to print or keep"],
  ["report", "Report (HTML)", "The same as one page that needs no network"],
  ["everything", "Everything (zip)", "RTSTRUCT, further objects, report, result.json"],
];

// Fills `section` with what that job offers; `session` says whether one may send it to a node.
export async function mountDownloads(section, job, session) {
  const title = element("h2", "", "Take away");
  title.id = "downloads-title";
  const told = element("p", "message");
  told.setAttribute("role", "status");
  const tell = (text, tone = "") => {
    told.textContent = text;
    told.className = `message ${tone}`;
  };
  const files = element("div", "downloads");
  files.append(...FILES.filter(([name]) => job.links[name]).map((each) => fileButton(each, job, tell)));
  files.append(copyButton(tell));
  section.replaceChildren(title, files, ...(await sending(job, session, tell)), told);
}

function fileButton([name, text, hint], job, tell) {
  const made = element("button", name === "rtstruct" ? "" : "plain", text);
  made.type = "button";
  made.title = hint;
  made.addEventListener("click", () => busy(made, tell, async () => {
    tell(name.startsWith("report") ? "Making the report …" : "");
    await download(job.links[name]);
    tell("");
  }));
  return made;
}

function copyButton(tell) {
  const made = element("button", "plain", "Copy link");
  made.type = "button";
  made.title = "The address of this page; whoever opens it must sign in";
  made.addEventListener("click", () => busy(made, tell, async () => {
    const address = location.origin + location.pathname;
    try {
      await navigator.clipboard.writeText(address);
      tell("Link copied.", "good");
    } catch {
      tell(address); // without HTTPS a browser lets nobody write the clipboard
    }
  }));
  return made;
}

async function sending(job, session, tell) {
  if (!OPERATORS.includes(session.role) || !job.links.rtstruct) return [];
  const { peers } = await getJson("/api/v1/peers");
  const nodes = peers.filter((peer) => peer.node).map((peer) => peer.ae_title);
  if (!nodes.length) return [];
  const form = element("form", "send");
  const label = element("label", "", "Send to ");
  const choice = element("select");
  choice.append(...nodes.map((node) => element("option", "", node)));
  label.append(choice);
  const send = element("button", "plain", "Send");
  form.append(label, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(send, tell, async () => {
      await sendTo(job, choice.value);
      tell(`On its way to ${choice.value}; the worklist shows how it goes.`, "good");
    });
  });
  return [form];
}

const sendTo = (job, node) =>
  ask(`/api/v1/jobs/${job.id}/deliveries`, {
    method: "POST",
    body: JSON.stringify({ node }),
    headers: { "Content-Type": "application/json" },
  });

async function busy(button, tell, action) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    tell(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}
