// Where the parts of the page are put together.

import * as api from "./api.js";
import { Canvas } from "./canvas.js";
import * as compare from "./compare.js";
import * as compose from "./compose.js";
import * as details from "./details.js";
import * as dialog from "./dialog.js";
import { byId } from "./dom.js";
import * as empty from "./empty.js";
import * as exports from "./exports.js";
import { listen } from "./hands.js";
import * as layers from "./layers.js";
import { Runner } from "./runner.js";
import { complain, say } from "./say.js";
import * as shell from "./shell.js";
import * as steps from "./steps.js";
import { Store } from "./store.js";
import * as takes from "./takes.js";
import { View } from "./view.js";
import { Work } from "./work.js";
import * as works from "./works.js";

const store = new Store();
const work = new Work(store);
const view = new View();
const canvas = new Canvas(store, view);
const runner = new Runner(store, work);
const generate = (changes) => runner.generate(changes);

function show(what) {
  const blank = !store.doc.layers.length && !runner.busy;
  document.body.classList.toggle("blank", blank);
  byId("empty").hidden = !blank;
  byId("download").disabled = byId("compare").disabled = !store.doc.layers.length;
  details.show(store);
  if (what === "draft") return;
  compose.show(store);
  layers.show(store);
  steps.show(store);
  takes.show(store, work);
  if (what !== "select") compare.refresh(store);
  canvas.frames(!compare.isOn() && !runner.busy);
}

function listenToPage() {
  store.addEventListener("change", ({ detail }) => show(detail));
  view.addEventListener("change", () => { byId("zoom").textContent = `${Math.round(view.zoom * 100)} %`; });
  byId("undo").onclick = () => undo();
  byId("redo").onclick = () => redo();
  byId("zoom").onclick = () => view.fit();
  byId("zoom-in").onclick = () => view.zoomBy(1.25);
  byId("zoom-out").onclick = () => view.zoomBy(0.8);
  byId("compare").onclick = toggleCompare;
  byId("download").onclick = () => exports.choose(store, work);
  byId("help").onclick = () => dialog.showKeys();
  byId("works").onclick = () => works.choose(work, runner);
  byId("title").oninput = ({ target }) => { work.title = target.value; work.save(); };
  shell.build({
    undo, redo, generate,
    reroll: () => generate({ seed: null }),
    download: () => byId("download").disabled || exports.choose(store, work),
    compare: toggleCompare,
    help: () => dialog.showKeys(),
    repaint: () => canvas.paint(),
    picture: (file) => works.addPicture(store, work, file),
  });
}

function toggleCompare() {
  compare.toggle(store);
  canvas.frames(!compare.isOn());
}

function undo() {
  const { label } = store.history[store.cursor];
  if (store.cursor) say(`Undone: ${label}`);
  store.undo();
}

function redo() {
  store.redo();
  say(`Done again: ${store.history[store.cursor].label}`);
}

async function start() {
  details.build(store);
  compose.build(store, generate);
  listen(canvas);
  listenToPage();
  await work.resume();
  canvas.resize();
  document.body.dataset.ready = "";
  const model = await shell.withToken(() => api.describeModel());
  compose.know(model, store);
  canvas.fallback = model.size;
  canvas.sync();
  canvas.resize();
  empty.build(store, generate, model.ideas);
  compose.show(store);
  document.body.dataset.connected = "";
  await runner.resume();
}

start().catch(complain);
