"""One call in a process of its own, and what is to be said of how it ended."""

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS, BYTES = 10, 1_500_000_000
STEP, TRIPLET = 0.04, 0.5  # seconds of the processor that a step of the tiny model, and a written triplet, may take:
# who asks for a thousand of them waits for them
# Where a run is stopped: seconds of the processor, and by the clock, of which a busy machine may take many for ten.
PROCESSOR, HANGS = 120, 240


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        code: Its exit code; negative, the signal that ended it.
        stdout, stderr: What it said.
        seconds: Of the processor, its own.
        clock: Seconds by the clock.
        bytes: The most memory it held, all of the process.
        changed: Whether files are other than before.
        left: Names of temporary files.
        steps: For each triplet that it wrote, how many were sampled.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    clock: float
    bytes: int
    changed: bool
    left: tuple[str, ...]
    steps: tuple[int, ...] = ()

    @property
    def errors(self) -> list[str]:
        """The lines on stderr that are no notes."""
        return [line for line in self.stderr.splitlines() if not line.startswith("note: ")]

    @property
    def allowed(self) -> float:
        """Seconds of the processor that it may take, with what it wrote."""
        return SECONDS + STEP * sum(self.steps) + TRIPLET * len(self.steps)

    @property
    def at_work(self) -> bool:
        """Whether it was stopped while it made the many triplets that it was asked for, no slower than it may."""
        stopped = self.code == -signal.SIGKILL and (self.seconds > PROCESSOR - 1 or self.clock > HANGS - 1)
        return stopped and bool(self.steps) and self.seconds <= self.allowed and self.bytes <= BYTES

    def complaint(self, command: str, full: bool) -> str | None:
        """What is wrong with it; None where it was handled. Where it could say nothing, its work may be done."""
        if self.code < 0:
            return None if self.at_work else f"ended by {signal.Signals(-self.code).name}"
        if "Traceback" in self.stderr or self.code not in (0, 2, *((1,) if command == "doctor" else ())):
            return f"exit {self.code}: {self.stderr.strip().splitlines()[-1][:200] if self.stderr.strip() else ''}"
        errors = self.errors
        if self.code == 2 and (len(errors) != 1 or not errors[0].startswith("error: ") or len(errors[0]) > 12_000):
            return f"not one sentence: {self.stderr[:300]!r}"
        if self.code == 0 and errors and command == "generate":
            return f"noise: {self.stderr[:300]!r}"
        if self.code == 2 and self.changed and not full:
            return f"files changed though it failed: {self.stderr[:200]!r}"
        if self.left:
            return f"left behind: {self.left}"
        if self.seconds > self.allowed:
            return f"took {self.seconds:.1f} s"
        if self.bytes > BYTES and "memory" not in self.stderr:
            return f"held {self.bytes / 1e9:.1f} GB"
        return None


def run_case(
    arguments: list[str],
    here: Path,
    full: bool = False,
    before_it: Callable[[], None] | None = None,
    meanwhile: Callable[[int], None] | None = None,
) -> Outcome:
    """Run the command in a fork, in a folder; its files are compared before and after.

    Args:
        full: Standard output goes to a full device.
        before_it: Called in the fork, before the command.
        meanwhile: Called with the fork's number while it runs.
    """
    before, started = listing(here), time.monotonic()
    logs = here.with_suffix(".out"), here.with_suffix(".err")
    child = os.fork()
    if child == 0:
        _be_the_command(arguments, here, logs, full, before_it)
    if meanwhile is not None:
        meanwhile(child)
    usage, status = _wait(child)
    after = listing(here)
    return Outcome(
        os.waitstatus_to_exitcode(status),
        *(log.read_text(errors="replace") for log in logs),
        usage.ru_utime + usage.ru_stime,
        time.monotonic() - started,
        usage.ru_maxrss * 1024,
        before != after,
        tuple(name for name in after if ".layerfusion-" in name),
        _steps(here) if arguments[0] == "generate" and before != after else (),
    )


def _steps(here: Path) -> tuple[int, ...]:
    """Of the finished triplets below a folder, as their records say."""
    records = (path for path in here.rglob("triplet.json") if ".layerfusion-" not in str(path))
    return tuple(json.loads(record.read_text())["steps"] for record in records)


def _wait(child: int) -> tuple[resource.struct_rusage, int]:
    deadline = time.monotonic() + HANGS
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return usage, status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def _be_the_command(
    arguments: list[str], here: Path, logs: tuple[Path, Path], full: bool, before_it: Callable[[], None] | None
) -> None:
    """In the fork: never returns."""
    try:
        os.chdir(here)
        for number, log in enumerate(logs, start=1):
            name = "/dev/full" if full and number == 1 else log
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
        logs[0].touch()
        # The kernel's own bound, so that a bad case cannot take the machine down.
        resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
        from layerfusion.cli import app

        sys.argv = ["layerfusion", *arguments]
        if before_it is not None:
            before_it()
        app(prog_name="layerfusion")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 120  # as the interpreter ends that cannot say its last words
    sys.stderr.flush()
    os._exit(code)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every name below a folder, with its kind, size and when it was changed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            state = os.lstat(path)
            whole = state.st_size if not os.path.isdir(path) else 0
            found[os.path.relpath(path, folder)] = (state.st_mode, whole, state.st_mtime_ns if whole else 0)
    return found
