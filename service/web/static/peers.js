// The list of DICOM peers: one row per AE title, with C-ECHO for those that are nodes.

import { getJson, post } from "./api.js";
import { element } from "./elements.js";
import { ago } from "./words.js";

const PEERS = "/api/v1/peers";
const byId = (id) => document.getElementById(id);

function contactSentence(contact) {
  if (!contact) return "has not connected yet";
  const outcome = contact.refused ? `was refused: ${contact.refused}` : "connected";
  return `${outcome}, ${ago(contact.at)} from ${contact.address}`;
}

function rightsSentence(peer) {
  if (!peer.addresses.length) return "may not connect";
  return `may connect from ${peer.addresses.join(", ")}: ${peer.rights.join(", ")}`;
}

function echoButton(peer, answer) {
  const made = element("button", "plain", "C-ECHO");
  made.type = "button";
  made.setAttribute("aria-label", `Send a C-ECHO to ${peer.ae_title}`);
  made.addEventListener("click", async () => {
    made.disabled = true;
    answer.className = "hint";
    answer.textContent = "Asking";
    try {
      const echo = await (await post(`${PEERS}/${encodeURIComponent(peer.ae_title)}/echo`)).json();
      answer.className = `hint ${echo.ok ? "good" : "bad"}`;
      answer.textContent = echo.words;
    } catch (error) {
      answer.className = "hint bad";
      answer.textContent = error.message;
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

function row(peer) {
  const made = element("li", "peer");
  const text = element("div");
  const answer = element("p", "hint");
  answer.setAttribute("role", "status");
  text.append(element("strong", "", peer.ae_title));
  text.append(element("p", "hint", `${rightsSentence(peer)}; ${contactSentence(peer.last_contact)}`));
  if (peer.node) text.append(element("p", "hint", `results and C-ECHO go to ${peer.node}`));
  text.append(answer);
  made.append(text);
  if (peer.node) made.append(echoButton(peer, answer));
  return made;
}

function strangerRow(contact) {
  const made = element("li", "peer");
  const text = element("div");
  text.append(element("strong", "", contact.ae_title));
  text.append(element("p", "hint bad", `is not in the table; ${contactSentence(contact)}, calling ${contact.called}`));
  made.append(text);
  return made;
}

export async function loadPeers() {
  const { open, peers, strangers } = await getJson(PEERS);
  byId("peers").replaceChildren(...peers.map(row), ...strangers.map(strangerRow));
  byId("peers-note").textContent = open ? "Anybody on this machine may connect: the settings name no peers." : "";
}
