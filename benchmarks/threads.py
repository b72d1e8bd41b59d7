"""A triplet of the embedded model by the command, with threads that spin and threads that sleep while they wait.

`settled` is what the command does by itself (`layerfusion.threads`), `sleeping` never waits awake, `spinning` always.
In turns, on the machine as it is and beside busy processes, in wall-clock seconds:

    python -m benchmarks.threads
"""

import argparse
import os
import subprocess
import sys
import tempfile

from benchmarks.machine import record

BUSY = "while True: pass"
TRIPLET = "from layerfusion.cli import app; app()"


WAITS = {
    "settled": {},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE"},
}


def seconds(wait: dict[str, str], steps: int) -> float:
    """What the command says a triplet took, model loaded."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = ["a snowman", "a beach at night", "--seed", "7", "--steps", str(steps), "--out", f"{folder}/out"]
        ran = subprocess.run(
            [sys.executable, "-c", TRIPLET, "generate", *prompts],
            env={**os.environ, **wait},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(ran.stdout.split(" s on ")[0].split("·")[-1])


def measure(busy: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds by how threads wait, in turns, beside so many busy processes."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    try:
        taken: dict[str, list[float]] = {name: [] for name in WAITS}
        for _ in range(rounds):
            for name, figures in taken.items():
                figures.append(seconds(WAITS[name], steps))
        return taken
    finally:
        for other in others:
            other.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    results = {f"{busy} busy processes": measure(busy, args.rounds, args.steps) for busy in (0, os.cpu_count() or 1)}
    record("threads", results)


if __name__ == "__main__":
    main()
