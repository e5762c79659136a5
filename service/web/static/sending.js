// The way in for a series: files or a folder, chosen or dropped anywhere on the page.

import { upload } from "./api.js";
import { filesOf } from "./dropped.js";
import { button } from "./elements.js";
import { search } from "./filters.js";
import { loadFirst } from "./list.js";
import { askForToken, isLockedOut } from "./shell.js";

const byId = (id) => document.getElementById(id);

function say(text, tone = "") {
  const message = byId("upload-message");
  message.className = `message ${tone}`;
  message.textContent = text;
}

const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

function sayReceived(job) {
  const { received, skipped, duplicates } = job.upload;
  const left = skipped ? `, ${count(skipped, "other file")} left out` : "";
  const known = duplicates && duplicates === received ? " All had been received before." : "";
  say(`${count(received, "instance")} received${left}.${known} `, "good");
  const show = () => {
    search(job.id);
    return loadFirst();
  };
  byId("upload-message").append(button("Show its job", `Show job ${job.id.slice(0, 8)}`, show));
}

async function send(files) {
  if (files.length === 0) return;
  const bar = byId("upload-progress");
  bar.hidden = false;
  bar.value = 0;
  say(`Sending ${count(files.length, "file")}`);
  try {
    const job = await upload("/api/v1/jobs", files, (percent) => {
      bar.value = percent;
      say(percent < 100 ? `Sending ${count(files.length, "file")}, ${Math.round(percent)} %` : "Received, being stored");
    });
    sayReceived(job);
  } catch (error) {
    say(error.message, "bad");
    if (isLockedOut(error)) askForToken();
  } finally {
    bar.hidden = true;
    byId("files").value = byId("folder").value = "";
  }
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

export function begin() {
  for (const [chooser, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    byId(chooser).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", (event) => send([...event.target.files]));
  }
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    byId("drop-here").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) byId("drop-here").hidden = true;
  });
  document.addEventListener("drop", async (event) => {
    byId("drop-here").hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    send(await filesOf(event.dataTransfer));
  });
}
