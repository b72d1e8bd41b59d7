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
