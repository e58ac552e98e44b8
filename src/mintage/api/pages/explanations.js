// Where an answer comes from: asked for by a click, shown in colours over the picture.
import { askAbout, newAction } from "./calls.js";
import { button, make, refill, waiting } from "./dom.js";
import { added, charged, duration, money, points } from "./format.js";
import { problemNote } from "./problems.js";
import { receiptOf } from "./receipts.js";
import { state, words } from "./state.js";

const FULL = 0.1; // the least that has the strongest colour, as on the server's own drawings
const STRONGEST = 0.8;
// Okabe and Ito (2008): every kind of colour vision tells them apart.
const FOR = [213, 94, 0];
const AGAINST = [0, 114, 178];

export function explanationOf(call) {
  const part = make("div", { class: "why" });
  call.refresh = () => {
    refill(part, ...said(call));
    paint(call);
  };
  part.append(...said(call));
  return part;
}

// Over the picture, which shows whole and grey meanwhile: the map covers all of it.
export function paint(call) {
  const shot = call.element.querySelector(".shot");
  const shown = Boolean(call.explanation?.map) && !call.plain && !shot.classList.contains("blank");
  call.element.classList.toggle("explained", shown);
  shot.querySelector("canvas")?.remove();
  if (shown) shot.append(drawn(call.explanation));
}

function said(call) {
  const { explanation } = call;
  if (!explanation) return [asking(call)];
  if (explanation === "awaited") return [waiting(words().explaining)];
  if (explanation.code) return [problemNote(explanation, () => explain(call))];
  const { where, drop, outcome } = explanation;
  const price = charged(outcome.price);
  const toggle = button("quiet", call.plain ? words().showMap : words().hideMap, () => {
    call.plain = !call.plain;
    call.refresh();
  });
  return [
    make("p", { lang: outcome.language }, words().looked(where)),
    make("p", { class: "hint" }, words().colours(points(drop))),
    toggle,
    make("p", { class: "small" }, words().explainedFor(price, duration(outcome.milliseconds))),
    receiptOf(outcome.receipt),
  ];
}

// A call of its own, so it costs an answer and an explanation; without a key nothing does.
function asking(call) {
  const { amount, explanation, currency } = call.card.price;
  const both = added(amount, explanation);
  const free = !state.key || Number(both) === 0;
  const text = free ? words().explain : `${words().explain} · ${money(both, currency)}`;
  const element = button("quiet", text, () => explain(call));
  if (!free) element.title = words().explainCosts(money(amount, currency), money(explanation, currency));
  return element;
}

async function explain(call) {
  call.explainAction ??= newAction();
  call.explanation = "awaited";
  call.refresh();
  const outcome = await askAbout(call, call.explainAction, "?explain=map");
  call.explanation = outcome.code ? outcome : { ...outcome.explanation, outcome };
  call.refresh();
}

function drawn({ map: { shape: [rows, columns], values }, where }) {
  const canvas = make("canvas", { width: columns, height: rows, role: "img", "aria-label": words().looked(where) });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const full = Math.max(FULL, ...values.map(Math.abs));
  values.forEach((value, at) => {
    const alpha = 255 * STRONGEST * Math.abs(value / full);
    pixels.data.set([...(value > 0 ? FOR : AGAINST), alpha], 4 * at);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
