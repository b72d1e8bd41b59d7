// What leaves the page, and how it starts.

function download(blob, name) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved as ${name}`);
}

function currentPage() {
  const entries = layers.map(({ entry, placement: { a, b, c, d, e, f }, opacity, visible, blend }) =>
    ({ ...entry, placement: [a, c, e, b, d, f], opacity, visible, blend }));
  const text = JSON.stringify({ ...stack, layers: entries }).replaceAll("<", "\\u003c");
  const mark = '<script type="application/json" id="stack">';
  const start = source.indexOf(mark) + mark.length;
  return source.slice(0, start) + text + source.slice(source.indexOf("<\/script>", start));
}

byId("save").onclick = () => canvas.toBlob((blob) => download(blob, "layers.png"));
byId("keep").onclick = () => download(new Blob([currentPage()], { type: "text/html" }), "layers.html");

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

function showFacts() {
  byId("about").hidden = !stack.facts.length;
  for (const [label, text] of stack.facts) {
    const [term, said] = ["dt", "dd"].map((tag) => document.createElement(tag));
    [term.textContent, said.textContent] = [label, text];
    byId("facts").append(term, said);
  }
}

async function start() {
  canvas.width = stack.width;
  canvas.height = stack.height;
  canvas.setAttribute("aria-label", `Picture of ${stack.layers.map((layer) => layer.name).join(", ")}`);
  byId("size").textContent = `${stack.width} × ${stack.height}`;
  showFacts();
  const loaded = await Promise.all(stack.layers.map(load));
  const begin = () => {
    layers = loaded.map((layer) => Object.assign(layer, layer.first));
    selected = layers.findLast((layer) => layer.visible && !layer.locked) ?? null;
    show();
  };
  byId("reset").onclick = () => { remember(); begin(); say("As in the file"); };
  begin();
  new ResizeObserver(fit).observe(byId("stage"));
  fit();
  document.body.dataset.ready = "";
}
start();
