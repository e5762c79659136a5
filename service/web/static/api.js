// How the page talks to /api/v1: JSON, files, events. The token, if there is one, lives in this tab only. A login
// lives in a cookie that no script can read; what changes something then also carries the form token.

const TOKEN_KEY = "penumbra-token";

export class Refused extends Error {
  constructor(status, problem, retryAfter = null) {
    super([problem.detail, problem.remedy].filter(Boolean).join("\n"));
    this.status = status;
    this.code = problem.code;
    this.retryAfterS = Number(retryAfter) || null; // where the service says when to ask again
  }
}

export const keepToken = (token) => sessionStorage.setItem(TOKEN_KEY, token);
export const hasToken = () => sessionStorage.getItem(TOKEN_KEY) !== null;
export const forgetToken = () => sessionStorage.removeItem(TOKEN_KEY);

let formToken = null;

export function authorization() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token) return { Authorization: `Bearer ${token}` };
  return formToken ? { "X-Penumbra-Form": formToken } : {};
}

// Who one is: kind (token, session, local), name, role.
export async function whoAmI() {
  const session = await getJson("/api/v1/session");
  formToken = session.form_token;
  return session;
}

export const logOut = () => post("/api/v1/session/logout");

export function asProblem(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { code: "unreadable", detail: "Penumbra gave an answer that cannot be read." };
  }
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { ...authorization(), ...options.headers } });
  if (!answer.ok) throw new Refused(answer.status, asProblem(await answer.text()), answer.headers.get("Retry-After"));
  return answer;
}

export const getJson = async (path) => (await ask(path)).json();
export const post = (path) => ask(path, { method: "POST" });
export const getPicture = async (path) => createImageBitmap(await (await ask(path)).blob());

export async function download(path) {
  const answer = await ask(path);
  const name = /filename="([\w.-]+)"/.exec(answer.headers.get("Content-Disposition") ?? "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name ? name[1] : "rtstruct.dcm";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Server-sent events over fetch, because EventSource cannot send a token. Ends when the server ends.
export async function* events(path, signal) {
  const answer = await ask(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    yield* blocks.map(parseEvent).filter((event) => event.data !== "");
  }
}

function parseEvent(block) {
  const event = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.name = line.slice(7);
    if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  return event;
}

// XMLHttpRequest, because fetch does not tell how much of a body has been sent.
export function upload(path, files, onPercent) {
  const form = new FormData();
  for (const file of files) form.append("file", file, "upload");
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onPercent((100 * event.loaded) / event.total);
    request.onerror = () => reject(new Refused(0, { code: "unreachable", detail: "Penumbra cannot be reached." }));
    request.onload = () => {
      const body = asProblem(request.responseText);
      if (request.status < 300) resolve(body);
      else reject(new Refused(request.status, body));
    };
    request.send(form);
  });
}
