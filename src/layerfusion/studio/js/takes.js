// Takes: what runs have given. Each is a set of layers that can be put on the canvas again at any time.

import * as api from "./api.js";
import { byId, freshId, h, refill } from "./dom.js";
import { admit, flatten } from "./pictures.js";
import { isPrior } from "./priors.js";

const COVER = 160;

/** Fetch the layers of a run that is done: the take, and its pictures by name. */
export async function takeOf(run) {
  const id = freshId();
  const blobs = {};
  const fetched = async (own, address) => admit(own, blobs[own] = await api.readPicture(address));
  const layers = await Promise.all(run.layers.map(async (layer) => {
    const own = `${id}/${layer.name}`;
    const { size, box, opaque } = await fetched(own, layer.picture);
    const covers = opaque && layer.placement.every((number, i) => number === [1, 0, 0, 0, 1, 0][i]);
    return {
      id: freshId(), name: layer.name, group: layer.group, role: roleOf(layer.name), number: numberOf(layer.name), prompt: promptOf(run.request, layer.name), take: id, picture: own, address: layer.picture, size, box, opaque,
      placement: layer.placement, first: layer.placement, opacity: layer.opacity, visible: layer.visible, blend: layer.blend, locked: covers,
    };
  }));
  const priors = {};
  await Promise.all(Object.keys(run.pictures).filter(isPrior).map(async (name) => {
    priors[name] = `${id}/${name}`;
    await fetched(priors[name], run.pictures[name]);
  }));
  const size = [run.width, run.height];
  const small = flatten(size, layers.filter(({ visible }) => visible), COVER / Math.max(...size));
  const label = `${run.request.foreground_prompt}, ${run.request.background_prompt}`;
  return { take: { id, run: run.id, seed: run.seed, label, size, layers, priors, cover: small.toDataURL("image/jpeg", 0.85) }, blobs };
}

const NAME = /^(background|shadow|light|foreground|blended)(?: (\d+))?( \(unlit\))?$/;

/** What a layer of a run is: "foreground 2 (unlit)" is "unlit". */
function roleOf(name) {
  const [, role, , unlit] = name.match(NAME) ?? [];
  return unlit ? "unlit" : role ?? null;
}

/** Of which subject it is: 2 of "foreground 2 (unlit)" and "shadow 2"; null of the scene. */
function numberOf(name) {
  const [, role, number] = name.match(NAME) ?? [];
  return ["foreground", "shadow", "light"].includes(role) ? Number(number ?? 1) : null;
}

/** What was asked for as the subject that a layer belongs to. */
function promptOf({ foreground_prompt, foregrounds }, name) {
  const [, role, number] = name.match(NAME) ?? [];
  return role === "foreground" ? (foregrounds?.[(number ?? 1) - 1]?.prompt ?? foreground_prompt) : null;
}

/** A new take goes into the strip, and on the canvas where it is the first of its kind: {what, used}. Waits until it is kept. */
export function arrived(store, work, { take, blobs }, first) {
  const kept = work.addTake(take, blobs);
  if (!work.title) byId("title").value = work.title = take.label.slice(0, 60);
  if (first) put(store, take, first.what, first.used);
  else show(store, work);
  return kept;
}

/** Put a take's layers on the canvas. Layers that came from elsewhere stay above them, unless they went into it. */
export function put(store, take, what = "Take", used = []) {
  const { doc } = store;
  const own = doc.layers.filter((layer) => !layer.take && !used.includes(layer.id));
  const layers = [...take.layers, ...own];
  const selected = take.layers.findLast(({ visible, locked }) => visible && !locked)?.id ?? null;
  store.commit(`${what}: ${take.label}, seed ${take.seed}`, { ...doc, size: take.size, layers, take: take.id, form: { ...doc.form, seed: take.seed } }, null, selected);
}

export function show(store, work) {
  // There from the start of the first run, so that the paper does not shrink when its picture comes.
  byId("takes").hidden = !work.takes.length && !("running" in document.body.dataset);
  refill(byId("takes").querySelector("ul"), work.takes.toReversed().map((take, i) => {
    const label = `Take ${work.takes.length - i}: ${take.label}, seed ${take.seed}`;
    const here = store.doc.take === take.id;
    const button = h("button", { type: "button", title: label, "aria-label": label, "aria-pressed": String(here), "data-key": take.id }, h("img", { src: take.cover, alt: "" }));
    button.onclick = () => put(store, take);
    return h("li", {}, button);
  }));
}
