"""The studio for everyone: no barrier that axe finds, all of it by keyboard, on a telephone, under fingers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.barriers import barriers
from tests.studio.conftest import STEPS
from tools.studio import Studio, serving

expect = pytest.importorskip("playwright.sync_api").expect
TOKEN = "0123456789abcdef0123"


def test_axe_finds_no_barrier_in_light_and_dark(studio: Studio) -> None:
    tab = studio.tab
    tab.emulate_media(reduced_motion="reduce")

    def look(what: str) -> None:
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            expect(tab.locator("html")).to_have_attribute("data-theme", scheme)
            tab.wait_for_timeout(250)  # colours have changed on the screen, too
            assert barriers(studio.tab) == [], f"{what}, {scheme}"

    look("empty page")
    studio.ask("a penguin", "a snowy forest", seed=3, steps=STEPS)
    studio.generate()
    studio.keys("Shift+ArrowRight")
    look("layers")
    tab.click("#tab-history")
    tab.click("#compare")
    look("history and comparison")
    tab.click("#compare")
    for button in ("#download", "#help", "#works"):
        tab.click(button)
        look(button)
        tab.keyboard.press("Escape")
    for width, height in ((1440, 900), (360, 740)):
        tab.set_viewport_size({"width": width, "height": height})
        look(f"{width} wide")


def test_all_of_it_by_keyboard(studio: Studio) -> None:
    tab = studio.tab
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="Skip to the picture")).to_be_focused()
    tab.locator("#subjects textarea").focus()
    tab.keyboard.type("a penguin")
    tab.locator("#background").focus()
    tab.keyboard.type("a snowy forest")
    tab.evaluate("document.getElementById('more').open = true")
    tab.locator("#steps").focus()
    tab.keyboard.type(str(STEPS))
    tab.keyboard.press("Control+Enter")
    tab.locator("#takes li").wait_for()
    tab.wait_for_selector("body:not([data-running])")
    x, y = (float(tab.input_value(f"#layer-{name}")) for name in "xy")
    studio.keys("Shift+ArrowRight", "ArrowUp")
    assert float(tab.input_value("#layer-x")) == pytest.approx(x + 10, abs=0.06)
    assert float(tab.input_value("#layer-y")) == pytest.approx(y - 1, abs=0.06)
    expect(tab.locator("#status")).to_have_text(
        re.compile(r"^foreground: middle at \d+, \d+; 100 %, 3 with it|^foreground")
    )
    names = studio.names()
    tab.keyboard.press("PageUp")
    assert studio.names().index("foreground") == names.index("foreground") - 1
    tab.keyboard.press("Alt+ArrowDown")
    expect(tab.locator("#layers li.selected .pick")).to_have_attribute("data-name", "foreground (unlit)")
    tab.keyboard.press("h")
    expect(tab.locator('[aria-label="Hide foreground (unlit)"]')).to_be_visible()
    tab.keyboard.press("Delete")
    assert "foreground (unlit)" not in studio.names()
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    tab.keyboard.press("Escape")
    tab.keyboard.press("b")
    tab.keyboard.press("End")
    assert tab.evaluate("document.getElementById('above').style.getPropertyValue('--at')") == "100%"


def test_a_box_is_placed_by_keyboard_and_is_asked_for(studio: Studio) -> None:
    tab = studio.tab
    studio.ask("a penguin", "a snowy forest", steps=STEPS)
    tab.get_by_role("button", name="Choose the place of subject").click()
    studio.keys("Shift+ArrowLeft", "Shift+ArrowLeft", "+", "Enter")
    asked: list[Any] = []
    tab.on("request", lambda one: one.method == "POST" and asked.append(json.loads(one.post_data)))
    tab.route("**/v1/runs", lambda route: route.fulfill(status=429, json={"error": {"message": "enough."}}))
    tab.click("#generate")
    expect(tab.locator(".toast.error")).to_contain_text("Enough.")
    ((one,),) = [request["foregrounds"] for request in asked]
    assert one["prompt"] == "a penguin"
    assert one["box"] == pytest.approx([0, 0.3835, 0.477, 0.583], abs=2e-4)
    studio.complaints.clear()


def test_the_page_asks_for_the_token_until_it_is_the_right_one(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERFUSION_TOKEN", TOKEN)
    with serving(tmp_path, "serve") as address:
        context = browser.new_context(viewport={"width": 360, "height": 740})
        studio = Studio(context, address, TOKEN[:-1])
        tab = studio.tab
        expect(tab.locator("dialog")).to_contain_text("That was not the token; try again.")
        assert barriers(studio.tab) == []
        tab.fill("#token", TOKEN)
        tab.keyboard.press("Enter")
        tab.wait_for_selector("body[data-connected]")
        studio.ask("a penguin", "a snowy forest", steps=STEPS)
        studio.generate()
        studio.download("psd", tmp_path)
        tab.reload()
        tab.wait_for_selector("body[data-connected]")
        assert studio.names()
        context.close()


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_cut_off_and_fingers_find_everything(browser: Any, address: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740}, has_touch=width < 700)
    studio = Studio(context, address)
    for panel in ("compose", "layers", "history") if width < 700 else ("",):
        if panel:
            studio.tab.click(f"nav [data-panel={panel}]")
        assert studio.tab.evaluate("document.documentElement.scrollWidth") <= width
        boxes = studio.tab.locator("button:visible, select:visible, input:visible").evaluate_all(
            "all => all.map((one) => [one.id || one.textContent, one.getBoundingClientRect().height])"
        )
        least = 44 if width < 700 else 24
        assert [one for one in boxes if one[1] < least and one[0] != "harmony"] == []
    context.close()


def test_two_fingers_move_scale_and_turn_the_subject(browser: Any, address: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 700, "height": 900}, has_touch=True)
    studio = Studio(context, address)
    studio.ask("a penguin", "a snowy forest", seed=3, steps=STEPS)
    studio.generate()
    tab = studio.tab
    tab.click("nav [data-panel=layers]")
    before = {name: float(tab.input_value(f"#layer-{name}")) for name in ("x", "y", "scale", "degrees")}
    paper = tab.locator("#paper").bounding_box()
    zoom = paper["width"] / 256
    devtools = context.new_cdp_session(tab)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": paper["x"] + x * zoom, "y": paper["y"] + y * zoom, "id": i} for i, (x, y) in enumerate(points)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    x, y = before["x"], before["y"]
    touch("touchStart", (x - 20, y))
    touch("touchStart", (x - 20, y), (x + 20, y))
    touch("touchMove", (x - 10, y - 20), (x + 20, y + 20))
    touch("touchMove", (x + 8, y - 30), (x + 8, y + 30))
    touch("touchEnd")
    after = {name: float(tab.input_value(f"#layer-{name}")) for name in before}
    want = {"x": x + 8, "y": y, "scale": 150, "degrees": 90}
    assert after == pytest.approx(want, abs=1.5)
    context.close()
