"""Triplets of the embedded model with freed memory kept (`layerfusion.allocation`) and given back, as glibc would.

Each in a process of its own, in turns, one thread: processor time of a triplet after the first, its page faults, and
the peak of the process's memory.

    python -m benchmarks.allocation
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from benchmarks.machine import record

SETTLED = {"kept": "from layerfusion.allocation import keep_freed_memory; keep_freed_memory()", "given back": ""}
CODE = """
import json, resource, time
import torch
from layerfusion.models import load_pipeline
pipe = load_pipeline()
def used():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return time.process_time(), now.ru_minflt, now.ru_maxrss
taken = []
for _ in range(4):
    seconds, faults, _ = used()
    pipe("a snowman", "a beach at night", generator=torch.Generator().manual_seed(7))
    now = used()
    taken.append((now[0] - seconds, now[1] - faults))
seconds, faults = map(min, zip(*taken[1:]))
print(json.dumps({"seconds": seconds, "faults": faults, "peak_mib": now[2] / 1024}))
"""


def measure(settled: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", settled + "\n" + CODE]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rounds = [{name: measure(settled) for name, settled in SETTLED.items()} for _ in range(args.rounds)]
    medians = {
        name: {figure: round(statistics.median(turn[name][figure] for turn in rounds), 2) for figure in rounds[0][name]}
        for name in SETTLED
    }
    ratio = statistics.median(turn["kept"]["seconds"] / turn["given back"]["seconds"] for turn in rounds)
    record("allocation", {"rounds": args.rounds, **medians, "seconds, kept / given back": round(ratio, 3)})


if __name__ == "__main__":
    main()
