// The priors of a take, laid over its picture: where the model saw a subject's structure and content, half-way through
// the run, and the mask that it made of them. Of several subjects, those of the selected one.

import { byId, h } from "./dom.js";
import { picture, ready } from "./pictures.js";

/** The service's names for them, and the page's; further subjects have their numbers behind them. */
const PRIORS = { structureprior: "Structure", contentprior: "Content", softmask: "Mask" };

export const isPrior = (name) => name.replace(/\d+$/, "") in PRIORS;

let shown = null; // {take, box, name, number}

const takeOf = (store, work) => work.takes.find(({ id, priors }) => id === store.doc.take && Object.keys(priors ?? {}).length) ?? null;

export async function toggle(store, work) {
  const take = takeOf(store, work);
  if (shown || !take) return hide();
  await ready(work.id, Object.values(take.priors));
  const choose = (name) => draw(name, shown.number);
  const buttons = Object.entries(PRIORS).map(([name, label]) => h("button", { type: "button", "data-prior": name, onclick: () => choose(name) }, label));
  const box = h("div.priors", {}, h("canvas", { role: "img" }), h("div.choice", { role: "group", "aria-label": "Prior" }, buttons));
  shown = { take, box };
  byId("above").append(box);
  byId("priors").setAttribute("aria-pressed", "true");
  draw("structureprior", numberOf(store, take));
  box.querySelector("button").focus();
}

/** The button is there for takes that have priors; of another take they are not shown. */
export function refresh(store, work) {
  const take = takeOf(store, work);
  byId("priors").hidden = take === null;
  if (!shown) return;
  if (shown.take.id !== take?.id) return hide();
  const number = numberOf(store, take);
  if (number !== shown.number) draw(shown.name, number);
}

/** Which subject is looked at: that of the selected layer, the one looked at before, or the first. */
function numberOf(store, take) {
  const { layer } = store;
  return (layer?.take === take.id && layer.number) || shown?.number || 1;
}

function hide() {
  shown?.box.remove();
  shown = null;
  byId("priors").setAttribute("aria-pressed", "false");
}

function draw(name, number) {
  const { box, take } = shown;
  Object.assign(shown, { name, number });
  const { bitmap } = picture(take.priors[number > 1 ? name + number : name]);
  const canvas = box.querySelector("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const subject = take.layers.find((layer) => layer.role === "foreground" && layer.number === number);
  canvas.setAttribute("aria-label", `${PRIORS[name]} of ${subject?.prompt ?? take.label}`);
  box.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.prior === name)));
}
