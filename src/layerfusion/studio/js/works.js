// Works: a list of what was begun in this browser, and pictures that come in from outside.

import { close, open } from "./dialog.js";
import { added, freeName } from "./document.js";
import { freshId, h, icon, iconButton } from "./dom.js";
import { keep } from "./pictures.js";
import { complain, say, toast } from "./say.js";
import { listWorks } from "./vault.js";
import { ago } from "./words.js";

export async function choose(work, runner) {
  const list = h("ul.works");
  const fill = async () => list.replaceChildren(fresh(work, runner), ...(await listWorks()).map((record) => entry(record, work, runner, fill)));
  await fill();
  await open("Works", list);
  list.querySelectorAll("img").forEach(({ src }) => URL.revokeObjectURL(src));
}

function fresh(work, runner) {
  const begin = () => (close(), runner.leave(), work.begin());
  return h("li", {}, h("button.open", { type: "button", onclick: begin }, h("div.blank", {}, icon("plus")), h("span", {}, "New work"), h("small", {}, "An empty page")));
}

function entry(record, work, runner, refresh) {
  const here = record.id === work.id;
  const name = record.title || "Untitled";
  const cover = record.cover ? h("img", { src: URL.createObjectURL(record.cover), alt: "" }) : h("div.blank", {}, icon("picture"));
  const resume = async () => {
    close();
    if (here) return;
    runner.leave();
    const opened = await work.open(record).catch(complain);
    if (opened === false) toast(`${name} is open in another tab; go on there, or close it.`, { kind: "error" });
    await runner.resume();
  };
  const drop = async () => {
    if (!confirm(`Delete “${name}” with its history? This cannot be undone.`)) return;
    if (here) runner.leave();
    await work.delete(record.id);
    await refresh();
    say(`${name} deleted`);
  };
  return h("li", {},
    h("button.open", { type: "button", onclick: resume, "aria-current": here ? "true" : null }, cover, h("span", {}, name), h("small", {}, ago(record.changed))),
    iconButton("trash", `Delete ${name}`, drop));
}

/** A picture from outside becomes the highest layer, in the middle, no larger than the canvas. */
export async function addPicture(store, work, file) {
  try {
    const id = freshId();
    const { size, box, opaque } = await keep(work.id, id, await asPng(file));
    const canvas = store.doc.size ?? size;
    const scale = Math.min(1, canvas[0] / size[0], canvas[1] / size[1]);
    const placement = [scale, 0, (canvas[0] - size[0] * scale) / 2, 0, scale, (canvas[1] - size[1] * scale) / 2];
    const name = freeName(store.doc, file.name.replace(/\.[^.]*$/, "").slice(0, 60) || "picture");
    const layer = {
      id: freshId(), name, group: null, role: null, number: null, prompt: null, take: null, picture: id, address: null, size, box, opaque, placement, first: placement,
      opacity: 1, visible: true, blend: "normal", locked: opaque && !store.doc.size,
    };
    store.commit(`Add ${name}`, { ...added(store.doc, layer), size: canvas });
    store.select(layer.id);
    say(`${name} added as the highest layer`);
  } catch (error) {
    complain(error);
  }
}

/** A picture from outside, kept with the work; `use` is told its name. */
export async function takePicture(work, file, use) {
  try {
    const id = freshId();
    await keep(work.id, id, await asPng(file));
    use(id);
  } catch (error) {
    complain(error);
  }
}

/** The picture as PNG, upright: what a camera noted of its turn is worked in, and the service reads it as it is seen. */
async function asPng(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no picture that this browser can show; give a PNG, JPEG, WebP or AVIF.`);
  });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
