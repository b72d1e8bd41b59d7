"""kill -9 of worker, web process and supervisor at random moments of queued runs: what becomes of the runs?

    python -m tests.serve.killing --runs 50 --kills 60

Runs are queued with idempotency keys over HTTP, each twice and as often as it takes; a supervisor that was killed is
started again, as systemd would. In the end every run must be done, and must have become so once (a trigger of this
program's own in the database counts), its PNGs must be the pixels that the same request gives without any service, and
no folder may be left over. The model is a tiny random one: what is measured is the service.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import layerfusion
from layerfusion.runs import Request, Session, generate
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import Store
from layerfusion.serve.tidying import tidy
from tests.models.tiny_files import tiny_pipeline

# The package that is tested, and not another that is installed.
SAME_SOURCE = {**os.environ, "PYTHONPATH": str(Path(layerfusion.__file__).parents[1])}
MOST_ATTEMPTS = Settings.attempts - 1
AUDIT = """
CREATE TABLE IF NOT EXISTS audit (id TEXT, state TEXT);
CREATE TRIGGER IF NOT EXISTS audited AFTER UPDATE OF state ON runs WHEN NEW.state IN ('done', 'failed', 'cancelled')
BEGIN INSERT INTO audit VALUES (NEW.id, NEW.state); END;
"""


class Service:
    """`layerfusion serve` and its processes, as its log names them."""

    def __init__(self, model: Path, data: Path) -> None:
        self.model, self.data = model, data
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "layerfusion", "serve", "--model", str(self.model), "--device", "cpu"]
        command += ["--port", str(self.port), "--data", str(self.data)]
        quiet: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
        self.process: Any = subprocess.Popen(command, env=SAME_SOURCE, **quiet)
        self.processes = {"supervisor": self.process.pid}
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: Any) -> None:
        with process.stderr as lines:
            for line in lines:
                if match := re.search(r"the (web|worker) is process (\d+)", line):
                    self.processes[match[1]] = int(match[2])

    def kill(self, which: str) -> bool:
        """kill -9; a supervisor is started again as soon as its port is free."""
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(self.processes[which], signal.SIGKILL)
            if which == "supervisor":
                self.process.wait()
                while not self._is_free():
                    time.sleep(0.05)
                self.start()
            return True
        return False

    def _is_free(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", self.port)).close()
            return True
        return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(self, path: str, body: dict[str, Any] | None = None, key: str = "") -> Any:
        """Over HTTP, until there is an answer."""
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
        data = None if body is None else json.dumps(body).encode()
        while True:
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return json.load(answer)
            except (OSError, ValueError) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code not in (429, 503):
                    raise
                time.sleep(0.1)


@dataclass
class Findings:
    """What became of the runs."""

    kills: Counter[str]
    left: int  # runs that were not done when the last kill came
    attempts: Counter[int]
    states: Counter[str]
    ends: Counter[int]  # how often a run ended → how many did
    whole: int
    folders: int

    def are_well(self, runs: int) -> bool:
        return self.states == {"done": runs} and self.ends == {1: runs} and self.whole == self.folders == runs


def attack(service: Service, runs: int, steps: int, kills: Iterable[tuple[float, str]]) -> Findings:
    """Queue runs, and kill whom `kills` says after so many seconds each; a worker only while it has a run.

    A run that was begun four times is left in peace: at the fifth the service gives it up, as it should.
    """
    service.ask("/healthz")
    database = sqlite3.connect(service.data / "jobs.sqlite3", timeout=30, isolation_level=None)
    database.executescript(AUDIT)
    asked = {"foreground_prompt": "a red fox", "background_prompt": "a snowy forest", "steps": steps}
    bodies = [{**asked, "seed": seed} for seed in range(runs)]
    ids = [""] * runs

    def send() -> None:
        for number, body in enumerate(bodies):
            ids[number] = service.ask("/v1/runs", body, key=f"run {number}")["id"]
            assert service.ask("/v1/runs", body, key=f"run {number}")["id"] == ids[number]

    sender = threading.Thread(target=send)
    sender.start()
    killed: Counter[str] = Counter()
    for pause, which in kills:
        time.sleep(pause)
        while which != "web" and not may_kill(database, which):
            time.sleep(0.05)
        while not service.kill(which):  # it is just being started
            time.sleep(0.05)
        killed[which] += 1
    sender.join()
    left = database.execute("SELECT count(*) FROM runs WHERE state IN ('queued', 'running')").fetchone()[0]
    while any(service.ask(f"/v1/runs/{run_id}")["status"] in ("queued", "running") for run_id in ids):
        time.sleep(0.2)
    ends = Counter(run_id for (run_id,) in database.execute("SELECT id FROM audit"))
    attempts = Counter(number for (number,) in database.execute("SELECT attempts FROM runs"))
    states = Counter(state for (state,) in database.execute("SELECT state FROM runs"))
    database.close()
    service.stop()
    store, settings = Store(service.data / "jobs.sqlite3"), Settings(service.data)
    tidy(store, settings)
    store.close()
    folders = len(list(settings.results.iterdir()))
    whole = count_whole(service, dict(zip(ids, bodies, strict=True)))
    return Findings(killed, left, attempts, states, Counter(ends.values()), whole, folders)


def may_kill(database: sqlite3.Connection, which: str) -> bool:
    """Whether a worker is at a run, or none is left; and that run was not begun too often."""
    running = [number for (number,) in database.execute("SELECT attempts FROM runs WHERE state = 'running'")]
    queued = database.execute("SELECT count(*) FROM runs WHERE state = 'queued'").fetchone()[0]
    loading = which == "worker" and not running and queued
    return not loading and max(running, default=0) < MOST_ATTEMPTS


def count_whole(service: Service, bodies: dict[str, dict[str, Any]]) -> int:
    """How many runs' pictures are those that their request gives by itself."""
    model = {"model": str(service.model), "device": "cpu"}
    session = Session.open(Request.checked({**next(iter(bodies.values())), **model}))
    whole = 0
    for run_id, body in bodies.items():
        (expected,) = generate(session, Request.checked({**body, **model}))
        (folder,) = (service.data / "results").glob(f"{run_id}-*")
        pictures = expected.triplet.pictures()
        whole += all(np.array_equal(read(folder / f"{name}.png"), np.asarray(pictures[name])) for name in pictures)
    return whole


def read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--steps", type=int, default=40, help="of each run")
    parser.add_argument("--pause", type=float, default=6.0, help="longest time between two kills, in seconds")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    whom = ("worker", "worker", "web", "web", "supervisor")
    kills = [(chance.uniform(0.1, asked.pause), chance.choice(whom)) for _ in range(asked.kills)]
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder) / "tiny", Path(folder) / "data"
        tiny_pipeline(defaults={"steps": 2, "guidance_scale": 2.5, "size": [64, 64]}).save_pretrained(model)
        service = Service(model, data)
        try:
            findings = attack(service, asked.runs, asked.steps, kills)
        finally:
            service.stop()
    print(findings)
    print("nothing was lost, nothing was done twice" if findings.are_well(asked.runs) else "NOT as it should be")
    return not findings.are_well(asked.runs)


if __name__ == "__main__":
    sys.exit(main())
