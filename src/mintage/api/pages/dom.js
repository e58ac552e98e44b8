// Elements found and made.
export const find = (id) => document.getElementById(id);

export function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Other children; whoever was inside by the keyboard still is.
export function refill(element, ...children) {
  const within = element.contains(document.activeElement);
  element.replaceChildren(...children);
  if (!within) return;
  element.tabIndex = -1;
  (element.querySelector("button, select, input") ?? element).focus({ preventScroll: true });
}

export function waiting(text) {
  return make("p", { class: "waiting" }, make("span", { class: "spinner", "aria-hidden": "true" }), text);
}

export function button(kind, text, onClick) {
  const element = make("button", { class: kind, type: "button" }, text);
  element.addEventListener("click", onClick);
  return element;
}
