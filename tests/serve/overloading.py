"""Ten times the load that a service can bear: does its memory stay bounded, is nothing lost, does it still answer?

    python -m tests.serve.overloading --minutes 10

First the service's own pace is measured, then runs are sent ten times as fast for so many minutes, a fifth of them with
an uploaded photo, while /healthz is asked four times a second. Then what is still queued, 64 runs, is waited for. The
model is a tiny random one.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.models.tiny_files import tiny_pipeline
from tests.serve.killing import Service
from tests.serve.test_guard import png

BODY = {"foreground_prompt": "a red fox", "background_prompt": "a snowy forest", "steps": 10}


class Load:
    """What was sent, and what came back."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.answers: Counter[int] = Counter()
        self.accepted: list[str] = []
        self.waits: list[int] = []
        self.health: list[float] = []
        self.memory: dict[str, list[int]] = {"web": [], "worker": []}
        self.ending = threading.Event()

    def post(self, path: str, data: bytes, kind: str) -> tuple[int, Any, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.service.port}{path}", data, {"Content-Type": kind}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers

    def send(self, number: int) -> None:
        body: dict[str, Any] = BODY | {"seed": number}
        if number % 5 == 0:
            _, upload, _ = self.post("/v1/uploads", png(64, 64), "image/png")
            body |= {"background_image": upload["id"], "width": 64, "height": 64}
        status, answer, headers = self.post("/v1/runs", json.dumps(body).encode(), "application/json")
        self.answers[status] += 1
        if status == 202:
            self.accepted.append(answer["id"])
        elif status == 429:
            self.waits.append(int(headers["Retry-After"]))

    def sender(self, first: int, of: int, rate: float) -> None:
        number, due = first, time.monotonic()
        while not self.ending.is_set():
            self.send(number)
            number, due = number + of, due + of / rate
            self.ending.wait(max(0.0, due - time.monotonic()))

    def watch(self) -> None:
        while not self.ending.wait(0.25):
            began = time.monotonic()
            with urllib.request.urlopen(f"http://127.0.0.1:{self.service.port}/healthz", timeout=30):
                self.health.append(time.monotonic() - began)
            for which, sizes in self.memory.items():
                sizes.append(resident(self.service.processes[which]))


def resident(process: int) -> int:
    """MiB of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) >> 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--times", type=float, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny"
        tiny_pipeline(defaults={"steps": 2, "guidance_scale": 2.5, "size": [64, 64]}).save_pretrained(model)
        service = Service(model, Path(folder) / "data")
        try:
            return overload(service, asked.minutes * 60, asked.times)
        finally:
            service.stop()


def overload(service: Service, seconds: float, times: float) -> int:
    service.ask("/readyz")
    began = time.monotonic()
    first = [service.ask("/v1/runs", BODY | {"seed": seed})["id"] for seed in range(10)]
    wait_for(service, first)
    pace = 10 / (time.monotonic() - began)
    load, of = Load(service), 8
    threads = [threading.Thread(target=load.sender, args=(100 + n, of, times * pace)) for n in range(of)]
    threads.append(threading.Thread(target=load.watch))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    load.ending.set()
    for thread in threads:
        thread.join()
    print(f"sent; {len(load.accepted)} were accepted, and those that are queued are waited for", flush=True)
    wait_for(service, load.accepted)
    runs = [service.ask(f"/v1/runs/{run_id}") for run_id in load.accepted]
    states = Counter(run["status"] for run in runs)
    for error, count in Counter(run["error"] for run in runs if run["error"]).items():
        print(f"{count} times: {error}")
    health, sent = sorted(load.health), sum(load.answers.values())
    print(f"pace alone {pace:.2f} runs/s; sent {sent} in {seconds:.0f} s, {sent / seconds / pace:.1f} times the pace")
    print(f"answers {dict(load.answers)}; Retry-After {min(load.waits, default=0)} to {max(load.waits, default=0)} s")
    print(f"accepted {len(load.accepted)}, of them {dict(states)}")
    print(
        f"health: median {health[len(health) // 2]:.3f} s, 99 % {health[len(health) * 99 // 100]:.3f} s, "
        f"worst {health[-1]:.3f} s of {len(health)}"
    )
    for which, sizes in load.memory.items():
        quarter = len(sizes) // 4
        print(
            f"memory of the {which}: {max(sizes[:quarter])} MiB in the first quarter, {max(sizes)} at most, "
            f"{sizes[-1]} at the end"
        )
    return not (set(load.answers) <= {202, 429} and states == {"done": len(load.accepted)} and health[-1] <= 0.5)


def wait_for(service: Service, ids: list[str]) -> None:
    while any(service.ask(f"/v1/runs/{run_id}")["status"] in ("queued", "running") for run_id in ids[-5:]):
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
