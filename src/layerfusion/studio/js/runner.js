// From the form to takes: starts a run, shows how it goes, and puts its layers on the canvas. A run outlives the page: it
// is written down with the work, and followed again after a reload.

import * as api from "./api.js";
import { byId, freshId, h, icon } from "./dom.js";
import { isStale } from "./blend.js";
import { requestOf, requestToBlend } from "./requests.js";
import { complain, say, toast } from "./say.js";
import { arrived, takeOf } from "./takes.js";

export class Runner {
  #following = null;

  constructor(store, work) {
    Object.assign(this, { store, work });
  }

  get busy() {
    return this.#following !== null;
  }

  /** Start a run of what the form asks for, with other values where `changes` has them. */
  async generate(changes) {
    if (this.busy) return;
    const form = { ...this.store.doc.form, ...changes };
    const unsaid = form.subjects.find(({ prompt }) => !prompt.trim());
    if (unsaid || !form.background.trim()) {
      byId(unsaid ? `subject-${unsaid.id}` : "background").focus();
      return toast(`Say what to draw as the ${unsaid ? "subject" : "scene"} first.`, { kind: "error" });
    }
    await this.#start(() => requestOf(form), "Generate", () => this.generate(changes));
  }

  /** Blend the layers again, where they lie now. */
  async blend() {
    const { doc } = this.store;
    if (this.busy || !isStale(doc)) return;
    await this.#start(() => requestToBlend(doc), "Blend again", () => this.blend());
  }

  async #start(request, what, again) {
    this.#begin();
    try {
      const { used = [], count = 1, ...body } = await request();
      const ids = [];
      for (let number = 0; number < count; number++) {
        const seed = body.seed === undefined ? {} : { seed: body.seed + number };
        ids.push((await api.startRun({ ...body, ...seed }, freshId())).id);
        this.work.running = { ids, what, used };
        await this.work.save();
      }
      await this.#follow();
    } catch (error) {
      if (error.name !== "AbortError") complain(error, { label: "Try again", run: again });
    } finally {
      this.#end();
    }
  }

  /** Go on with runs that were on their way when the page was left. */
  async resume() {
    if (!this.work.running) return;
    this.#begin();
    try {
      await this.#follow();
    } catch (error) {
      if (error.name !== "AbortError") complain(error);
    } finally {
      this.#end();
    }
  }

  /** Stop looking, as when another work is opened; the run itself goes on. */
  leave() {
    this.#following?.abort();
  }

  async cancel() {
    try {
      await Promise.all((this.work.running?.ids ?? []).map((id) => api.cancelRun(id)));
    } catch (error) {
      complain(error);
    }
  }

  /** One run after the other. What has come is on the canvas at once, and kept before it is said that the run is over. */
  async #follow() {
    const { work } = this;
    const { signal } = this.#following;
    const { ids, what, used } = work.running;
    for (const [number, id] of ids.entries()) {
      for await (const progress of api.follow(id, signal)) await this.#show({ ...progress, number, count: ids.length });
      const run = await api.readRun(id);
      if (run.status === "failed") throw new Error(run.error);
      if (run.status === "cancelled") return say("Stopped");
      const taken = await takeOf(run);
      if (signal.aborted) return;
      const kept = arrived(this.store, work, taken, number === 0 ? { what, used } : null);
      kept.then(() => signal.aborted || work.drawCover());
      work.running = { ids: ids.slice(number + 1), what, used };
      run.warnings.forEach((warning) => toast(warning));
    }
    say(ids.length === 1 ? "The picture is there" : `${ids.length} pictures are there`);
  }

  #end() {
    if (!this.#following?.signal.aborted) {
      this.work.running = null;
      this.work.save();
    }
    this.#following = null;
    this.#hide();
  }

  // ---- how it goes ------------------------------------------------------------------------------------------------
  // The processor that draws the page may be the one that draws the picture: all that a step brings is drawn at once,
  // nothing else is touched, and nothing moves meanwhile.

  #begin() {
    this.#following = new AbortController();
    document.body.dataset.running = "";
    document.body.classList.remove("blank");
    byId("empty").hidden = true;
    byId("generate").replaceChildren(icon("stop"), h("span", {}, "Stop"));
    byId("generate").type = "button";
    byId("generate").onclick = () => this.cancel();
    byId("reroll").disabled = true;
    this.seen = { text: h("span"), meter: h("progress", { max: 1, value: 0, "aria-label": "Done so far" }), bar: h("div.bar"), previews: null };
    byId("above").append(this.seen.bar);
    byId("pill").hidden = false;
    byId("pill").replaceChildren(this.seen.text, this.seen.meter);
    this.#show({ stage: "starting" });
    this.store.dispatchEvent(new CustomEvent("change", { detail: "idle" })); // the frame and its handles go
  }

  async #show({ stage, done = 0, total = 0, previews = {}, position = null, number = 0, count = 1 }) {
    const pictures = await decoded(previews);
    const { seen } = this;
    const share = total ? (number + done / total) / count : number / count;
    seen.text.textContent = worded(stage, done, total, position) + (count > 1 ? `, take ${number + 1} of ${count}` : "");
    seen.meter.value = share;
    seen.bar.style.transform = `scaleX(${share})`;
    if (pictures) {
      seen.previews ??= new Previews(pictures.blended, seen.bar);
      seen.previews.draw(pictures);
    }
    if (!total || done % Math.ceil(total / 4) === 0) say(seen.text.textContent);
  }

  #hide() {
    delete document.body.dataset.running;
    this.seen.bar.remove();
    this.seen.previews?.remove();
    this.seen = null;
    byId("pill").hidden = true;
    byId("generate").replaceChildren(icon("spark"), h("span", {}, "Generate"));
    byId("generate").type = "submit";
    byId("generate").onclick = null;
    byId("reroll").disabled = false;
    this.store.dispatchEvent(new CustomEvent("change", { detail: "idle" }));
  }
}

const STREAMS = { foreground: "Subject", background: "Scene" };

/** The picture as it clears up, over the paper, with the streams that meet in it. */
class Previews {
  constructor({ width, height }, below) {
    const canvas = (tag, side) => h(tag, { width: side, height: Math.round((side * height) / width), "aria-hidden": "true" });
    this.canvases = { blended: canvas("canvas.preview", 256) };
    const tiles = Object.entries(STREAMS).map(([name, label]) => {
      this.canvases[name] = canvas("canvas", 96);
      return h("figure", {}, this.canvases[name], h("figcaption", {}, label));
    });
    this.streams = h("div.streams", {}, tiles);
    below.before(this.canvases.blended, this.streams);
  }

  draw(pictures) {
    for (const [name, canvas] of Object.entries(this.canvases)) {
      const brush = canvas.getContext("2d", { alpha: false });
      brush.imageSmoothingQuality = "high";
      brush.drawImage(pictures[name], 0, 0, canvas.width, canvas.height);
    }
  }

  remove() {
    this.canvases.blended.remove();
    this.streams.remove();
  }
}

/** The previews, ready to be drawn; null where there are none. */
async function decoded(previews) {
  if (!previews.blended) return null;
  const bitmaps = Object.entries(previews).map(async ([name, url]) => [name, await createImageBitmap(blobOf(url))]);
  return Object.fromEntries(await Promise.all(bitmaps));
}

/** A data URL's bytes; `fetch` would be refused by the page's policy. */
function blobOf(url) {
  return new Blob([Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

function worded(stage, done, total, position) {
  if (stage === "queued") return position ? `Waiting, ${position} before this one` : "Waiting for its turn";
  if (stage === "sampling") return `Step ${done} of ${total}`;
  return { starting: "Starting", loading: "Loading the model", decoding: "Finishing", writing: "Finishing" }[stage] ?? "Working";
}

