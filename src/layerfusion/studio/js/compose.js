// The form: what is asked for. Every field is part of the document, so that undo and reload know it too.

import { asked } from "./document.js";
import { byId, h } from "./dom.js";
import { drawn } from "./ideas.js";
import * as subjects from "./subjects.js";

const TEXTS = { background: "Scene", negative_foreground: "Keep out of the subject", negative_background: "Keep out of the scene" };
const NUMBERS = { steps: "Steps", guidance_scale: "Guidance" };
let model = null;

export function build(store, generate, choosePicture, place) {
  subjects.build(store, choosePicture, place);
  const ask = (label, part, kind) => store.commit(label, asked(store.doc, part), kind);
  for (const [name, label] of Object.entries(TEXTS)) {
    byId(name).oninput = ({ target }) => ask(label, { [name]: target.value }, name);
  }
  for (const [name, label] of Object.entries(NUMBERS)) {
    byId(name).oninput = ({ target }) => ask(label, { [name]: Number.isFinite(target.valueAsNumber) ? target.valueAsNumber : null }, name);
  }
  byId("harmony").oninput = ({ target }) => {
    const value = target.valueAsNumber;
    ask("Light on the subject", { harmony: value === model?.harmony.default ? null : value }, "harmony");
  };
  byId("seed").oninput = ({ target }) => {
    target.value = target.value.replace(/\D/g, "").slice(0, 16);
    ask("Seed", { seed: target.value === "" ? null : Number(target.value) }, "seed");
  };
  byId("size").onchange = ({ target }) => ask("Shape", { size: JSON.parse(target.value) });
  byId("show_priors").onchange = ({ target }) => ask("Priors", { show_priors: target.checked || null });
  byId("fast").onchange = ({ target }) => ask("Draft", { fast: target.checked || null });
  byId("clear-seed").onclick = () => (ask("Any seed", { seed: null }), byId("seed").focus());
  byId("count").onchange = ({ target }) => ask("Takes", { count: Number(target.value) }, "count");
  byId("compose").onsubmit = (event) => {
    event.preventDefault();
    generate({});
  };
  byId("background-photo").onclick = () => choosePicture((id) => store.commit("Photo as the scene", asked(store.doc, { photo: id })));
  byId("reroll").onclick = () => generate({ seed: null });
}

/** What the model is, and what it draws by itself. */
export function know(described, store) {
  model = described;
  byId("steps").placeholder = model.defaults?.steps ?? "";
  byId("guidance_scale").placeholder = model.defaults?.guidance_scale ?? "";
  byId("fast-row").hidden = !model.fast;
  byId("size").replaceChildren(...model.sizes.map((size, i) => h("option", { value: JSON.stringify(i ? size : null) }, `${shape(size)}, ${size.join(" × ")}`)));
  byId("model").textContent = model.says ?? "";
  offer(store);
  subjects.know(model.ideas?.foreground ?? []);
}

/** Prompts to begin with, of what the model knows. */
function offer(store) {
  const ideas = model.ideas?.background ?? [];
  const take = (text) => store.commit(TEXTS.background, asked(store.doc, { background: text }));
  byId("background-dice").hidden = !ideas.length;
  byId("background-dice").onclick = () => take(drawn(ideas, 1)[0]);
  byId("background-ideas").replaceChildren(...drawn(ideas, 2).map((text) => h("button", { type: "button", onclick: () => take(text) }, text)));
}

export function show(store) {
  const { form } = store.doc;
  subjects.show(store);
  byId("background-ideas").hidden = form.background !== "" || !model?.ideas;
  subjects.showGiven(byId("background-given"), form.photo, "The photo", () => store.commit("Remove the photo", asked(store.doc, { photo: null })));
  for (const name of [...Object.keys(TEXTS), ...Object.keys(NUMBERS), "seed"]) {
    const [field, value] = [byId(name), form[name] === null ? "" : String(form[name])];
    if (field.value !== value && !(document.activeElement === field && Number(field.value) === form[name])) field.value = value;
  }
  byId("size").value = JSON.stringify(form.size);
  byId("show_priors").checked = Boolean(form.show_priors);
  byId("fast").checked = Boolean(form.fast);
  const harmony = form.harmony ?? model?.harmony.default ?? 0.5;
  byId("harmony").value = harmony;
  byId("harmony-value").value = form.harmony === null ? "the model’s own" : `${Math.round(harmony * 100)} %`;
  byId("harmony").setAttribute("aria-valuetext", `${Math.round(harmony * 100)} percent, ${degree(harmony)}`);
  document.querySelectorAll("#count input").forEach((radio) => { radio.checked = Number(radio.value) === form.count; });
}

const shape = ([width, height]) => (width === height ? "Square" : width > height ? "Landscape" : "Portrait");

function degree(harmony) {
  if (harmony < 0.25) return "faithful to its own light";
  return harmony > 0.75 ? "harmonized with the scene" : "in the light of the scene";
}
