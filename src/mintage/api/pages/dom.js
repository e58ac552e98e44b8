// Elements found and made.
export const find = (id) => document.getElementById(id);

export function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function button(kind, text, onClick) {
  const element = make("button", { class: kind, type: "button" }, text);
  element.addEventListener("click", onClick);
  return element;
}
