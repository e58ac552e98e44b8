// The page: pictures to upload, or a language model to talk to. No framework, no request to anywhere but this server.
import { ask, askWithKey, whenChanged } from "./calls.js";
import { listenForPhotos } from "./camera.js";
import { chatPrices, listenForQuestions, renderChat } from "./chat.js";
import { announce, show } from "./cards.js";
import { button, find, make } from "./dom.js";
import { money, size } from "./format.js";
import { listenForKeys, showKey } from "./keys.js";
import { listenForCopies, renderPrograms } from "./programs.js";
import { changeLanguage, mayCall, productAddress, request, state, words } from "./state.js";

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
  renderProduct();
  renderChat();
  renderSamples();
  showKey();
  state.calls.forEach(show);
}

function renderProduct() {
  const { card } = state;
  const talks = card?.modality === "text";
  find("drop").hidden = !card || talks;
  document.querySelector(".results").hidden = talks;
  find("promise").textContent = talks ? words().chatPromise : words().promise;
  find("choice").hidden = state.products.length < 2;
  find("products").replaceChildren(...state.products.map((name) => make("option", { value: name }, name)));
  document.title = card ? `${card.name} · Mintage` : "Mintage";
  document.querySelector(".program").hidden = !card;
  if (!card) return renderNothing();
  find("title").textContent = card.name;
  find("products").value = card.name;
  find("facts").replaceChildren(...facts(card).map((text) => make("span", {}, text)));
  renderPrograms(card);
}

function renderNothing() {
  if (state.reached === null) return; // a moment yet
  const [title, advice] = state.reached ? [words().nothing, words().nothingHint] : words().offline;
  find("title").textContent = title;
  find("facts").replaceChildren(make("span", {}, advice));
  if (!state.reached) find("facts").append(button("quiet", words().again, () => location.reload()));
}

function facts(card) {
  if (card.modality === "text") return chatPrices(card);
  const { labels, price, model, model_version: version } = card;
  const { trial } = state.page;
  const unit = words().unit[price.unit] ?? price.unit;
  const known = [words().facts(labels), words().price(money(price.amount, price.currency), price.per, unit)];
  if (trial && !state.key) known.push(words().trial(trial));
  return [...known, words().version(model, version)];
}

function renderSamples() {
  const { samples } = state.page;
  find("samples").hidden = !state.card || state.card.modality === "text" || samples.length === 0;
  find("samples-title").textContent = samples.every((one) => one.drawn) ? words().drawings : words().samples;
  find("sample-list").replaceChildren(...samples.map((sample) => {
    const image = make("img", { src: sample.address, alt: "", loading: "lazy" });
    const shown = make("button", { type: "button", title: sample.name, "aria-label": words().sample(sample.name) }, image);
    shown.addEventListener("click", async () => {
      const response = await request(sample.address);
      askAll([new File([await response.blob()], sample.name)]);
    });
    return make("li", {}, shown);
  }));
}

function askAll(files) {
  if (state.card?.modality === "text") return;
  ask(files);
  const newest = state.calls[0]?.element;
  if (files.length && mayCall()) newest?.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

async function choose(product) {
  const response = await request(productAddress({ name: product })).catch(() => null);
  state.reached = response !== null;
  state.card = response?.ok ? await response.json() : null;
  render();
}

function listenForFiles() {
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
  listenForPhotos(askAll);
}

function listen() {
  listenForFiles();
  listenForKeys(() => {
    render();
    askWithKey();
  });
  listenForQuestions();
  listenForCopies();
  find("language").addEventListener("click", () => {
    changeLanguage();
    render();
  });
  find("products").addEventListener("change", (event) => {
    const address = new URL(location.href);
    address.searchParams.set("product", event.target.value);
    history.replaceState(null, "", address);
    choose(event.target.value);
  });
  whenChanged((call) => {
    find("results-title").hidden = false;
    show(call);
    announce(call);
  });
}

async function start() {
  listen();
  render();
  try {
    const [page, list] = await Promise.all(
      ["/page.json", "/v1/products"].map(async (address) => (await request(address)).json()));
    state.page = page;
    state.products = list.products.map((product) => product.name);
    state.reached = true;
  } catch {
    state.reached = false;
  }
  const wanted = new URLSearchParams(location.search).get("product");
  const product = state.products.includes(wanted) ? wanted : state.products[0];
  if (product) await choose(product);
  else render();
}

start();
