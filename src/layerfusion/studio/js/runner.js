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

  #begin() {
    this.#following = new AbortController();
    this.#show({ stage: "starting" });
    this.store.dispatchEvent(new CustomEvent("change", { detail: "idle" })); // the frame and its handles go
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

  /** One run after the other; what has come is kept before the next is waited for. */
  async #follow() {
    const { work } = this;
    const { signal } = this.#following;
    const { ids, what, used } = work.running;
    for (const [number, id] of ids.entries()) {
      for await (const progress of api.follow(id, signal)) this.#show({ ...progress, number, count: ids.length });
      const run = await api.readRun(id);
      if (run.status === "failed") throw new Error(run.error);
      if (run.status === "cancelled") return say("Stopped");
      const take = await takeOf(work, run);
      if (signal.aborted) return;
      await arrived(this.store, work, take, number === 0 ? { what, used } : null);
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

  #show({ stage, done = 0, total = 0, previews = {}, position = null, number = 0, count = 1 }) {
    document.body.dataset.running = stage;
    document.body.classList.remove("blank");
    byId("empty").hidden = true;
    byId("generate").replaceChildren(icon("stop"), h("span", {}, "Stop"));
    byId("generate").type = "button";
    byId("generate").onclick = () => this.cancel();
    byId("reroll").disabled = true;
    const above = byId("above");
    this.box ??= h("div.running", {}, h("div.veil"), h("div.streams"), h("div.bar"));
    if (!this.box.isConnected) above.append(this.box);
    if (previews.blended) clearUp(this.box, previews);
    const share = total ? (number + done / total) / count : number / count;
    this.box.querySelector(".bar").style.transform = `scaleX(${share})`;
    const text = worded(stage, done, total, position) + (count > 1 ? `, take ${number + 1} of ${count}` : "");
    byId("pill").hidden = false;
    byId("pill").replaceChildren(h("span", {}, text), h("progress", { max: 1, value: share, "aria-label": "Done so far" }));
    if (!total || done % Math.ceil(total / 4) === 0) say(text);
  }

  #hide() {
    delete document.body.dataset.running;
    this.box?.remove();
    this.box = null;
    byId("pill").hidden = true;
    byId("generate").replaceChildren(icon("spark"), h("span", {}, "Generate"));
    byId("generate").type = "submit";
    byId("generate").onclick = null;
    byId("reroll").disabled = false;
    this.store.dispatchEvent(new CustomEvent("change", { detail: "idle" }));
  }
}

/** Each preview takes the place of the one before as soon as it can be drawn; the streams that meet in it stand beside. */
function clearUp(box, { blended, foreground, background }) {
  const next = h("img.preview", { alt: "", src: blended });
  next.decode().catch(() => {}).then(() => {
    box.querySelector(".preview")?.remove();
    box.prepend(next);
  });
  const tile = (name, src) => h("figure", {}, h("img", { alt: "", src }), h("figcaption", {}, name));
  box.querySelector(".streams").replaceChildren(tile("Subject", foreground), tile("Scene", background));
}

function worded(stage, done, total, position) {
  if (stage === "queued") return position ? `Waiting, ${position} before this one` : "Waiting for its turn";
  if (stage === "sampling") return `Step ${done} of ${total}`;
  return { starting: "Starting", loading: "Loading the model", decoding: "Finishing", writing: "Finishing" }[stage] ?? "Working";
}

