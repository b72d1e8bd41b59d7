// What a hand does: pointers, wheel, keys, the panel's fields.

// ---- changing -----------------------------------------------------------------------------------------------------

function move(placement) {
  place(selected, placement);
  draw();
  showDetails();
  sayPlace(selected);
}

function change(part, kind = null) {
  if (!selected || selected.locked) return;
  const wanted = { ...changeOf(selected), ...part };
  if (kind !== "pointer") remember(kind);
  move(placementFor(selected, { ...wanted, scale: Math.min(LARGEST, Math.max(SMALLEST, wanted.scale)) }));
}

// ---- pointer and wheel --------------------------------------------------------------------------------------------

function follow(target, event, step) {
  event.preventDefault();
  target.setPointerCapture(event.pointerId);
  const start = { point: toCanvas(event), change: changeOf(selected) };
  let begun = false;
  target.onpointermove = (next) => {
    if (next.pointerId !== event.pointerId || !selected || selected.locked) return;
    if (!begun) remember();
    begun = true;
    change(step(start, toCanvas(next), next), "pointer");
  };
  target.onpointerup = target.onpointercancel = () => {
    target.onpointermove = target.onpointerup = target.onpointercancel = null;
    canvas.classList.remove("grabbing");
  };
}

const fingers = new Map();

// Two fingers move, scale and turn at once, about the point between them.
function pinch() {
  const ids = [...fingers.keys()];
  const between = () => {
    const [one, other] = ids.map((id) => fingers.get(id));
    const apart = { x: other.x - one.x, y: other.y - one.y };
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, length: Math.max(1, Math.hypot(apart.x, apart.y)), angle: Math.atan2(apart.y, apart.x) * 180 / Math.PI };
  };
  const [start, placement, { scale: before }] = [between(), selected.placement, changeOf(selected)];
  remember();
  canvas.onpointermove = (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, toCanvas(event));
    const now = between();
    const scale = Math.min(LARGEST / before, Math.max(SMALLEST / before, now.length / start.length));
    move(new DOMMatrix().translate(now.x, now.y).rotate(now.angle - start.angle).scale(scale).translate(-start.x, -start.y).multiply(placement));
  };
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  fingers.set(event.pointerId, toCanvas(event));
  canvas.focus();
  if (fingers.size === 2 && selected && !selected.locked) {
    canvas.setPointerCapture(event.pointerId);
    pinch();
    return;
  }
  if (fingers.size > 1) return;
  select(layerAt(toCanvas(event)));
  show();
  if (!selected) return;
  canvas.classList.add("grabbing");
  follow(canvas, event, (start, point) => ({
    x: start.change.x + Math.round(point.x - start.point.x), y: start.change.y + Math.round(point.y - start.point.y),
  }));
});

for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  canvas.addEventListener(end, (event) => {
    if (fingers.delete(event.pointerId) && fingers.size) canvas.onpointermove = null;
  });
}

canvas.addEventListener("pointermove", (event) => {
  if (event.buttons === 0) canvas.classList.toggle("grab", layerAt(toCanvas(event)) !== null);
});

document.querySelectorAll("[data-corner]").forEach((handle) => handle.addEventListener("pointerdown", (event) => {
  const centre = middle(selected);
  const reach = (point) => Math.max(1, Math.hypot(point.x - centre.x, point.y - centre.y));
  follow(handle, event, (start, point) => ({ scale: start.change.scale * reach(point) / reach(start.point) }));
}));

byId("turn").addEventListener("pointerdown", (event) => {
  const centre = middle(selected);
  const angle = (point) => Math.atan2(point.y - centre.y, point.x - centre.x) * 180 / Math.PI;
  follow(byId("turn"), event, (start, point, { shiftKey }) => {
    const degrees = start.change.degrees + angle(point) - angle(start.point);
    return { degrees: shiftKey ? Math.round(degrees / 15) * 15 : degrees };
  });
});

canvas.addEventListener("wheel", (event) => {
  if (!selected || selected.locked) return;
  event.preventDefault();
  change({ scale: changeOf(selected).scale * Math.exp(-event.deltaY * 0.001) }, "wheel");
}, { passive: false });

// ---- keyboard and panel -------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("input[type=number]")) return;
  const act = { z: event.shiftKey ? redo : undo, y: redo }[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

canvas.addEventListener("keydown", (event) => {
  if (!selected || event.ctrlKey || event.metaKey || event.altKey) return;
  const far = event.shiftKey ? 10 : 1;
  const now = changeOf(selected);
  const keys = {
    ArrowLeft: () => change({ x: now.x - far }, "arrows"), ArrowRight: () => change({ x: now.x + far }, "arrows"),
    ArrowUp: () => change({ y: now.y - far }, "arrows"), ArrowDown: () => change({ y: now.y + far }, "arrows"),
    "+": () => change({ scale: now.scale * 1.05 }, "scale"), "=": () => change({ scale: now.scale * 1.05 }, "scale"),
    "-": () => change({ scale: now.scale / 1.05 }, "scale"),
    "[": () => change({ degrees: now.degrees - 5 }, "turn"), "]": () => change({ degrees: now.degrees + 5 }, "turn"),
    f: () => change({ flipped: !now.flipped }), h: () => { remember(); selected.visible = !selected.visible; show(); },
    Escape: () => { select(null); show(); },
  };
  const act = keys[event.key] ?? keys[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

byId("opacity").oninput = (event) => { remember(`opacity of ${selected.name}`); selected.opacity = event.target.value / 100; show(); };
byId("blend").onchange = (event) => { remember(); selected.blend = event.target.value; show(); };
for (const [id, unit] of [["x", 1], ["y", 1], ["scale", 100], ["degrees", 1]]) {
  byId(id).oninput = (event) => { if (Number.isFinite(event.target.valueAsNumber)) change({ [id]: event.target.valueAsNumber / unit }, `field ${id}`); };
  byId(id).onblur = () => { lastKind = null; showDetails(); };
}
byId("flip").onclick = () => change({ flipped: !changeOf(selected).flipped });
byId("details").onsubmit = (event) => event.preventDefault();
byId("undo").onclick = undo;
byId("redo").onclick = redo;

function reorder(step) {
  remember();
  const at = layers.indexOf(selected);
  [layers[at], layers[at + step]] = [layers[at + step], layers[at]];
  show();
  say(`${selected.name} is layer ${layers.indexOf(selected) + 1} of ${layers.length} from below`);
}
byId("raise").onclick = () => reorder(1);
byId("lower").onclick = () => reorder(-1);

byId("theme").onclick = () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};
