// Before and after: the layers as they lie, against the bare cut-outs pasted over the background in the same places.

import { bare } from "./blend.js";
import { byId, h, icon } from "./dom.js";
import { flatten } from "./pictures.js";

let shown = null;

/** The layers without shadow, light, and the light on the subjects. */
export const pasted = (doc) =>
  doc.layers
    .filter(({ visible, role }) => visible && role !== "shadow" && role !== "light")
    .map((layer) => (layer.role === "foreground" ? bare(doc, layer) : layer));

export const isOn = () => shown !== null;

export function toggle(store) {
  if (shown) {
    shown.remove();
    shown = null;
  } else if (store.doc.layers.length) {
    const slider = h("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "How much of the pasted picture is seen, from the left" });
    shown = h("div", {}, h("canvas.before"), h("div.edge", {}, h("i", {}, icon("arrows"))), h("span.tag.left", {}, "Pasted"), h("span.tag.right", {}, "LayerFusion"), slider);
    slider.oninput = () => byId("above").style.setProperty("--at", `${slider.value}%`);
    slider.oninput();
    byId("above").append(shown);
    slider.focus();
    refresh(store);
  }
  byId("compare").setAttribute("aria-pressed", String(isOn()));
}

export function refresh(store) {
  if (!shown) return;
  if (!store.doc.layers.length) return toggle(store);
  const picture = flatten(store.doc.size, pasted(store.doc));
  picture.className = "before";
  picture.setAttribute("aria-hidden", "true");
  shown.querySelector(".before").replaceWith(picture);
}
