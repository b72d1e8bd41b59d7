// Sentences about layers, for whoever does not see them.

import { companions } from "./document.js";
import { middle, parts } from "./geometry.js";

const whole = (number) => Math.round(number);

/** Where a layer is: "foreground: middle at 120, 88; 100 %, turned 0°; 3 with it". */
export function places(doc, layer, alone) {
  const { x, y } = middle(layer);
  const { scaleX, degrees, flipped } = parts(layer.placement);
  const along = companions(doc, layer.id, alone).length - 1;
  const words = [`middle at ${whole(x)}, ${whole(y)}`, `${whole(scaleX * 100)} %`];
  if (whole(degrees)) words.push(`turned ${whole(degrees)}°`);
  if (flipped) words.push("flipped");
  if (along) words.push(`${along} with it`);
  return `${layer.name}: ${words.join(", ")}`;
}

/** What a layer is besides its name: "hidden, multiply, 80 %". */
export function manner({ visible, blend, opacity }) {
  const words = [visible ? null : "hidden", blend, opacity < 1 ? `${whole(opacity * 100)} %` : null];
  return words.filter(Boolean).join(", ");
}

export function ago(then, now = Date.now()) {
  const minutes = Math.round((now - then) / 60_000);
  if (minutes < 1) return "just now";
  const units = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (minutes < 60) return units.format(-minutes, "minute");
  if (minutes < 60 * 24) return units.format(-whole(minutes / 60), "hour");
  return units.format(-whole(minutes / (60 * 24)), "day");
}
