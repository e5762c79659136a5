// The page: loads the list, follows events, sends files. See api.js, jobs.js and words.js.

import { events, forgetToken, hasToken, keepToken, logOut, Refused, upload, whoAmI } from "./api.js";
import { load, refreshTimes, show } from "./jobs.js";
import "./peers.js";

const RECONNECT_MS = 2000;
const byId = (id) => document.getElementById(id);

function say(text, tone = "") {
  const message = byId("upload-message");
  message.className = `message ${tone}`;
  message.textContent = text;
}

function setConnection(text) {
  if (byId("connection").textContent !== text) byId("connection").textContent = text;
}

async function loadAll() {
  const cursor = await load();
  offerOlder(cursor);
}

function offerOlder(cursor) {
  const older = byId("older");
  older.hidden = !cursor;
  older.onclick = async () => offerOlder(await load(cursor));
}

// The list is read after the stream is ready, so nothing falls between the two.
async function follow() {
  showWho(await whoAmI());
  for await (const event of events("/api/v1/events")) {
    if (event.name === "ready") {
      await loadAll();
      setConnection("live");
    } else if (event.name === "job") {
      show(JSON.parse(event.data));
    }
  }
}

async function followForEver() {
  for (;;) {
    try {
      await follow();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return askForToken();
    }
    setConnection("reconnecting");
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

function showWho({ kind, name, role }) {
  byId("who").hidden = kind !== "session";
  byId("who-role").textContent = role;
  byId("who-name").textContent = name;
}

byId("logout").addEventListener("click", async () => {
  await logOut();
  location.assign("/");
});

function lock(isLocked) {
  byId("token-form").hidden = !isLocked;
  for (const id of ["upload-section", "jobs-section", "peers-section"]) byId(id).hidden = isLocked;
}

function askForToken() {
  if (hasToken()) byId("token-hint").textContent = "Penumbra refused this token.";
  if (location.search === "?login=refused") byId("token-hint").textContent = "Your account opens nothing here.";
  forgetToken();
  setConnection("locked");
  lock(true);
  byId("token").focus();
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  byId("token").value = "";
  lock(false);
  followForEver();
});

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
followForEver();
