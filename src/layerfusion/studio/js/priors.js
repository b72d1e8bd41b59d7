// The priors of a take, laid over its picture: where the model saw the subject's structure and content, half-way through
// the run, and the mask that it made of them.

import { byId, h } from "./dom.js";
import { picture, ready } from "./pictures.js";

/** The service's names for them, and the page's. */
export const PRIORS = { structureprior: "Structure", contentprior: "Content", softmask: "Mask" };

let shown = null; // {take, box, name}

const takeOf = (store, work) => work.takes.find(({ id, priors }) => id === store.doc.take && Object.keys(priors ?? {}).length) ?? null;

export async function toggle(store, work) {
  const take = takeOf(store, work);
  if (shown || !take) return hide();
  await ready(work.id, Object.values(take.priors));
  const buttons = Object.entries(PRIORS).map(([name, label]) => h("button", { type: "button", "data-prior": name, onclick: () => choose(name) }, label));
  const box = h("div.priors", {}, h("canvas", { role: "img" }), h("div.choice", { role: "group", "aria-label": "Prior" }, buttons));
  shown = { take, box };
  byId("above").append(box);
  byId("priors").setAttribute("aria-pressed", "true");
  choose("structureprior");
  box.querySelector("button").focus();
}

/** The button is there for takes that have priors; of another take they are not shown. */
export function refresh(store, work) {
  const take = takeOf(store, work);
  byId("priors").hidden = take === null;
  if (shown && shown.take.id !== take?.id) hide();
}

function hide() {
  shown?.box.remove();
  shown = null;
  byId("priors").setAttribute("aria-pressed", "false");
}

function choose(name) {
  const { box, take } = shown;
  const { bitmap } = picture(take.priors[name]);
  const canvas = box.querySelector("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.setAttribute("aria-label", `${PRIORS[name]} of ${take.label}`);
  box.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.prior === name)));
}
