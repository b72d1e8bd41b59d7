// The state of the page: a history of documents without end, where in it we are, and what is selected.

import { EMPTY, layerOf, topmost } from "./document.js";

export class Store extends EventTarget {
  history = [{ label: "New picture", doc: EMPTY }];
  cursor = 0;
  selected = null; // a layer's id
  alone = false; // whether the selected layer moves without its group
  #live = null; // a document on its way: a drag that has not ended
  #kind = null;

  /** The document that is seen. */
  get doc() {
    return this.#live ?? this.history[this.cursor].doc;
  }

  get layer() {
    return layerOf(this.doc, this.selected);
  }

  /** Another work: its whole history. */
  open(history, cursor) {
    Object.assign(this, { history, cursor, selected: null, alone: false });
    this.#settle();
    this.select(topmost(this.doc));
    this.#tell("open");
  }

  /** Show a change that has not ended yet, and cannot be undone. */
  draft(doc) {
    this.#live = doc;
    this.#tell("draft");
  }

  /**
   * A change that can be undone. Changes of one kind in a row, such as the steps of a slider, are undone together.
   * @param {string} label What the history calls it.
   * @param {object} doc The document after it.
   * @param {string | null} selected The layer that is selected after it.
   */
  commit(label, doc, kind = null, selected = this.selected) {
    const joins = kind !== null && kind === this.#kind && this.cursor === this.history.length - 1;
    if (doc === this.history[this.cursor].doc) return this.drop();
    this.history.length = joins ? this.cursor : this.cursor + 1;
    this.history.push({ label, doc });
    this.cursor = this.history.length - 1;
    if (selected !== this.selected) this.alone = false;
    this.selected = selected;
    this.#settle();
    this.#kind = kind;
    this.#tell("commit");
  }

  /** Give up a change that has not ended. */
  drop() {
    this.#live = null;
    this.#tell("draft");
  }

  /** Go to a step of the history. */
  travel(to) {
    if (to < 0 || to >= this.history.length || to === this.cursor) return;
    this.cursor = to;
    this.#settle();
    this.#tell("travel");
  }

  undo() {
    this.travel(this.cursor - 1);
  }

  redo() {
    this.travel(this.cursor + 1);
  }

  select(id) {
    this.#kind = null;
    if (this.selected === id) return;
    this.selected = id;
    this.alone = false;
    this.#tell("select");
  }

  setAlone(alone) {
    this.alone = alone;
    this.#tell("select");
  }

  #settle() {
    this.#live = null;
    this.#kind = null;
    if (!layerOf(this.doc, this.selected)) this.selected = null;
  }

  /** "draft", "commit", "travel", "select" or "open". */
  #tell(what) {
    this.dispatchEvent(new CustomEvent("change", { detail: what }));
  }
}
