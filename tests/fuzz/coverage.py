"""Coverage-guided fuzzing of a reader, from the corpus beside this file (needs `pip install atheris`):

    python -m tests.fuzz.coverage psd --seconds 600

A reader may refuse with a LayerFusionError; whatever else it raises is found, and kept as a file `crash-…`.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["layerfusion", "psd_tools"]):
    import psd_tools.psd  # noqa: F401  (the reader imports it when it is called, which is too late)

    from layerfusion.errors import LayerFusionError
    from layerfusion.layers import read
    from layerfusion.runs.record import Record

CORPUS = Path(__file__).with_name("corpus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=("psd", "ora", "manifest", "record"))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--found", type=Path, help="A folder to add the inputs to that reach new code.")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    name = {"psd": "a.psd", "ora": "a.ora", "manifest": "stack/stack.json", "record": "a.json"}[args.reader]
    file = place / name
    file.parent.mkdir(exist_ok=True)
    if args.reader == "manifest":
        (file.parent / "a.png").write_bytes((CORPUS / "a.png").read_bytes())

    def look(data: bytes) -> None:
        file.write_bytes(data)
        try:
            if args.reader == "record":
                Record.read(file)
            else:
                read(file.parent if args.reader == "manifest" else file)
        except LayerFusionError as refused:
            assert "\n" not in str(refused)

    folders = [str(folder) for folder in (args.found, CORPUS / args.reader) if folder is not None]
    limits = [f"-max_total_time={args.seconds}", "-timeout=20", "-rss_limit_mb=1500", "-max_len=20000"]
    atheris.Setup([sys.argv[0], *limits, *folders], look)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
