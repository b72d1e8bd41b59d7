// The page round the picture: theme, panels, keys that work anywhere, and files that are dropped.

import { byId } from "./dom.js";

const THEME = "layerfusion-theme";

export function build(acts) {
  theme(acts.repaint);
  panels(acts.showHistory);
  keys(acts);
  files(acts.picture);
  document.querySelectorAll('input[type="range"]').forEach((slider) => slider.addEventListener("input", () => fill(slider)));
}

const fill = (slider) => slider.style.setProperty("--full", `${((slider.value - slider.min) / (slider.max - slider.min)) * 100}%`);

function theme(repaint) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    document.documentElement.dataset.theme = localStorage.getItem(THEME) ?? (system.matches ? "dark" : "light");
    repaint();
  };
  system.onchange = apply;
  byId("theme").onclick = () => {
    const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    // What the system wants anyway is not written down, so that the page goes on following it.
    if ((other === "dark") === system.matches) localStorage.removeItem(THEME);
    else localStorage.setItem(THEME, other);
    apply();
  };
  apply();
}

/** On a wide screen, tabs; on a narrow one, three panels of which one is seen. */
function panels(showHistory) {
  const tabs = [byId("tab-layers"), byId("tab-history")];
  const choose = (name) => {
    for (const tab of tabs) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    showHistory();
  };
  tabs.forEach((tab, i) => {
    tab.onclick = () => choose(tab.id.slice(4));
    tab.onkeydown = ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      tabs[1 - i].focus();
      tabs[1 - i].click();
    };
  });
  const buttons = document.querySelectorAll("body > nav button");
  buttons.forEach((button) => {
    button.onclick = () => {
      const { panel } = button.dataset;
      document.querySelector("main").dataset.panel = panel;
      buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      if (panel !== "compose") choose(panel);
    };
  });
}

const typing = (target) => target.closest("input:not([type=range], [type=radio], [type=checkbox]), textarea, select") !== null;

function keys(acts) {
  document.addEventListener("keydown", (event) => {
    if (byId("dialog").open) return;
    const { key, shiftKey, target } = event;
    const chord = event.ctrlKey || event.metaKey;
    const chords = {
      z: typing(target) ? null : shiftKey ? acts.redo : acts.undo, y: typing(target) ? null : acts.redo,
      s: acts.download, enter: shiftKey ? acts.reroll : () => acts.generate({}),
    };
    const plain = { "?": acts.help, b: acts.compare };
    const act = chord ? chords[key.toLowerCase()] : typing(target) || event.altKey ? null : plain[key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** Ask for a picture file. */
export function chooseFile(use) {
  byId("file").onchange = ({ target }) => {
    if (target.files.length) use(target.files[0]);
    target.value = "";
  };
  byId("file").click();
}

function files(picture) {
  byId("add").onclick = () => chooseFile(picture);
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    byId("drop").hidden = false;
  });
  document.addEventListener("dragleave", (event) => { byId("drop").hidden ||= event.relatedTarget === null; });
  document.addEventListener("drop", (event) => {
    byId("drop").hidden = true;
    if (!carries(event)) return;
    event.preventDefault();
    for (const file of event.dataTransfer.files) picture(file);
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    const file = [...clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) picture(file);
  });
}
