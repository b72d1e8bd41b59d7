// Pictures by name: as blobs that are kept, as bitmaps that are drawn, and where in them the subject is.

import { readPicture, savePicture } from "./vault.js";

const SUBJECT_ALPHA = 8; // of 255: what is fainter has no say in where the subject ends; as in layerfusion.layers
const THUMB = 96;
const ROOM = 100e6; // pixels that are held ready at once; the others wait in the vault

/** @type {Map<string, {blob: Blob, bitmap: ImageBitmap, box: number[], opaque: boolean, thumb: HTMLCanvasElement}>} */
const known = new Map();

export const picture = (id) => known.get(id);

/** Take up a blob under a name, and keep it with a work. */
export async function keep(work, id, blob) {
  const admitted = await admit(id, blob);
  await savePicture(work, id, blob);
  return admitted;
}

export const forget = () => known.clear();

/** Make pictures of a work ready to be drawn. Says whether any was not before. */
export async function ready(work, ids) {
  const missing = ids.filter((id) => !known.has(id));
  await Promise.all(missing.map(async (id) => {
    const blob = await readPicture(work, id);
    if (blob) await admit(id, blob);
  }));
  ids.forEach(touch);
  let room = ROOM;
  for (const [id, { size }] of [...known].reverse()) {
    room -= size[0] * size[1];
    if (room < 0 && !ids.includes(id)) known.delete(id);
  }
  return missing.length > 0;
}

/** The last one used is the last to go. */
function touch(id) {
  const found = known.get(id);
  if (found && known.delete(id)) known.set(id, found);
}

/** Make a blob ready to be drawn under a name. */
export async function admit(id, blob) {
  const bitmap = await createImageBitmap(blob).catch(() => {
    throw new Error("this file is no picture that the browser can show; give a PNG, JPEG or WebP.");
  });
  const brush = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  brush.drawImage(bitmap, 0, 0);
  const { data } = brush.getImageData(0, 0, bitmap.width, bitmap.height);
  const size = [bitmap.width, bitmap.height];
  const box = boxOf(data, ...size, SUBJECT_ALPHA) ?? boxOf(data, ...size, 1) ?? [0, 0, ...size];
  known.set(id, { blob, bitmap, size, box, opaque: isOpaque(data), thumb: thumbnail(bitmap, box) });
  return known.get(id);
}

function boxOf(data, width, height, least) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, at = 3; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      if (data[at] < least) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return right > left ? [left, top, right, bottom] : null;
}

function isOpaque(data) {
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return false;
  return true;
}

function thumbnail(bitmap, [left, top, right, bottom]) {
  const small = document.createElement("canvas");
  small.width = small.height = THUMB;
  const [width, height] = [right - left, bottom - top];
  const scale = THUMB / Math.max(width, height);
  const [x, y] = [(THUMB - width * scale) / 2, (THUMB - height * scale) / 2];
  const brush = small.getContext("2d");
  brush.imageSmoothingQuality = "high";
  brush.drawImage(bitmap, left, top, width, height, x, y, width * scale, height * scale);
  return small;
}

/** A copy of a picture's thumbnail, to stand in a list. */
export function thumb(id) {
  const copy = document.createElement("canvas");
  copy.width = copy.height = THUMB;
  copy.setAttribute("aria-hidden", "true");
  const found = known.get(id);
  if (found) copy.getContext("2d").drawImage(found.thumb, 0, 0);
  return copy;
}

/** A picture for a paper of that size, as PNG: filling it ("cover"), whole in its middle ("contain"), or without the rest of it ("alone"). */
export async function fitted(id, [width, height], how) {
  const { bitmap } = known.get(id);
  const shares = [width / bitmap.width, height / bitmap.height];
  const scale = how === "cover" ? Math.max(...shares) : Math.min(1, ...shares);
  const [w, t] = [bitmap.width * scale, bitmap.height * scale];
  const canvas = how === "alone" ? new OffscreenCanvas(Math.max(1, Math.round(w)), Math.max(1, Math.round(t))) : new OffscreenCanvas(width, height);
  const brush = canvas.getContext("2d");
  brush.imageSmoothingQuality = "high";
  brush.drawImage(bitmap, (canvas.width - w) / 2, (canvas.height - t) / 2, w, t);
  return canvas.convertToBlob({ type: "image/png" });
}

const OPERATIONS = { normal: "source-over", multiply: "multiply", screen: "screen", overlay: "overlay" };

/** Draw layers, bottom first, onto a canvas of the document's size. */
export function flatten(size, layers, scale = 1) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = size.map((side) => Math.max(1, Math.round(side * scale)));
  const brush = canvas.getContext("2d");
  brush.imageSmoothingQuality = "high";
  for (const { picture: id, placement: [a, b, c, d, e, f], opacity, blend } of layers) {
    if (!known.has(id)) continue;
    brush.globalAlpha = opacity;
    brush.globalCompositeOperation = OPERATIONS[blend];
    brush.setTransform(a * scale, d * scale, b * scale, e * scale, c * scale, f * scale);
    brush.drawImage(known.get(id).bitmap, 0, 0);
  }
  return canvas;
}

export const operation = (blend) => OPERATIONS[blend];

const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

/** Whether a layer shows at a canvas point. */
export function shows({ picture: id, placement: [a, b, c, d, e, f] }, { x, y }) {
  if (!known.has(id)) return false;
  probe.setTransform(1, 0, 0, 1, 0, 0);
  probe.clearRect(0, 0, 1, 1);
  probe.setTransform(a, d, b, e, c + 0.5 - x, f + 0.5 - y);
  probe.drawImage(known.get(id).bitmap, 0, 0);
  return probe.getImageData(0, 0, 1, 1).data[3] > 12;
}
