"""How torch's threads wait and how many there are, settled before torch is imported.

OpenMP's threads spin while they wait for each other. Where anything else runs on the machine, a spinning thread takes
the processor from the one it waits for: on two busy cores a triplet of the embedded model took 68 to 88 s that took 5
to 6 s with threads that sleep (`python -m benchmarks.threads`).
"""

import math
import os
import sys
import warnings
from pathlib import Path

QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def settle_threads() -> None:
    """Let waiting threads sleep, and take no more of them than a container's quota gives processors.

    What the environment says already (OMP_WAIT_POLICY, OMP_NUM_THREADS) stays. The commands and the recipes call this;
    a program of your own may, before it imports torch:

        from layerfusion.threads import settle_threads

        settle_threads()
        import torch
    """
    if "torch" in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        warnings.warn("settle_threads has no effect once torch is imported; call it before.", stacklevel=2)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    quota = processor_quota()
    if quota is not None and quota < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, math.floor(quota))))


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
