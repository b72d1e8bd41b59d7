"""Generated bad input against every command: `python -m tests.fuzz --cases 5000 --seed 1`.

Each case is a call in a process of its own. It is mishandled when it ends in a traceback, by a signal or with anything
but one sentence; when it changes files and then fails, or leaves temporary ones; when it takes more than ten seconds of
the processor, or 1.5 GB without saying that memory is why. A run that is asked for a thousand triplets, and makes them
as fast as it should, is stopped after two minutes, and is well handled. `--only N` runs one case again and shows it.
"""

import argparse
import collections
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads do not outlive a fork
os.environ["HF_HUB_OFFLINE"] = "1"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0, help="The number of the first case.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="Run this case alone, show it, and keep its files.")
    args = parser.parse_args()

    from tests.fuzz.cases import make_case
    from tests.fuzz.run import run_case
    from tests.fuzz.templates import build

    numbers = range(args.start, args.start + args.cases) if args.only is None else [args.only]
    mishandled, kinds, codes = [], collections.Counter(), collections.Counter()
    most = {"seconds": 0.0, "bytes": 0}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        templates = Path(place) / "templates"
        build(templates)
        import_everything()
        for number in numbers:
            here = Path(place) / "case"
            here.mkdir()
            case = make_case(templates, here, random.Random(f"{args.seed}/{number}"))
            ended = run_case(case.arguments, here, case.full)
            complaint = ended.complaint(case.arguments[0], case.full)
            kinds[case.kind] += 1
            codes[ended.code] += 1
            most = {name: max(value, getattr(ended, name)) for name, value in most.items()}
            if complaint:
                mishandled.append(number)
                shown = [each if len(each) < 80 else each[:77] + "…" for each in case.arguments]
                print(f"{number} {case.kind} {shown}{' > /dev/full' if case.full else ''}\n    {complaint}", flush=True)
            if args.only is not None:
                print(case, ended, sep="\n")
                shutil.copytree(here, f"fuzz-{args.seed}-{number}", symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(here)
    summary = {
        "seed": args.seed,
        "cases": len(numbers),
        "first": numbers[0],
        "mishandled": len(mishandled),
        "most_seconds": round(most["seconds"], 1),
        "most_gb": round(most["bytes"] / 1e9, 2),
        "kinds": dict(kinds),
        "exit_codes": {str(code): count for code, count in sorted(codes.items())},
    }
    print(json.dumps(summary))
    return bool(mishandled)


def import_everything() -> None:
    """So that no case pays for it."""
    import diffusers  # noqa: F401
    import pptx  # noqa: F401
    import psd_tools  # noqa: F401
    import torch

    import layerfusion.cli.doctor
    import layerfusion.cli.generate
    import layerfusion.cli.layers
    import layerfusion.cli.vocabulary
    import layerfusion.runs.checkup
    import layerfusion.runs.vocabulary_sheet  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
