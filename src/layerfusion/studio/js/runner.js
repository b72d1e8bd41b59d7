// From the form to takes: starts a run, shows how it goes, and puts its layers on the canvas. A run outlives the page: it
// is written down with the work, and followed again after a reload.

import * as api from "./api.js";
import { byId, freshId, h, icon } from "./dom.js";
import { isStale } from "./blend.js";
import { requestOf, requestToBlend } from "./requests.js";
import { complain, say, toast } from "./say.js";
import { arrived, takesOf } from "./takes.js";

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
    this.#following = new AbortController();
    this.#show({ stage: "starting" });
    try {
      const { used = [], ...body } = await request();
      const { id } = await api.startRun(body, freshId());
      this.work.running = { id, what, used };
      await this.work.save();
      await this.#follow();
    } catch (error) {
      if (error.name !== "AbortError") complain(error, { label: "Try again", run: again });
    } finally {
      this.#end();
    }
  }

  /** Go on with a run that was on its way when the page was left. */
  async resume() {
    if (!this.work.running) return;
    this.#following = new AbortController();
    this.#show({ stage: "starting" });
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
      if (this.work.running) await api.cancelRun(this.work.running.id);
    } catch (error) {
      complain(error);
    }
  }

  async #follow() {
    const { work } = this;
    const { id, what, used } = work.running;
    const { signal } = this.#following;
    for await (const { type, data } of api.follow(id, signal)) {
      if (type === "progress") this.#show(data);
    }
    const run = await api.readRun(id);
    if (signal.aborted) return;
    if (run.status === "failed") throw new Error(run.error?.message ?? run.error ?? "the run failed; try again.");
    if (run.status === "cancelled") return say("Stopped");
    const takes = await takesOf(work, run);
    if (signal.aborted) return;
    await arrived(this.store, work, takes, what, used);
    for (const warning of run.warnings ?? []) toast(warning);
    say(`${takes.length === 1 ? "The picture is" : `${takes.length} pictures are`} there`);
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

  #show({ stage, done = 0, total = 0, preview = null, position = null }) {
    document.body.dataset.running = stage;
    document.body.classList.remove("blank");
    byId("empty").hidden = true;
    byId("generate").replaceChildren(icon("stop"), h("span", {}, "Stop"));
    byId("generate").type = "button";
    byId("generate").onclick = () => this.cancel();
    byId("reroll").disabled = true;
    const above = byId("above");
    this.box ??= h("div.running", {}, h("div.veil"), h("div.bar"));
    if (!this.box.isConnected) above.append(this.box);
    if (preview) clearUp(this.box, preview);
    this.box.querySelector(".bar").style.transform = `scaleX(${total ? done / total : 0})`;
    const text = worded(stage, done, total, position);
    byId("pill").hidden = false;
    byId("pill").replaceChildren(h("span", {}, text), h("progress", { max: Math.max(1, total), value: done, "aria-label": "Steps done" }));
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

/** Each preview fades in over the one before. */
function clearUp(box, preview) {
  const next = h("img.preview", { alt: "", src: preview });
  const before = box.querySelectorAll(".preview");
  next.onload = () => before.forEach((one) => one.remove());
  box.prepend(next);
}

function worded(stage, done, total, position) {
  if (stage === "queued") return position ? `Waiting, ${position} before this one` : "Waiting for its turn";
  if (stage === "sampling") return `Step ${done} of ${total}`;
  return { starting: "Starting", loading: "Loading the model", decoding: "Finishing", writing: "Finishing" }[stage] ?? "Working";
}

