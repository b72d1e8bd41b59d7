"""The pieces of the method at SDXL's sizes, on this machine's CPU.

    python -m benchmarks.pieces

Structure prior: 4,096 tokens (1024x1024 at the last layer), 10 heads, float32; time, and peak memory above what the
queries and keys take, each variant in a fresh process. Offsets: a 1280-channel projection of six rows of 1,024 tokens,
two of them foreground, at rank 256. On one thread, in seconds of processor time, which other work on the machine
disturbs least.
"""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import record
from layerfusion.method.priors import minmax, structure_prior
from layerfusion.models import load_pipeline
from layerfusion.offsets import ForegroundOffsets

TOKENS, HEADS, HEAD_DIM = 4096, 10, 64
CHANNELS, RANK, ROWS, FOREGROUND_ROWS = 1280, 256, 6, 2


def naive_structure_prior(query: Tensor, key: Tensor) -> Tensor:
    """Algorithm 1 as it is written: the whole map is held."""
    probabilities = torch.softmax(query @ key.transpose(-1, -2) * HEAD_DIM**-0.5, dim=-1)
    return 1 - minmax(1 / probabilities.mean(dim=1).square().sum(dim=-1))


def seconds(contenders: dict[str, Callable[[], Any]], rounds: int = 7) -> dict[str, float]:
    """Median processor time of each, in turns, after one turn to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: round(statistics.median(measured[1:]), 4) for name, measured in times.items()}


def measure_prior(variant: str) -> dict[str, float]:
    """Runs in a process of its own, so that its peak is nobody else's."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, HEADS, TOKENS, HEAD_DIM, generator=generator)
    prior = structure_prior if variant == "in blocks" else naive_structure_prior
    # A first, small call loads what the arithmetic needs.
    prior(query[:, :, :64], key[:, :, :64])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prior(query, key)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"peak_mib_added": round(added, 1), **seconds({"cpu_seconds": lambda: prior(query, key)}, rounds=3)}


def measure_offsets() -> dict[str, float]:
    """Processor time of one projection: without offsets, with low-rank ones, with fused ones."""
    with torch.no_grad():
        linear = nn.Linear(CHANNELS, CHANNELS)
        down, up = torch.randn(RANK, CHANNELS), torch.randn(CHANNELS, RANK)
        low_rank, fused = (ForegroundOffsets.from_tensors({"projection": (down, up)}) for _ in range(2))
        fused()["projection"].fused = linear.weight + up @ down
        x = torch.randn(ROWS, 1024, CHANNELS)
        return seconds(
            {
                "no_foreground": lambda: linear(x),
                "low_rank": lambda: low_rank()["projection"].project(linear, x, FOREGROUND_ROWS),
                "fused": lambda: fused()["projection"].project(linear, x, FOREGROUND_ROWS),
            }
        )


def measure_decoding() -> dict[str, float]:
    """Processor time of the embedded model's decoders, one thread: eight transparency passes, three of the VAE's."""
    plain, last = load_pipeline(device="cpu"), load_pipeline(device="cpu")
    for part in (plain.vae, plain.transparent_decoder):
        part.to(memory_format=torch.contiguous_format)
    picture, latent = torch.rand(1, 3, 256, 256), torch.randn(1, 4, 32, 32)
    with torch.no_grad():
        return seconds(
            {
                "transparency, four at once": lambda: [
                    plain.transparent_decoder(picture.repeat(4, 1, 1, 1), latent.repeat(4, 1, 1, 1)) for _ in range(2)
                ],
                "transparency, one by one": lambda: [plain.transparent_decoder(picture, latent) for _ in range(8)],
                "the same, channels last": lambda: [last.transparent_decoder(picture, latent) for _ in range(8)],
                "VAE, three at once": lambda: plain.vae.decode(latent.repeat(3, 1, 1, 1)),
                "VAE, one by one": lambda: [plain.vae.decode(latent) for _ in range(3)],
                "VAE, one by one, channels last": lambda: [last.vae.decode(latent) for _ in range(3)],
            },
            rounds=5,
        )


def main() -> None:
    torch.set_num_threads(1)
    priors = {}
    for variant in ("in blocks", "naive"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            priors[variant] = fresh.submit(measure_prior, variant).result()
    record(
        "pieces-cpu",
        {
            "structure_prior": priors,
            "projection_cpu_seconds": measure_offsets(),
            "decoding_cpu_seconds": measure_decoding(),
        },
    )


if __name__ == "__main__":
    main()
