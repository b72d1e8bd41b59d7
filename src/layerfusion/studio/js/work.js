// The work that is open: its takes, its name, and that every step of it is kept as it is made.

import { byId, freshId } from "./dom.js";
import { EMPTY } from "./document.js";
import { flatten, forget, ready } from "./pictures.js";
import { complain } from "./say.js";
import { deleteWork, listWorks, readSteps, readTakes, saveStep, saveTake, saveWork } from "./vault.js";

const COVER = 320;

export class Work {
  #writing = Promise.resolve();
  #begun = false;
  #release = null;

  constructor(store) {
    this.store = store;
    store.addEventListener("change", ({ detail }) => {
      if (detail === "commit") this.#saveStep(store.cursor);
      if (detail === "travel") this.save();
    });
  }

  /** Open the work that was changed last and is not open in another tab, or a new one. */
  async resume() {
    for (const record of await listWorks()) if (await this.open(record)) return;
    await this.begin();
  }

  /** Says whether it could: a work is open in one tab at a time. */
  async open(record) {
    const release = await hold(record.id);
    if (!release) return false;
    await this.#writing;
    const [steps, takes] = await Promise.all([readSteps(record.id), readTakes(record.id)]);
    this.#take({ ...record, takes }, true, release);
    const cursor = Math.min(record.cursor, steps.length - 1);
    await ready(record.id, picturesOf(steps[cursor].doc));
    this.store.open(steps.map(({ label, doc }) => ({ label, doc })), cursor);
    return true;
  }

  async begin() {
    await this.#writing;
    const id = freshId();
    this.#take({ id, title: "", takes: [], running: null, cover: null }, false, await hold(id));
    this.store.open([{ label: "New picture", doc: EMPTY }], 0);
  }

  #take({ id, title, takes, running, cover }, begun, release) {
    forget();
    this.#release?.();
    Object.assign(this, { id, title, takes, running, cover });
    this.#begun = begun;
    this.#release = release;
    byId("title").value = title;
  }

  /** Keep what is not a step: takes, title, where in the history we are, which run is on its way. */
  save() {
    return this.#keep(() => (this.#begun ? saveWork(this.#record()) : this.running && this.#write(0, this.store.history)));
  }

  /** Keep a step of the history; a work that nothing was done in yet is not kept, so the first brings along the start. */
  #saveStep(number) {
    // As it is now: when its turn to be written comes, there may be further steps.
    const history = [...this.store.history];
    return this.#keep(() => this.#write(number, history));
  }

  async #write(number, history) {
    if (!this.#begun && number > 0) await saveStep(this.#record(), 0, history[0]);
    if (!this.#begun) navigator.storage?.persist?.();
    this.#begun = true;
    await saveStep(this.#record(), number, history[number]);
  }

  /** A further take, kept with the work, and its pictures: {id: blob}. */
  addTake(take, blobs) {
    const number = this.takes.length;
    this.takes = [...this.takes, take];
    return this.#keep(() => saveTake(this.id, number, take, blobs));
  }

  async delete(id) {
    await this.#writing;
    await deleteWork(id);
    if (id === this.id) await this.begin();
  }

  #record() {
    const { id, title, running, cover } = this;
    return { id, title, running, cover, cursor: this.store.cursor, changed: Date.now() };
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

/** The pictures that a document shows: of its layers, and those that are given beside its prompts. */
export const picturesOf = ({ layers, form }) =>
  [...layers.map(({ picture }) => picture), form.photo, ...form.subjects.map(({ image }) => image)].filter((id) => id !== null);

/** Keep a work to this tab: a function that lets go of it again, or null where another tab has it. */
function hold(id) {
  // Browsers have locks only on this machine and over HTTPS.
  if (!navigator.locks) return Promise.resolve(() => {});
  return new Promise((resolve) => {
    navigator.locks.request(`layerfusion ${id}`, { ifAvailable: true }, (lock) => {
      if (!lock) return resolve(null);
      return new Promise((release) => resolve(release));
    });
  });
}
