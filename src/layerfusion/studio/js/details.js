// The fields of the selected layer.

import { patched } from "./document.js";
import { byId, h, iconButton } from "./dom.js";
import { middle, parts } from "./geometry.js";
import { raise, remove, transform } from "./hands.js";

const BLENDS = ["normal", "multiply", "screen", "overlay"];
const fields = {};

export function build(store) {
  const { form } = Object.assign(fields, { form: byId("details") });
  form.onsubmit = (event) => event.preventDefault();
  fields.opacity = h("input", { type: "range", id: "opacity", min: 0, max: 100, step: 1 });
  fields.percent = h("output", { htmlFor: "opacity" });
  fields.opacity.oninput = () => {
    const { layer, doc } = store;
    const opacity = fields.opacity.value / 100;
    store.commit(`Opacity of ${layer.name}`, patched(doc, layer.id, { opacity }), `opacity ${layer.id}`);
  };
  fields.blend = h("select", { id: "blend-mode" }, BLENDS.map((blend) => h("option", { value: blend }, blend[0].toUpperCase() + blend.slice(1))));
  fields.blend.onchange = () => {
    const { layer, doc } = store;
    store.commit(`Blend ${layer.name}: ${fields.blend.value}`, patched(doc, layer.id, { blend: fields.blend.value }));
  };
  fields.numbers = [["x", "X"], ["y", "Y"], ["scale", "Size %"], ["degrees", "Turn °"]].map(([name, label]) => number(store, name, label));
  fields.alone = h("input", { type: "checkbox", id: "alone" });
  fields.alone.onchange = () => store.setAlone(fields.alone.checked);
  fields.together = h("label.check", {}, fields.alone, "Move it without its group");
  fields.buttons = buttons(store);
  form.append(
    h("div.line", {}, h("label", { htmlFor: "opacity" }, "Opacity"), h("div.slide", {}, fields.opacity, fields.percent)),
    h("div.line", {}, h("label", { htmlFor: "blend-mode" }, "Blend"), fields.blend),
    h("div.numbers", {}, fields.numbers.map(({ label }) => label)),
    fields.together,
    h("div.buttons", {}, Object.values(fields.buttons)),
  );
}

function number(store, name, text) {
  const input = h("input", { type: "number", id: `layer-${name}`, step: 1 });
  input.onchange = () => {
    if (Number.isFinite(input.valueAsNumber)) set(store, name, input.valueAsNumber);
    show(store);
  };
  return { name, input, label: h("label", {}, h("span", {}, text), input) };
}

function set(store, name, value) {
  const { layer } = store;
  const { x, y } = middle(layer);
  const { scaleX, degrees } = parts(layer.placement);
  const acts = {
    x: ["move", { x: value - x, y: 0 }], y: ["move", { x: 0, y: value - y }],
    scale: ["scale", { by: value / 100 / scaleX }], degrees: ["turn", { degrees: value - degrees }],
  };
  if (name !== "scale" || value > 0) transform(store, ...acts[name]);
}

function buttons(store) {
  return {
    flip: iconButton("flip", "Flip left to right (F)", () => transform(store, "flip", { vertical: false }), { id: "flip" }),
    flop: iconButton("flop", "Flip upside down (Shift+F)", () => transform(store, "flip", { vertical: true }), { id: "flop" }),
    raise: iconButton("up", "Raise (Page Up)", () => raise(store, 1), { id: "raise" }),
    lower: iconButton("down", "Lower (Page Down)", () => raise(store, -1), { id: "lower" }),
    remove: iconButton("trash", "Delete (Del)", () => remove(store), { id: "remove" }),
  };
}

export function show(store) {
  const { layer, doc } = store;
  fields.form.hidden = !layer;
  if (!layer) return;
  const percent = Math.round(layer.opacity * 100);
  fields.opacity.value = percent;
  fields.opacity.style.setProperty("--full", `${percent}%`);
  fields.percent.value = `${percent} %`;
  fields.blend.value = layer.blend;
  const { x, y } = middle(layer);
  const { scaleX, degrees } = parts(layer.placement);
  const values = { x, y, scale: scaleX * 100, degrees };
  for (const { name, input } of fields.numbers) {
    if (document.activeElement !== input) input.value = Math.round(values[name] * 10) / 10;
    input.disabled = layer.locked;
  }
  fields.together.hidden = !layer.group;
  fields.alone.checked = store.alone;
  const { flip, flop, raise: up, lower } = fields.buttons;
  flip.disabled = flop.disabled = layer.locked;
  up.disabled = layer === doc.layers.at(-1);
  lower.disabled = layer === doc.layers[0];
}
