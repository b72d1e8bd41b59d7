"""How soon the command answers: its import, its first word on a terminal, its help, its refusals.

Wall-clock seconds, and seconds of the processor, which do not depend on what else runs; the least of some rounds:

    python -m benchmarks.startup
"""

import argparse
import os
import pty
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial

from benchmarks.machine import record

PROMPTS = ["generate", "a snowman", "a beach at night"]
COMMAND = [sys.executable, "-m", "layerfusion"]
REFUSALS = {
    "model": ["--model", "nowhere"],
    "device": ["--device", "tpu"],
    "no GPU here": ["--device", "mps"],
    "size": ["--size", "100x64"],
    "memory": ["--size", "16384x16384"],
    "boundary": ["--boundary", "-1"],
    "offload": ["--offload", "model", "--device", "cpu"],
    "record": ["--from", "nowhere.json"],
}


def run(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a command takes to its end."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, used


def first_word(command: list[str]) -> tuple[float, float]:
    """Seconds until a command shows anything on its terminal; it is stopped then."""
    terminal, other = pty.openpty()
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=other, stderr=other, stdin=other) as running:
        os.read(terminal, 1)
        seconds = time.perf_counter() - started
        with open(f"/proc/{running.pid}/stat") as state:
            ticks = sum(map(int, state.read().rpartition(")")[2].split()[11:13]))
        running.kill()
    os.close(terminal)
    os.close(other)
    return seconds, ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", f"{folder}/out"]
        measured = {
            "an empty Python": partial(run, [sys.executable, "-c", "pass"]),
            "import of the command": partial(run, [sys.executable, "-c", "import layerfusion.cli"]),
            "first word of generate": partial(first_word, [*COMMAND, *PROMPTS, *out]),
            "help": partial(run, [*COMMAND, "--help"]),
        }
        for name, more in REFUSALS.items():
            measured[f"refusal: {name}"] = partial(run, [*COMMAND, *PROMPTS, *out, *more])
        rounds = [{name: measure() for name, measure in measured.items()} for _ in range(args.rounds)]
    results = {
        name: {
            "seconds": round(min(each[name][0] for each in rounds), 2),
            "of_the_processor": round(min(each[name][1] for each in rounds), 2),
        }
        for name in measured
    }
    record("startup", {"rounds": args.rounds, **results})


if __name__ == "__main__":
    main()
