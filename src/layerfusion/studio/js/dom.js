// Small helpers for the page's elements. No framework: the page is small, and its modules are served as they are.

export const byId = (id) => document.getElementById(id);

/** An element with properties, attributes (`aria-…`, `data-…`, `role`), listeners (`onclick`) and children. */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key in element && !key.includes("-")) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the symbols at the head of the page. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A button that shows a symbol, and says its name to whoever cannot see it. */
export function iconButton(name, label, onclick, properties = {}) {
  return h("button.icon", { type: "button", title: label, "aria-label": label, onclick, ...properties }, icon(name));
}

/** Fill a list anew, and leave the keyboard where it was: on the element with the same `data-key`. */
export function refill(list, children) {
  const key = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...children);
  if (key) list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

export const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

export const stillness = matchMedia("(prefers-reduced-motion: reduce)");

/** A name that no other thing in this browser has. `crypto.randomUUID` is missing on plain HTTP. */
export const freshId = () =>
  [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
