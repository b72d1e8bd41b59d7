"""How torch's threads wait and how many there are, settled before torch is imported.

OpenMP's threads spin while they wait for each other. Where anything else runs on the machine, a spinning thread takes
the processor from the one it waits for: beside busy processes a triplet of the embedded model took two minutes that
took 6 s with threads that sleep. On a machine that does nothing else, falling asleep and being woken at every operation
costs more than half of the speed, and a short spin before it costs nothing (`python -m benchmarks.threads`).
"""

import math
import os
import sys
import time
import warnings
from pathlib import Path

LOAD = Path("/proc/loadavg")
SHORT_SPIN = 1000
"""Rounds that a thread waits awake before it sleeps (GNU's OpenMP): microseconds. Its own default is 300,000."""
QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def settle_threads() -> None:
    """Let waiting threads sleep, and take no more of them than a container's quota gives processors.

    On a machine at rest they stay awake for microseconds before they sleep, on a busy one not at all. What the
    environment says already (OMP_WAIT_POLICY, GOMP_SPINCOUNT, OMP_NUM_THREADS) stays. The commands and the recipes call
    this; a program of your own may, before it imports torch:

        from layerfusion.threads import settle_threads

        settle_threads()
        import torch
    """
    if "torch" in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        warnings.warn("settle_threads has no effect once torch is imported; call it before.", stacklevel=2)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        if at_rest():
            os.environ.setdefault("GOMP_SPINCOUNT", str(SHORT_SPIN))
    quota = processor_quota()
    if quota is not None and quota < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, math.floor(quota))))


def at_rest(file: Path = LOAD, samples: int = 3) -> bool:
    """Whether more than half of the processors have nothing to do, this process aside; False where nobody knows.

    Args:
        file: Linux's `/proc/loadavg`, whose fourth field is "running/all" of this very moment.
        samples: How often to look, some milliseconds apart; the quietest moment counts.
    """
    running = []
    for _ in range(samples):
        try:
            running.append(int(file.read_text().split()[3].split("/")[0]) - 1)
        except (OSError, ValueError, IndexError):
            return False
        time.sleep(0.003)
    return 2 * min(running) < (os.cpu_count() or 1)


def processor_quota(files: tuple[Path, Path] = QUOTAS) -> float | None:
    """How many processors' time this container may use; None without a limit.

    Args:
        files: cgroup v2's `cpu.max` ("quota period", in µs, or "max"), and cgroup v1's `cpu.cfs_quota_us`, beside which
            lies `cpu.cfs_period_us`.
    """
    second, first = files
    try:
        quota, period = second.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = first.read_text(), first.with_name("cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        share = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return share if share > 0 else None
