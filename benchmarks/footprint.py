"""Memory that the embedded model holds while it samples and decodes, beside what `Footprint` expects.

Each size in a process of its own, one step, in MiB beyond the loaded model:

    python -m benchmarks.footprint
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# side, batch, guidance, foregrounds
SIZES = [(256, 1, 2.5, 1), (512, 1, 2.5, 1), (512, 2, 2.5, 1), (512, 1, 1.0, 1), (1024, 1, 2.5, 1)]
SIZES += [(512, 1, 2.5, 2), (512, 1, 2.5, 4), (512, 2, 2.5, 4), (512, 1, 1.0, 4)]


def resident() -> int:
    """Bytes in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(side: int, batch: int, guidance_scale: float, foregrounds: int) -> dict[str, int]:
    """The peak of each stage, in bytes beyond the loaded model."""
    import torch

    from layerfusion import Foreground
    from layerfusion.models import load_pipeline

    pipeline = load_pipeline(device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    stage, loaded = "sampling", resident()
    peaks = {"sampling": 0, "decoding": 0}

    def watch() -> None:
        while True:
            peaks[stage] = max(peaks[stage], resident() - loaded)
            time.sleep(0.003)

    def decoding(pipeline: object, i: int, t: object, tensors: dict) -> dict:
        nonlocal stage
        stage = "decoding"
        return tensors

    threading.Thread(target=watch, daemon=True).start()
    subjects: dict[str, Any] = {"foreground_prompt": "a snowman"}
    if foregrounds > 1:
        subjects = {"foregrounds": [Foreground("a snowman") for _ in range(foregrounds)]}
    pipeline(
        **subjects,
        background_prompt="a beach at night",
        num_inference_steps=1,
        guidance_scale=guidance_scale,
        width=side,
        height=side,
        num_images_per_prompt=batch,
        callback_on_step_end=decoding,
        generator=[torch.Generator().manual_seed(seed) for seed in range(batch)],
    )
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=4, type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(int(args.one[0]), int(args.one[1]), args.one[2], int(args.one[3]))))
        return
    from benchmarks.machine import record
    from layerfusion.models import MINI
    from layerfusion.models.footprint import footprint

    expects, results = footprint(MINI), []
    for side, batch, guidance_scale, subjects in SIZES:
        command = [sys.executable, "-m", "benchmarks.footprint", "--one"]
        command += map(str, (side, batch, guidance_scale, subjects))
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks = {stage: round(peak / 2**20) for stage, peak in json.loads(ran.stdout.splitlines()[-1]).items()}
        empty = expects.bytes(0, 0, batch, guidance_scale > 1, "float32")
        whole = expects.bytes(side, side, batch, guidance_scale > 1, "float32", subjects)
        expected = round((whole - empty) / 2**20)
        run = {"side": side, "batch": batch, "guidance_scale": guidance_scale, "foregrounds": subjects}
        results.append({**run, **peaks, "expected": expected})
    record("footprint", {"what": "MiB beyond the loaded model, at the peak", "runs": results})


if __name__ == "__main__":
    main()
