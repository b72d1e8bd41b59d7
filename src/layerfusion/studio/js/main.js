// Where the parts of the page are put together.

import * as api from "./api.js";
import { isStale } from "./blend.js";
import { Canvas } from "./canvas.js";
import * as compare from "./compare.js";
import * as compose from "./compose.js";
import * as details from "./details.js";
import * as dialog from "./dialog.js";
import { byId, h, icon } from "./dom.js";
import * as empty from "./empty.js";
import * as exports from "./exports.js";
import { listen } from "./hands.js";
import * as layers from "./layers.js";
import { ready } from "./pictures.js";
import * as priors from "./priors.js";
import { Runner } from "./runner.js";
import { complain, say } from "./say.js";
import * as shell from "./shell.js";
import * as steps from "./steps.js";
import { Store } from "./store.js";
import * as takes from "./takes.js";
import { View } from "./view.js";
import { Work, picturesOf } from "./work.js";
import * as works from "./works.js";

const store = new Store();
const work = new Work(store);
const view = new View();
const canvas = new Canvas(store, view);
const runner = new Runner(store, work);
const generate = (changes) => runner.generate(changes);

function show(what) {
  if (what !== "draft" && what !== "loaded") load();
  const { layers: shown, form } = store.doc;
  const blank = !shown.length && !runner.busy && !canvas.boxes.on && !form.subjects.some(({ box }) => box);
  document.body.classList.toggle("blank", blank);
  document.body.classList.toggle("bare", !shown.length);
  byId("empty").hidden = !blank;
  byId("download").disabled = byId("compare").disabled = !shown.length;
  details.show(store);
  if (what === "draft") return;
  compose.show(store);
  layers.show(store);
  steps.show(store);
  takes.show(store, work);
  priors.refresh(store, work);
  if (what !== "select") compare.refresh(store);
  canvas.frames(!compare.isOn() && !runner.busy && !canvas.boxes.on);
  offerBlend();
}

/** Going far back may need pictures that wait in the vault. */
async function load() {
  const more = await ready(work.id, picturesOf(store.doc)).catch(complain);
  if (more) store.dispatchEvent(new CustomEvent("change", { detail: "loaded" }));
}

/** Where a subject lies elsewhere than it was lit for, blending again is one press away. */
function offerBlend() {
  const stale = isStale(store.doc);
  byId("blend").disabled = !stale || runner.busy;
  if (runner.busy || canvas.boxes.on) return;
  const pill = byId("pill");
  pill.hidden = !stale || compare.isOn();
  if (pill.hidden || pill.querySelector("[data-act=blend]")) return;
  delete pill.dataset.text;
  pill.replaceChildren(h("span", {}, "The subject has moved"), h("button.primary", { type: "button", "data-act": "blend", onclick: () => runner.blend() }, icon("spark"), "Blend again"));
}

function listenToPage() {
  store.addEventListener("change", ({ detail }) => show(detail));
  view.addEventListener("change", () => { byId("zoom").textContent = `${Math.round(view.zoom * 100)} %`; });
  byId("undo").onclick = () => undo();
  byId("redo").onclick = () => redo();
  byId("zoom").onclick = () => view.fit();
  byId("zoom-in").onclick = () => view.zoomBy(1.25);
  byId("zoom-out").onclick = () => view.zoomBy(0.8);
  byId("blend").onclick = () => runner.blend();
  byId("compare").onclick = toggleCompare;
  byId("priors").onclick = () => priors.toggle(store, work);
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
    showHistory: () => steps.show(store),
    repaint: () => canvas.paint(),
    picture: (file) => works.addPicture(store, work, file),
  });
}

function toggleCompare() {
  compare.toggle(store);
  show("select");
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
  api.onLocked(dialog.askForToken);
  details.build(store);
  compose.build(store, generate, (use) => shell.chooseFile((file) => works.takePicture(work, file, use)), (id) => canvas.boxes.begin(id));
  listen(canvas);
  listenToPage();
  await work.resume();
  canvas.resize();
  document.body.dataset.ready = "";
  const model = await api.describeModel();
  compose.know(model, store);
  canvas.fallback = model.size;
  store.dispatchEvent(new CustomEvent("change", { detail: "idle" }));
  canvas.resize();
  empty.build(store, generate, model.ideas);
  document.body.dataset.connected = "";
  await runner.resume();
}

start().catch(complain);
