// Renders openapi.json readably; no library, no request to elsewhere.
const METHODS = ["get", "post", "put", "patch", "delete"];
const find = (id) => document.getElementById(id);

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat());
  return element;
}

// Docstrings mark code with double backticks.
const prose = (text) => text.split("``").map((part, at) => (at % 2 ? make("code", {}, part) : part));
const anchor = (text) => text.replace(/[^a-zA-Z0-9]+/g, "-").replace(/^-|-$/g, "");
const nameOf = (reference) => reference.split("/").at(-1);

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return make("a", { href: `#schema-${name}` }, name);
  }
  if (schema.anyOf) return schema.anyOf.flatMap((one, at) => (at ? [" or ", typeOf(one)] : [typeOf(one)]));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return ["list of ", typeOf(schema.items)];
  if (schema.format === "binary") return "bytes";
  return schema.type ?? "any";
}

function table(heads, rows) {
  const head = make("tr", {}, heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, body)));
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, field]) => [
    make("code", {}, name), typeOf(field), required.has(name) ? "yes" : "",
    [field.description ?? "", ...(field.examples ?? []).map((one) => make("div", {}, make("code", {}, JSON.stringify(one))))],
  ]);
}

function parameters(operation) {
  return (operation.parameters ?? []).map((one) => [
    make("code", {}, one.name), one.in, typeOf(one.schema), one.required ? "yes" : "",
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

function route(path, method, operation) {
  const id = anchor(`${method}${path}`);
  const parts = [
    make("h3", {}, make("span", { class: "method" }, method.toUpperCase()), " ", make("code", {}, path)),
    make("p", {}, make("strong", {}, operation.summary ?? ""), operation.security ? " · needs a key" : " · open"),
  ];
  if (operation.description) parts.push(make("p", { class: "hint" }, prose(operation.description)));
  const found = parameters(operation);
  if (found.length) {
    parts.push(make("h4", {}, "Parameters"), table(["Name", "In", "Type", "Required", ""], found));
  }
  const content = Object.entries(operation.requestBody?.content ?? {});
  if (content.length) {
    const rows = content.map(([kind, body]) => [make("code", {}, kind), bodyOf(body.schema)]);
    parts.push(make("h4", {}, "Body"), table(["Content type", "Schema"], rows));
  }
  const answers = Object.entries(operation.responses ?? {}).map(([status, answer]) => {
    const [kind, body] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    return [status, answer.description ?? "", make("code", {}, kind), typeOf(body.schema)];
  });
  parts.push(make("h4", {}, "Answers"), table(["Status", "When", "Content type", "Schema"], answers));
  parts.push(make("h4", {}, "Example"), make("pre", { tabindex: "0" }, example(method, path, operation)));
  return make("article", { id, class: "panel" }, parts);
}

function bodyOf(schema) {
  if (!schema?.properties) return typeOf(schema);
  return Object.entries(schema.properties).flatMap(([name, field], at) => [
    at ? ", " : "", make("code", {}, name), ": ", typeOf(field),
  ]);
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  find("title").textContent = `${api.info.title} API ${api.info.version}`;
  find("about").textContent = `${api.info.description} Errors are problem+json (RFC 9457).`;
  const links = [];
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => name in operations)) {
      const operation = operations[method];
      find("routes").append(route(path, method, operation));
      links.push(make("li", {}, make("a", { href: `#${anchor(`${method}${path}`)}` },
        make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path))));
    }
  }
  find("contents").append(make("ul", {}, links));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    find("schemas").append(make("article", { id: `schema-${name}`, class: "panel" },
      make("h3", {}, name), make("p", { class: "hint" }, schema.description ?? ""),
      table(["Field", "Type", "Required", ""], fields(schema))));
  }
}

start();
