// A conversation with a language model: the answer as it grows, what it takes, and the receipt.
import { asked } from "./calls.js";
import { find, make, refill, waiting } from "./dom.js";
import { added, charged, money, tokens } from "./format.js";
import { askForKey } from "./keys.js";
import { problemNote, problemWords } from "./problems.js";
import { receiptOf } from "./receipts.js";
import { request, state, useKey, words } from "./state.js";

const LETTERS_A_TOKEN = 4; // about, until the server has counted
const talks = new Map(); // turns by product: each a question and what became of it

const turns = () => talks.get(state.card.name) ?? talks.set(state.card.name, []).get(state.card.name);

export function renderChat() {
  const talking = state.card?.modality === "text";
  find("chat").hidden = !talking;
  if (!talking) return;
  find("prompt").placeholder = words().ask;
  find("turns").replaceChildren(...turns().map((turn) => turn.element));
  turns().forEach(show);
  renderSpent();
}

export function listenForQuestions() {
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    say(find("prompt").value.trim());
  });
  find("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say(find("prompt").value.trim());
  });
  find("stop").addEventListener("click", () => turns().at(-1)?.leaving?.abort());
  find("fresh").addEventListener("click", () => {
    turns().at(-1)?.leaving?.abort();
    talks.delete(state.card.name);
    renderChat();
    find("prompt").focus();
  });
}

function say(question) {
  if (!question || turns().some((turn) => turn.leaving)) return;
  if (!state.key) return askForKey(words().keyFirst);
  const turn = { question, card: state.card, before: history(), element: make("li", { class: "turn" }) };
  turns().push(turn);
  find("turns").append(turn.element);
  find("prompt").value = "";
  answer(turn);
}

// What was said until now; a turn that came to nothing is not part of it.
function history() {
  return turns().filter((turn) => turn.text).flatMap((turn) =>
    [{ role: "user", content: turn.question }, { role: "assistant", content: turn.text }]);
}

async function answer(turn) {
  Object.assign(turn, { text: "", parts: 0, usage: null, charged: null, problem: null, stopped: false });
  turn.leaving = new AbortController();
  show(turn);
  turn.element.scrollIntoView({ block: "end", behavior: "smooth" });
  try {
    await read(turn);
  } catch {
    turn.stopped = turn.leaving.signal.aborted;
    if (!turn.stopped) turn.problem = turn.text ? { code: "broken" } : { code: "offline" };
  }
  turn.leaving = null;
  if (turn.problem?.code === "unauthenticated") {
    useKey(null);
    askForKey();
  }
  if (turn.charged) turn.receipt = await receiptFor(turn.charged.receipt);
  show(turn);
  renderSpent();
  find("status").textContent = turn.problem ? problemWords(turn.problem)[0] : turn.text;
}

async function read(turn) {
  const messages = [...turn.before, { role: "user", content: turn.question }];
  const response = await request("/v1/chat/completions", {
    method: "POST",
    // Without an Idempotency-Key, for which the answer would have to be kept.
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      model: turn.card.name, messages, stream: true, stream_options: { include_usage: true },
    }),
    signal: turn.leaving.signal,
  });
  if (!response.ok) {
    turn.problem = await problemOf(response);
    return;
  }
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    events.forEach((event) => take(turn, event));
  }
  if (!turn.charged && !turn.problem) turn.problem = { code: "broken" };
}

function take(turn, event) {
  const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("");
  if (!data || data === "[DONE]") return;
  const chunk = JSON.parse(data);
  if (chunk.error) turn.problem = told(chunk.error, null);
  const said = chunk.choices?.[0]?.delta?.content;
  if (said) {
    turn.text += said;
    turn.parts += 1;
  }
  turn.usage = chunk.usage ?? turn.usage;
  turn.charged = chunk.mintage ?? turn.charged;
  show(turn);
}

async function problemOf(response) {
  const document = await response.json().catch(() => null);
  if (!document?.error) return { code: "between", status: response.status };
  const wait = Number(response.headers.get("Retry-After"));
  return { ...told(document.error, response.headers.get("Content-Language")),
    status: response.status, again: wait ? new Date(Date.now() + wait * 1000) : null };
}

const told = ({ code, message, instance }, language) => ({ code, title: message, instance, language });

async function receiptFor(id) {
  const found = await asked(`/v1/receipts/${encodeURIComponent(id)}`, {});
  return found.code ? { id } : found; // a key that may not see usage still knows its name
}

function show(turn) {
  const question = make("p", { class: "question" }, turn.question);
  refill(turn.element, question, ...said(turn));
  find("stop").hidden = !turns().some((each) => each.leaving);
  find("send").hidden = turns().some((each) => each.leaving);
}

function said(turn) {
  const text = make("p", { class: "reply" }, turn.text);
  if (turn.leaving) return turn.text ? [text, taken(turn)] : [waiting(words().waiting)];
  const parts = turn.text ? [text] : [];
  if (turn.stopped) parts.push(make("p", { class: "small" }, words().stopped));
  if (turn.problem) parts.push(problemNote(turn.problem, () => answer(turn)));
  if (turn.charged) parts.push(taken(turn));
  if (turn.receipt) parts.push(receiptOf(turn.receipt));
  return parts;
}

// Tokens and price: about, while it grows; exactly, once the server has counted.
function taken(turn) {
  const facts = turn.usage && turn.charged
    ? [
        [words().read, tokens(turn.usage.prompt_tokens)],
        [words().wrote, tokens(turn.usage.completion_tokens)],
        [words().costs, charged(turn.charged.price)],
      ]
    : [
        [words().read, words().about(tokens(asking(turn)))],
        [words().wrote, words().about(tokens(turn.parts))],
        [words().costs, words().about(growing(turn))],
      ];
  return make("dl", { class: "meta" },
    ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

const asking = (turn) =>
  Math.ceil([...turn.before.map((each) => each.content), turn.question].join("").length / LETTERS_A_TOKEN);

function growing(turn) {
  const { prices, price } = turn.card;
  const each = (unit, count) => (prices[unit] ? (count * Number(prices[unit].amount)) / prices[unit].per : 0);
  const sum = each("request", 1) + each("input_token", asking(turn)) + each("output_token", turn.parts);
  return money(String(Number(sum.toPrecision(2))), price.currency);
}

function renderSpent() {
  const prices = turns().filter((turn) => turn.charged).map((turn) => turn.charged.price);
  find("fresh").hidden = turns().length === 0;
  const sum = prices.length && {
    amount: added(...prices.map((price) => price.amount)),
    currency: prices[0].currency,
    final: prices.every((price) => price.final !== false),
  };
  find("spent").textContent = sum ? words().spent(charged(sum)) : "";
}

export const chatPrices = ({ prices, price }) =>
  ["input_token", "cached_input_token", "output_token", "request"].filter((unit) => prices[unit]).map((unit) =>
    words().price(money(prices[unit].amount, price.currency), prices[unit].per, words().unit[unit]));
