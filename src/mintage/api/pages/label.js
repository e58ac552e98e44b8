// The labelling page. No framework, no request to anywhere but this machine.
import { WORDS } from "./label_words.js";

const AHEAD = 6; // pictures kept ready, so that the keyboard never waits
const SETTLED = 3; // of those, how many stay in order when the model would have it otherwise
const find = (id) => document.getElementById(id);
const stored = (name) => sessionStorage.getItem(`mintage.${name}`);

const state = {
  language: stored("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"),
  token: null,
  view: null, // label, resolve, end; null until the server has answered
  desk: null, // what the server said last
  summary: null,
  queue: [], // what comes next, the first of them shown
  disputes: [],
  shown: null, // the picture on the screen, and since when
  last: null,
  problem: null,
  busy: false,
};
const words = () => WORDS[state.language];

// ---- the way to the server

async function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("ticket")) {
    const answer = await post("/token", { ticket: given.get("ticket") });
    keep(answer.token);
  } else {
    keep(given.get("token") ?? stored("token"));
  }
  history.replaceState(null, "", location.pathname);
}

function keep(token) {
  state.token = token;
  if (token) sessionStorage.setItem("mintage.token", token);
}

async function request(address, options = {}) {
  const headers = { "Accept-Language": state.language, Authorization: `Bearer ${state.token}`, ...options.headers };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch {
    throw { code: "gone" };
  }
  if (response.ok) return response;
  throw await response.json().catch(() => ({ code: "gone" }));
}

const get = async (address) => (await request(address)).json();
const post = async (address, body = {}) => (await request(address, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
})).json();

// One thing at a time; what goes wrong is said, and nothing is decided twice.
async function doing(work) {
  if (state.busy) return;
  state.busy = true;
  try {
    await work();
    state.problem = null;
  } catch (problem) {
    if (!problem.code) throw problem;
    state.problem = problem;
    if (problem.status === 409) await catchUp().catch(() => {});
  } finally {
    state.busy = false;
    render();
  }
}

async function catchUp() {
  state.queue = [];
  take(await get("/state"));
  if (state.view === "resolve") await loadDisputes();
  if (state.view === "end") state.summary = await get("/summary");
}

function take(desk) {
  state.desk = desk;
  const queue = state.queue.slice(0, SETTLED);
  const known = new Set(queue.map((one) => one.picture));
  state.queue = [...queue, ...desk.upcoming.filter((one) => !known.has(one.picture))].slice(0, AHEAD);
}

// ---- pictures, loaded before they are wanted

const pictures = new Map();

function load(one) {
  if (!pictures.has(one.picture)) pictures.set(one.picture, fetched(one.picture));
  return pictures.get(one.picture);
}

async function fetched(number) {
  const image = new Image();
  const found = await request(`/pictures/${number}`);
  image.src = URL.createObjectURL(await found.blob());
  await image.decode();
  return image;
}

function loadAhead(ahead) {
  for (const one of ahead) load(one).catch(() => {}); // said when it is its turn
  const wanted = new Set(ahead.map((one) => one.picture));
  for (const [number, image] of pictures) {
    if (wanted.has(number)) continue;
    pictures.delete(number);
    image.then((loaded) => URL.revokeObjectURL(loaded.src), () => {});
  }
}

async function showPicture() {
  const ahead = state.view === "resolve" ? state.disputes.slice(0, AHEAD) : state.queue;
  const [wanted] = ahead;
  loadAhead(ahead);
  if (state.shown?.picture === wanted?.picture) return;
  state.shown = null;
  if (!wanted) return;
  find("frame").replaceChildren(make("p", { class: "hint" }, words().loading));
  find("name").textContent = wanted.name;
  let image;
  try {
    image = await load(wanted);
  } catch (problem) {
    pictures.delete(wanted.picture);
    if (current()?.picture !== wanted.picture) return;
    if (problem.code !== "data_error") {
      state.problem = problem.code ? problem : { code: "gone" };
      return render();
    }
    // It cannot be read: the server has it on its list, and the next one comes.
    state.queue = state.queue.filter((one) => one.picture !== wanted.picture);
    state.disputes = state.disputes.filter((one) => one.picture !== wanted.picture);
    return doing(async () => take(await get("/state")));
  }
  if (current()?.picture !== wanted.picture) return;
  image.alt = words().picture(wanted.name);
  find("frame").replaceChildren(image);
  state.shown = { ...wanted, since: performance.now() };
}

const current = () => (state.view === "resolve" ? state.disputes : state.queue)[0];

// ---- what a labeller does

// A label, or null for a skip. Nobody decides about a picture that is not on the screen yet.
const decide = (label) => doing(async () => {
  const { shown } = state;
  if (!shown || state.view === "end") return;
  if (state.view === "resolve") return resolve(shown, label);
  const seconds = (performance.now() - shown.since) / 1000;
  const answer = await post("/decisions", { picture: shown.picture, label, seconds });
  state.queue.shift();
  state.last = { name: shown.name, label, answer: answer.answer };
  take(answer);
  say(state.last);
  if (state.queue.length === 0) await toEnd();
});

async function resolve(shown, label) {
  if (label === null) return;
  const desk = await post("/resolutions", { picture: shown.picture, label });
  state.last = { name: shown.name, label, answer: null };
  take(desk);
  say(state.last);
  await loadDisputes();
}

const undo = () => doing(async () => {
  if (!state.desk?.can_undo) return;
  const answer = await post("/undo");
  const { undone } = answer;
  state.last = { undone: undone?.name ?? "" };
  state.queue = state.queue.filter((one) => one.picture !== undone?.picture);
  if (undone?.left) {
    state.view = "label";
    state.queue.unshift(undone);
  }
  take(answer);
  say(state.last);
  if (undone && !undone.left) await toDisputes(undone.picture); // a resolution, taken back
  else if (state.view === "end") await toEnd();
});

const passAgain = () => doing(async () => {
  take(await post("/again"));
  state.view = "label";
});

async function toDisputes(first) {
  state.view = "resolve";
  await loadDisputes();
  const position = state.disputes.findIndex((one) => one.picture === first);
  if (position > 0) state.disputes.unshift(...state.disputes.splice(position, 1));
}

async function loadDisputes() {
  state.disputes = (await get("/disagreements")).disagreements;
  if (state.disputes.length === 0) await toLabels();
}

async function toLabels() {
  if (state.queue.length > 0) state.view = "label";
  else await toEnd();
}

async function toEnd() {
  state.summary = await get("/summary");
  state.view = "end";
  state.shown = null; // the time that somebody reads here is no labelling
}

const overview = () => doing(() => (state.view === "end" ? toLabels() : toEnd()));
const goBack = () => doing(() => (state.view === "label" ? undefined : toLabels()));

// ---- what it looks like

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function render() {
  const { desk, view } = state;
  document.documentElement.lang = state.language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = words()[element.dataset.word];
  }
  find("language").textContent = words().other;
  find("language").title = words().otherHint;
  find("language").lang = state.language === "zh" ? "en" : "zh-Hans";
  renderProblem();
  find("desk").hidden = !desk || view === "end";
  find("end").hidden = !desk || view !== "end";
  if (!desk) return;
  const title = words().title(desk.folder);
  document.title = `${title} · Mintage`;
  find("title").textContent = title;
  find("overview").hidden = view === "end";
  find("overview").textContent = words().overview;
  renderFar();
  renderClasses();
  renderActions();
  renderTogether();
  if (view === "end") renderEnd();
  else showPicture();
}

function renderProblem() {
  const { problem } = state;
  find("problem").hidden = !problem;
  if (!problem) return;
  const known = { gone: words().gone, unauthenticated: words().refused }[problem.code];
  const [title, detail] = known ?? [problem.title, `${problem.detail} ${problem.remedy}`];
  find("problem-title").textContent = title;
  find("problem-detail").textContent = detail;
  find("retry").hidden = problem.code === "unauthenticated";
}

function renderFar() {
  const { labelled, skipped, left } = state.desk;
  const done = labelled + skipped;
  const all = Math.max(1, done + left);
  find("bar").style.width = `${(100 * done) / all}%`;
  find("progress").setAttribute("aria-valuemax", all);
  find("progress").setAttribute("aria-valuenow", done);
  find("progress").setAttribute("aria-label", words().left(left));
  find("left").textContent = `${words().far(done, done + left)} · ${words().left(left)}`;
}

function renderClasses() {
  const classes = find("classes");
  classes.setAttribute("aria-label", words().classes);
  const said = find("said");
  said.hidden = state.view !== "resolve" || !current();
  if (!said.hidden) {
    const each = Object.entries(current().labels).sort().map(([name, label]) => words().says(name, label));
    said.replaceChildren(
      make("div", {}, words().disputed),
      ...each.flatMap(([name, label]) => [make("span", {}, name, make("b", {}, label)), " "]));
  }
  // Made once, so that whoever goes by Tab keeps their place.
  if (classes.children.length === state.desk.classes.length) return;
  classes.replaceChildren(...state.desk.classes.map((label, position) => {
    const button = make("button", { type: "button", class: "class" }, make("span", {}, label));
    if (position < 9) {
      button.prepend(make("kbd", { "aria-hidden": "true" }, String(position + 1)));
      button.setAttribute("aria-keyshortcuts", String(position + 1));
    }
    button.addEventListener("click", () => decide(label));
    return button;
  }));
}

function renderActions() {
  const resolving = state.view === "resolve";
  find("undo").replaceChildren(words().undo, make("kbd", { "aria-hidden": "true" }, "U"));
  find("undo").disabled = !state.desk.can_undo;
  find("pass").replaceChildren(
    resolving ? words().back : words().pass,
    make("kbd", { "aria-hidden": "true" }, resolving ? "Esc" : "S"));
  find("last").replaceChildren(...lastWords());
}

function lastWords() {
  const { last, desk } = state;
  if (desk.model_failure) return [words().modelFailed(desk.model_failure)];
  if (!last) return [];
  if (last.undone !== undefined) return [words().undone(last.undone)];
  const [name, what] = last.label === null ? words().passed(last.name) : words().labelled(last.name, last.label);
  const model = modelWords(last.answer);
  return [`${name}: `, make("b", {}, what), ...(model ? [words().comma, model] : [])];
}

// Only ever after the decision: whoever knows what the model says would say it too.
function modelWords(answer) {
  if (!answer) return "";
  if (answer.label != null) return words().model(answer.label, answer.probability);
  return answer.unusual ? words().modelUnusual : words().modelUnsure;
}

function renderTogether() {
  const { agreement, disagreements } = state.desk;
  find("dispute").hidden = disagreements === 0 || state.view === "resolve";
  find("resolve").textContent = words().disputes(disagreements);
  find("together").hidden = !agreement;
  if (!agreement) return;
  find("agreed").textContent = words().together(agreement.agreed, agreement.units);
  find("alpha").textContent = words().alpha(agreement.alpha);
  find("pair-head").replaceChildren(...words().pairHead.map((text) => make("th", { scope: "col" }, text)));
  find("pairs").replaceChildren(...agreement.pairs.map((pair) =>
    make("tr", {}, ...words().pair(pair).map((text) => make("td", {}, text)))));
}

function renderEnd() {
  const { summary, desk } = state;
  const done = desk.left === 0;
  find("end-title").textContent = done ? words().done : words().soFar;
  find("end-hint").textContent = done ? words().doneHint(desk.labeller) : words().soFarHint(desk.left);
  find("go-on").hidden = done;
  find("end-undo").hidden = !desk.can_undo;
  find("skipped-again").hidden = desk.skipped === 0;
  find("skipped-again").textContent = words().skippedAgain(desk.skipped);
  const counts = [
    ...Object.entries(summary.classes),
    [words().mine, desk.labelled], [words().skipped, desk.skipped], [words().remaining, desk.left],
  ];
  const model = summary.agreement_with_model;
  if (model?.compared) counts.push([words().modelAgreed, words().modelShare(model.agreed, model.compared)]);
  find("counts").replaceChildren(...counts.map(([name, count]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, count.toLocaleString(state.language)))));
  find("command").textContent = summary.next;
  renderLeftOut("undecided", summary.undecided);
  renderLeftOut("unreadable", summary.unreadable);
  if (document.activeElement === document.body) find("end-title").focus();
}

function renderLeftOut(id, listed) {
  find(id).hidden = listed.length === 0;
  find(id).querySelector("summary").textContent = words()[id](listed.length);
  find(id).querySelector("ul").replaceChildren(...listed.map(({ path, reason }) =>
    make("li", {}, path, " ", make("span", {}, reason))));
}

function say(last) {
  const spoken = make("p", {}, ...lastWords()).textContent;
  find("status").textContent = `${last ? spoken : ""} ${words().left(state.desk.left)}`;
}

// ---- keys and buttons

const KEYS = {
  u: undo,
  Backspace: undo,
  s: () => (state.view === "label" ? decide(null) : undefined),
  Escape: goBack,
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state.desk) return;
  const label = /^[1-9]$/.test(event.key) ? state.desk.classes[event.key - 1] : undefined;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (label === undefined && !act) return;
  event.preventDefault();
  if (label !== undefined) decide(label);
  else act();
}

function listen() {
  document.addEventListener("keydown", pressed);
  find("undo").addEventListener("click", undo);
  find("end-undo").addEventListener("click", undo);
  find("pass").addEventListener("click", () => (state.view === "resolve" ? goBack() : decide(null)));
  find("resolve").addEventListener("click", () => doing(() => toDisputes()));
  find("overview").addEventListener("click", overview);
  find("go-on").addEventListener("click", goBack);
  find("skipped-again").addEventListener("click", passAgain);
  find("retry").addEventListener("click", () => doing(begin));
  find("copy").addEventListener("click", copy);
  find("language").addEventListener("click", () => {
    state.language = state.language === "zh" ? "en" : "zh";
    sessionStorage.setItem("mintage.language", state.language);
    if (state.shown) find("frame").firstElementChild.alt = words().picture(state.shown.name);
    if (state.view === "end") doing(toEnd); // the reasons are the server's words
    else render();
  });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(find("command").textContent);
    find("copy").textContent = words().copied;
    setTimeout(() => { find("copy").textContent = words().copy; }, 1500);
  } catch {
    getSelection().selectAllChildren(find("command")); // no clipboard: ready for Ctrl+C
  }
}

async function begin() {
  if (!state.token) await takeToken();
  await catchUp();
  if (state.view === null || (state.view === "label" && state.queue.length === 0)) await toLabels();
}

listen();
doing(begin);
