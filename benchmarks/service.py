"""How long from asking the service to the first preview, and to the picture, beside the same run without it.

    python -m benchmarks.service

Starts `layerfusion serve` with the embedded model on this machine, waits until it is ready, and takes turns: a run over
HTTP, followed by its events as the page does, and the same run in this process with a loaded model, its files written
as the command writes them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layerfusion.threads import settle_threads

PORT = 8292
BODY = {"foreground_prompt": "a fox", "background_prompt": "a snowy forest"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    settle_threads()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "layerfusion", "serve", "--port", str(PORT), "--data", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
            try:
                wait_until_ready()
                measure(times, Path(folder))
            finally:
                service.terminate()


def measure(times: int, folder: Path) -> None:
    from layerfusion.runs import Request, Session, Target, generate

    session = Session.open(Request.checked(BODY))
    list(generate(session, Request.checked({**BODY, "steps": 2})))
    previews, pictures, alone = [], [], []
    for seed in range(times):
        began = time.perf_counter()
        seen = 0.0
        run = json.load(ask("/v1/runs", BODY | {"seed": seed}))
        for progress in events(run["id"]):
            if progress["preview"] and not seen:
                seen = time.perf_counter() - began
        previews.append(seen)
        pictures.append(time.perf_counter() - began)
        began = time.perf_counter()
        (generated,) = generate(session, Request.checked({**BODY, "seed": seed}))
        Target(folder / f"alone-{seed}").write(generated)
        alone.append(time.perf_counter() - began)
    print(f"first preview: median {statistics.median(previews):.2f} s")
    ratios = [of / by for of, by in zip(pictures, alone, strict=True)]
    print(
        f"picture: median {statistics.median(pictures):.2f} s; by the command {statistics.median(alone):.2f} s; "
        f"ratio {statistics.median(ratios):.2f}"
    )


def ask(path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, {"Content-Type": "application/json"})
    return urllib.request.urlopen(request)


def events(run: str) -> Iterator[dict[str, Any]]:
    for line in ask(f"/v1/runs/{run}/events"):
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def wait_until_ready() -> None:
    while True:
        try:
            ask("/readyz").close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)


if __name__ == "__main__":
    main()
