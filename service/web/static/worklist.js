// The worklist: loads the list, follows events, sends files. See jobs.js and words.js.

import { upload } from "./api.js";
import { followForEver } from "./follow.js";
import { load, refreshTimes, show } from "./jobs.js";
import { askForToken, enter, setConnection } from "./shell.js";

const byId = (id) => document.getElementById(id);

function say(text, tone = "") {
  const message = byId("upload-message");
  message.className = `message ${tone}`;
  message.textContent = text;
}

async function loadAll() {
  offerOlder(await load());
}

function offerOlder(cursor) {
  const older = byId("older");
  older.hidden = !cursor;
  older.onclick = async () => offerOlder(await load(cursor));
}

async function send(files) {
  if (files.length === 0) return;
  const bar = byId("upload-progress");
  bar.hidden = false;
  say("Sending");
  try {
    const job = await upload("/api/v1/jobs", files, (percent) => {
      bar.value = percent;
      say(percent < 100 ? `Sending, ${Math.round(percent)} %` : "Received, being stored");
    });
    show(job);
    const { received, skipped } = job.upload;
    say(`${received} instances received${skipped ? `, ${skipped} other files left out` : ""}.`, "good");
  } catch (error) {
    say(error.message, "bad");
    if (error.status === 401) askForToken();
  } finally {
    bar.hidden = true;
    byId("files").value = "";
  }
}

byId("files").addEventListener("change", (event) => send([...event.target.files]));
for (const name of ["dragover", "dragleave", "drop"]) {
  byId("upload").addEventListener(name, (event) => {
    event.preventDefault();
    byId("upload").classList.toggle("over", name === "dragover");
    if (name === "drop") send([...event.dataTransfer.files]);
  });
}
byId("upload").addEventListener("submit", (event) => event.preventDefault());

setInterval(refreshTimes, 30_000);
setConnection("connecting");
enter(() => followForEver(loadAll, show));
