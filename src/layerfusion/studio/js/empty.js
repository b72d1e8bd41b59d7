// What stands on the stage before there is a picture.

import { asked, told } from "./document.js";
import { byId, h } from "./dom.js";
import { drawn } from "./ideas.js";

const SVG = "http://www.w3.org/2000/svg";

export function build(store, generate, ideas) {
  const pairs = ideas ? drawn(ideas.foreground, 4).map((subject, i) => [subject, drawn(ideas.background, 4)[i]]) : [["a red fox", "a snowy forest"], ["a glass bottle", "a wooden table"]];
  const buttons = pairs.map(([foreground, background]) =>
    h("button", { type: "button", onclick: () => begin(store, generate, foreground, background) }, `${foreground}, ${background}`));
  byId("empty").replaceChildren(h("div", {},
    sheets(),
    h("h2", {}, "Two prompts in, layers out"),
    h("p", {}, "Say what stands in front and what it stands in. They are painted together, in one light, and stay layers you can move."),
    h("div.pairs", { role: "group", "aria-label": "Examples" }, buttons),
  ));
}

function begin(store, generate, foreground, background) {
  const { id } = store.doc.form.subjects[0];
  store.commit("Prompts", told(asked(store.doc, { background }), id, { prompt: foreground }));
  generate({});
}

/** Three sheets: scene, light, subject. */
function sheets() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 190 138");
  svg.setAttribute("class", "sheets");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, y] of [["back", 92], ["mid", 66], ["front", 40]]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", `M95 ${y - 32} ${name === "front" ? 145 : 175} ${y} 95 ${y + 32} ${name === "front" ? 45 : 15} ${y}z`);
    svg.append(path);
  }
  return svg;
}
