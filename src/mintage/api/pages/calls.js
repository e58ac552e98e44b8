// Calls: one for each picture, a few at a time. Whoever shows them is told of every change.
import { askForKey } from "./keys.js";
import { mayCall, productAddress, request, state, useKey } from "./state.js";

const MOST_AT_ONCE = 3;
const WITHOUT_KEY = ["unauthenticated", "quota_reached"];
const listeners = [];
let running = 0;

export const whenChanged = (listener) => listeners.push(listener);
const tell = (call) => listeners.forEach((listener) => listener(call));

export function ask(files) {
  if (!state.card) return;
  for (const file of files) {
    const call = { file, name: file.name, card: state.card };
    state.calls.unshift(call);
    queue(call);
  }
  run();
}

export function again(call) {
  queue(call);
  run();
}

// There is a key now: what waits for one, or was refused without, is asked.
export function askWithKey() {
  for (const call of state.calls) {
    if (call.status === "queued" || WITHOUT_KEY.includes(call.outcome?.code)) queue(call);
  }
  run();
}

function queue(call) {
  Object.assign(call, { status: "queued", outcome: null });
  // One picture, one action: were the answer lost on its way, asking again is not charged again.
  call.action ??= newAction();
  tell(call);
}

function run() {
  if (!mayCall()) return askForKey();
  const waiting = state.calls.filter((call) => call.status === "queued").reverse();
  for (const call of waiting.slice(0, MOST_AT_ONCE - running)) send(call);
}

async function send(call) {
  running += 1;
  call.status = "running";
  tell(call);
  call.outcome = await askAbout(call, call.action);
  call.status = "done";
  running -= 1;
  if (call.outcome.code === "unauthenticated") {
    useKey(null);
    askForKey();
  }
  tell(call);
  run();
}

// An answer with its milliseconds, or a problem with its ``code``.
export async function askAbout({ file, card }, action, form = "") {
  if (file.size > state.page.max_upload_bytes) return { code: "too_large" };
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  const headers = { "Content-Type": type, "Idempotency-Key": action };
  return asked(`${productAddress(card)}/predict${form}`, { method: "POST", headers, body: file });
}

// What came back, as JSON; where it is no answer of the server's, a problem of our own.
export async function asked(address, options) {
  const started = performance.now();
  let response;
  let document;
  try {
    response = await request(address, options);
    document = response.status === 204 ? {} : await response.json();
  } catch {
    document = null;
  }
  if (!response) return { code: "offline" };
  const language = response.headers.get("Content-Language") ?? state.language;
  if (response.ok && document) return { ...document, language, milliseconds: performance.now() - started };
  const wait = Number(response.headers.get("Retry-After"));
  const again = wait ? new Date(Date.now() + wait * 1000) : null;
  // A proxy between us may answer by itself, in no form of ours.
  if (!document?.code) return { code: response.status === 413 ? "too_large" : "between", status: response.status, again };
  return { ...document, again, language };
}

// Not crypto.randomUUID: over plain http there is none.
export const newAction = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
