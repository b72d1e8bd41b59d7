"""kill -9 of worker, web process and supervisor at random moments of queued runs: what becomes of the runs?

    python -m tests.serve.killing --runs 50 --kills 60

Runs are queued with idempotency keys over HTTP, as often as it takes; a supervisor that was killed is started again, as
systemd would. In the end every run must be done, and must have become so once (a trigger of this program's own in the
database counts), its PNGs must be the pixels that the same request gives without any service, and no folder may be left
over. The model is a tiny random one: what is measured is the service.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion.runs import Request, Session, generate
from tests.models.tiny_files import tiny_pipeline

PORT = 8291
AUDIT = """
CREATE TABLE IF NOT EXISTS audit (id TEXT, state TEXT);
CREATE TRIGGER IF NOT EXISTS audited AFTER UPDATE OF state ON runs WHEN NEW.state IN ('done', 'failed', 'cancelled')
BEGIN INSERT INTO audit VALUES (NEW.id, NEW.state); END;
"""


class Service:
    """`layerfusion serve` and its processes, as its log names them."""

    def __init__(self, model: Path, data: Path, steps: int) -> None:
        self.model, self.data, self.steps = model, data, steps
        self.processes: dict[str, int] = {}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "layerfusion", "serve", "--model", str(self.model), "--device", "cpu"]
        command += ["--port", str(PORT), "--data", str(self.data)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.processes = {"supervisor": self.process.pid}
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: Any) -> None:
        for line in process.stderr:
            if match := re.search(r"the (web|worker) is process (\d+)", line):
                self.processes[match[1]] = int(match[2])

    def kill(self, which: str) -> bool:
        """kill -9; a supervisor is started again at once."""
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(self.processes[which], signal.SIGKILL)
            if which == "supervisor":
                self.process.wait()
                while not self._free():
                    time.sleep(0.05)
                self.start()
            return True
        return False

    def _free(self) -> bool:
        """Whether the old web process has noticed that it is alone."""
        with contextlib.suppress(OSError):
            import socket

            socket.create_server(("127.0.0.1", PORT)).close()
            return True
        return False


def ask(path: str, body: dict[str, Any] | None = None, key: str = "") -> Any:
    """Over HTTP, until there is an answer."""
    headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    while True:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code not in (429, 503):
                raise
            time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--steps", type=int, default=40, help="of each run")
    parser.add_argument("--pause", type=float, default=6.0, help="longest time between two kills, in seconds")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder) / "tiny", Path(folder) / "data"
        tiny_pipeline(defaults={"steps": 2, "guidance_scale": 2.5, "size": [64, 64]}).save_pretrained(model)
        service = Service(model, data, asked.steps)
        try:
            return measure(service, asked)
        finally:
            service.process.terminate()
            service.process.wait()


def measure(service: Service, asked: argparse.Namespace) -> int:
    chance, began = random.Random(asked.seed), time.monotonic()
    ask("/healthz")
    database = sqlite3.connect(service.data / "jobs.sqlite3", timeout=30, isolation_level=None)
    database.executescript(AUDIT)
    bodies = [
        {"foreground_prompt": "a red fox", "background_prompt": "a snowy forest", "seed": seed, "steps": asked.steps}
        for seed in range(asked.runs)
    ]
    ids = [""] * asked.runs
    sender = threading.Thread(target=send, args=(bodies, ids))
    sender.start()
    killed: Counter[str] = Counter()
    while sum(killed.values()) < asked.kills:
        time.sleep(chance.uniform(0.1, asked.pause))
        which = chance.choice(("worker", "worker", "web", "web", "supervisor"))
        killed[which] += service.kill(which)
    sender.join()
    left = int(database.execute("SELECT count(*) FROM runs WHERE state IN ('queued', 'running')").fetchone()[0])
    while any(ask(f"/v1/runs/{run_id}")["status"] in ("queued", "running") for run_id in ids):
        time.sleep(0.5)
    seconds = time.monotonic() - began
    states = Counter(state for (state,) in database.execute("SELECT state FROM runs"))
    ends = Counter(run_id for (run_id,) in database.execute("SELECT id FROM audit"))
    attempts = Counter(number for (number,) in database.execute("SELECT attempts FROM runs"))
    whole = sum(is_whole(service, run_id, body) for run_id, body in zip(ids, bodies, strict=True))
    time.sleep(1)
    service.kill("worker")  # the next one tidies first
    while any(not entry.name.startswith(tuple(ids)) for entry in (service.data / "results").iterdir()):
        time.sleep(0.2)
    folders = len(list((service.data / "results").iterdir()))
    print(f"{asked.runs} runs, {sum(killed.values())} kills ({dict(killed)}), {seconds:.0f} s")
    print(f"runs left when the last kill came: {left}; attempts a run: {dict(sorted(attempts.items()))}")
    print(
        f"states: {dict(states)}; ended once: {sum(n == 1 for n in ends.values())}; more often: "
        f"{sum(n > 1 for n in ends.values())}; whole: {whole}; folders: {folders}"
    )
    good = states == {"done": asked.runs} and set(ends.values()) == {1} and whole == folders == asked.runs
    print("nothing was lost, nothing was done twice" if good else "NOT as it should be")
    return not good


def send(bodies: list[dict[str, Any]], ids: list[str]) -> None:
    """Queue every run, each twice: the second time must give the same run."""
    for number, body in enumerate(bodies):
        ids[number] = ask("/v1/runs", body, key=f"run {number}")["id"]
        assert ask("/v1/runs", body, key=f"run {number}")["id"] == ids[number]


def is_whole(service: Service, run_id: str, body: dict[str, Any]) -> bool:
    """Whether a run's pictures are those that the request gives by itself."""
    if not hasattr(service, "session"):
        asked = Request.checked({**body, "model": str(service.model), "device": "cpu"})
        service.session = Session.open(asked)  # type: ignore[attr-defined]
    (expected,) = generate(service.session, Request.checked({**body, "model": str(service.model), "device": "cpu"}))  # type: ignore[attr-defined]
    (folder,) = (service.data / "results").glob(f"{run_id}-*")
    for name, picture in expected.triplet.pictures().items():
        with Image.open(folder / f"{name}.png") as found:
            if not np.array_equal(np.asarray(found), np.asarray(picture)):
                return False
    return True


if __name__ == "__main__":
    sys.exit(main())
