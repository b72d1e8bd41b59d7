"""Threads that sleep while they wait, and no more of them than a container may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerfusion.threads import at_rest, processor_quota


def environment_after(code: str, **environment: str) -> str:
    ask = f"import os; {code}; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in __import__('sys').modules)"
    ran = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize("package", ["layerfusion.cli", "recipes.mini.train"])
def test_commands_and_recipes_settle_it_before_torch(package: str) -> None:
    root = Path(__file__).parents[1]
    path = f"{root / 'src'}:{root}"
    assert environment_after(f"import {package}", PYTHONPATH=path).startswith("PASSIVE")
    assert environment_after(f"import {package}", PYTHONPATH=path, OMP_WAIT_POLICY="ACTIVE").startswith("ACTIVE")


def test_it_says_when_it_comes_too_late() -> None:
    code = "import torch, warnings; from layerfusion.threads import settle_threads; settle_threads()"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1 and "call it before" in ran.stderr


@pytest.mark.parametrize(
    ("load", "rest"),
    [
        ("0.00 0.01 0.05 1/512 4242", True),
        (f"9.00 9.00 9.00 {1 + (os.cpu_count() or 1)}/512 4242", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_a_machine_at_rest_is_told_from_a_busy_one(tmp_path: Path, load: str | None, rest: bool) -> None:
    file = tmp_path / "loadavg"
    if load is not None:
        file.write_text(load + "\n")
    assert at_rest(file) == rest


def test_what_the_environment_says_of_waiting_stays() -> None:
    code = "from layerfusion.threads import settle_threads; settle_threads(); print(os.environ.get('GOMP_SPINCOUNT'))"
    path = str(Path(__file__).parents[1] / "src")
    assert environment_after(code, PYTHONPATH=path, OMP_WAIT_POLICY="PASSIVE").startswith("None")
    assert environment_after(code, PYTHONPATH=path, GOMP_SPINCOUNT="7").startswith("7")


@pytest.mark.parametrize(
    ("second", "first", "quota"),
    [
        ("max 100000", None, None),
        ("150000 100000", None, 1.5),
        (None, ("200000", "100000"), 2.0),
        (None, ("-1", "100000"), None),
        ("nonsense", None, None),
        (None, None, None),
    ],
)
def test_the_quota_of_a_container(
    tmp_path: Path, second: str | None, first: tuple[str, str] | None, quota: float | None
) -> None:
    files = (tmp_path / "cpu.max", tmp_path / "cpu.cfs_quota_us")
    if second is not None:
        files[0].write_text(second + "\n")
    if first is not None:
        files[1].write_text(first[0] + "\n")
        (tmp_path / "cpu.cfs_period_us").write_text(first[1] + "\n")
    assert processor_quota(files) == quota
