"""The web page in a real headless Chromium: drag, wheel, keys, panel, save; pixels compared with our composite."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layerfusion.layers import LayerStack, read, stack_from_triplet, write
from layerfusion.layers.provenance import portable
from tests.barriers import barriers
from tests.layers.stacks import assert_same, effects, example_stack, lit_stack

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab that notes everything it complains of or asks the network for."""
    tab = browser.new_page(viewport={"width": 1000, "height": 700}, accept_downloads=True)
    tab.complaints = []
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("console", lambda message: tab.complaints.append(message.text))
    tab.on(
        "request",
        lambda request: request.url.startswith(("file:", "data:", "blob:")) or tab.complaints.append(request.url),
    )
    yield tab
    assert tab.complaints == []
    tab.close()


def opened(page: Any, stack: LayerStack, folder: Path) -> None:
    page.goto(write(stack, folder / "a.html").as_uri())
    page.wait_for_selector("body[data-ready]")


def saved(page: Any, folder: Path) -> np.ndarray:
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(folder / "saved.png")
    with Image.open(folder / "saved.png") as picture:
        return np.asarray(picture.convert("RGBA"), np.int16)


def difference(page: Any, stack: LayerStack, folder: Path) -> float:
    return float(np.abs(saved(page, folder) - np.asarray(stack.composite(), np.int16)).mean())


def point(page: Any, x: float, y: float, stack: LayerStack) -> tuple[float, float]:
    """Where the window shows a canvas pixel."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + x * box["width"] / stack.width, box["y"] + y * box["height"] / stack.height


def handle_middle(page: Any, handle: str, stack: LayerStack) -> tuple[float, float]:
    """The canvas position of a handle's middle."""
    box, canvas = (page.locator(one).bounding_box() for one in (handle, "#canvas"))
    zoom = canvas["width"] / stack.width
    return (box["x"] + box["width"] / 2 - canvas["x"]) / zoom, (box["y"] + box["height"] / 2 - canvas["y"]) / zoom


def drag(page: Any, stack: LayerStack, start: tuple[float, float], by: tuple[int, int]) -> None:
    page.mouse.move(*point(page, *start, stack))
    page.mouse.down()
    page.mouse.move(*point(page, start[0] + by[0] / 2, start[1] + by[1] / 2, stack))
    page.mouse.move(*point(page, start[0] + by[0], start[1] + by[1], stack))
    page.mouse.up()


def test_it_shows_what_the_stack_is(page: Any, tmp_path: Path) -> None:
    stack = example_stack().edited(2, lambda layer: layer.rotated(20).scaled(1.2))
    opened(page, stack, tmp_path)
    assert difference(page, stack, tmp_path) <= 1
    names = page.locator("#layers .pick").evaluate_all("all => all.map(one => one.dataset.name)")
    assert names == [layer.name for layer in reversed(stack.layers)]


def test_drag_a_layer_and_save(page: Any, tmp_path: Path) -> None:
    stack = example_stack()
    opened(page, stack, tmp_path)
    drag(page, stack, stack[1].centre, (22, 13))
    moved = stack.edited(1, lambda layer: layer.moved(22, 13))
    assert difference(page, moved, tmp_path) <= 1
    assert difference(page, stack, tmp_path) > 2
    page.click("#reset")
    assert difference(page, stack, tmp_path) <= 1


def test_scale_by_corner_and_wheel(page: Any, tmp_path: Path) -> None:
    stack = example_stack()
    opened(page, stack, tmp_path)
    page.click(f'[data-name="{stack[1].name}"]')
    middle = stack[1].centre
    x, y = handle_middle(page, '[data-corner="2"]', stack)
    drag(page, stack, (x, y), (round((x - middle[0]) / 2), round((y - middle[1]) / 2)))
    assert float(page.input_value("#scale")) == pytest.approx(150, abs=8)
    page.mouse.move(*point(page, *middle, stack))
    page.mouse.wheel(0, 300)
    page.wait_for_function("document.getElementById('scale').value < 130")
    scale = page.evaluate("changeOf(selected).scale")
    changed = stack.edited(1, lambda layer: layer.scaled(scale))
    assert difference(page, changed, tmp_path) <= 1


def test_keys_and_panel(page: Any, tmp_path: Path) -> None:
    """Everything can be done without a pointer."""
    stack = example_stack()
    opened(page, stack, tmp_path)
    page.focus(f'[data-name="{stack[3].name}"]')
    page.keyboard.press("Enter")
    page.focus("#canvas")
    for key in ("ArrowRight", "Shift+ArrowDown", "f", "]"):
        page.keyboard.press(key)
    page.select_option("#blend", "multiply")
    page.focus("#opacity")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("PageUp")
    opacity = float(page.input_value("#opacity")) / 100
    page.locator("#layers [data-field=visible]").nth(3).press("Enter")
    changed = stack.edited(3, lambda layer: replace(layer.flipped().rotated(5).moved(1, 10), blend="multiply"))
    changed[3] = replace(changed[3], opacity=opacity)
    changed[2] = replace(changed[2], visible=False)
    assert 0 < opacity < 1
    assert difference(page, changed, tmp_path) <= 1


def test_a_locked_background_stays(page: Any, tmp_path: Path) -> None:
    stack = LayerStack(96, 64, [example_stack()[0]])
    opened(page, stack, tmp_path)
    drag(page, stack, (10, 10), (30, 20))
    assert difference(page, stack, tmp_path) <= 1
    page.click("#layers [data-field=locked]")
    drag(page, stack, (10, 10), (30, 20))
    assert difference(page, stack.edited(0, lambda layer: layer.moved(30, 20)), tmp_path) <= 1


def test_a_dragged_subject_takes_its_shadow_and_light_along(page: Any, tmp_path: Path) -> None:
    stack = lit_stack()
    opened(page, stack, tmp_path)
    assert difference(page, stack, tmp_path) <= 1
    drag(page, stack, stack["foreground"].centre, (-14, 3))
    moved = stack.edited("foreground", lambda layer: layer.moved(-14, 3))
    assert difference(page, moved, tmp_path) <= 1
    page.focus("#canvas")
    page.keyboard.press("f")
    moved = moved.edited("foreground", lambda layer: layer.flipped())
    assert difference(page, moved, tmp_path) <= 1
    page.check("#alone")
    page.focus("#canvas")
    page.keyboard.press("Shift+ArrowRight")
    alone = moved.edited("foreground", lambda layer: layer.moved(10, 0), alone=True)
    assert difference(page, alone, tmp_path) <= 1
    assert difference(page, moved, tmp_path) > 0.5


def test_every_change_can_be_undone_and_done_again(page: Any, tmp_path: Path) -> None:
    stack = lit_stack()
    opened(page, stack, tmp_path)
    assert page.is_disabled("#undo") and page.is_disabled("#redo")
    drag(page, stack, stack["foreground"].centre, (12, 0))
    moved = stack.edited("foreground", lambda layer: layer.moved(12, 0))
    page.select_option("#blend", "multiply")
    for _ in range(3):
        page.focus("#canvas")
        page.keyboard.press("ArrowDown")  # in a row: undone together
    page.click("#reset")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    blended = moved.edited("foreground", lambda layer: replace(layer, blend="multiply"))
    assert difference(page, blended, tmp_path) <= 1
    page.click("#undo")
    assert difference(page, moved, tmp_path) <= 1
    page.click("#undo")
    assert difference(page, stack, tmp_path) <= 1
    assert page.is_disabled("#undo")
    page.keyboard.press("Control+Shift+z")
    assert difference(page, moved, tmp_path) <= 1
    page.click("#redo")
    assert difference(page, blended, tmp_path) <= 1


def test_the_page_saves_itself_and_is_read_back(page: Any, tmp_path: Path) -> None:
    record = {"foreground_prompt": "</script><b>", "background_prompt": "$& fog", "seed": 7}
    stack = stack_from_triplet(**effects(), provenance=record)
    opened(page, stack, tmp_path)
    assert_same(read(tmp_path / "a.html").baked(), stack.baked())
    drag(page, stack, stack["foreground"].centre, (9, -4))
    with page.expect_download() as download:
        page.click("#keep")
    download.value.save_as(tmp_path / "kept.html")
    want = stack.edited("foreground", lambda layer: layer.moved(9, -4))
    again = read(tmp_path / "kept.html")
    assert_same(again.baked(), want.baked())
    assert again.provenance == portable(record)
    page.goto((tmp_path / "kept.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    assert difference(page, want, tmp_path) <= 1
    page.click("#reset")  # what was saved is where it starts
    assert difference(page, want, tmp_path) <= 1


def test_prompts_and_seed_are_shown_and_moves_are_announced(page: Any, tmp_path: Path) -> None:
    record = {"foreground_prompt": "a <b>red</b> fox", "background_prompt": "a forest", "seed": 2**62}
    opened(page, stack_from_triplet(**effects(), provenance=record), tmp_path)
    shown = page.locator("#facts").inner_text().split("\n")
    assert shown == ["Foreground", "a <b>red</b> fox", "Background", "a forest", "Seed", str(2**62)]
    page.focus("#canvas")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    playwright.expect(page.locator("#status")).to_have_text(re.compile("^foreground: 40 right, 0 down"))
    assert page.locator("#status").get_attribute("role") == "status"
    assert page.inner_text("#status").endswith("; 3 with it")
    opened(page, example_stack(), tmp_path)
    assert page.is_hidden("#about")


def test_two_fingers_move_scale_and_turn(browser: Any, tmp_path: Path) -> None:
    stack = lit_stack()
    tab = browser.new_page(viewport={"width": 700, "height": 700}, has_touch=True, accept_downloads=True)
    opened(tab, stack, tmp_path)
    devtools = tab.context.new_cdp_session(tab)
    left, top = stack["foreground"].centre

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [dict(zip(("x", "y"), point(tab, *place, stack), strict=True)) for place in points]
        fingers = [{**place, "id": number} for number, place in enumerate(places)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    # Apart from 10 to 15, from lying to standing, about a middle that goes 8 right.
    touch("touchStart", (left - 5, top))
    touch("touchStart", (left - 5, top), (left + 5, top))
    touch("touchMove", (left + 3, top - 5), (left + 13, top + 5))
    touch("touchMove", (left + 8, top - 7.5), (left + 8, top + 7.5))
    touch("touchEnd")
    want = stack.edited("foreground", lambda layer: layer.scaled(1.5).rotated(90).moved(8, 0))
    assert difference(tab, want, tmp_path) <= 1
    tab.click("#undo")
    assert difference(tab, stack, tmp_path) <= 1
    tab.close()


@pytest.mark.parametrize("width", [320, 360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_or_too_faint_or_too_small_at_any_width(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 700)
    opened(tab, lit_stack(), tmp_path)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    touched = tab.locator("button:visible, select:visible, input[type=number]:visible, .touch")
    least = min(min(box.values()) for box in touched.evaluate_all("all => all.map(sides)".replace("sides", SIDES)))
    assert least >= (44 if width < 700 else 30)
    for ratio in tab.evaluate(CONTRASTS):
        assert ratio >= 4.5
    assert barriers(tab) == []
    tab.close()


SIDES = "(one) => { const { width, height } = one.getBoundingClientRect(); return { width, height }; }"
# Of every text of the panel against the ground it stands on, as WCAG 2 counts it.
CONTRASTS = """() => {
    const light = (rgb) => rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const ground = (one) => {
        for (; one; one = one.parentElement) {
            const colour = numbers(getComputedStyle(one).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
        }
    };
    return [...document.querySelectorAll('aside *, header *')].filter((one) => one.checkVisibility())
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
        .filter((one) => !one.closest('button:disabled'))
        .map((one) => {
            const faded = (at) => at ? Number(getComputedStyle(at).opacity) * faded(at.parentElement) : 1;
            const [text, below] = [numbers(getComputedStyle(one).color).slice(0, 3), ground(one)];
            const share = faded(one);
            const seen = text.map((v, i) => v * share + below[i] * (1 - share));
            const [a, b] = [light(seen), light(below)];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        });
}"""
