"""Every command that writes, over targets that exist, killed or refused by the disk at each of its system calls:

    python -m tests.killing

Each time a command runs in a fork, with strace attached, which ends it or lets one call fail that changes a file or a
folder: the first, then the second, and so on through all of them. After it every target must be the old one or the new
one, whole, and after the next run nothing else may be left. Then the same commands on a disk that is really full or may
only be read (a small tmpfs, as root), beyond a limit of the size of files, and two at once. The model is a tiny random
one: what is measured is the writing.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from layerfusion.files import atomic_write
from layerfusion.layers import write
from tests.faults import Content, content
from tests.fuzz.__main__ import import_everything
from tests.fuzz.run import Outcome, run_case
from tests.fuzz.templates import build
from tests.layers.stacks import example_stack

# Every call of Linux that changes a file system or a file; of "openat" only what opens for writing counts.
CHANGES = (
    "openat,write,pwrite64,writev,ftruncate,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "unlink,unlinkat,rmdir,chmod,fchmod,fchmodat,fsync,fdatasync,copy_file_range,sendfile"
)
FAULTS = {
    "kill": "signal=SIGKILL",
    "terminate": "signal=SIGTERM",
    "disk full": "error=ENOSPC",
    "quota": "error=EDQUOT",
    "read-only": "error=EROFS",
}
EXPORTED = ("a.psd", "a.ora", "a.pptx", "a.html", "a.tiff", "a.png", "a.webp", "folder")
EDITED = ("poster", "poster.psd", "poster.ora", "poster.html")


@dataclass(frozen=True)
class Job:
    """A command, and what it writes over.

    Attributes:
        arguments: Of the command, without --overwrite.
        targets: That exist before it.
    """

    arguments: list[str]
    targets: tuple[str, ...]


def jobs(templates: Path) -> dict[str, Job]:
    generate = ["generate", "a red fox", "a snowy forest", "--model", str(templates / "model"), "--seed", "2"]
    generate += ["--out", "triplet", "--format", "psd,ora", "--show-priors"]
    export = ["export", "source.ora", *(word for name in EXPORTED for word in ("--to", name))]
    found = {"generate": Job(generate, ("triplet",)), "export": Job(export, EXPORTED)}
    for name in EDITED:
        found[f"edit {name}"] = Job(["edit", name, "--layer", "0", "--move", "3,4", "--out", name], (name,))
    found["composite"] = Job(["composite", "source.ora", "--out", "a.png"], ("a.png",))
    found["show"] = Job(["show", "source.ora", "--picture", "a.png"], ("a.png",))
    return found


def prepare(job: Job, templates: Path, folder: Path) -> None:
    """A folder with the source and the old targets of a job."""
    folder.mkdir(parents=True)
    write(example_stack(), folder / "source.ora")
    for name in job.targets:
        if name == "triplet":
            shutil.copytree(templates / "triplet", folder / name)
        else:
            write(example_stack().edited(0, lambda layer: layer.moved(1, 1)), folder / name)


class Trial:
    """One job, in a folder of its own that is laid out anew for every run."""

    def __init__(self, job: Job, pristine: Path, here: Path) -> None:
        self.job, self.pristine, self.here = job, pristine, here
        self.arguments = [*job.arguments, "--overwrite"]
        self.old = self.contents(pristine)
        self.laid_out()
        log = here.with_suffix(".log")
        ended = self.run("-o", str(log))
        assert ended.code == 0, ended.stderr
        self.new = self.contents(here)
        assert all(self.old[name] != self.new[name] for name in job.targets)
        self.calls = _changes(log.read_text())

    def contents(self, folder: Path) -> dict[str, Content]:
        return {name: content(folder / name) for name in self.job.targets}

    def laid_out(self) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.pristine, self.here)

    def run(self, *options: str) -> Outcome:
        """The command with strace attached before its first call."""

        def trace(child: int) -> None:
            os.waitpid(child, os.WUNTRACED)
            command = ["strace", "-qq", "-e", f"trace={CHANGES}", *options, "-p", str(child)]
            tracers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            while not _is_traced(child):
                time.sleep(0.001)
            os.kill(child, signal.SIGCONT)

        tracers: list[subprocess.Popen] = []
        ended = run_case(self.arguments, self.here, before_it=_stop, meanwhile=trace)
        tracers[0].wait()
        return ended

    def at_every_call(self, fault: str) -> Counter:
        """A run for each call, with a fault there: how many there were, and how they ended."""
        seen: Counter = Counter()
        for call, count in self.calls:
            self.laid_out()
            ended = self.run("-o", "/dev/null", "-e", f"inject={call}:{FAULTS[fault]}:when={count}")
            seen[self.judged(ended, f"{fault} at {call} {count}")] += 1
        return seen

    def judged(self, ended: Outcome, what: str) -> str:
        """How a run ended.

        Raises:
            AssertionError: it is not as it must be.
        """
        found = self.contents(self.here)
        states = {"new" if found[name] == self.new[name] else "old" for name in self.job.targets}
        halves = [name for name in self.job.targets if found[name] not in (self.old[name], self.new[name])]
        assert not halves, (what, halves, ended)
        assert "Traceback" not in ended.stderr, (what, ended.stderr)
        assert ended.code in (0, 2, -signal.SIGKILL, 128 + signal.SIGTERM), (what, ended)
        assert ended.code != 0 or states == {"new"} or "stdout" in what, (what, ended)
        if ended.code == 2 and ended.stderr:  # it may be the sentence itself that could not be written
            assert len(ended.errors) == 1 and ended.errors[0].startswith("error: "), (what, ended.stderr)
        left = bool(ended.left)
        with atomic_write(self.here / "next") as new:  # the next run
            new.touch()
        assert sorted(os.listdir(self.here)) == sorted([*os.listdir(self.pristine), "next"]), (what, ended)
        said = {0: "done", 2: "refused"}.get(ended.code, "ended")
        return f"{said}, {' and '.join(sorted(states))}{', something left until the next run' if left else ''}"


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _is_traced(process: int) -> bool:
    """Whether strace has caught it: attached alone, it would not yet see every call."""
    state = Path(f"/proc/{process}/stat").read_text()
    return state.rpartition(")")[2].split()[0] == "t"


def _changes(log: str) -> list[tuple[str, int]]:
    """The calls of an undisturbed run that change something, each with how often its name has come by then."""
    seen: Counter = Counter()
    found = []
    for line in log.splitlines():
        name = line.partition("(")[0]
        if line.endswith("---") or not line[:1].isalpha():
            continue  # a signal
        seen[name] += 1
        if name != "openat" or "O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line:
            found.append((name, seen[name]))
    return found


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own, of so many bytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def on_a_small_disk(trial: Trial, place: Path) -> Counter:
    """With so many KiB free, and then mounted so that it may only be read."""
    seen: Counter = Counter()
    for free in (0, 4, 16, 64, 256, None):
        with small_disk(place / "disk", 16 << 20) as disk:
            trial.here = disk / "case"
            trial.laid_out()
            if free is None:
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            else:
                left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free * 1024
                (disk / "ballast").write_bytes(bytes(left))
            # What the command says goes elsewhere: its logs would lie on the full disk.
            (place / "case").symlink_to(trial.here)
            ended = run_case(trial.arguments, place / "case")
            (place / "case").unlink()
            if free is None:
                subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            else:
                (disk / "ballast").unlink()
            name = "read-only" if free is None else f"{free} KiB free"
            seen[f"{name}: {trial.judged(ended, name)}"] += 1
    return seen


def with_small_files(trial: Trial) -> Counter:
    """Where no file may be larger than so many bytes."""
    seen: Counter = Counter()
    for most in (400, 4_000, 40_000):
        trial.laid_out()
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
        seen[f"{most} bytes: {trial.judged(run_case(trial.arguments, trial.here, before_it=limit), 'size')}"] += 1
    return seen


def two_at_once(trial: Trial, place: Path, pairs: int, overwrite: bool, rng: random.Random) -> Counter:
    """The same command twice, the second started at a random moment of the first."""
    seen: Counter = Counter()
    arguments = trial.arguments if overwrite else trial.job.arguments
    (place / "other").symlink_to(trial.here)
    for _ in range(pairs):
        trial.laid_out()
        for name in () if overwrite else trial.job.targets:
            path = trial.here / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

        others: list[Outcome] = []
        first = run_case(arguments, trial.here, meanwhile=partial(_second, arguments, place / "other", rng, others))
        codes = sorted((first.code, others[0].code))
        assert codes == [0, 2] or (overwrite and codes == [0, 0]), (first, others)
        assert trial.contents(trial.here) == trial.new, (first, others)
        assert sorted(os.listdir(trial.here)) == sorted(os.listdir(trial.pristine)), (first, others)
        seen["one refused" if codes == [0, 2] else "one after the other"] += 1
    (place / "other").unlink()
    return seen


def _second(arguments: list[str], here: Path, rng: random.Random, others: list[Outcome], _: int) -> None:
    time.sleep(rng.random() * 0.2)
    others.append(run_case(arguments, here))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="This job alone: generate, export, 'edit poster.psd', composite, show …")
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--pairs", type=int, default=20)
    args = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="killing-") as temporary:
        place = Path(temporary)
        build(place / "templates")
        import_everything()
        for name, job in jobs(place / "templates").items():
            if args.only not in (None, name):
                continue
            prepare(job, place / "templates", place / name / "pristine")
            trial = Trial(job, place / name / "pristine", place / name / "run")
            results: dict[str, Counter] = {fault: trial.at_every_call(fault) for fault in args.faults}
            results["size of files"] = with_small_files(trial)
            if "edit" not in name:  # in place, the second would edit what the first has made
                results["two at once"] = two_at_once(trial, place / name, args.pairs, False, rng)
                results["two at once, --overwrite"] = two_at_once(trial, place / name, args.pairs, True, rng)
            if os.geteuid() == 0:
                results["disk"] = on_a_small_disk(trial, place / name)
            print(json.dumps({"job": name, "calls": len(trial.calls), **results}), flush=True)


if __name__ == "__main__":
    main()
