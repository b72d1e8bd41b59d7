"""The stages as commands: `python -m recipes.mini.train STAGE --size 128 --device cpu --run runs/mini-128`."""

import argparse
import os
from pathlib import Path

import torch

from recipes.mini.train import (
    autoencoder,
    base,
    decoder,
    export,
    few_step,
    foreground,
    latents,
    render,
    start,
    transparency,
)
from recipes.mini.train.settings import SETTINGS

STAGES = (
    *("render", "autoencoder", "latents", "decoder", "transparency", "alpha"),
    *("base", "foreground", "few_step", "export"),
)
ENCODERS = ("autoencoder", "transparency")
"""Stages that train an encoder; a run that starts from a finished model keeps its encoders, and so its latents."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.mini.train", description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all"), help="all: every stage in its order")
    parser.add_argument(
        "--size", type=int, choices=sorted(SETTINGS), default=256, help="side of the pictures in pixels"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--run", type=Path, help="folder of data, checkpoints, logs and sheets (runs/mini-SIZE)")
    parser.add_argument("--start-from", type=Path, metavar="MODEL", help="begin from this exported model's weights")
    parser.add_argument("--images", type=int, help="pictures a training stage sees in all, instead of the recipe's")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render")
    parser.add_argument("--out", type=Path, help="folder of the exported model (RUN/model)")
    parser.add_argument("--structure-layer", help="self-attention of the structure prior; see recipes.mini.priors")
    parser.add_argument("--structure-sign", type=int, choices=(-1, 1), default=1)
    arguments = parser.parse_args()
    for stage in STAGES if arguments.stage == "all" else (arguments.stage,):
        _run(stage, arguments)


def _run(stage: str, arguments: argparse.Namespace) -> None:
    settings, device = SETTINGS[arguments.size], torch.device(arguments.device)
    run: Path = arguments.run or Path("runs") / f"mini-{settings.size}"
    images = settings.images.get(stage, 0) if arguments.images is None else arguments.images
    if arguments.start_from:
        if not (run / "tokenizer").exists():
            start.start_from(settings, run, arguments.start_from)
        images = 0 if stage in ENCODERS else images
    match stage:
        case "render":
            render.render_pictures(settings, run, arguments.workers)
        case "autoencoder":
            autoencoder.train_autoencoder(settings, run, device, images)
        case "latents":
            latents.encode_pictures(autoencoder.load_autoencoder(settings, run, device), run, device)
        case "decoder":
            decoder.train_decoder(settings, run, device, images)
        case "transparency":
            transparency.train_transparency(settings, run, device, images)
        case "alpha":
            transparency.train_alpha(settings, run, device, images)
        case "base":
            base.train_base(settings, run, device, images)
        case "foreground":
            foreground.train_foreground(settings, run, device, images)
        case "few_step":
            few_step.train_few_step(settings, run, device, images)
        case "export":
            out = arguments.out or run / "model"
            export.export(settings, run, out, arguments.structure_layer, arguments.structure_sign)


if __name__ == "__main__":
    main()
