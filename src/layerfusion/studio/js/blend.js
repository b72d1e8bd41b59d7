// Blending again: the subjects where they lie now, and the scene below them, are given to the model as they are, and
// their light, shadow and blend are made anew. A picture from outside that lies over the scene is a subject too.

import { isMoved } from "./document.js";
import { flatten } from "./pictures.js";

const EFFECTS = ["shadow", "light", "unlit", "blended"];

/** The layers that are subjects, bottom first: of takes, and cut-outs that were added. */
export const subjectsOf = ({ layers }) =>
  layers.filter((layer) => layer.visible && layer.blend === "normal" && (layer.role === "foreground" || (layer.role === null && !layer.opaque)));

/** Whether there is something that the present light does not know of. */
export const isStale = (doc) => sceneOf(doc).length > 0 && subjectsOf(doc).some((layer) => layer.role === null || isMoved(layer));

/** The layers of the scene: those below the lowest subject, without what belongs to subjects. */
export function sceneOf(doc) {
  const lowest = doc.layers.indexOf(subjectsOf(doc)[0]);
  return doc.layers.slice(0, Math.max(0, lowest)).filter(({ visible, role }) => visible && !EFFECTS.includes(role));
}

/** A subject's layer without the light of its scene. */
export function bare(doc, layer) {
  const unlit = doc.layers.find(({ role, group }) => role === "unlit" && group !== null && group === layer.group);
  return unlit ? { ...layer, picture: unlit.picture } : layer;
}

const png = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/png"));

/** What is given to the model: {size, subjects: [{prompt, blob}], scene: blob, used: [ids]}. */
export async function given(doc) {
  const subjects = subjectsOf(doc);
  const scene = sceneOf(doc);
  return {
    size: doc.size,
    scene: await png(flatten(doc.size, scene)),
    subjects: await Promise.all(subjects.map(async (layer) => ({
      prompt: layer.prompt ?? layer.name, blob: await png(flatten(doc.size, [bare(doc, { ...layer, opacity: 1 })])),
    }))),
    used: [...subjects, ...scene].map(({ id }) => id),
  };
}
