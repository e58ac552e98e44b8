// The upload page. No framework, no request to anywhere but this server.
import { WORDS } from "./words.js";

const MOST_AT_ONCE = 3;
const MOST_BARS = 5;
const find = (id) => document.getElementById(id);
const stored = (name) => sessionStorage.getItem(`mintage.${name}`);

const state = {
  language: stored("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"),
  key: takeKey(),
  page: { samples: [], trial_key: null, max_upload_bytes: 20_000_000 },
  products: [],
  card: null,
  calls: [], // newest first
  running: 0,
};
const words = () => WORDS[state.language];

// What the server says, it says in the language of the page.
const request = (address, { headers, ...options } = {}) =>
  fetch(address, { ...options, headers: { "Accept-Language": state.language, ...headers } });

// ---- the key: from the fragment, which never leaves the browser, or from this tab's memory

function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    sessionStorage.setItem("mintage.key", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return given ?? stored("key");
}

const keyInUse = () => state.key ?? state.page.trial_key;

function useKey(key) {
  state.key = key;
  if (key) sessionStorage.setItem("mintage.key", key);
  else sessionStorage.removeItem("mintage.key");
  showKey();
}

function showKey(asked = false) {
  const key = keyInUse();
  find("key-form").hidden = Boolean(key) && !asked;
  find("key-button").hidden = !key;
  find("key-button").title = words().keyChange;
  find("key-state").textContent = state.key ? words().keyOwn(state.key.slice(-4)) : words().keyTrial;
}

function askForKey() {
  showKey(true);
  find("key-form").scrollIntoView({ block: "nearest" });
  find("key").focus();
}

// ---- one call for one picture

function ask(file, name) {
  const call = { file, name, address: URL.createObjectURL(file), status: "queued", outcome: null };
  state.calls.unshift(call);
  call.element = make("li", { class: "result" });
  find("results").prepend(call.element);
  show(call);
  run();
}

function run() {
  if (!keyInUse()) return askForKey();
  const waiting = state.calls.filter((call) => call.status === "queued").reverse();
  for (const call of waiting.slice(0, MOST_AT_ONCE - state.running)) send(call);
}

async function send(call) {
  state.running += 1;
  call.status = "running";
  show(call);
  call.outcome = await answerOf(call.file);
  call.status = "done";
  state.running -= 1;
  if (call.outcome.code === "unauthenticated") {
    useKey(null);
    askForKey();
  }
  show(call);
  announce(call);
  run();
}

async function answerOf(file) {
  if (file.size > state.page.max_upload_bytes) return { code: "too_large" };
  const started = performance.now();
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  try {
    const response = await request(`/v1/products/${encodeURIComponent(state.card.name)}/predict`, {
      method: "POST",
      headers: { Authorization: `Bearer ${keyInUse()}`, "Content-Type": type },
      body: file,
    });
    const document = await response.json();
    if (response.ok) return { ...document, milliseconds: performance.now() - started };
    if (!document.code) return { code: "offline" }; // something between us answered
    return { ...document, language: response.headers.get("Content-Language") };
  } catch {
    return { code: "offline" };
  }
}

function announce(call) {
  const { outcome, name } = call;
  let text;
  if (outcome.code) text = words().failed(name, problemWords(outcome)[0]);
  else if (outcome.output.label == null) text = words().failed(name, abstention(outcome.output)[0]);
  else text = words().said(name, outcome.output.label, share(outcome.output.probability));
  find("status").textContent = text;
}

// ---- what a call looks like

function show(call) {
  call.element.classList.toggle("bad", Boolean(call.outcome?.code));
  call.element.replaceChildren(shot(call), make("div", { class: "said" }, ...said(call)));
}

function shot(call) {
  const image = make("img", { src: call.address, alt: call.name });
  const frame = make("div", { class: "shot" }, image);
  image.addEventListener("error", () => {
    frame.classList.add("blank");
    frame.replaceChildren(words().noPreview);
  });
  return frame;
}

function said(call) {
  if (!call.outcome) {
    if (!keyInUse()) return [make("p", { class: "waiting" }, words().needsKey)];
    const text = call.status === "running" ? words().waiting : words().queued;
    const spinner = make("span", { class: "spinner", "aria-hidden": "true" });
    return [make("p", { class: "waiting" }, spinner, text)];
  }
  if (call.outcome.code) return [failure(call)];
  const { output } = call.outcome;
  const verdict = output.label == null ? [abstained(output)] : classified(output);
  return [...verdict, meta(call.outcome), receipt(call.outcome.receipt)];
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
  const ranked = Object.entries(output.probabilities ?? {}).sort((a, b) => b[1] - a[1]);
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
    [words().costs, money(outcome.price.amount, outcome.price.currency)],
    [words().took, duration(outcome.milliseconds)],
    [words().by, `${outcome.model}@${outcome.model_version}`],
  ];
  return make("dl", { class: "meta" },
    ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function receipt(found) {
  return make("details", { class: "receipt" },
    make("summary", {}, `${words().receipt} `, make("code", {}, found.id)),
    make("pre", { tabindex: "0" }, JSON.stringify({ id: found.id, statement: statement(found), ...found }, null, 2)));
}

function statement(found) {
  try {
    const bytes = Uint8Array.from(atob(found.envelope.payload), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined; // a receipt of another form is shown as it is
  }
}

function failure(call) {
  const [title, advice] = problemWords(call.outcome);
  const { code, instance, language } = call.outcome;
  const again = make("button", { class: "quiet", type: "button" }, words().again);
  again.addEventListener("click", () => {
    Object.assign(call, { status: "queued", outcome: null });
    show(call);
    run();
  });
  const lang = language ? { lang: language } : {}; // told once, also where the page changes over
  const note = make("div", { class: "note failed" }, make("strong", lang, title));
  if (advice) note.append(make("p", lang, advice));
  if (instance) note.append(make("p", { class: "small" }, words().reference(code, instance)));
  if (!["data_error", "too_large"].includes(code) && call.outcome.status !== 413) note.append(again);
  return note;
}

// Two failures never reach the server; of all others the server has said what they are.
function problemWords(outcome) {
  if (outcome.code === "too_large") {
    const [title, advice] = words().tooLarge;
    return [title, advice(size(state.page.max_upload_bytes))];
  }
  if (outcome.code === "offline") return words().offline;
  return [outcome.title, joined(outcome.detail, outcome.remedy)];
}

// Sentences in Chinese follow each other without a space.
const joined = (...sentences) => sentences.filter(Boolean).join(" ").replace(/([。！？]) /g, "$1");

// ---- how values are written

function share(value) {
  const style = { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const percent = (fraction) => fraction.toLocaleString(state.language, style);
  if (value > 0.999 && value < 1) return `> ${percent(0.999)}`;
  if (value < 0.001 && value > 0) return `< ${percent(0.001)}`;
  return percent(value);
}

function money(amount, currency) {
  if (Number(amount) === 0) return words().free;
  try {
    const style = { style: "currency", currency, maximumFractionDigits: 18 };
    return new Intl.NumberFormat(state.language, style).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

const size = (bytes) => `${Math.floor(bytes / 100_000) / 10} MB`;
const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

// ---- the page around the calls

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function render() {
  document.documentElement.lang = state.language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = words()[element.dataset.word];
  }
  if (matchMedia("(hover: none)").matches) find("lead").textContent = words().touchHere;
  find("language").textContent = words().other;
  find("language").title = words().otherHint;
  find("language").lang = state.language === "zh" ? "en" : "zh-Hans";
  find("limits").textContent = words().limits(size(state.page.max_upload_bytes));
  find("results-title").hidden = state.calls.length === 0;
  renderProduct();
  renderSamples();
  showKey();
  state.calls.forEach(show);
}

function renderProduct() {
  const { card } = state;
  find("drop").hidden = !card;
  find("choice").hidden = state.products.length < 2;
  find("products").replaceChildren(...state.products.map((name) => make("option", { value: name }, name)));
  find("title").textContent = card ? card.name : words().nothing;
  document.title = card ? `${card.name} · Mintage` : "Mintage";
  document.querySelector(".program").hidden = !card;
  if (!card) return find("facts").replaceChildren(words().nothingHint);
  find("products").value = card.name;
  const { price } = card;
  const unit = words().unit[price.unit] ?? price.unit;
  const facts = [
    words().facts(card.labels),
    words().price(money(price.amount, price.currency), price.per, unit),
    words().version(card.model, card.model_version),
  ];
  find("facts").replaceChildren(...facts.map((text) => make("span", {}, text)));
  renderPrograms(card.name);
}

function renderPrograms(product) {
  const address = `${location.origin}/v1/products/${encodeURIComponent(product)}/predict`;
  find("curl").textContent = [
    'curl --data-binary @cat.jpg -H "Content-Type: image/jpeg" \\',
    '    -H "Authorization: Bearer $MINTAGE_KEY" \\',
    `    ${address}`,
  ].join("\n");
  find("python").textContent = [
    "import os",
    "",
    "import mintage",
    "",
    `client = mintage.Client("${location.origin}", os.environ["MINTAGE_KEY"])`,
    `answer = client.predict(${JSON.stringify(product)}, "cat.jpg")`,
    'print(answer["output"], answer["price"])',
  ].join("\n");
}

function renderSamples() {
  const { samples } = state.page;
  find("samples").hidden = !state.card || samples.length === 0;
  find("samples-title").textContent = samples.every((one) => one.drawn) ? words().drawings : words().samples;
  find("sample-list").replaceChildren(...samples.map((sample) => {
    const image = make("img", { src: sample.address, alt: "", loading: "lazy" });
    const button = make("button", { type: "button", title: sample.name, "aria-label": words().sample(sample.name) }, image);
    button.addEventListener("click", async () => {
      const response = await request(sample.address);
      askAll([new File([await response.blob()], sample.name)]);
    });
    return make("li", {}, button);
  }));
}

function askAll(files) {
  if (!state.card) return;
  for (const file of files) ask(file, file.name);
  find("results-title").hidden = state.calls.length === 0;
  if (files.length && keyInUse()) state.calls[0].element.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

async function choose(product) {
  const response = await request(`/v1/products/${encodeURIComponent(product)}`);
  state.card = response.ok ? await response.json() : null;
  render();
}

function listen() {
  const drop = find("drop");
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    askAll([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => askAll([...event.clipboardData.files]));
  find("files").addEventListener("change", (event) => {
    askAll([...event.target.files]);
    event.target.value = "";
  });
  find("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = find("key").value.trim();
    find("key").value = "";
    if (!key) return;
    useKey(key);
    find("key-form").hidden = true;
    for (const call of state.calls) {
      if (call.outcome?.code === "unauthenticated") Object.assign(call, { status: "queued", outcome: null });
    }
    state.calls.forEach(show);
    run();
  });
  find("key-button").addEventListener("click", askForKey);
  find("language").addEventListener("click", () => {
    state.language = state.language === "zh" ? "en" : "zh";
    sessionStorage.setItem("mintage.language", state.language);
    render();
  });
  find("products").addEventListener("change", (event) => {
    const address = new URL(location.href);
    address.searchParams.set("product", event.target.value);
    history.replaceState(null, "", address);
    choose(event.target.value);
  });
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const source = find(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = words().copied;
    setTimeout(() => { button.textContent = words().copy; }, 1500);
  } catch {
    getSelection().selectAllChildren(source); // no clipboard over plain http: ready for Ctrl+C
  }
}

async function start() {
  listen();
  render();
  const [page, list] = await Promise.all(
    ["/page.json", "/v1/products"].map(async (address) => (await request(address)).json()));
  state.page = page;
  state.products = list.products.map((product) => product.name);
  const wanted = new URLSearchParams(location.search).get("product");
  const product = state.products.includes(wanted) ? wanted : state.products[0];
  if (product) await choose(product);
  else render();
}

start();
