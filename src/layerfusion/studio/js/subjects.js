// The subjects that are asked for: a card each, with a prompt, a place, and a cut-out where one is given.

import { MOST_SUBJECTS, asked, subject, told } from "./document.js";
import { byId, freshId, h, iconButton } from "./dom.js";
import { drawn } from "./ideas.js";
import { thumb } from "./pictures.js";

const cards = new Map();
let ideas = [];
let acts = null;

/** `choosePicture` asks for a file and tells its name in the vault; `place` shows a subject's box on the canvas. */
export function build(store, choosePicture, place) {
  acts = { store, choosePicture, place };
  byId("add-subject").onclick = () => {
    const one = subject(freshId());
    store.commit("Another subject", asked(store.doc, { subjects: [...store.doc.form.subjects, one] }));
    cards.get(one.id).prompt.focus();
  };
}

export function know(list) {
  ideas = list;
}

/** Cards are kept while their subject is, so that typing goes on in the same field. */
export function show(store) {
  const { subjects } = store.doc.form;
  const wanted = subjects.map(({ id }) => id);
  if (wanted.join() !== [...cards.keys()].join()) {
    const kept = new Map(cards);
    cards.clear();
    wanted.forEach((id) => cards.set(id, kept.get(id) ?? card(id)));
    byId("subjects").replaceChildren(...[...cards.values()].map(({ box }) => box));
  }
  subjects.forEach((one, number) => fill(cards.get(one.id), one, number, subjects.length));
  byId("add-subject").hidden = subjects.length >= MOST_SUBJECTS;
}

function card(id) {
  const { store, choosePicture, place } = acts;
  const tell = (label, part, kind) => store.commit(label, told(store.doc, id, part), kind);
  const prompt = h("textarea", { id: `subject-${id}`, rows: 2, maxLength: 2000, required: true, placeholder: "A red fox" });
  prompt.oninput = () => tell("Subject", { prompt: prompt.value }, `prompt ${id}`);
  const label = h("label", { htmlFor: prompt.id });
  const tools = {
    place: iconButton("box", "", () => place(id)),
    cutout: iconButton("cutout", "", () => choosePicture((image) => tell("Cut-out as the subject", { image }))),
    dice: iconButton("dice", "", () => tell("Subject", { prompt: drawn(ideas, 1)[0] })),
    remove: iconButton("close", "", () => remove(store, id)),
  };
  Object.values(tools).forEach((tool) => tool.classList.add("quiet"));
  const [given, chips] = [h("div.given"), h("div.ideas", { role: "group" })];
  const box = h("div.prompt", {}, h("div.head", {}, label, h("span", {}, Object.values(tools))), prompt, given, chips);
  return { box, prompt, label, tools, given, chips, id };
}

function fill({ prompt, label, tools, given, chips, id }, one, number, count) {
  const name = count === 1 ? "Subject" : `Subject ${number + 1}`;
  const said = name.toLowerCase();
  label.textContent = name;
  if (prompt.value !== one.prompt) prompt.value = one.prompt;
  call(tools.place, one.box ? `Change the place of ${said}` : `Choose the place of ${said}`);
  call(tools.cutout, `Use a cut-out as ${said}`);
  call(tools.dice, `Surprise me with ${said}`);
  call(tools.remove, `Remove ${said}`);
  tools.place.classList.toggle("on", one.box !== null);
  tools.dice.hidden = !ideas.length;
  tools.remove.hidden = count === 1;
  if (!chips.childElementCount && ideas.length) {
    chips.append(...drawn(ideas, 2).map((text) => h("button", { type: "button", onclick: () => acts.store.commit("Subject", told(acts.store.doc, id, { prompt: text })) }, text)));
  }
  chips.setAttribute("aria-label", `Ideas for ${said}`);
  chips.hidden = one.prompt !== "" || !ideas.length;
  showGiven(given, one.image, "The cut-out", () => acts.store.commit("Remove the cut-out", told(acts.store.doc, id, { image: null })));
}

function call(button, label) {
  button.title = label;
  button.setAttribute("aria-label", label);
}

function remove(store, id) {
  store.commit("Remove a subject", asked(store.doc, { subjects: store.doc.form.subjects.filter((one) => one.id !== id) }));
  byId("add-subject").focus();
}

/** A picture that is given beside a prompt, with a button to take it away. */
export function showGiven(place, image, name, drop) {
  place.hidden = image === null;
  if (image === null || place.dataset.image === image) return;
  place.dataset.image = image;
  const small = thumb(image);
  small.classList.add("checks");
  const button = iconButton("close", `Remove ${name.toLowerCase()}`, drop, {});
  button.classList.add("quiet");
  place.replaceChildren(small, h("span", {}, name, h("small", {}, "kept as it is")), button);
}
