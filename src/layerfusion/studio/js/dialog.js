// The one dialog of the page, and what can stand in it.

import { byId, h, iconButton } from "./dom.js";

/** Show a dialog with a heading. Returns a promise of its end. */
export function open(title, ...body) {
  const dialog = byId("dialog");
  if (dialog.open) dialog.close();
  dialog.replaceChildren(
    h("div.head", {}, h("h2", { id: "dialog-title" }, title), iconButton("close", "Close", () => dialog.close())),
    h("div.body", { tabIndex: 0 }, ...body),
  );
  dialog.showModal();
  dialog.querySelector("[autofocus]")?.focus();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

export const close = () => byId("dialog").close();

/** Ask for the token of the service. Gives null where none is told. */
export async function askForToken(wrong) {
  let told = null;
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, autofocus: true });
  const tell = (event) => {
    event.preventDefault();
    told = field.value.trim();
    close();
  };
  const why = wrong ? "That was not the token; try again." : "Whoever runs this service has it. This browser keeps it.";
  const go = h("button.primary.large", { type: "submit" }, "Open the studio");
  await open("The service asks for its token", h("form.token", { onsubmit: tell }, h("label", { htmlFor: "token" }, "Token"), field, h("p.soft", {}, why), go));
  return told;
}

const KEYS = [
  ["On the picture", [
    ["Move the layer by 1, by 10", "Arrows", "Shift+Arrows"], ["Scale", "+", "−"], ["Turn", "[", "]"],
    ["Flip, upside down", "F", "Shift+F"], ["Raise, lower", "Page Up", "Page Down"], ["Hide, lock", "H", "L"], ["Delete", "Del"],
    ["Layer above, below", "Alt+↑", "Alt+↓"], ["Select none", "Esc"], ["Zoom in, out", "Z", "Shift+Z"], ["Fit to the window", "0"],
    ["Pan", "Space+Drag"],
  ]],
  ["Anywhere", [
    ["Generate", "Ctrl+Enter"], ["Reroll", "Ctrl+Shift+Enter"], ["Undo", "Ctrl+Z"], ["Redo", "Ctrl+Shift+Z"],
    ["Download", "Ctrl+S"], ["Before and after", "B"], ["This list", "?"],
  ]],
  ["In the list of layers", [["Go through it", "↑", "↓"], ["Reorder", "Alt+↑", "Alt+↓"], ["Rename", "F2"], ["Delete", "Del"]]],
];

export function showKeys() {
  const chord = (keys) => keys.split("+").flatMap((key, i) => [i && key ? " " : "", h("kbd", {}, key || "+")]);
  const groups = KEYS.map(([title, rows]) =>
    h("section", {}, h("h3", {}, title), h("dl", {}, rows.map(([what, ...keys]) => [
      h("dt", {}, what),
      h("dd", {}, keys.flatMap((key, i) => [i ? ", " : "", ...(key === "+" ? [h("kbd", {}, "+")] : chord(key))])),
    ]))));
  return open("Keyboard shortcuts", h("div.keys", {}, groups));
}
