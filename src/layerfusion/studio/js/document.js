// The document: what is asked for and the layers, bottom first. Never changed in place: each function returns another.
//
// A layer: {id, name, group, role, number, prompt, take, picture, size, box, placement, opacity, visible, blend, locked, first}. `picture`
// names a blob in the vault, `address` the same picture in the service, where it has one; `box` is the subject's, in the layer's own pixels; `first` is the placement it came with.

import { IDENTITY, about, fromMatrix, middle, moved, parts, same, toMatrix } from "./geometry.js";

export const [SMALLEST, LARGEST] = [0.02, 20]; // scale, against the layer's own pixels

export const MOST_SUBJECTS = 16;

/** A subject that is asked for: `box` is its place, [x, y, width, height] in fractions; `image` a cut-out in the vault. */
export const subject = (id) => ({ id, prompt: "", box: null, image: null });

export const EMPTY = {
  form: {
    subjects: [subject("first")], background: "", photo: null, negative_foreground: "", negative_background: "",
    seed: null, steps: null, guidance_scale: null, harmony: null, size: null, fast: null, show_priors: null, count: 1,
  },
  size: null, // [width, height], as soon as there is a picture
  layers: [],
  take: null, // the id of the take that the layers come from
};

export const layerOf = (doc, id) => doc.layers.find((layer) => layer.id === id) ?? null;

/** The highest layer that can be seen and moved. */
export const topmost = (doc) => doc.layers.findLast((layer) => layer.visible && !layer.locked)?.id ?? null;

const withLayers = (doc, change) => ({ ...doc, layers: doc.layers.map(change) });

/** One layer with other opacity, visibility, blend mode, name or lock. */
export const patched = (doc, id, part) =>
  withLayers(doc, (layer) => (layer.id === id ? { ...layer, ...part } : layer));

/** The layers that move with one: its group, unless it moves alone. */
export function companions(doc, id, alone) {
  const layer = layerOf(doc, id);
  return layer.group && !alone ? doc.layers.filter((other) => other.group === layer.group) : [layer];
}

/** A layer at another placement; whatever that does to it is done to its companions too. */
export function placed(doc, id, placement, alone) {
  const layer = layerOf(doc, id);
  const together = new Set(companions(doc, id, alone));
  const step = toMatrix(placement).multiply(toMatrix(layer.placement).inverse());
  return withLayers(doc, (other) => {
    if (other === layer) return { ...layer, placement };
    return together.has(other) ? { ...other, placement: fromMatrix(step.multiply(toMatrix(other.placement))) } : other;
  });
}

const CHANGES = {
  move: (layer, { x, y }) => moved(layer.placement, x, y),
  scale: (layer, { by }) => about(layer.placement, middle(layer), new DOMMatrix().scale(by, by)),
  turn: (layer, { degrees }) => about(layer.placement, middle(layer), new DOMMatrix().rotate(degrees)),
  flip: (layer, { vertical }) =>
    about(layer.placement, middle(layer), new DOMMatrix().scale(vertical ? 1 : -1, vertical ? -1 : 1)),
};

/** Move, scale, turn or flip a layer about its subject's middle; too small or too large a scale changes nothing. */
export function transformed(doc, id, kind, how, alone) {
  const placement = CHANGES[kind](layerOf(doc, id), how);
  return fits(placement) ? placed(doc, id, placement, alone) : doc;
}

export function fits(placement) {
  const { scaleX, scaleY } = parts(placement);
  return Math.min(scaleX, scaleY) >= SMALLEST && Math.max(scaleX, scaleY) <= LARGEST;
}

/** A layer moved to another place in the stack; 0 is the lowest. */
export function restacked(doc, id, to) {
  const layers = doc.layers.filter((layer) => layer.id !== id);
  layers.splice(to, 0, layerOf(doc, id));
  return { ...doc, layers };
}

export const without = (doc, id) => ({ ...doc, layers: doc.layers.filter((layer) => layer.id !== id) });

export const added = (doc, layer) => ({ ...doc, layers: [...doc.layers, layer] });

/** One of the subjects that are asked for with another prompt, box or image. */
export const told = (doc, id, part) =>
  asked(doc, { subjects: doc.form.subjects.map((one) => (one.id === id ? { ...one, ...part } : one)) });

export const asked = (doc, part) => ({ ...doc, form: { ...doc.form, ...part } });

/** A name that no layer has yet. */
export function freeName(doc, wanted) {
  const taken = new Set(doc.layers.map((layer) => layer.name));
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted} ${number}`;
    if (!taken.has(name)) return name;
  }
}

/** Whether a layer lies elsewhere than where it came. */
export const isMoved = (layer) => !same(layer.placement, layer.first ?? IDENTITY);

/** What a layer is described by where it leaves the page: as in the service's layers and the layered files. */
export const described = ({ name, placement, opacity, visible, blend, group }) =>
  ({ name, placement, opacity, visible, blend, group });
