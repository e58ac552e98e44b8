// What a call looks like: the picture, and beside it the answer or what went wrong.
import { again } from "./calls.js";
import { find, make, refill, waiting } from "./dom.js";
import { explanationOf, paint } from "./explanations.js";
import { feedbackOf } from "./feedback.js";
import { charged, duration, share } from "./format.js";
import { problemNote, problemWords } from "./problems.js";
import { receiptOf } from "./receipts.js";
import { mayCall, state, words } from "./state.js";

const MOST_BARS = 5;

export function show(call) {
  if (!call.element) {
    call.element = make("li", { class: "result", "aria-label": call.name });
    find("results").prepend(call.element);
  }
  call.element.classList.toggle("bad", Boolean(call.outcome?.code));
  // For the eye: who hears the page is told the name by the card's label.
  const file = make("p", { class: "filename", title: call.name, "aria-hidden": "true" }, call.name);
  refill(call.element, shot(call), make("div", { class: "said" }, file, ...said(call)));
  paint(call);
}

// For those who hear the page: one sentence when a call has ended.
export function announce(call) {
  if (call.status !== "done") return;
  const { outcome, name } = call;
  let text;
  if (outcome.code) text = words().failed(name, problemWords(outcome)[0]);
  else if (outcome.output.label == null) text = words().failed(name, abstention(outcome.output)[0]);
  else text = words().said(name, outcome.output.label, share(outcome.output.probability));
  find("status").textContent = text;
}

// Made once a call: an image that is here needs its address no more, and the browser may forget it.
function shot(call) {
  call.shot ??= framed(call);
  if (call.shot.classList.contains("blank")) call.shot.replaceChildren(words().noPreview);
  return call.shot;
}

function framed({ file, name }) {
  const address = URL.createObjectURL(file);
  const image = make("img", { src: address, alt: name });
  const frame = make("div", { class: "shot" }, image);
  image.addEventListener("load", () => URL.revokeObjectURL(address));
  image.addEventListener("error", () => {
    URL.revokeObjectURL(address);
    frame.classList.add("blank");
    frame.replaceChildren(words().noPreview);
  });
  return frame;
}

function said(call) {
  if (!call.outcome) {
    if (!mayCall()) return [make("p", { class: "waiting" }, words().needsKey)];
    return [waiting(call.status === "running" ? words().waiting : words().queued)];
  }
  if (call.outcome.code) return [problemNote(call.outcome, () => again(call))];
  const { output, receipt } = call.outcome;
  const about = [meta(call.outcome), receiptOf(receipt)];
  if (state.page.feedback && state.key) about.push(feedbackOf(call)); // a trial has no customer
  if (output.label == null) return [abstained(output), ...about];
  return [...classified(output), ...(state.page.explains ? [explanationOf(call)] : []), ...about];
}

// No label: neither bars nor numbers, which would only look like confidence.
function abstained(output) {
  const [title, why] = abstention(output);
  return make("div", { class: "note unusual" }, make("strong", {}, title), make("p", {}, why));
}

function abstention(output) {
  if (output.unusual === true) return [words().unusual, words().unusualWhy];
  return [words().notSure, words().notSureWhy];
}

function classified(output) {
  const told = Object.entries(output.probabilities ?? {}).filter(([, value]) => value !== null);
  const ranked = told.sort((a, b) => b[1] - a[1]);
  const verdict = make("p", { class: "verdict" },
    make("span", {}, String(output.label)),
    make("span", { class: "sure" }, share(output.probability)));
  const bars = ranked.slice(0, MOST_BARS).map(([name, value]) => bar(name, value));
  if (ranked.length > MOST_BARS) {
    bars.push(make("li", { class: "rest" }, words().more(ranked.length - MOST_BARS)));
  }
  return [verdict, make("ul", { class: "bars" }, ...bars)];
}

function bar(name, value) {
  const filled = make("span", { class: "bar" });
  filled.style.width = `${value * 100}%`;
  return make("li", {},
    make("span", { class: "name", title: name }, name),
    make("span", { class: "track", "aria-hidden": "true" }, filled),
    make("span", { class: "share" }, share(value)));
}

function meta(outcome) {
  const facts = [
    [words().costs, charged(outcome.price)],
    [words().took, duration(outcome.milliseconds)],
    [words().by, `${outcome.model}@${outcome.model_version}`],
  ];
  return make("dl", { class: "meta" },
    ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}
