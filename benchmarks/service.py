"""How soon the service's picture comes, over HTTP and through the studio's page, beside the same run without it.

    python -m benchmarks.service

Starts `layerfusion studio` with the embedded model on this machine, and takes turns: a run over HTTP, followed by its
events; the same run through the page in a headless Chromium on the same processors, timed in the page from the click;
and the same run in this process with a loaded model, its files written as the command writes them. Nothing polls the
page meanwhile: it says by itself when the first preview is on the screen, and when the layers are.
"""

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from layerfusion.threads import settle_threads
from tools.studio import Studio, chromium, serving

SUBJECT, SCENE = "a fox", "a snowy forest"
BODY = {"foreground_prompt": SUBJECT, "background_prompt": SCENE}
# Promises the seconds from the click to the frames that show the first preview and the layers.
CLOCK = """() => {
    let began;
    const times = {};
    const start = (event) => { began = event.timeStamp; };
    document.getElementById("generate").addEventListener("click", start, { capture: true, once: true });
    window.timed = new Promise((resolve) => {
        const drawn = (name, then) => {
            times[name] = null;
            requestAnimationFrame(() => setTimeout(() => {
                times[name] = (performance.now() - began) / 1000;
                then?.();
            }));
        };
        const look = new MutationObserver(() => {
            if (!("preview" in times) && document.querySelector("#above .preview")) drawn("preview");
            if (!times.preview || "running" in document.body.dataset) return;
            look.disconnect();
            drawn("layers", () => resolve(times));
        });
        look.observe(document.body, { subtree: true, childList: true, attributeFilter: ["data-running"] });
    });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    settle_threads()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = Studio(browser.new_context(viewport={"width": 1440, "height": 900}), address)
        say(measure(times, address, page, Path(folder)))
        browser.close()


def measure(times: int, address: str, page: Studio, folder: Path) -> dict[str, list[float]]:
    """Seconds of each turn, by what they were until."""
    from layerfusion.runs import Request, Session, Target, generate

    session = Session.open(Request.checked(BODY))
    list(generate(session, Request.checked({**BODY, "steps": 2})))
    wait_until_ready(address)
    taken: dict[str, list[float]] = {}
    for seed in range(times):
        turn = over_http(address, seed) | through_the_page(page, seed)
        began = time.perf_counter()
        (generated,) = generate(session, Request.checked({**BODY, "seed": seed}))
        Target(folder / f"alone-{seed}").write(generated)
        turn["command"] = time.perf_counter() - began
        for name, seconds in turn.items():
            taken.setdefault(name, []).append(seconds)
    return taken


def over_http(address: str, seed: int) -> dict[str, float]:
    """Until the first preview has come, and until the run is done."""
    began = time.perf_counter()
    first = 0.0
    run = json.load(ask(f"{address}v1/runs", BODY | {"seed": seed}))
    for line in ask(f"{address}v1/runs/{run['id']}/events"):
        if not first and line.startswith(b"data: ") and json.loads(line.removeprefix(b"data: "))["previews"]:
            first = time.perf_counter() - began
    return {"first preview over HTTP": first, "picture over HTTP": time.perf_counter() - began}


def through_the_page(page: Studio, seed: int) -> dict[str, float]:
    """From the click until the first preview and the layers can be seen."""
    page.ask(SUBJECT, SCENE, seed=seed)
    page.saved()
    page.tab.evaluate(CLOCK)
    page.tab.click("#generate")
    times = page.tab.evaluate("window.timed")
    page.saved()
    return {"first preview on the page": times["preview"], "layers on the page": times["layers"]}


def say(taken: dict[str, list[float]]) -> None:
    for name, seconds in taken.items():
        ratios = [one / alone for one, alone in zip(seconds, taken["command"], strict=True)]
        print(
            f"{name:27} median {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}); "
            f"{statistics.median(ratios):.2f} times the command's"
        )


def ask(address: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(address, data, {"Content-Type": "application/json"}))


def wait_until_ready(address: str) -> None:
    while not json.load(ask(f"{address}v1/model"))["ready"]:
        time.sleep(0.2)


if __name__ == "__main__":
    main()
