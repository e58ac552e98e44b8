// Was this right? With consent the picture, the answer and the true label are kept, by receipt.
import { asked } from "./calls.js";
import { button, make, refill, waiting } from "./dom.js";
import { problemNote } from "./problems.js";
import { words } from "./state.js";

export function feedbackOf(call) {
  const part = make("div", { class: "word" });
  const show = (feedback) => {
    call.feedback = feedback;
    refill(part, ...said(call, show));
  };
  part.append(...said(call, show));
  return part;
}

function said(call, show) {
  const { feedback, outcome } = call;
  if (feedback === "awaited") return [waiting(words().sending)];
  if (feedback?.code) return [problemNote(feedback, () => show(feedback.before))];
  if (feedback?.kept) {
    return [make("p", { role: "status" }, words().kept, " ", button("quiet", words().takeBack, () => takeBack(call, show)))];
  }
  if (feedback) return [form(call, show)];
  if (outcome.output.label == null) {
    return [make("p", {}, words().whatIsIt, " ", button("quiet", words().tell, () => show({ right: false })))];
  }
  const right = button("quiet", words().right, () => show({ right: true }));
  const wrong = button("quiet", words().wrong, () => show({ right: false }));
  return [make("p", {}, words().wasItRight, " ", right, " ", wrong)];
}

function form(call, show) {
  const { right } = call.feedback;
  const sheet = make("form", { class: "sheet" });
  const consent = make("input", { type: "checkbox", name: "consent", required: "" });
  const send = make("button", { class: "solid", type: "submit" }, words().send);
  sheet.append(
    ...(right ? [] : [choice(call)]),
    make("label", { class: "consent" }, consent, make("span", {}, words().consent)),
    make("p", { class: "hint" }, words().noConsent),
    make("p", { class: "line" }, send, button("quiet", words().cancel, () => show(undefined))),
  );
  sheet.addEventListener("submit", (event) => {
    event.preventDefault();
    give(call, { right, label: sheet.elements.label?.value || null, consent: consent.checked }, show);
  });
  return sheet;
}

function choice({ card, outcome }) {
  const others = card.labels.filter((label) => label !== outcome.output.label);
  const options = [
    ...others.map((label) => make("option", { value: label }, label)),
    make("option", { value: "" }, words().noneOfThese),
  ];
  return make("label", {}, make("span", {}, words().trueLabel), make("select", { name: "label" }, ...options));
}

const addressOf = ({ outcome }) => `/v1/receipts/${encodeURIComponent(outcome.receipt.id)}/feedback`;

async function give(call, word, show) {
  show("awaited");
  const body = JSON.stringify({ ...word, output: call.outcome.output, image: await base64(call.file) });
  const headers = { "Content-Type": "application/json" };
  const outcome = await asked(addressOf(call), { method: "PUT", headers, body });
  show(outcome.code ? { ...outcome, before: word } : { kept: true });
}

async function takeBack(call, show) {
  const before = call.feedback;
  show("awaited");
  const outcome = await asked(addressOf(call), { method: "DELETE" });
  show(outcome.code ? { ...outcome, before } : undefined);
}

const base64 = (file) =>
  new Promise((done) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result.split(",")[1]));
    reader.readAsDataURL(file);
  });
