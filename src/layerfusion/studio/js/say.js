// What the page says: to a screen reader, in the live regions, and to everyone, in toasts.

import { byId, h, icon, iconButton } from "./dom.js";

let speaking = 0;

/** Said a little later, so that a drag is announced once, by where it ends. */
export function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    byId("status").textContent = text;
  }, 300);
}

/**
 * A sentence in the corner. An error stays until it is closed, anything else goes by itself.
 * @param {{kind?: "error" | "note" | "done", action?: {label: string, run: () => void}}} [options]
 */
export function toast(text, { kind = "note", action = null } = {}) {
  const same = [...byId("toasts").children].find((one) => one.dataset.text === text);
  same?.remove();
  const close = () => box.remove();
  const box = h(
    `div.toast.${kind}`,
    { "data-text": text },
    icon(kind === "error" ? "alert" : kind === "done" ? "check" : "info"),
    h("p", {}, sentence(text)),
    action && h("button", { type: "button", onclick: () => (close(), action.run()) }, action.label),
    iconButton("close", "Dismiss", close),
  );
  byId("toasts").append(box);
  // Errors interrupt; the rest waits its turn.
  const voice = byId(kind === "error" ? "alarm" : "status");
  voice.textContent = "";
  requestAnimationFrame(() => {
    voice.textContent = text;
  });
  if (kind !== "error") setTimeout(close, 4000 + text.length * 60);
}

/** Show what went wrong, in the words of whoever noticed it. */
export function complain(error, action = null) {
  console.warn(error);
  toast(error.message || String(error), { kind: "error", action });
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
