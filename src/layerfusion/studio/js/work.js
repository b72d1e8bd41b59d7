// The work that is open: its takes, its name, and that every step of it is kept as it is made.

import { byId, freshId } from "./dom.js";
import { EMPTY } from "./document.js";
import { flatten, forget, recall } from "./pictures.js";
import { complain } from "./say.js";
import { deleteWork, listWorks, readSteps, saveStep, saveWork } from "./vault.js";

const COVER = 320;

export class Work {
  #writing = Promise.resolve();
  #begun = false;

  constructor(store) {
    this.store = store;
    store.addEventListener("change", ({ detail }) => {
      if (detail === "commit") this.#keep(() => this.#saveFrom(store.cursor));
      if (detail === "travel") this.save();
    });
  }

  /** Open the work that was changed last, or a new one. */
  async resume() {
    const [last] = await listWorks();
    return last ? this.open(last) : this.begin();
  }

  async open(record) {
    await this.#writing;
    const steps = await readSteps(record.id);
    await recall(record.id);
    this.#take(record, true);
    this.store.open(steps.map(({ label, doc }) => ({ label, doc })), Math.min(record.cursor, steps.length - 1));
  }

  async begin() {
    await this.#writing;
    forget();
    this.#take({ id: freshId(), title: "", takes: [], running: null, cover: null }, false);
    this.store.open([{ label: "New picture", doc: { ...EMPTY, form: { ...EMPTY.form } } }], 0);
  }

  #take({ id, title, takes, running, cover }, begun) {
    Object.assign(this, { id, title, takes, running, cover });
    this.#begun = begun;
    byId("title").value = title;
  }

  /** Keep what is not a step: takes, title, where in the history we are, which run is on its way. */
  save() {
    return this.#keep(() => (this.#begun ? saveWork(this.#record()) : this.running && this.#saveFrom(0)));
  }

  /** Keep a step of the history; a work that nothing was done in yet is not kept, so the first brings along the start. */
  async #saveFrom(number) {
    const { history } = this.store;
    if (!this.#begun && number > 0) await saveStep(this.#record(), 0, history[0]);
    this.#begun = true;
    await saveStep(this.#record(), number, history[number]);
  }

  async delete(id) {
    await this.#writing;
    await deleteWork(id);
    if (id === this.id) await this.begin();
  }

  #record() {
    const { id, title, takes, running, cover } = this;
    return { id, title, takes, running, cover, cursor: this.store.cursor, changed: Date.now() };
  }

  #keep(write) {
    byId("saved").textContent = "Saving…";
    this.#writing = this.#writing.then(write).then(() => {
      byId("saved").textContent = this.store.history.length > 1 ? "Saved" : "";
    }).catch(complain);
    return this.#writing;
  }

  /** A small picture of the work, for the list of works. */
  async drawCover() {
    const { doc } = this.store;
    const shown = doc.layers.filter(({ visible }) => visible);
    if (!doc.size || !shown.length) return;
    const canvas = flatten(doc.size, shown, COVER / Math.max(...doc.size));
    this.cover = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.85));
    await this.save();
  }
}
