"""The web page in a real headless Chromium: drag, wheel, keys, panel, save; pixels compared with our composite."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layerfusion.layers import LayerStack, write
from tests.layers.stacks import example_stack

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium (make apt)")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


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
    corner = page.locator('[data-corner="2"]').bounding_box()
    box = page.locator("#canvas").bounding_box()
    zoom = box["width"] / stack.width
    x, y = ((corner["x"] + 5.5 - box["x"]) / zoom, (corner["y"] + 5.5 - box["y"]) / zoom)
    drag(page, stack, (x, y), (round((x - middle[0]) / 2), round((y - middle[1]) / 2)))
    assert float(page.input_value("#scale")) == pytest.approx(150, abs=8)
    page.mouse.move(*point(page, *middle, stack))
    page.mouse.wheel(0, 300)
    page.wait_for_function("document.getElementById('scale').value < 130")
    scale = page.evaluate("selected.change.scale")
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
