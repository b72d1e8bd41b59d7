// What hands do on the canvas: press, drag, pinch, wheel; and the keys, while the canvas has the focus.

import { fits, patched, placed, restacked, topmost, transformed, without } from "./document.js";
import { fromMatrix, toMatrix } from "./geometry.js";
import { say } from "./say.js";
import { places } from "./words.js";

export function listen(canvas) {
  const { stage, holder, view, store, boxes } = canvas;
  let [pinch, pan] = [null, null];

  stage.on("mousedown touchstart", ({ evt, target }) => {
    holder.focus({ preventScroll: true });
    const fingers = touches(evt, holder);
    if (fingers.length === 2) {
      canvas.letGo();
      pan = null;
      pinch = beginPinch(canvas, fingers);
      return;
    }
    if (fingers.length > 2 || isHandle(target, canvas)) return;
    const at = stage.getPointerPosition();
    if (evt.button === 1 || holder.dataset.pan !== undefined) return void (pan = at);
    if (boxes.on) return boxes.press(target, view.toPaper(at));
    const hit = canvas.layerAt(view.toPaper(at));
    const own = target === canvas.frame && store.layer && !store.layer.locked;
    if (hit) store.select(hit.id);
    else if (!own) {
      store.select(null);
      pan = at;
      return;
    }
    canvas.grab();
  });

  stage.on("mousemove touchmove", ({ evt, target }) => {
    evt.preventDefault();
    if (pinch) return pinch.move(touches(evt, holder));
    const at = stage.getPointerPosition();
    if (boxes.on) boxes.move(view.toPaper(at));
    if (pan) {
      view.panBy(at.x - pan.x, at.y - pan.y);
      pan = at;
    } else if (!boxes.on && !evt.buttons && !evt.touches && !isHandle(target, canvas)) {
      holder.style.cursor = canvas.layerAt(view.toPaper(at)) ? "grab" : "";
    }
  });

  for (const end of ["mouseup", "touchend", "touchcancel", "mouseleave"]) {
    holder.addEventListener(end, (event) => {
      pan = null;
      boxes.release();
      if (pinch && (event.touches?.length ?? 0) < 2) {
        pinch.end();
        pinch = null;
      }
    });
  }

  holder.addEventListener("wheel", (event) => {
    event.preventDefault();
    const area = holder.getBoundingClientRect();
    const at = { x: event.clientX - area.left, y: event.clientY - area.top };
    if (event.ctrlKey || event.metaKey) view.zoomBy(Math.exp(-event.deltaY * 0.004), at);
    else view.panBy(-event.deltaX, -event.deltaY);
  }, { passive: false });

  holder.addEventListener("keydown", (event) => pressed(canvas, event));
  holder.addEventListener("keyup", ({ key }) => key === " " && delete holder.dataset.pan);
}

const isHandle = (target, { handles, boxes }) => [handles, boxes.handles].some((one) => target === one || target.getParent() === one);

function touches({ touches: list = [] }, holder) {
  const area = holder.getBoundingClientRect();
  return [...list].map(({ clientX, clientY }) => ({ x: clientX - area.left, y: clientY - area.top }));
}

const between = ([one, other]) => ({
  x: (one.x + other.x) / 2, y: (one.y + other.y) / 2,
  length: Math.max(1, Math.hypot(other.x - one.x, other.y - one.y)),
  angle: (Math.atan2(other.y - one.y, other.x - one.x) * 180) / Math.PI,
});

/** Two fingers on the selected layer move, scale and turn it; elsewhere they zoom the view. */
function beginPinch(canvas, fingers) {
  const { view, store } = canvas;
  const { layer } = store;
  const start = between(fingers);
  const touched = layer && !layer.locked && [...fingers, start].some((finger) => isWithin(layer, view.toPaper(finger)));
  if (!touched) {
    let last = start;
    return {
      move: (now) => {
        const next = between(now);
        view.panBy(next.x - last.x, next.y - last.y);
        view.zoomBy(next.length / last.length, next);
        last = next;
      },
      end: () => {},
    };
  }
  const [before, from] = [store.doc, view.toPaper(start)];
  return {
    move: (now) => {
      const next = between(now);
      const to = view.toPaper(next);
      const step = new DOMMatrix().translate(to.x, to.y).rotate(next.angle - start.angle).scale(next.length / start.length).translate(-from.x, -from.y);
      const placement = fromMatrix(step.multiply(toMatrix(layer.placement)));
      if (fits(placement)) store.draft(placed(before, layer.id, placement, store.alone));
    },
    end: () => store.commit(`Transform ${layer.name}`, store.doc),
  };
}

function isWithin({ box: [left, top, right, bottom], placement }, point) {
  const { x, y } = toMatrix(placement).inverse().transformPoint(point);
  return x >= left && x <= right && y >= top && y <= bottom;
}

// ---- keys ---------------------------------------------------------------------------------------------------------

function pressed(canvas, event) {
  if (event.ctrlKey || event.metaKey) return;
  const { store, view, holder, boxes } = canvas;
  if (boxes.on && boxes.pressed(event)) return event.preventDefault();
  const always = {
    " ": () => { holder.dataset.pan = ""; },
    z: () => view.zoomBy(1.25), Z: () => view.zoomBy(0.8), 0: () => view.fit(),
    Escape: () => store.select(null),
    Enter: () => store.layer ?? store.select(topmost(store.doc)),
  };
  const act = (event.altKey ? stepping(store)[event.key] : null) ?? (event.altKey ? null : always[event.key] ?? changes(store, event)[event.key] ?? changes(store, event)[event.key.toLowerCase()]);
  if (!act) return;
  event.preventDefault();
  act();
}

/** Alt with an arrow goes to the layer above or below. */
function stepping(store) {
  const step = (by) => () => {
    const { layers } = store.doc;
    const at = layers.findIndex(({ id }) => id === store.selected);
    const next = layers[at < 0 ? layers.length - 1 : Math.min(layers.length - 1, Math.max(0, at + by))];
    if (!next) return;
    store.select(next.id);
    say(`${next.name} selected`);
  };
  return { ArrowUp: step(1), ArrowDown: step(-1) };
}

function changes(store, { shiftKey }) {
  if (!store.layer) return {};
  const far = shiftKey ? 10 : 1;
  const move = (x, y) => () => transform(store, "move", { x: x * far, y: y * far }, "arrows");
  const scale = (by) => () => transform(store, "scale", { by }, "scale");
  const turn = (degrees) => () => transform(store, "turn", { degrees }, "turn");
  return {
    ArrowLeft: move(-1, 0), ArrowRight: move(1, 0), ArrowUp: move(0, -1), ArrowDown: move(0, 1),
    "+": scale(1.05), "=": scale(1.05), "-": scale(1 / 1.05), "[": turn(-5), "]": turn(5),
    f: () => transform(store, "flip", { vertical: shiftKey }),
    h: () => toggle(store, "visible", ["Hide", "Show"]), l: () => toggle(store, "locked", ["Unlock", "Lock"]),
    PageUp: () => raise(store, 1), PageDown: () => raise(store, -1), Delete: () => remove(store), Backspace: () => remove(store),
  };
}

const NAMES = { move: "Move", scale: "Scale", turn: "Turn", flip: "Flip" };

/** Move, scale, turn or flip the selected layer, unless it is locked. */
export function transform(store, kind, how, joined = null) {
  const { doc, layer, alone } = store;
  if (layer.locked) return say(`${layer.name} is locked`);
  store.commit(`${NAMES[kind]} ${layer.name}`, transformed(doc, layer.id, kind, how, alone), joined && `${joined} ${layer.id}`);
  say(places(store.doc, store.layer, alone));
}

/** Turn a yes-or-no field of a layer over. */
export function toggle(store, field, [off, on], layer = store.layer) {
  store.commit(`${layer[field] ? off : on} ${layer.name}`, patched(store.doc, layer.id, { [field]: !layer[field] }));
  say(`${layer.name} ${layer[field] ? off : on}`.replace(/(\w+)e?$/, (word) => word.toLowerCase()));
}

export function raise(store, by) {
  const { doc, layer } = store;
  const to = doc.layers.indexOf(layer) + by;
  if (to < 0 || to >= doc.layers.length) return;
  store.commit(`${by > 0 ? "Raise" : "Lower"} ${layer.name}`, restacked(doc, layer.id, to));
  say(`${layer.name} is layer ${to + 1} of ${doc.layers.length} from below`);
}

export function remove(store) {
  const { doc, layer } = store;
  store.commit(`Delete ${layer.name}`, without(doc, layer.id));
  say(`${layer.name} deleted`);
}
