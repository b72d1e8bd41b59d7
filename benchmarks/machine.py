"""The machine a number was measured on, and where numbers are kept."""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from layerfusion.files import atomic_write

RESULTS = Path(__file__).parent / "results"
WORSE = 1.1  # a ratio that has grown by more than this factor since the last commit fails the gate


def cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def gpu_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def commit() -> str:
    """The commit that was measured, with `+` where tracked files of the package differ from it."""
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--abbrev=10", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def conditions() -> dict[str, Any]:
    """Everything a number depends on beside the code."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory / 2**30, 1),
        # More than `cores` means that other work slowed this down.
        "load_average": round(os.getloadavg()[0], 1),
        "gpu": gpu_name(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "layerfusion")},
    }


def record(name: str, results: dict[str, Any]) -> Path:
    """Write results with the machine's conditions to `benchmarks/results/<name>.json`, and print them."""
    path = RESULTS / f"{name}.json"
    text = json.dumps({"conditions": conditions(), "results": results}, indent=2) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text)
    print(text + f"written to {path}")
    return path


def machine_name() -> str:
    """Processor, cores and threads, or the GPU, as a file's name."""
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return "-".join(re.findall(r"[a-z0-9]+", (gpu_name() or f"{cpu_name()} {cores}").lower()))


def remember(benchmark: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    """Add ratios to the history of this machine, `benchmarks/results/history/<machine>.json`.

    A second measurement of the same commit takes the place of the first.

    Args:
        benchmark: Which it is.
        rows: For each contender {"ratio": [median, low, high], …}, low and high the ends of its interval.

    Returns:
        A sentence for each ratio that is worse than at the last other commit by more than `WORSE`, surely: the
        intervals apart.
    """
    path = RESULTS / "history" / f"{machine_name()}.json"
    history: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    now = conditions()
    same = [entry for entry in history if entry["benchmark"] == benchmark]
    before = [entry for entry in same if entry["conditions"]["commit"] != now["commit"]]
    sentences = worse(before[-1], rows) if before else []
    history = [entry for entry in history if entry not in same or entry in before]
    history.append({"benchmark": benchmark, "conditions": now, "rows": rows})
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(history, indent=1) + "\n")
    return sentences


def worse(before: dict[str, Any], rows: dict[str, dict[str, Any]]) -> list[str]:
    """What is worse than in an entry of the history, a sentence each."""
    sentences = []
    for name, row in rows.items():
        was = before["rows"].get(name, {}).get("ratio")
        now = row["ratio"]
        if was and now[0] > WORSE * was[0] and now[1] > was[2]:
            commit = before["conditions"]["commit"]
            sentences.append(f"{name} is slower: {now[0]} times the first, {was[0]} at {commit}.")
    return sentences
