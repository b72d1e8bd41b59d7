"""Other ways to compute the same triplet, which diffusers and torch offer, beside the way it is computed unasked.

    python -m benchmarks.ways

Latents of one triplet of the embedded model in its default mode, each way in turn in one run, on one thread: processor
seconds of the first call, which compiles, and the median ratio of those after it; and how far the latents are off.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.machine import record
from layerfusion import LayerFusionOutput, LayerFusionPipeline
from layerfusion.models import load_pipeline

AS_IT_IS = "as it is"
WAYS: dict[str, Callable[[LayerFusionPipeline], object]] = {
    AS_IT_IS: lambda pipe: None,
    "fuse_foreground": lambda pipe: pipe.fuse_foreground(),
    "fuse_qkv_projections": lambda pipe: pipe.fuse_qkv_projections(vae=False),
    "channels last": lambda pipe: pipe.unet.to(memory_format=torch.channels_last),
    "compile_repeated_blocks": lambda pipe: pipe.unet.compile_repeated_blocks(fullgraph=True),
    "compile": lambda pipe: pipe.unet.compile(fullgraph=True),
}


def triplet(pipe: LayerFusionPipeline) -> tuple[Tensor, float]:
    """The latents, (3, 1, 4, h, w), and processor seconds."""
    started = time.process_time()
    made = pipe("a snowman", "a beach at night", generator=torch.Generator().manual_seed(1), output_type="latent")
    seconds = time.process_time() - started
    assert isinstance(made, LayerFusionOutput)
    return torch.stack([torch.as_tensor(made[name]) for name in ("foreground", "blended", "background")]), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS), help="ways beside the one unasked")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipes: dict[str, LayerFusionPipeline] = {}
    results: dict[str, dict[str, float]] = {}
    expected, _ = triplet(load_pipeline(device="cpu"))
    for name in dict.fromkeys((AS_IT_IS, *args.only)):
        pipes[name] = load_pipeline(device="cpu")
        pipes[name].set_progress_bar_config(disable=True)
        WAYS[name](pipes[name])
        latents, first = triplet(pipes[name])
        results[name] = {"first_seconds": round(first, 1), "most_off": float((latents - expected).abs().max())}
    shares: dict[str, list[float]] = {name: [] for name in pipes}
    for _ in range(args.rounds):
        seconds = {name: triplet(pipe)[1] for name, pipe in pipes.items()}
        for name, each in seconds.items():
            shares[name].append(each / seconds[AS_IT_IS])
    for name, ratios in shares.items():
        middle = statistics.median(ratios)
        results[name] |= {"ratio": round(middle, 3), "least": round(min(ratios), 3), "most": round(max(ratios), 3)}
    record("ways", {"rounds": args.rounds, **results})


if __name__ == "__main__":
    main()
