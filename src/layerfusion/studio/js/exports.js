// Downloads: the layers as they lie now, in every format there is.

import * as api from "./api.js";
import { described } from "./document.js";
import { h } from "./dom.js";
import { close, open } from "./dialog.js";
import { picture, ready } from "./pictures.js";
import { complain, toast } from "./say.js";
import { picturesOf } from "./work.js";

const FORMATS = {
  psd: ["Photoshop", "Also Affinity, GIMP, Krita and Photopea. Every layer with its name, blend mode and opacity."],
  ora: ["OpenRaster", "Krita, GIMP and MyPaint."],
  pptx: ["PowerPoint", "A slide with one picture a layer. Keynote and LibreOffice too."],
  html: ["Web page", "One file that shows the layers and lets others move them, without network."],
  tiff: ["TIFF", "For print: a page for each layer, the flattened picture first."],
  zip: ["PNG layers", "A folder of pictures with a list of where they lie, zipped."],
  png: ["PNG", "The picture as it stands, flattened."],
  webp: ["WebP", "Flattened, small."],
  avif: ["AVIF", "Flattened, smallest."],
  jpg: ["JPEG", "Flattened, without transparency."],
};

/** Ask which kind of file. */
export function choose(store, work) {
  const entry = (format) => {
    const [name, about] = FORMATS[format];
    const button = h("button", { type: "button", "data-format": format }, h("b", { "aria-hidden": "true" }, format.toUpperCase()), h("span", {}, name, h("small", {}, about)));
    button.onclick = () => (close(), download(store, work, format));
    return h("li", {}, button);
  };
  const list = (formats) => h("ul.formats", {}, formats.map(entry));
  return open(
    "Download",
    h("div.formats", {}, h("h3", {}, "With layers")), list(["psd", "ora", "pptx", "html", "tiff", "zip"]),
    h("div.formats", {}, h("h3", {}, "One picture")), list(["png", "webp", "avif", "jpg"]),
  );
}

async function download(store, work, format) {
  const { doc } = store;
  const name = `${fileName(work.title)}.${format}`;
  try {
    await ready(work.id, picturesOf(doc));
    save(await exported(format, doc), name);
    toast(`${name} is saved.`, { kind: "done" });
  } catch (error) {
    complain(error, { label: "Try again", run: () => download(store, work, format) });
  }
}

const sent = new Map(); // a picture's name in the vault → its address in the service

async function send(id) {
  sent.set(id, (await api.upload(picture(id).blob)).picture);
  return sent.get(id);
}

/** The canvas and its layers as a file. The service forgets old pictures; this page does not, and sends them anew. */
async function exported(format, { size: [width, height], layers }) {
  const written = async (address) => api.exportLayers({
    format, width, height, layers: await Promise.all(layers.map(async (layer) => ({ ...described(layer), picture: await address(layer) }))),
  });
  try {
    return await written(({ address, picture: id }) => address ?? sent.get(id) ?? send(id));
  } catch (error) {
    if (error.status !== 404) throw error;
    return written(({ picture: id }) => send(id));
  }
}

export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 60).toLowerCase() || "layers";
