"""Triplets for the user study's page: the prompts of the paper's five kinds of subject. `python -m recipes.paper.study`

Writes a folder for each triplet under `--out`/layerfusion, as `layerfusion generate` does; those that are there are not
made again. What the page makes of them: docs/evidence/user-study.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.progress import track

from layerfusion.evaluation import paper
from layerfusion.files import atomic_folder
from layerfusion.models import load_pipeline, vocabulary_of


def main() -> None:
    """Generate what is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=7, help="of the first triplet; the others count up")
    parser.add_argument("--out", type=Path, default=Path("build/study"))
    args = parser.parse_args()
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    pairs = paper.figure("study").pairs(vocabulary_of(args.model) is None)
    for k, (foreground, background) in enumerate(track(pairs, "triplets")):
        where = args.out / "layerfusion" / f"{k:02}"
        if where.exists():
            continue
        seed = args.seed + k
        triplet = pipe(foreground, background, generator=torch.Generator().manual_seed(seed)).triplet(0)
        where.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(where) as new:
            for name in ("foreground", "background", "blended"):
                getattr(triplet, name).save(new / f"{name}.png")
            said = {"foreground_prompt": foreground, "background_prompt": background, "seed": seed, "model": args.model}
            (new / "triplet.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
