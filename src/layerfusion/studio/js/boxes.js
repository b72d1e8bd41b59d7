// Places: a box for each subject that is asked for, drawn, dragged and sized on the paper before anything is generated.

import { told } from "./document.js";
import { byId, clamp, h } from "./dom.js";
import { say } from "./say.js";

const { Konva } = window;
const CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"];
const SIDES = ["top-center", "middle-left", "middle-right", "bottom-center"];
const LEAST = 0.06; // of a side, as a fraction of the paper's

export class Boxes {
  on = false;
  active = null; // a subject's id
  #rects = new Map();
  #drawing = null;

  constructor(canvas) {
    Object.assign(this, { canvas, store: canvas.store });
    this.group = new Konva.Group({ visible: false });
    this.handles = new Konva.Transformer({
      rotateEnabled: false, keepRatio: false, flipEnabled: false, ignoreStroke: true, anchorCornerRadius: 3, anchorStrokeWidth: 1.5, borderEnabled: false,
    });
    canvas.overlay.add(this.group, this.handles);
    this.store.addEventListener("change", () => this.sync());
    canvas.view.addEventListener("change", () => this.sync());
  }

  get subjects() {
    return this.store.doc.form.subjects;
  }

  get #subject() {
    return this.subjects.find(({ id }) => id === this.active);
  }

  /** Show the boxes, with that of one subject at hand; it gets one where it has none. */
  begin(id) {
    this.on = true;
    this.active = id;
    document.body.dataset.placing = "";
    const one = this.#subject;
    if (!one.box) {
      const shift = 0.08 * (this.subjects.filter(({ box }) => box).length % 4);
      this.#keep([0.08 + shift, 0.4 - shift / 2, 0.45, 0.55]);
    }
    this.sync();
    byId("canvas").focus({ preventScroll: true });
    say(`Placing ${one.prompt || "the subject"}: ${this.#said()}. Arrow keys move the box, plus and minus size it, Escape ends.`);
  }

  end() {
    this.on = false;
    this.active = null;
    delete document.body.dataset.placing;
    this.sync();
    this.store.dispatchEvent(new CustomEvent("change", { detail: "idle" }));
  }

  #said() {
    const [x, y, width, height] = this.#subject.box.map((share) => Math.round(share * 100));
    return `${x} percent from the left, ${y} from the top, ${width} wide, ${height} high`;
  }

  #keep(box, kind = null) {
    const one = this.#subject;
    this.store.commit(`Place ${one.prompt || "the subject"}`, told(this.store.doc, one.id, { box: within(box) }), kind && `${kind} ${one.id}`);
  }

  drop() {
    this.store.commit("Anywhere in the scene", told(this.store.doc, this.active, { box: null }));
    this.end();
  }

  // ---- seen -------------------------------------------------------------------------------------------------------

  sync() {
    if (this.on && !this.#subject) return this.end();
    const shown = this.on || (!this.store.doc.layers.length && !("running" in document.body.dataset));
    this.group.visible(shown);
    this.handles.visible(this.on);
    this.group.destroyChildren();
    this.#rects.clear();
    const colours = getComputedStyle(document.documentElement);
    const colour = (name) => colours.getPropertyValue(name).trim();
    for (const one of this.subjects) if (one.box) this.#draw(one, colour);
    const rect = this.#rects.get(this.active);
    const fingers = matchMedia("(pointer: coarse)").matches;
    this.handles.enabledAnchors(fingers ? CORNERS : [...CORNERS, ...SIDES]);
    this.handles.setAttrs({ anchorStroke: colour("--accent"), anchorFill: colour("--handle"), anchorSize: fingers ? 15 : 11 });
    this.handles.nodes(this.on && rect ? [rect] : []);
    this.canvas.overlay.batchDraw();
    this.#pill();
  }

  #draw(one, colour) {
    const [width, height] = this.canvas.size;
    const [x, y, w, t] = one.box;
    const active = this.on && one.id === this.active;
    const rect = new Konva.Rect({
      x: x * width, y: y * height, width: w * width, height: t * height, stroke: colour("--accent"), strokeWidth: active ? 2 : 1.5, dash: active ? [] : [6, 5],
      strokeScaleEnabled: false, cornerRadius: 4 / this.canvas.view.zoom, fill: colour("--accent"), fillAfterStrokeEnabled: false, opacity: 1, name: one.id,
    });
    rect.fill(`color-mix(in srgb, ${colour("--accent")} 14%, transparent)`);
    const scale = 1 / this.canvas.view.zoom;
    const label = new Konva.Label({ x: x * width, y: y * height, scaleX: scale, scaleY: scale, listening: false });
    label.add(new Konva.Tag({ fill: colour("--accent"), cornerRadius: [4, 0, 6, 0] }));
    label.add(new Konva.Text({ text: shortened(one.prompt || "Subject"), padding: 6, fontSize: 12.5, fontFamily: "Inter, system-ui, sans-serif", fontStyle: "600", fill: colour("--on-accent") }));
    this.group.add(rect, label);
    this.#rects.set(one.id, rect);
    rect.on("dragmove transform", () => label.position({ x: rect.x(), y: rect.y() }));
    rect.on("dragend transformend", () => this.#keep(this.#boxOf(rect)));
  }

  #boxOf(rect) {
    const [width, height] = this.canvas.size;
    return [rect.x() / width, rect.y() / height, (rect.width() * rect.scaleX()) / width, (rect.height() * rect.scaleY()) / height];
  }

  #pill() {
    const pill = byId("pill");
    if (!this.on) return;
    pill.hidden = false;
    const text = `Place ${shortened(this.#subject.prompt || "the subject")}`;
    if (pill.dataset.text === text && pill.querySelector("[data-act=done]")) return;
    pill.dataset.text = text;
    pill.replaceChildren(
      h("span", {}, text),
      h("button", { type: "button", onclick: () => this.drop() }, "Anywhere"),
      h("button.primary", { type: "button", "data-act": "done", onclick: () => this.end() }, "Done"),
    );
  }

  // ---- hands ------------------------------------------------------------------------------------------------------

  /** A press on the paper: takes up a box, or begins to draw the active one anew. */
  press(target, point) {
    const id = [...this.#rects].find(([, rect]) => rect === target)?.[0];
    if (!id) {
      this.#drawing = point;
      return;
    }
    this.active = id;
    this.sync();
    this.#rects.get(id).startDrag();
  }

  move(point) {
    if (!this.#drawing) return;
    const [width, height] = this.canvas.size;
    const [left, right] = [this.#drawing.x, point.x].sort((a, b) => a - b);
    const [top, bottom] = [this.#drawing.y, point.y].sort((a, b) => a - b);
    if (Math.max(right - left, bottom - top) * this.canvas.view.zoom < 8) return;
    this.store.draft(told(this.store.doc, this.active, { box: within([left / width, top / height, (right - left) / width, (bottom - top) / height]) }));
  }

  release() {
    if (!this.#drawing) return;
    this.#drawing = null;
    const { box } = this.#subject;
    this.store.drop();
    this.#keep(box);
  }

  /** The keys, while the canvas has the focus. */
  pressed({ key, shiftKey }) {
    const [x, y, w, t] = this.#subject.box ?? [0.25, 0.25, 0.5, 0.5];
    const far = shiftKey ? 0.05 : 0.01;
    const grown = (by) => [x - (w * (by - 1)) / 2, y - (t * (by - 1)) / 2, w * by, t * by];
    const boxes = {
      ArrowLeft: [x - far, y, w, t], ArrowRight: [x + far, y, w, t], ArrowUp: [x, y - far, w, t], ArrowDown: [x, y + far, w, t],
      "+": grown(1.06), "=": grown(1.06), "-": grown(1 / 1.06),
    };
    if (key === "Escape" || key === "Enter") this.end();
    else if (key === "Delete" || key === "Backspace") this.drop();
    else if (boxes[key]) {
      this.#keep(boxes[key], "keys");
      say(this.#said());
    } else return false;
    return true;
  }
}

/** A box that lies on the paper, and has room for something. */
function within([x, y, width, height]) {
  const [w, t] = [clamp(width, LEAST, 1), clamp(height, LEAST, 1)];
  return [clamp(x, 0, 1 - w), clamp(y, 0, 1 - t), w, t].map((share) => Math.round(share * 1e4) / 1e4);
}

const shortened = (text) => (text.length > 28 ? `${text.slice(0, 27)}…` : text);
