// What went wrong, in words, and what to do. Three failures are not the server's own; of all
// others it has said itself what they are.
import { button, make } from "./dom.js";
import { joined, moment, size } from "./format.js";
import { state, words } from "./state.js";

const FINAL = [400, 404, 413, 415, 422]; // the same request would fail again

export function problemWords(problem) {
  if (problem.code === "too_large") {
    const [title, advice] = words().tooLarge;
    return [title, advice(size(state.page.max_upload_bytes))];
  }
  if (problem.code === "between") return words().between(problem.status);
  if (problem.code === "offline") return words().offline;
  if (problem.code === "broken") return words().broken;
  return toldHere(problem) ?? [problem.title, joined(problem.detail, problem.remedy)];
}

// A server that has no time to read which language is asked for says it in English.
function toldHere({ code, language }) {
  return language && language !== state.language ? words().problems[code] : undefined;
}

export function problemNote(problem, onAgain) {
  const [title, advice] = problemWords(problem);
  const { code, instance, language, status } = problem;
  const lang = language && !toldHere(problem) ? { lang: language } : {}; // told once, also where the page changes over
  const note = make("div", { class: "note failed" }, make("strong", lang, title));
  if (advice) note.append(make("p", lang, advice));
  if (problem.again) note.append(make("p", {}, words().possibleAt(moment(problem.again))));
  if (instance) note.append(make("p", { class: "small" }, words().reference(code, instance)));
  if (code !== "too_large" && !FINAL.includes(status)) note.append(button("quiet", words().again, onAgain));
  return note;
}
