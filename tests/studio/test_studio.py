"""What an artist does in the studio, from the empty page to the file, and what survives."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layerfusion.layers import LayerStack
from tests.layers.stacks import assert_same
from tests.studio.conftest import STEPS, Api
from tools.studio import Studio

expect = pytest.importorskip("playwright.sync_api").expect


def draw(studio: Studio, subject: str = "a penguin", scene: str = "a snowy forest", seed: int = 3) -> None:
    studio.ask(subject, scene, seed=seed, steps=STEPS)
    studio.generate()


def test_from_an_empty_page_to_a_psd_whose_layers_are_the_services(studio: Studio, api: Api, tmp_path: Path) -> None:
    expect(studio.tab.get_by_role("heading", name="Two prompts in, layers out")).to_be_visible()
    assert studio.tab.is_disabled("#download")
    draw(studio)
    run = api.newest()
    assert run["request"] == {
        "foreground_prompt": "a penguin",
        "background_prompt": "a snowy forest",
        "seed": 3,
        "steps": 2,
    }
    want = api.stack(run, tmp_path)
    assert studio.names() == [layer.name for layer in reversed(want.layers)]
    file = studio.download("psd", tmp_path)
    assert file.name == "a-penguin-a-snowy-forest.psd"
    got = LayerStack.open(file)
    (tmp_path / "api.psd").write_bytes(api.read(f"v1/runs/{run['id']}/layers.psd"))
    assert_same(got, LayerStack.open(tmp_path / "api.psd"))
    assert_same(got, want.baked())


def test_what_is_done_to_layers_is_in_the_file_and_survives_a_reload(studio: Studio, api: Api, tmp_path: Path) -> None:
    draw(studio)
    came = api.stack(api.newest(), tmp_path)
    moved = came.edited("foreground", lambda layer: layer.flipped().moved(-20, 11))
    studio.keys("f", "Shift+ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowDown", "ArrowDown")
    studio.tab.select_option("#blend-mode", "multiply")
    moved["foreground"] = replace(moved["foreground"], blend="multiply")
    assert_same(LayerStack.open(studio.download("psd", tmp_path)), moved.baked())
    studio.saved()
    studio.again()
    assert_same(LayerStack.open(studio.download("psd", tmp_path)), moved.baked())
    for _ in range(3):  # the blend mode, the moves, which are one, and the flip
        studio.tab.keyboard.press("Control+z")
    assert_same(LayerStack.open(studio.download("psd", tmp_path)), came.baked())
    studio.saved()
    studio.again()
    studio.tab.click("#redo")
    assert_same(
        LayerStack.open(studio.download("psd", tmp_path)), came.edited("foreground", lambda one: one.flipped()).baked()
    )
    studio.tab.click('#layers [aria-label="Hide background"]')  # and goes on: what was undone is given up
    assert studio.tab.is_disabled("#redo")


def test_steps_that_come_faster_than_they_are_kept_are_all_kept(studio: Studio) -> None:
    draw(studio)
    press = "document.getElementById('canvas').dispatchEvent(new KeyboardEvent('keydown', {key: 'f', bubbles: true}))"
    studio.tab.focus("#canvas")
    studio.tab.evaluate(f"for (let k = 0; k < 5; k++) {press}")
    studio.tab.click("#tab-history")
    steps = studio.tab.locator("#history li").all_inner_texts()
    assert len(steps) >= 7
    studio.saved()
    studio.again()
    studio.tab.click("#tab-history")
    assert studio.tab.locator("#history li").all_inner_texts() == steps


def test_the_canvas_shows_what_the_file_composites_to(studio: Studio, tmp_path: Path) -> None:
    draw(studio)
    studio.keys("[", "[", "+", "Shift+ArrowRight", "Escape")
    paper = studio.tab.locator("#paper").bounding_box()
    seen = Image.open(_shot(studio, tmp_path, paper)).convert("RGB")
    file = LayerStack.open(studio.download("ora", tmp_path)).composite().convert("RGB")
    difference = np.asarray(file.resize(seen.size, Image.Resampling.BILINEAR), np.int16) - np.asarray(seen, np.int16)
    assert np.abs(difference).mean() < 4


def _shot(studio: Studio, folder: Path, area: Any) -> Path:
    studio.tab.evaluate("document.querySelector('.tools').hidden = document.querySelector('#pill').hidden = true")
    studio.tab.screenshot(path=folder / "seen.png", clip=area)
    studio.tab.evaluate("document.querySelector('.tools').hidden = false")
    return folder / "seen.png"


def test_a_dragged_subject_takes_its_group_along_unless_it_goes_alone(studio: Studio, tmp_path: Path) -> None:
    draw(studio)
    before = LayerStack.open(studio.download("zip", tmp_path) and _unzipped(tmp_path))
    x, y = _on_screen(studio, before["foreground"].centre)
    studio.tab.mouse.move(x, y)
    studio.tab.mouse.down()
    studio.tab.keyboard.down("Alt")  # past the middle lines
    studio.tab.mouse.move(x + 30, y - 20)
    studio.tab.mouse.move(x + 60, y - 40)
    studio.tab.mouse.up()
    studio.tab.keyboard.up("Alt")
    studio.download("zip", tmp_path)
    after = LayerStack.open(_unzipped(tmp_path))
    zoom = studio.tab.locator("#paper").bounding_box()["width"] / before.width
    for name in ("foreground", "shadow", "light", "foreground (unlit)"):
        step = np.subtract(after[name].placement.as_tuple(), before[name].placement.as_tuple())
        np.testing.assert_allclose(step, [0, 0, 60 / zoom, 0, 0, -40 / zoom], atol=1e-6)
    assert after["background"].placement == before["background"].placement
    studio.tab.check("#alone")
    studio.keys("Shift+ArrowRight")
    studio.download("zip", tmp_path)
    alone = LayerStack.open(_unzipped(tmp_path))
    assert alone["foreground"].placement.c == pytest.approx(after["foreground"].placement.c + 10)
    assert alone["shadow"].placement == after["shadow"].placement


def _unzipped(folder: Path) -> Path:
    import shutil
    import zipfile

    (file,) = folder.glob("*.zip")
    shutil.rmtree(folder / "layers", ignore_errors=True)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return folder / "layers"


def _on_screen(studio: Studio, point: tuple[float, float]) -> tuple[float, float]:
    paper = studio.tab.locator("#paper").bounding_box()
    zoom = paper["width"] / 256
    return paper["x"] + point[0] * zoom, paper["y"] + point[1] * zoom


def test_a_moved_subject_is_blended_again_where_it_stands(studio: Studio, api: Api, tmp_path: Path) -> None:
    draw(studio)
    before = api.stack(api.newest(), tmp_path / "before")
    assert studio.tab.is_disabled("#blend")
    studio.keys(*["Shift+ArrowLeft"] * 3)
    studio.generate("#blend")
    run = api.newest()
    assert {"foreground_image", "background_image"} <= run["request"].keys()
    after = api.stack(run, tmp_path / "after")
    np.testing.assert_array_equal(after["background"].pixels, before["background"].pixels)
    moved = replace(before["foreground (unlit)"].moved(-30, 0), visible=True)
    want = np.asarray(LayerStack(256, 256, [moved]).composite())
    given = np.asarray(LayerStack(256, 256, [replace(after["foreground (unlit)"], visible=True)]).composite())
    np.testing.assert_allclose(given[..., 3].astype(int), want[..., 3], atol=1)
    assert studio.tab.is_disabled("#blend")
    assert_same(LayerStack.open(studio.download("psd", tmp_path)), after.baked())
    studio.tab.keyboard.press("Control+z")
    assert studio.tab.is_enabled("#blend")


def test_a_subject_stands_in_the_box_that_was_drawn_for_it(studio: Studio, api: Api, tmp_path: Path) -> None:
    studio.ask("a penguin", "a snowy forest", seed=3, steps=8)
    studio.tab.get_by_role("button", name="Choose the place of subject").click()
    corners = [_on_screen(studio, point) for point in ((140, 100), (240, 230))]
    studio.tab.mouse.move(*corners[0])
    studio.tab.mouse.down()
    studio.tab.mouse.move(*corners[0])
    studio.tab.mouse.move(*corners[1], steps=4)
    studio.tab.mouse.up()
    studio.tab.get_by_role("button", name="Done").click()
    studio.generate()
    run = api.newest()
    ((x, y, width, height),) = (one["box"] for one in run["request"]["foregrounds"])
    assert [256 * side for side in (x, y, x + width, y + height)] == pytest.approx([140, 100, 240, 230], abs=2)
    left, top, right, bottom = api.stack(run, tmp_path)["foreground"].bounds()
    assert left >= 132 and top >= 92 and right <= 248 and bottom <= 238, (left, top, right, bottom)
    assert (right - left) * (bottom - top) > 0.3 * 100 * 130


def test_a_photo_of_any_size_is_the_scene_and_gives_the_paper_its_shape(
    studio: Studio, api: Api, tmp_path: Path
) -> None:
    ramp = np.linspace(0, 255, 1200)[None, :, None] * np.ones((800, 1, 3))
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "photo.png")
    figure = np.zeros((900, 500, 4), np.uint8)
    figure[200:800, 100:400] = (200, 40, 40, 255)
    Image.fromarray(figure).save(tmp_path / "figure.png")
    studio.ask("a cup", "a room", seed=3, steps=STEPS)
    for button, file in (("Use a photo as the scene", "photo.png"), ("Use a cut-out as subject", "figure.png")):
        with studio.tab.expect_file_chooser() as chooser:
            studio.tab.get_by_role("button", name=button).click()
        chooser.value.set_files(tmp_path / file)
        studio.tab.locator(".given:visible", has_text="kept as it is").nth(
            button.startswith("Use a cut") * 1
        ).wait_for()
    studio.generate()
    stack = api.stack(api.newest(), tmp_path)
    assert (stack.width, stack.height) == (320, 208)
    middle = stack["background"].pixels[104, :, 0].astype(float)
    assert np.abs(middle - np.linspace(0, 255, 320)).max() < 4
    left, top, right, bottom = stack["foreground (unlit)"].bounds()
    assert (left, top, right, bottom) == pytest.approx((125, 46, 195, 185), abs=3)


def test_priors_lie_over_the_picture_of_a_take_that_kept_them(studio: Studio, api: Api) -> None:
    tab = studio.tab
    draw(studio)
    expect(tab.locator("#priors")).to_be_hidden()
    tab.evaluate("document.getElementById('more').open = true")
    tab.check("#show_priors")
    studio.generate()
    for reloaded in (False, True):  # also from what the browser kept
        if reloaded:
            studio.saved()
            studio.again()
            tab = studio.tab
        tab.click("#priors")
        expect(tab.locator(".priors canvas")).to_have_attribute("aria-label", re.compile("Structure of a penguin"))
        tab.get_by_role("button", name="Mask", exact=True).click()
        seen = _overlay(studio)
        with Image.open(io.BytesIO(api.read(api.newest()["pictures"]["softmask"].removeprefix("/")))) as want:
            np.testing.assert_array_equal(seen, np.asarray(want.convert("RGB")))
    tab.click("#takes li:last-child button")  # the first take has none
    expect(tab.locator("#priors")).to_be_hidden()


def _overlay(studio: Studio) -> np.ndarray:
    """The prior that lies over the picture, RGB: read from a copy, since one that is read often is drawn otherwise."""
    seen = studio.tab.evaluate("""() => {
        const copy = new OffscreenCanvas(256, 256).getContext("2d");
        copy.drawImage(document.querySelector(".priors canvas"), 0, 0);
        return [...copy.getImageData(0, 0, 256, 256).data];
    }""")
    return np.array(seen).reshape(256, 256, 4)[..., :3]


def test_of_several_subjects_the_selected_ones_priors_are_shown(studio: Studio, api: Api) -> None:
    tab = studio.tab
    studio.ask("a penguin", "a snowy forest", seed=3, steps=STEPS)
    tab.click("#add-subject")
    tab.fill("#subjects textarea >> nth=1", "a fox")
    tab.evaluate("document.getElementById('more').open = true")
    tab.check("#show_priors")
    studio.generate()
    tab.click("#priors")
    for name, subject, file in (("foreground", "a penguin", "softmask"), ("shadow 2", "a fox", "softmask2")):
        tab.click(f'#layers [data-name="{name}"]')
        tab.get_by_role("button", name="Mask", exact=True).click()
        expect(tab.locator(".priors canvas")).to_have_attribute("aria-label", f"Mask of {subject}")
        seen = _overlay(studio)
        with Image.open(io.BytesIO(api.read(api.newest()["pictures"][file].removeprefix("/")))) as want:
            np.testing.assert_array_equal(seen, np.asarray(want.convert("RGB")))


def test_a_run_goes_on_while_the_page_is_closed(studio: Studio) -> None:
    studio.ask("a penguin", "a snowy forest", seed=4, steps=12)
    studio.tab.click("#generate")
    studio.tab.locator("#pill", has_text="Step").wait_for()
    studio.again()
    studio.tab.locator("#takes li").first.wait_for()
    assert studio.names()


def test_takes_are_kept_and_a_stopped_run_is_none(studio: Studio, api: Api) -> None:
    draw(studio)
    studio.tab.click("#reroll")
    studio.tab.locator("#takes li >> nth=1").wait_for()
    assert studio.tab.input_value("#seed") != "3"
    studio.tab.click("#takes li:last-child button")
    assert studio.tab.input_value("#seed") == "3"
    studio.tab.wait_for_selector("body:not([data-running])")
    studio.tab.evaluate("document.getElementById('more').open = true")
    studio.tab.fill("#steps", "150")
    studio.tab.click("#generate")
    studio.tab.locator("#pill", has_text="Step").wait_for()
    studio.tab.click("#generate")
    studio.tab.wait_for_selector("body:not([data-running])")
    assert api.newest()["status"] == "cancelled"
    assert studio.tab.locator("#takes li").count() == 2


def test_a_picture_from_outside_is_a_layer_in_the_file(studio: Studio, tmp_path: Path) -> None:
    draw(studio)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "my leaf.png")
    with studio.tab.expect_file_chooser() as chooser:
        studio.tab.click("#add")
    chooser.value.set_files(tmp_path / "my leaf.png")
    studio.tab.locator('[data-name="my leaf"]').wait_for()
    studio.download("zip", tmp_path)
    layer = LayerStack.open(_unzipped(tmp_path))["my leaf"]
    np.testing.assert_array_equal(layer.pixels, pixels)
    assert layer.placement.as_tuple() == (1, 0, 98, 0, 1, 108)


def test_the_services_sentence_is_shown_and_spoken(studio: Studio) -> None:
    studio.ask("a penguin", "a snowy forest", steps=999)
    studio.tab.click("#generate")
    toast = studio.tab.locator(".toast.error")
    expect(toast).to_contain_text("999 steps are too many here; the limit is 150.")
    expect(studio.tab.locator("#alarm")).to_have_text(re.compile("999 steps are too many"))
    assert studio.tab.locator("#alarm").get_attribute("role") == "alert"
    studio.tab.click(".toast [aria-label=Dismiss]")
    studio.tab.route("**/v1/runs", lambda route: route.abort())
    studio.ask("a penguin", "a snowy forest", steps=2)
    studio.tab.click("#generate")
    expect(toast).to_contain_text("The service does not answer; is it still running?")
    studio.tab.unroute("**/v1/runs")
    studio.tab.click(".toast >> text=Try again")
    studio.tab.locator("#takes li").wait_for()
    studio.complaints[:] = [one for one in studio.complaints if "Failed to load" not in one and "Refused" not in one]
