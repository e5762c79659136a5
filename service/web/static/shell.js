// What all pages share: who is signed in, asking for a token where one is needed, and whether updates arrive.
// A page's module hands its work to `enter`; where the service asks for a token, the work begins again with one.

import { forgetToken, hasToken, keepToken, logOut, Refused, whoAmI } from "./api.js";
import { forgetSearch } from "./kept-search.js";

const RETURN_KEY = "penumbra-return";
const byId = (id) => document.getElementById(id);
let resume = () => {};

export const isLockedOut = (error) => error instanceof Refused && error.status === 401;

export function setConnection(text) {
  if (byId("connection").textContent === text) return;
  byId("connection").textContent = text;
  byId("connection").dataset.state = text;
}

// Runs the page's work. A missing token is asked for; any other refusal is told. `askWho` is for pages that began early.
export async function enter(work, askWho = whoAmI) {
  resume = () => enter(work, askWho);
  try {
    const session = await askWho();
    showWho(session);
    if (returnToWhereLoginBegan()) return;
    await work(session);
  } catch (error) {
    if (isLockedOut(error)) return askForToken();
    byId("trouble").textContent = error.message;
    if (!(error instanceof Refused)) throw error;
  }
}

export function askForToken() {
  if (hasToken()) byId("token-hint").textContent = "Penumbra refused this token.";
  if (location.search === "?login=refused") byId("token-hint").textContent = "Your account opens nothing here.";
  forgetToken();
  setConnection("locked");
  setLocked(true);
  byId("token").focus();
}

function setLocked(isLocked) {
  byId("token-form").hidden = !isLocked;
  byId("page").hidden = isLocked;
  if (isLocked) byId("who").hidden = byId("logout").hidden = true;
}

function showWho({ kind, name, role }) {
  byId("who").hidden = kind !== "session";
  byId("logout").hidden = kind !== "session" && !hasToken();
  byId("who-name").textContent = name;
  byId("who-role").textContent = role;
}

// A login ends at the worklist; whoever opened a link to a job goes on to that job.
function returnToWhereLoginBegan() {
  const path = sessionStorage.getItem(RETURN_KEY);
  sessionStorage.removeItem(RETURN_KEY);
  if (!path?.startsWith("/") || path.startsWith("//") || path === location.pathname) return false;
  location.replace(path);
  return true;
}

byId("login")?.addEventListener("click", () => sessionStorage.setItem(RETURN_KEY, location.pathname));

byId("logout").addEventListener("click", async () => {
  if (!hasToken()) await logOut();
  forgetToken();
  forgetSearch();
  location.assign("/");
});

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  byId("token").value = "";
  setLocked(false);
  resume();
});
