"use strict";
// One layer is drawn with its placement from the file, followed by the reader's change: flip, scale and turn about the
// middle of its visible pixels, then a move. Compositing is the browser's own, by the same W3C formulas.

const byId = (id) => document.getElementById(id);
const stack = JSON.parse(byId("stack").textContent);
const canvas = byId("canvas");
const brush = canvas.getContext("2d");
const OPERATIONS = { normal: "source-over", multiply: "multiply", screen: "screen", overlay: "overlay" };
const UNCHANGED = { x: 0, y: 0, scale: 1, degrees: 0, flipped: false };
let layers = [];
let selected = null;

function load(entry) {
  const [a, b, c, d, e, f] = entry.placement;
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onerror = reject;
    image.onload = () => resolve({
      image, name: entry.name, size: entry.size, box: entry.box,
      base: new DOMMatrix([a, d, b, e, c, f]),
      first: { opacity: entry.opacity, visible: entry.visible, blend: entry.blend, locked: entry.opaque && coversCanvas(entry) },
    });
    image.src = entry.src;
  });
}

function coversCanvas(entry) {
  const [a, b, c, d, e, f] = entry.placement;
  return b === 0 && d === 0 && c <= 0 && f <= 0 && c + a * entry.size[0] >= stack.width && f + e * entry.size[1] >= stack.height;
}

// ---- geometry -----------------------------------------------------------------------------------------------------

function centre(layer) {
  const [left, top, right, bottom] = layer.box;
  return layer.base.transformPoint({ x: (left + right) / 2, y: (top + bottom) / 2 });
}

function matrix(layer) {
  const middle = centre(layer);
  const { x, y, scale, degrees, flipped } = layer.change;
  return new DOMMatrix()
    .translate(middle.x + x, middle.y + y).rotate(degrees).scale(flipped ? -scale : scale, scale)
    .translate(-middle.x, -middle.y).multiply(layer.base);
}

function corners(layer) {
  const [left, top, right, bottom] = layer.box;
  const placed = matrix(layer);
  return [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => placed.transformPoint({ x, y }));
}

function toCanvas(event) {
  const area = canvas.getBoundingClientRect();
  return { x: (event.clientX - area.left) * stack.width / area.width, y: (event.clientY - area.top) * stack.height / area.height };
}

const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

function isHit(layer, point) {
  probe.setTransform(1, 0, 0, 1, 0, 0);
  probe.clearRect(0, 0, 1, 1);
  probe.setTransform(new DOMMatrix().translate(0.5 - point.x, 0.5 - point.y).multiply(matrix(layer)));
  probe.drawImage(layer.image, 0, 0);
  return probe.getImageData(0, 0, 1, 1).data[3] > 12;
}

const layerAt = (point) => [...layers].reverse().find((layer) => layer.visible && !layer.locked && isHit(layer, point)) ?? null;

// ---- drawing ------------------------------------------------------------------------------------------------------

function draw() {
  brush.setTransform(1, 0, 0, 1, 0, 0);
  brush.globalAlpha = 1;
  brush.globalCompositeOperation = "source-over";
  brush.clearRect(0, 0, stack.width, stack.height);
  brush.imageSmoothingQuality = "high";
  for (const layer of layers.filter((one) => one.visible)) {
    brush.globalAlpha = layer.opacity;
    brush.globalCompositeOperation = OPERATIONS[layer.blend];
    brush.setTransform(matrix(layer));
    brush.drawImage(layer.image, 0, 0);
  }
  drawFrame();
}

function drawFrame() {
  byId("frame").toggleAttribute("hidden", !selected);
  if (!selected) return;
  byId("frame").classList.toggle("locked", selected.locked);
  const zoom = canvas.clientWidth / stack.width;
  const points = corners(selected).map((p) => ({ x: p.x * zoom, y: p.y * zoom }));
  byId("outline").setAttribute("points", points.map((p) => `${p.x},${p.y}`).join(" "));
  document.querySelectorAll("[data-corner]").forEach((handle, i) => {
    handle.setAttribute("x", points[i].x - 5.5);
    handle.setAttribute("y", points[i].y - 5.5);
  });
  const top = { x: (points[0].x + points[1].x) / 2, y: (points[0].y + points[1].y) / 2 };
  const away = Math.hypot(points[0].x - points[3].x, points[0].y - points[3].y) || 1;
  const knob = { x: top.x + (points[0].x - points[3].x) / away * 26, y: top.y + (points[0].y - points[3].y) / away * 26 };
  Object.entries({ x1: top.x, y1: top.y, x2: knob.x, y2: knob.y }).forEach(([k, v]) => byId("stem").setAttribute(k, v));
  byId("turn").setAttribute("cx", knob.x);
  byId("turn").setAttribute("cy", knob.y);
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", `#i-${name}`);
  return svg;
}

function toggle(layer, field, names, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "icon";
  button.title = label;
  button.setAttribute("aria-label", `${label}: ${layer.name}`);
  button.setAttribute("aria-pressed", layer[field]);
  button.dataset.field = field;
  button.append(icon(names[layer[field] ? 0 : 1]));
  button.onclick = () => { layer[field] = !layer[field]; show(); };
  return button;
}

function thumbnail(layer) {
  const small = document.createElement("canvas");
  small.width = small.height = 88;
  const [left, top, right, bottom] = layer.box;
  const scale = 88 / Math.max(right - left, bottom - top);
  const [w, h] = [(right - left) * scale, (bottom - top) * scale];
  small.getContext("2d").drawImage(layer.image, left, top, right - left, bottom - top, (88 - w) / 2, (88 - h) / 2, w, h);
  return small;
}

function row(layer) {
  const item = document.createElement("li");
  item.classList.toggle("selected", layer === selected);
  item.classList.toggle("off", !layer.visible);
  const pick = document.createElement("button");
  pick.type = "button";
  pick.className = "pick";
  pick.dataset.name = layer.name;
  pick.setAttribute("aria-pressed", layer === selected);
  const text = document.createElement("span");
  text.textContent = layer.name;
  const about = document.createElement("small");
  about.textContent = `${layer.blend}, ${Math.round(layer.opacity * 100)} %`;
  text.append(about);
  pick.append(layer.thumb ??= thumbnail(layer), text);
  pick.onclick = () => { selected = layer; show(); };
  item.append(toggle(layer, "visible", ["eye", "hidden"], "Show"), pick, toggle(layer, "locked", ["lock", "open"], "Lock"));
  return item;
}

function showPanel() {
  const focused = document.activeElement?.closest("#layers button");
  const place = focused && [...document.querySelectorAll("#layers button")].indexOf(focused);
  byId("layers").replaceChildren(...[...layers].reverse().map(row));
  if (focused) document.querySelectorAll("#layers button")[place]?.focus();
  showDetails();
}

function showDetails() {
  byId("details").querySelectorAll("input, select, button").forEach((field) => { field.disabled = !selected; });
  if (!selected) return;
  const { change } = selected;
  byId("opacity").value = Math.round(selected.opacity * 100);
  byId("percent").value = `${Math.round(selected.opacity * 100)} %`;
  byId("blend").value = selected.blend;
  const numbers = { x: change.x, y: change.y, scale: change.scale * 100, degrees: change.degrees };
  for (const [id, value] of Object.entries(numbers)) {
    if (document.activeElement !== byId(id)) byId(id).value = Math.round(value * 10) / 10;
  }
  document.querySelectorAll(".grid input, #flip").forEach((field) => { field.disabled = selected.locked; });
  byId("raise").disabled = selected === layers.at(-1);
  byId("lower").disabled = selected === layers[0];
}

function show() {
  draw();
  showPanel();
}

function change(part) {
  if (!selected || selected.locked) return;
  Object.assign(selected.change, part);
  selected.change.scale = Math.min(10, Math.max(0.01, selected.change.scale));
  draw();
  showDetails();
}

// ---- pointer and wheel --------------------------------------------------------------------------------------------

function follow(target, event, step) {
  event.preventDefault();
  target.setPointerCapture(event.pointerId);
  const start = { point: toCanvas(event), change: { ...selected.change } };
  target.onpointermove = (next) => change(step(start, toCanvas(next), next));
  target.onpointerup = target.onpointercancel = () => {
    target.onpointermove = target.onpointerup = target.onpointercancel = null;
    canvas.classList.remove("grabbing");
  };
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  selected = layerAt(toCanvas(event));
  show();
  canvas.focus();
  if (!selected) return;
  canvas.classList.add("grabbing");
  follow(canvas, event, (start, point) => ({
    x: start.change.x + Math.round(point.x - start.point.x), y: start.change.y + Math.round(point.y - start.point.y),
  }));
});

canvas.addEventListener("pointermove", (event) => {
  if (event.buttons === 0) canvas.classList.toggle("grab", layerAt(toCanvas(event)) !== null);
});

function middleNow() {
  const at = centre(selected);
  return { x: at.x + selected.change.x, y: at.y + selected.change.y };
}

document.querySelectorAll("[data-corner]").forEach((handle) => handle.addEventListener("pointerdown", (event) => {
  const middle = middleNow();
  const reach = (point) => Math.max(1, Math.hypot(point.x - middle.x, point.y - middle.y));
  follow(handle, event, (start, point) => ({ scale: start.change.scale * reach(point) / reach(start.point) }));
}));

byId("turn").addEventListener("pointerdown", (event) => {
  const middle = middleNow();
  const angle = (point) => Math.atan2(point.y - middle.y, point.x - middle.x) * 180 / Math.PI;
  follow(byId("turn"), event, (start, point, { shiftKey }) => {
    const degrees = start.change.degrees + angle(point) - angle(start.point);
    return { degrees: shiftKey ? Math.round(degrees / 15) * 15 : degrees };
  });
});

canvas.addEventListener("wheel", (event) => {
  if (!selected) return;
  event.preventDefault();
  change({ scale: selected.change.scale * Math.exp(-event.deltaY * 0.001) });
}, { passive: false });

// ---- keyboard and panel -------------------------------------------------------------------------------------------

canvas.addEventListener("keydown", (event) => {
  if (!selected || event.ctrlKey || event.metaKey || event.altKey) return;
  const far = event.shiftKey ? 10 : 1;
  const now = selected.change;
  const keys = {
    ArrowLeft: () => change({ x: now.x - far }), ArrowRight: () => change({ x: now.x + far }),
    ArrowUp: () => change({ y: now.y - far }), ArrowDown: () => change({ y: now.y + far }),
    "+": () => change({ scale: now.scale * 1.05 }), "=": () => change({ scale: now.scale * 1.05 }),
    "-": () => change({ scale: now.scale / 1.05 }),
    "[": () => change({ degrees: now.degrees - 5 }), "]": () => change({ degrees: now.degrees + 5 }),
    f: () => change({ flipped: !now.flipped }), h: () => { selected.visible = !selected.visible; show(); },
    Escape: () => { selected = null; show(); },
  };
  const act = keys[event.key] ?? keys[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

byId("opacity").oninput = (event) => { selected.opacity = event.target.value / 100; show(); };
byId("blend").onchange = (event) => { selected.blend = event.target.value; show(); };
for (const [id, unit] of [["x", 1], ["y", 1], ["scale", 100], ["degrees", 1]]) {
  byId(id).oninput = (event) => { if (Number.isFinite(event.target.valueAsNumber)) change({ [id]: event.target.valueAsNumber / unit }); };
}
byId("flip").onclick = () => change({ flipped: !selected.change.flipped });
byId("details").onsubmit = (event) => event.preventDefault();

function reorder(step) {
  const at = layers.indexOf(selected);
  [layers[at], layers[at + step]] = [layers[at + step], layers[at]];
  show();
}
byId("raise").onclick = () => reorder(1);
byId("lower").onclick = () => reorder(-1);

byId("theme").onclick = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};

byId("save").onclick = () => canvas.toBlob((blob) => {
  const link = document.createElement("a");
  link.download = "layers.png";
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  byId("status").textContent = "Saved as layers.png";
});

// ---- start --------------------------------------------------------------------------------------------------------

function fit() {
  const stage = byId("stage");
  const style = getComputedStyle(stage);
  const width = stage.clientWidth - parseFloat(style.paddingLeft) * 2;
  const height = Math.max(stage.clientHeight - parseFloat(style.paddingTop) * 2, innerWidth <= 760 ? innerHeight * 0.5 : 0);
  // A small picture is shown at up to four times its size, so that it can be handled.
  const zoom = Math.min(width / stack.width, height / stack.height, 4);
  canvas.style.width = `${stack.width * zoom}px`;
  canvas.style.height = `${stack.height * zoom}px`;
  drawFrame();
}

async function start() {
  canvas.width = stack.width;
  canvas.height = stack.height;
  canvas.setAttribute("aria-label", `Picture of ${stack.layers.map((layer) => layer.name).join(", ")}`);
  byId("size").textContent = `${stack.width} × ${stack.height}`;
  const loaded = await Promise.all(stack.layers.map(load));
  const begin = () => {
    layers = loaded.map((layer) => Object.assign(layer, layer.first, { change: { ...UNCHANGED } }));
    selected = layers.findLast((layer) => layer.visible && !layer.locked) ?? null;
    show();
  };
  byId("reset").onclick = begin;
  begin();
  new ResizeObserver(fit).observe(byId("stage"));
  fit();
  document.body.dataset.ready = "";
}
start();
