"""Freed memory that the next tensor takes."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = 2048 * 4096
CODE = f"""
import resource
import numpy as np
from layerfusion.allocation import keep_freed_memory
assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    first, second = (np.ones({PAGES}, np.uint8) for _ in range(2))
    del first, second
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(code: str) -> int:
    source = str(Path(__file__).parents[1] / "src")
    environment = {"PYTHONPATH": source, "PATH": os.environ["PATH"]}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="acts on glibc alone")
def test_what_is_freed_is_taken_again_and_not_cleared_anew() -> None:
    kept = faults(CODE)
    given_back = faults(CODE.replace("assert keep_freed_memory()", ""))
    # Two arrays of 2,048 pages, touched once or fifty times; huge pages would make both few.
    assert kept <= 2 * 2048 + 500
    assert given_back >= kept
