"""The studio, driven: what its tests and the pictures of its page share; `python -m tools.studio` draws these."""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

DOCS = Path(__file__).parents[1] / "docs" / "images" / "studio"
PATIENCE = 120_000  # ms, on a busy machine


def chromium() -> str | None:
    """Where a browser is that can be driven."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def serving(data: Path, command: str = "studio") -> Iterator[str]:
    """A service of its own, with the embedded model, by `layerfusion studio` or `serve`; its address."""
    quiet = ("--no-browser",) if command == "studio" else ()
    line = [sys.executable, "-m", "layerfusion", command, *quiet, "--port", "0", "--data", str(data)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Studio:
    """A browser's tab with the page, and what people do in it.

    Args:
        context: Of Playwright's browser.
        address: Of the service.
        token: The first answer where the page asks for one.
    """

    def __init__(self, context: Any, address: str, token: str | None = None) -> None:
        self.context, self.address, self.token = context, address, token
        self.complaints: list[str] = []
        self.open()

    def open(self) -> None:
        """Load the page, in a new tab the first time."""
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(PATIENCE)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("request", self._note)
        self.tab.goto(self.address)
        if self.token is None:
            self.tab.wait_for_selector("body[data-connected]")
        else:
            self.tab.fill("#token", self.token)
            self.tab.keyboard.press("Enter")

    def _note(self, request: Any) -> None:
        ours = urlsplit(request.url).netloc == urlsplit(self.address).netloc
        if not ours and not request.url.startswith(("blob:", "data:")):
            self.complaints.append(f"asks elsewhere: {request.url}")

    def again(self) -> None:
        """Close the tab and open the page anew, as after a crash."""
        self.tab.close()
        self.open()

    def ask(self, subject: str, scene: str, **settings: Any) -> None:
        """Fill in the form. Settings by the ids of their fields."""
        self.tab.fill("#subjects textarea >> nth=0", subject)
        self.tab.fill("#background", scene)
        self.tab.evaluate("document.getElementById('more').open = true")
        for name, value in settings.items():
            self.tab.fill(f"#{name}", str(value))
        self.tab.evaluate("document.getElementById('more').open = false")

    def generate(self, button: str = "#generate") -> None:
        """Press a button that starts a run, and wait for what comes of it."""
        takes = self.tab.locator("#takes li").count()
        self.tab.click(button)
        self.tab.locator(f"#takes li >> nth={takes}").wait_for()
        self.tab.wait_for_selector("body:not([data-running])")

    def keys(self, *keys: str) -> None:
        """Press keys on the canvas."""
        self.tab.focus("#canvas")
        for key in keys:
            self.tab.keyboard.press(key)

    def names(self) -> list[str]:
        """Of the layers, the highest first."""
        names: list[str] = self.tab.locator("#layers .pick").evaluate_all("all => all.map((one) => one.dataset.name)")
        return names

    def saved(self) -> None:
        """Wait until the browser has kept everything."""
        self.tab.get_by_text("Saved", exact=True).wait_for(state="attached")

    def download(self, ending: str, folder: Path) -> Path:
        """Choose a format, and keep the file."""
        self.tab.click("#download")
        with self.tab.expect_download() as download:
            self.tab.click(f"[data-format={ending}]")
        file = folder / download.value.suggested_filename
        download.value.save_as(file)
        return file


def main() -> None:
    """Draw the pictures of docs/studio.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS, help="where the pictures go")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as data, serving(Path(data)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": 1440, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
            )
            studio = Studio(context, address)
            _draw(studio, out, f"1440-{scheme}")
            if scheme == "light":
                _draw_running(studio, out, f"1440-{scheme}")
            studio.tab.set_viewport_size({"width": 360, "height": 760})
            _draw_narrow(studio, out, f"360-{scheme}")
            context.close()
        browser.close()


def _draw(studio: Studio, out: Path, suffix: str) -> None:
    _shoot(studio, out / f"empty-{suffix}.webp")
    studio.ask("a penguin", "a snowy forest", seed=7)
    studio.generate()
    studio.ask("a penguin", "a snowy forest", seed=8)
    studio.generate()
    _shoot(studio, out / f"layers-{suffix}.webp")
    studio.keys(*["Shift+ArrowRight"] * 3, *["["] * 2)
    studio.tab.mouse.click(400, 860)
    _shoot(studio, out / f"moved-{suffix}.webp")
    studio.tab.click("#compare")
    _shoot(studio, out / f"compare-{suffix}.webp")
    studio.tab.click("#compare")
    studio.tab.click("#download")
    _shoot(studio, out / f"download-{suffix}.webp")
    studio.tab.keyboard.press("Escape")


def _draw_running(studio: Studio, out: Path, suffix: str) -> None:
    studio.tab.click("#generate")
    studio.tab.locator("#pill", has_text=re.compile(r"Step (9|1\d)\b")).wait_for()
    _shoot(studio, out / f"running-{suffix}.webp")
    studio.tab.wait_for_selector("body:not([data-running])")
    studio.tab.evaluate("document.getElementById('more').open = true")
    studio.tab.check("#show_priors")
    studio.tab.evaluate("document.getElementById('more').open = false")
    studio.generate()
    studio.tab.click("#priors")
    studio.tab.get_by_role("button", name="Mask", exact=True).click()
    _shoot(studio, out / f"priors-{suffix}.webp")
    studio.tab.click("#priors")


def _draw_narrow(studio: Studio, out: Path, suffix: str) -> None:
    _shoot(studio, out / f"compose-{suffix}.webp")
    studio.tab.click("nav [data-panel=layers]")
    _shoot(studio, out / f"layers-{suffix}.webp")


def _shoot(studio: Studio, file: Path) -> None:
    studio.tab.wait_for_timeout(400)  # toasts and fonts settle
    with Image.open(io.BytesIO(studio.tab.screenshot())) as picture:
        picture.convert("RGB").save(file, quality=88, method=6)


if __name__ == "__main__":
    main()
