// The panel of layers, the highest first: pick, show, lock, rename, reorder.

import { patched, restacked } from "./document.js";
import { byId, h, iconButton, refill } from "./dom.js";
import { remove, toggle } from "./hands.js";
import { thumb } from "./pictures.js";
import { say } from "./say.js";
import { manner } from "./words.js";

let renamed = null; // the id of the layer whose name is being typed

export function show(store) {
  const { layers } = store.doc;
  const list = byId("layers");
  if (!layers.length) return list.replaceChildren(h("li.nothing", {}, "No layers yet. Generate a picture, or add one of your own."));
  refill(list, layers.toReversed().map((layer) => row(store, layer)));
  list.querySelector("input")?.select();
}

function row(store, layer) {
  const item = h("li", { "data-id": layer.id });
  item.classList.toggle("selected", layer.id === store.selected);
  item.classList.toggle("off", !layer.visible);
  item.classList.toggle("grouped", Boolean(layer.group));
  const eye = switchButton(store, layer, "visible", ["eye", "hidden"], ["Hide", "Show"]);
  const lock = switchButton(store, layer, "locked", ["lock", "open"], ["Unlock", "Lock"]);
  if (!layer.locked) lock.classList.add("resting");
  item.append(eye, renamed === layer.id ? nameField(store, layer) : pick(store, layer), lock);
  return item;
}

function switchButton(store, layer, field, icons, [off, on]) {
  const label = `${layer[field] ? off : on} ${layer.name}`;
  const press = () => toggle(store, field, [off, on], layer);
  return iconButton(icons[layer[field] ? 0 : 1], label, press, { "data-key": `${field} ${layer.id}`, "data-field": field });
}

function pick(store, layer) {
  const small = thumb(layer.picture);
  small.classList.add("checks");
  const button = h(
    "button.pick",
    { type: "button", "aria-pressed": String(layer.id === store.selected), "data-key": `pick ${layer.id}`, "data-name": layer.name },
    small,
    h("span", {}, layer.name, h("small", {}, manner(layer))),
  );
  button.onclick = () => store.select(layer.id);
  button.ondblclick = () => rename(store, layer.id);
  button.onkeydown = (event) => pressed(store, layer, event);
  button.onpointerdown = (event) => carry(store, layer, event);
  return button;
}

function pressed(store, layer, event) {
  const { layers } = store.doc;
  const at = layers.indexOf(layer);
  const go = (to) => () => byId("layers").querySelector(`[data-key="pick ${layers[to]?.id}"]`)?.focus();
  const shift = (by) => () => {
    const to = at + by;
    if (to < 0 || to >= layers.length) return;
    store.commit(`${by > 0 ? "Raise" : "Lower"} ${layer.name}`, restacked(store.doc, layer.id, to));
    say(`${layer.name} is layer ${to + 1} of ${layers.length} from below`);
  };
  const keys = {
    ArrowUp: event.altKey ? shift(1) : go(at + 1), ArrowDown: event.altKey ? shift(-1) : go(at - 1),
    F2: () => rename(store, layer.id), Delete: () => (store.select(layer.id), remove(store)),
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function rename(store, id) {
  renamed = id;
  show(store);
}

function nameField(store, layer) {
  const field = h("input", { value: layer.name, maxLength: 120, "aria-label": `New name of ${layer.name}`, "data-key": `name ${layer.id}` });
  const finish = (name) => {
    if (renamed !== layer.id) return;
    renamed = null;
    if (name && name !== layer.name) store.commit(`Rename ${layer.name}`, patched(store.doc, layer.id, { name }));
    else show(store);
    byId("layers").querySelector(`[data-key="pick ${layer.id}"]`)?.focus();
  };
  field.onblur = () => finish(field.value.trim());
  field.onkeydown = ({ key }) => {
    if (key === "Enter") finish(field.value.trim());
    if (key === "Escape") finish("");
  };
  return field;
}

/** Carry a row to another place with the mouse; fingers scroll the list, and have buttons for it. */
function carry(store, layer, event) {
  if (event.button !== 0 || event.pointerType === "touch") return;
  const list = byId("layers");
  const start = event.clientY;
  let to = null;
  const move = (next) => {
    if (to === null && Math.abs(next.clientY - start) < 6) return;
    const rows = [...list.children];
    const over = rows.find((one) => next.clientY < one.getBoundingClientRect().bottom) ?? rows.at(-1);
    const area = over.getBoundingClientRect();
    const above = next.clientY < area.top + area.height / 2;
    rows.forEach((one) => {
      one.classList.toggle("dragged", one.dataset.id === layer.id);
      one.classList.toggle("above", one === over && above);
      one.classList.toggle("below", one === over && !above);
    });
    to = { id: over.dataset.id, above };
  };
  const end = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    if (to === null) return;
    const rest = store.doc.layers.filter(({ id }) => id !== layer.id);
    const at = rest.findIndex(({ id }) => id === to.id);
    const place = to.id === layer.id ? store.doc.layers.indexOf(layer) : at + (to.above ? 1 : 0);
    if (place === store.doc.layers.indexOf(layer)) return show(store);
    store.commit(`Reorder ${layer.name}`, restacked(store.doc, layer.id, place));
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
}
