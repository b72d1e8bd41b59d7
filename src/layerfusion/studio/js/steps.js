// The history as a list: every step can be gone back to.

import { byId, h, refill } from "./dom.js";

export function show(store) {
  const { history, cursor } = store;
  byId("undo").disabled = cursor === 0;
  byId("redo").disabled = cursor === history.length - 1;
  byId("undo").title = cursor ? `Undo: ${history[cursor].label} (Ctrl+Z)` : "Undo (Ctrl+Z)";
  byId("redo").title = cursor < history.length - 1 ? `Redo: ${history[cursor + 1].label} (Ctrl+Shift+Z)` : "Redo (Ctrl+Shift+Z)";
  if (byId("panel-history").hidden) return;
  refill(byId("history"), history.map(({ label }, number) => {
    const here = number === cursor;
    const button = h("button", { type: "button", "data-key": `step ${number}`, "aria-current": here ? "step" : null, onclick: () => store.travel(number) }, label);
    return h(number > cursor ? "li.later" : "li", {}, button);
  }));
  byId("history").querySelector("[aria-current]")?.scrollIntoView?.({ block: "nearest" });
}
