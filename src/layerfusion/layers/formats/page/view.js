// What is seen: the picture, the frame around the selected layer, the panel.

function draw() {
  brush.setTransform(1, 0, 0, 1, 0, 0);
  brush.globalAlpha = 1;
  brush.globalCompositeOperation = "source-over";
  brush.clearRect(0, 0, stack.width, stack.height);
  brush.imageSmoothingQuality = "high";
  for (const layer of layers.filter((one) => one.visible)) {
    brush.globalAlpha = layer.opacity;
    brush.globalCompositeOperation = OPERATIONS[layer.blend];
    brush.setTransform(layer.placement);
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
  const centre = { x: (points[0].x + points[2].x) / 2, y: (points[0].y + points[2].y) / 2 };
  byId("outline").setAttribute("points", points.map((p) => `${p.x},${p.y}`).join(" "));
  // On a small layer the handles stand off its corners, so that a finger finds each of them.
  const half = Math.max(1, Math.hypot(points[0].x - centre.x, points[0].y - centre.y));
  const away = Math.max(1, REACH / Math.SQRT2 / half);
  const stand = (p, by = away) => ({ x: centre.x + (p.x - centre.x) * by, y: centre.y + (p.y - centre.y) * by });
  document.querySelectorAll("[data-corner]").forEach((handle, i) => {
    const { x, y } = stand(points[i]);
    handle.setAttribute("transform", `translate(${x} ${y})`);
  });
  const top = { x: (points[0].x + points[1].x) / 2, y: (points[0].y + points[1].y) / 2 };
  const rise = Math.max(1, Math.hypot(top.x - centre.x, top.y - centre.y));
  const knob = stand(top, Math.max(1, REACH / 2 / rise) + 44 / rise);
  Object.entries({ x1: top.x, y1: top.y, x2: knob.x, y2: knob.y }).forEach(([k, v]) => byId("stem").setAttribute(k, v));
  byId("turn").setAttribute("transform", `translate(${knob.x} ${knob.y})`);
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
  button.onclick = () => { remember(); layer[field] = !layer[field]; show(); };
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
  item.classList.toggle("grouped", Boolean(layer.group));
  const pick = document.createElement("button");
  pick.type = "button";
  pick.className = "pick";
  pick.dataset.name = layer.name;
  pick.setAttribute("aria-pressed", layer === selected);
  const text = document.createElement("span");
  text.textContent = layer.name;
  const about = document.createElement("small");
  const words = [layer.visible ? null : "hidden", layer.blend, layer.opacity < 1 ? `${Math.round(layer.opacity * 100)} %` : null];
  about.textContent = words.filter(Boolean).join(", ");
  text.append(about);
  pick.append(layer.thumb ??= thumbnail(layer), text);
  pick.onclick = () => { select(layer); show(); };
  item.append(toggle(layer, "visible", ["eye", "hidden"], "Show"), pick, toggle(layer, "locked", ["lock", "open"], "Lock"));
  return item;
}

function showPanel() {
  const focused = document.activeElement?.closest("#layers button");
  const at = focused && [...document.querySelectorAll("#layers button")].indexOf(focused);
  byId("layers").replaceChildren(...[...layers].reverse().map(row));
  if (focused) document.querySelectorAll("#layers button")[at]?.focus();
  showDetails();
}

function showDetails() {
  byId("undo").disabled = !past.length;
  byId("redo").disabled = !future.length;
  byId("details").querySelectorAll("input, select, button").forEach((field) => { field.disabled = !selected; });
  byId("together").hidden = !selected?.group;
  if (!selected) return;
  const change = changeOf(selected);
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
