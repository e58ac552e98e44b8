// Renders openapi.json, or openapi-admin.json, readably; no library, no request to elsewhere.
import { DOCS } from "./words.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const find = (id) => document.getElementById(id);
const described = location.pathname === "/docs/admin" ? "/openapi-admin.json" : "/openapi.json";
const remembered = sessionStorage.getItem("mintage.language");
let language = remembered ?? (navigator.language.startsWith("zh") ? "zh" : "en");
const words = () => DOCS[language];

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat(Infinity));
  return element;
}

// Docstrings mark code with double backticks.
const prose = (text) => text.split("``").map((part, at) => (at % 2 ? make("code", {}, part) : part));
const anchor = (text) => text.replace(/[^a-zA-Z0-9]+/g, "-").replace(/^-|-$/g, "");
const nameOf = (reference) => reference.split("/").at(-1);

function typeOf(schema) {
  const { types } = words();
  if (!schema) return types.any;
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return make("a", { href: `#schema-${name}` }, name);
  }
  if (schema.anyOf) return schema.anyOf.flatMap((one, at) => (at ? [words().or, typeOf(one)] : [typeOf(one)]));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.join(words().or);
  if (schema.type === "array") return [words().list, typeOf(schema.items)];
  if (schema.format === "binary") return types.bytes;
  return types[schema.type] ?? types.any;
}

function table(heads, rows) {
  const head = make("tr", {}, heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, body)));
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, field]) => [
    make("code", {}, name), typeOf(field), required.has(name) ? words().yes : "",
    [field.description ?? "", ...(field.examples ?? []).map((one) => make("div", {}, make("code", {}, JSON.stringify(one))))],
  ]);
}

function parameters(operation) {
  return (operation.parameters ?? []).map((one) => [
    make("code", {}, one.name), words().places[one.in], typeOf(one.schema), one.required ? words().yes : "",
    one.description ?? one.schema?.description ?? "",
  ]);
}

function example(method, path, operation) {
  const address = path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase());
  const lines = [`curl "$MINTAGE_URL${address}"`];
  if (method !== "get") lines[0] += ` -X ${method.toUpperCase()}`;
  if (operation.security) lines.push('  -H "Authorization: Bearer $MINTAGE_KEY"');
  const content = operation.requestBody?.content ?? {};
  if (content["multipart/form-data"]) lines.push("  -F file=@picture.jpg");
  else if (content["application/json"]) lines.push('  -H "Content-Type: application/json"', "  -d @request.json");
  return lines.join(" \\\n");
}

function needed(operation) {
  const role = operation["x-mintage-role"];
  if (role) return words().needsRole(role);
  return operation.security ? words().needsKey : words().open;
}

function route(path, method, operation) {
  const id = anchor(`${method}${path}`);
  const parts = [
    make("h3", {}, make("span", { class: "method" }, method.toUpperCase()), " ", make("code", {}, path)),
    make("p", {}, make("strong", {}, operation.summary ?? ""), ` · ${needed(operation)}`),
  ];
  for (const paragraph of (operation.description ?? "").split("\n\n").filter(Boolean)) {
    parts.push(make("p", { class: "hint" }, prose(paragraph)));
  }
  const found = parameters(operation);
  if (found.length) {
    parts.push(make("h4", {}, words().parameters), table(words().parameterHead, found));
  }
  const content = Object.entries(operation.requestBody?.content ?? {});
  if (content.length) {
    const rows = content.map(([kind, body]) => [make("code", {}, kind), bodyOf(body.schema)]);
    parts.push(make("h4", {}, words().body), table(words().bodyHead, rows));
  }
  const answers = Object.entries(operation.responses ?? {}).map(([status, answer]) => {
    const [kind, body] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    return [status, answer.description ?? "", make("code", {}, kind), typeOf(body.schema)];
  });
  parts.push(make("h4", {}, words().answers), table(words().answerHead, answers));
  parts.push(make("h4", {}, words().example), make("pre", { tabindex: "0" }, example(method, path, operation)));
  return make("article", { id, class: "panel" }, parts);
}

function bodyOf(schema) {
  if (!schema?.properties) return typeOf(schema);
  return Object.entries(schema.properties).flatMap(([name, field], at) => [
    at ? words().comma : "", make("code", {}, name), words().colon, typeOf(field),
  ]);
}

async function render() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = words()[element.dataset.word];
  }
  find("pages").setAttribute("aria-label", words().pages);
  find("contents").setAttribute("aria-label", words().routes);
  find("document").href = described;
  find("document").textContent = described.slice(1);
  find("language").textContent = words().other;
  find("language").title = words().otherHint;
  find("language").lang = language === "zh" ? "en" : "zh-Hans";
  // The server tells the descriptions in the language that it is asked in.
  const api = await (await fetch(described, { headers: { "Accept-Language": language } })).json();
  find("title").textContent = words().title(api.info.version);
  find("about").textContent = [api.info.description, words().errors].join(words().space);
  renderRoutes(api);
  const schemas = Object.entries(api.components.schemas).map(([name, schema]) =>
    make("article", { id: `schema-${name}`, class: "panel" },
      make("h3", {}, name), make("p", { class: "hint" }, schema.description ?? ""),
      table(words().fieldHead, fields(schema))));
  find("schemas").replaceChildren(...schemas);
}

function renderRoutes(api) {
  const links = [];
  const routes = [];
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => name in operations)) {
      routes.push(route(path, method, operations[method]));
      links.push(make("li", {}, make("a", { href: `#${anchor(`${method}${path}`)}` },
        make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path))));
    }
  }
  find("routes").replaceChildren(...routes);
  find("contents").replaceChildren(make("ul", {}, links));
}

find("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  sessionStorage.setItem("mintage.language", language);
  render();
});
render();
