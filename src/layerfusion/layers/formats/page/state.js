"use strict";
// A layer's state is its placement, a matrix from its pixels to the canvas, beside opacity, visibility and blend mode.
// What is done to a placement is done to those of its group too. Compositing is the browser's own, by the same W3C
// formulas. Every change is kept for undoing; the page can save itself as it stands, and `layerfusion export` reads it.

const byId = (id) => document.getElementById(id);
const source = `<!doctype html>\n${document.documentElement.outerHTML}`; // before this script changes anything
const stack = JSON.parse(byId("stack").textContent);
const canvas = byId("canvas");
const brush = canvas.getContext("2d");
const OPERATIONS = { normal: "source-over", multiply: "multiply", screen: "screen", overlay: "overlay" };
const STATE = ["placement", "opacity", "visible", "blend", "locked"];
const [SMALLEST, LARGEST] = [0.01, 10]; // scale, against what the file has
const REACH = 60; // screen pixels that the handles keep from each other
let layers = [];
let selected = null;

function load(entry) {
  const [a, b, c, d, e, f] = entry.placement;
  const placement = new DOMMatrix([a, d, b, e, c, f]);
  const first = { placement, opacity: entry.opacity, visible: entry.visible, blend: entry.blend, locked: entry.opaque && coversCanvas(entry) };
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onerror = reject;
    image.onload = () => resolve({ image, entry, name: entry.name, group: entry.group, box: entry.box, first, ...first });
    image.src = entry.src;
  });
}

function coversCanvas(entry) {
  const [a, b, c, d, e, f] = entry.placement;
  return b === 0 && d === 0 && c <= 0 && f <= 0 && c + a * entry.size[0] >= stack.width && f + e * entry.size[1] >= stack.height;
}

// ---- geometry -----------------------------------------------------------------------------------------------------

function middle(layer, placement = layer.placement) {
  const [left, top, right, bottom] = layer.box;
  return placement.transformPoint({ x: (left + right) / 2, y: (top + bottom) / 2 });
}

// What has been done since the file: flip, then scale, then turn about the middle, then a move.
function changeOf(layer) {
  const { a, b, c, d } = layer.placement.multiply(layer.first.placement.inverse());
  const flipped = a * d - b * c < 0;
  const degrees = Math.atan2(flipped ? -b : b, flipped ? -a : a) * 180 / Math.PI;
  const [was, is] = [middle(layer, layer.first.placement), middle(layer)];
  return { x: is.x - was.x, y: is.y - was.y, scale: Math.sqrt(Math.abs(a * d - b * c)), degrees, flipped };
}

function placementFor(layer, { x, y, scale, degrees, flipped }) {
  const was = middle(layer, layer.first.placement);
  return new DOMMatrix()
    .translate(was.x + x, was.y + y).rotate(degrees).scale(flipped ? -scale : scale, scale)
    .translate(-was.x, -was.y).multiply(layer.first.placement);
}

const companions = (layer) => (layer.group && !byId("alone").checked ? layers.filter((one) => one.group === layer.group) : [layer]);

function place(layer, placement) {
  const step = placement.multiply(layer.placement.inverse());
  for (const one of companions(layer)) one.placement = one === layer ? placement : step.multiply(one.placement);
}

function corners(layer) {
  const [left, top, right, bottom] = layer.box;
  return [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => layer.placement.transformPoint({ x, y }));
}

function toCanvas(event) {
  const area = canvas.getBoundingClientRect();
  return { x: (event.clientX - area.left) * stack.width / area.width, y: (event.clientY - area.top) * stack.height / area.height };
}

const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

function isHit(layer, point) {
  probe.setTransform(1, 0, 0, 1, 0, 0);
  probe.clearRect(0, 0, 1, 1);
  probe.setTransform(new DOMMatrix().translate(0.5 - point.x, 0.5 - point.y).multiply(layer.placement));
  probe.drawImage(layer.image, 0, 0);
  return probe.getImageData(0, 0, 1, 1).data[3] > 12;
}

const layerAt = (point) => [...layers].reverse().find((layer) => layer.visible && !layer.locked && isHit(layer, point)) ?? null;

// ---- history ------------------------------------------------------------------------------------------------------

const past = [];
let future = [];
let lastKind = null;

const snapshot = () => layers.map((layer) => [layer, Object.fromEntries(STATE.map((key) => [key, layer[key]]))]);

function restore(states) {
  layers = states.map(([layer, state]) => Object.assign(layer, state));
  if (selected && !layers.includes(selected)) selected = null;
}

// Called before a change. Changes of one kind in a row, such as the steps of a slider, are undone together.
function remember(kind = null) {
  if (kind === null || kind !== lastKind) past.push(snapshot());
  lastKind = kind;
  future = [];
}

function travel(from, to, word) {
  if (!from.length) return;
  to.push(snapshot());
  restore(from.pop());
  lastKind = null;
  show();
  say(word);
}

function select(layer) {
  selected = layer;
  lastKind = null;
}

const undo = () => travel(past, future, "Undone");
const redo = () => travel(future, past, "Done again");

let speaking = 0;

// Said a little later, so that a drag is announced once, by where it ends.
function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => { byId("status").textContent = text; }, 400);
}

function sayPlace(layer) {
  const { x, y, scale, degrees, flipped } = changeOf(layer);
  const whole = (number) => Math.round(number);
  const words = [`${whole(x)} right, ${whole(y)} down`, `${whole(scale * 100)} %`, `turned ${whole(degrees)}°`];
  const along = companions(layer).length - 1;
  say(`${layer.name}: ${words.join(", ")}${flipped ? ", flipped" : ""}${along ? `; ${along} with it` : ""}`);
}
