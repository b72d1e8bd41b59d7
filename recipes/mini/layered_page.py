"""What `recipes.mini.layered` measured, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layerfusion.files import atomic_write
from recipes.mini.frontier_page import COLUMNS

NAMES = {
    "real renders": "real renders",
    "paper": "the paper's configuration, blended",
    "own": "the model's own, blended",
    "relit": "the model's own, relit foreground",
    "layered": "the model's own, layered",
}
# The bars of each row; what is not barred is shown.
BARS = {
    "own": {"wholeness": 0.93, "slope": 0.75, "r": 0.9},
    "relit": {"wholeness": 0.97, "slope": 0.7},
}
SHOWN = {"relit": ("wholeness", "wholeness, worst tenth", "slope", "r")}  # a relit foreground has no surroundings


def write(results: dict[str, Any], folder: Path) -> None:
    """Write `layered.md` of the parts that were measured."""
    parts = {"subjects": subjects, "dial": dial, "truth": truth, "stacks": stacks, "sheet": sheet}
    conditions = results["conditions"]
    lines = [
        "# Layers, measured",
        "",
        f"`python -m recipes.mini.layered` at commit `{conditions['commit']}` on {conditions['cpu']}; every figure is "
        "of the embedded model with its own settings, on seeds of the command's own, and of pictures as 8-bit files "
        "hold them. Brackets hold bootstrap intervals of 95 %. Written by that command; the numbers are in "
        "[`layered.json`](layered.json).",
        "",
    ]
    for name, part in parts.items():
        if name in results:
            lines += [*part(results[name]), ""]
    with atomic_write(folder / "layered.md") as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(folder / "layered.md")


def span(found: dict[str, Any], form: str) -> str:
    """A value with its interval."""
    return f"{form.format(found['value'])} ({form.format(found['low'])} to {form.format(found['high'])})"


def verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def subjects(part: dict[str, Any]) -> list[str]:
    """The rows side by side, what they differ by, and how near layered and blended are."""
    head = [name + (" (dB)" if name == "background kept" else "") for name, _ in COLUMNS]
    lines = [
        "## Whole and in the light",
        "",
        f"{', '.join(part['subjects'])}, each in {part['scenes']} scenes. *Wholeness*, *slope* and *r* as on "
        "[this page](frontier.md); *shadow overlap* is of the darkening round the subject with the one that the world "
        "would draw.",
        "",
        f"| | {' | '.join(head)} |",
        f"|{' --- |' * (len(head) + 1)}",
    ]
    for key, name in NAMES.items():
        row = part["rows"][key]
        known = SHOWN.get(key, head)
        cells = [
            (span(row[m], form) if m in ("wholeness", "slope", "r") else form.format(row[m]["value"]))
            if m in known or (m == "background kept" and key not in SHOWN)
            else ""
            for m, form in COLUMNS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| bar | measured | |", "| --- | --- | --- |"]
    for key, bars in BARS.items():
        for measure, bar in bars.items():
            found = part["rows"][key][measure]
            lines.append(
                f"| {NAMES[key]}: {measure} ≥ {bar:g} | {span(found, '{:.3f}')} | {verdict(found['value'] >= bar)} |"
            )
    near = part["layered_from_blended_255"]
    if near["most"] is not None:
        lines.append(
            f"| layered from blended where that is whole ({near['cases']} of {near['of']}), mean of 255 ≤ 6 | "
            f"{span(near, '{:.1f}')}, at most {near['most']:.1f} | {verdict(near['value'] <= 6)} |"
        )
    lines += [
        "",
        "Paired, on the same cases:",
        "",
        "| difference | wholeness | slope | r |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in part["paired"].items():
        cells = [span(row[m], "{:+.3f}") for m in ("wholeness", "slope", "r")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def dial(part: dict[str, Any]) -> list[str]:
    """Wholeness and light at every mark of the dial."""
    shown = ("slope", "wholeness", "r")
    lines = [
        "## The dial",
        "",
        f"`--harmony`, from the foreground's own colours to the scene's light: {', '.join(part['subjects'])}, each in "
        f"{part['scenes']} scenes.",
        "",
        f"| harmony | {' | '.join(shown)} |",
        f"|{' --- |' * (len(shown) + 1)}",
    ]
    for harmony, row in part["rows"].items():
        lines.append(f"| {harmony} | {' | '.join(span(row[name], '{:.3f}') for name in shown)} |")
    values = {name: [row[name]["value"] for row in part["rows"].values()] for name in ("slope", "wholeness")}
    rising, falling = (sorted(values["slope"]), sorted(values["wholeness"], reverse=True))
    met = values["slope"] == rising and values["wholeness"] == falling
    return [*lines, "", f"The bar, monotone in both: {verdict(met)}."]


def truth(part: dict[str, Any]) -> list[str]:
    """PSNR of every way, and by how much layered is ahead."""
    lines = [
        "## Against truth",
        "",
        f"{part['generated']['db']['layered']['cases']} rendered composites, of which sprite and scene are held; PSNR "
        "inside the subject. *Generated*: the model generates the blended picture between them. *Autoencoded*: the "
        "blended picture is the true composite after the autoencoder, the best a latent model could do.",
        "",
        "| | generated | layered is ahead by | in | autoencoded | layered is ahead by | in |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in part["generated"]["db"]:
        cells = []
        for kind in ("generated", "autoencoded"):
            cells.append(span(part[kind]["db"][name], "{:.1f}") + " dB")
            by = part[kind]["layered_ahead_db"].get(name)
            cells += [span(by, "{:+.1f}") + " dB", f"{by['in']} of {by['cases']}"] if by else ["", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ahead = part["generated"]["layered_ahead_db"]
    behind = [name for name, by in ahead.items() if by["low"] <= 0]
    told = "ahead of each, and no interval of a paired difference reaches 0"
    lines += ["", f"The bar, layered ahead of the other three: {verdict(all(b['value'] > 0 for b in ahead.values()))}."]
    lines.append(f"Layered is {told}." if not behind else f"The interval reaches 0 for: {', '.join(behind)}.")
    return lines


def stacks(part: dict[str, Any]) -> list[str]:
    """What a designer opens, against its bars."""
    count, boxes, moved = part["triplets"], part["boxes"], part["moved"]
    rows = [
        (
            f"frames within 2 pixels of alpha 8/255, of {count} foregrounds ≥ 99 %",
            f"{boxes['tight']}, at worst {boxes['most_pixels']} pixels",
            boxes["tight"] >= 0.99 * count,
        )
    ]
    for name, far in part["from_layered_255"].items():
        where = f"{len(part['shown_to_programs'])} triplets" if "our" not in name else f"{count} triplets"
        known = not isinstance(far, str)
        rows.append((f"layers from `layered` by {name}, {where}, any pixel of 255 ≤ 1", far, known and far <= 1))
    rows.append(
        (
            f"moved by a fifth: {count} triplets, from the background at the old place, any pixel of 255 ≤ 2",
            moved["at_the_old_place_255"],
            moved["at_the_old_place_255"] <= 2,
        )
    )
    at = moved["effects_at_the_new_place_255"]
    rows.append(
        (
            f"shadow and light beside it at the new place, {moved['with_shadow_or_light']} triplets that have any, of "
            "255 ≤ 2",
            "none" if at is None else f"{at:.1f}",
            at is not None and at <= 2,
        )
    )
    for name, pixels in part["middle_pixels"].items():
        rows.append((f"{name}: the subject's middle, pixels ≤ 1", f"{pixels:.1f}", pixels <= 1))
    lines = ["## The layers in a file", "", "| bar | measured | |", "| --- | --- | --- |"]
    return lines + [f"| {name} | {value} | {verdict(met)} |" for name, value, met in rows]


def sheet(part: dict[str, Any]) -> list[str]:
    return [
        f"## {part['subjects']} subjects, {part['seeds']} seeds",
        "",
        "![every subject: foreground, background, the paper's blend, ours, layered](images/mini/layered.webp)",
    ]
