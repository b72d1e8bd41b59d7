// The canvas: Konva draws the layers by their blend modes, and the frame with handles round the selected one.
// The frame stands for the subject's box; what its handles do to it is done to the layer's placement.

import { Boxes } from "./boxes.js";
import { fits, layerOf, placed } from "./document.js";
import { byId } from "./dom.js";
import { fromMatrix, middle, parts, same, toMatrix } from "./geometry.js";
import { operation, picture, shows } from "./pictures.js";
import { say } from "./say.js";
import { places } from "./words.js";

const { Konva } = window;
const SNAP = 6; // screen pixels
const coarse = matchMedia("(pointer: coarse)");

export class Canvas {
  #nodes = new Map();
  #handled = false; // a hand is on the frame

  constructor(store, view) {
    Object.assign(this, { store, view });
    this.holder = byId("canvas");
    this.stage = new Konva.Stage({ container: this.holder, width: 1, height: 1 });
    this.layer = new Konva.Layer({ listening: false });
    this.paper = new Konva.Group();
    this.overlay = new Konva.Layer();
    this.layer.add(this.paper);
    this.stage.add(this.layer, this.overlay);
    this.frame = new Konva.Rect({ fill: "transparent", strokeScaleEnabled: false, visible: false });
    this.guides = ["x", "y"].map(() => new Konva.Line({ visible: false, listening: false, strokeScaleEnabled: false, strokeWidth: 1 }));
    this.handles = new Konva.Transformer(HANDLES);
    this.held = new Konva.Group();
    this.held.add(this.frame, ...this.guides, this.handles);
    this.overlay.add(this.held);
    this.boxes = new Boxes(this);
    this.#listen();
    this.paint();
    new ResizeObserver(() => this.resize()).observe(this.holder);
  }

  #listen() {
    this.store.addEventListener("change", () => this.sync());
    this.view.addEventListener("change", () => this.#look());
    this.frame.on("dragstart transformstart", () => { this.#handled = true; });
    this.frame.on("dragmove", ({ evt }) => { this.#snap(evt); this.#follow(); });
    this.frame.on("transform", () => this.#follow());
    this.frame.on("dragend transformend", ({ type }) => this.#settle(type === "dragend" ? "Move" : "Transform"));
  }

  /** The document's size, or the one that the model draws where there is no picture yet. */
  get size() {
    const { size, form } = this.store.doc;
    return size ?? form.size ?? this.fallback ?? [512, 512];
  }

  resize() {
    const [width, height] = [this.holder.clientWidth, this.holder.clientHeight];
    if (!width || !height) return;
    this.stage.size({ width, height });
    this.view.resize(this.size, [width, height]);
  }

  /** The page's own colours, for what is drawn and not styled. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    const accent = style.getPropertyValue("--accent").trim();
    this.handles.setAttrs({ borderStroke: accent, anchorStroke: accent, anchorFill: style.getPropertyValue("--handle").trim() });
    this.guides.forEach((guide) => guide.stroke(style.getPropertyValue("--guide").trim()));
    this.boxes?.sync();
    this.overlay.batchDraw();
  }

  #look() {
    const { zoom, x, y } = this.view;
    const [width, height] = this.size;
    this.stage.scale({ x: zoom, y: zoom });
    this.stage.position({ x, y });
    this.layer.getNativeCanvasElement().getContext("2d").imageSmoothingQuality = "high";
    for (const id of ["paper", "above"]) {
      Object.assign(byId(id).style, { left: `${x}px`, top: `${y}px`, width: `${width * zoom}px`, height: `${height * zoom}px` });
    }
    this.handles.forceUpdate();
    this.stage.batchDraw();
  }

  /** Bring what is drawn in line with the document. */
  sync() {
    const { layers } = this.store.doc;
    const [width, height] = this.size;
    if (this.paper.clipWidth() !== width || this.paper.clipHeight() !== height) {
      this.paper.clip({ x: 0, y: 0, width, height });
      this.resize();
    }
    const shown = layers.filter((layer) => layer.visible && picture(layer.picture));
    for (const [id, node] of this.#nodes) {
      if (shown.some((layer) => layer.id === id)) continue;
      node.destroy();
      this.#nodes.delete(id);
    }
    shown.forEach((layer, at) => this.#draw(layer, at));
    if (!this.#handled) this.#outline();
    this.layer.batchDraw();
  }

  #draw(layer, at) {
    let node = this.#nodes.get(layer.id);
    if (!node) {
      node = new Konva.Image({ image: picture(layer.picture).bitmap, perfectDrawEnabled: false });
      this.#nodes.set(layer.id, node);
      this.paper.add(node);
    }
    node.setAttrs({ ...unfolded(toMatrix(layer.placement)), opacity: layer.opacity, globalCompositeOperation: operation(layer.blend) });
    if (node.getZIndex() !== at) node.setZIndex(at);
  }

  #outline() {
    const { layer } = this.store;
    const seen = Boolean(layer?.visible);
    this.frame.visible(seen);
    this.handles.nodes(seen ? [this.frame] : []);
    if (seen) {
      const [left, top, right, bottom] = layer.box;
      this.frame.setAttrs({ width: right - left, height: bottom - top, ...unfolded(toMatrix(layer.placement).multiply(framed(layer))) });
      this.handles.setAttrs({ resizeEnabled: !layer.locked, rotateEnabled: !layer.locked });
      this.handles.borderDash(layer.locked ? [4, 4] : []);
      // Large enough for whoever has only fingers.
      this.handles.anchorSize(coarse.matches ? 15 : 11);
      this.handles.find("Rect").forEach((anchor) => anchor.hitStrokeWidth(coarse.matches ? 32 : 12));
    }
    this.overlay.batchDraw();
  }

  /** Start dragging the selected layer with the pointer that is down. */
  grab() {
    this.frame.startDrag();
  }

  /** Let go of it, where a second finger has something else in mind. */
  letGo() {
    if (!this.#handled) return;
    this.frame.stopDrag();
    this.handles.stopTransform();
  }

  get #placement() {
    return fromMatrix(new DOMMatrix(this.frame.getTransform().getMatrix()).multiply(framed(this.store.layer).inverse()));
  }

  #moved() {
    const { store } = this;
    const before = store.history[store.cursor].doc;
    const placement = this.#placement;
    const still = same(placement, layerOf(before, store.selected).placement);
    return still || !fits(placement) ? null : placed(before, store.selected, placement, store.alone);
  }

  #follow() {
    const doc = this.#moved();
    if (doc) this.store.draft(doc);
  }

  #settle(what) {
    const { store } = this;
    const doc = this.#moved();
    this.#handled = false;
    this.guides.forEach((guide) => guide.hide());
    if (doc) {
      store.commit(`${what} ${store.layer.name}`, doc);
      say(places(store.doc, store.layer, store.alone));
    } else store.drop();
    this.sync();
  }

  /** The subject's middle stays on the paper's middle lines when it comes near them; Alt passes by. */
  #snap(event) {
    const [width, height] = this.size;
    const centre = middle({ box: this.store.layer.box, placement: this.#placement });
    const near = { x: width / 2 - centre.x, y: height / 2 - centre.y };
    const points = { x: [width / 2, 0, width / 2, height], y: [0, height / 2, width, height / 2] };
    ["x", "y"].forEach((axis, i) => {
      const holds = !event?.altKey && Math.abs(near[axis]) * this.view.zoom < SNAP;
      if (holds) this.frame[axis](this.frame[axis]() + near[axis]);
      this.guides[i].setAttrs({ points: points[axis], visible: holds });
    });
  }

  /** Show the frame and its handles, or not. */
  frames(shown) {
    this.held.visible(shown);
  }

  /** The highest layer that shows at a point of the paper and is not locked. */
  layerAt(point) {
    return this.store.doc.layers.findLast((layer) => layer.visible && !layer.locked && shows(layer, point)) ?? null;
  }
}

const HANDLES = {
  anchorCornerRadius: 3, anchorStrokeWidth: 1.5, borderStrokeWidth: 1.5, rotateAnchorOffset: 30,
  enabledAnchors: ["top-left", "top-right", "bottom-left", "bottom-right"], keepRatio: true, shiftBehavior: "inverted",
  flipEnabled: false, rotationSnaps: [0, 45, 90, 135, 180, 225, 270, 315], rotationSnapTolerance: 3,
  ignoreStroke: true,
};

/** From the frame's own corner to the layer's pixels. A flipped layer's frame is not, so that its handle to turn stays above. */
function framed({ box: [left, top, right], placement }) {
  const { flipped } = parts(placement);
  return flipped ? new DOMMatrix([-1, 0, 0, 1, right, top]) : new DOMMatrix([1, 0, 0, 1, left, top]);
}

/** A matrix as the attributes that Konva has for one. */
function unfolded({ a, b, c, d, e, f }) {
  return new Konva.Transform([a, b, c, d, e, f]).decompose();
}
