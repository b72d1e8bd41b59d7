"""Layers against the libraries they could be left to: `python -m benchmarks.layers`.

Two bars: a 4-layer 2048×2048 stack composites in at most twice Pillow's `alpha_composite` time, and exports to PSD in
at most 1.5 times psd-tools' own. All of it is single-threaded, so seconds of processor time are compared, which other
work on the machine disturbs least; rivals alternate run by run and the medians count. psd-tools' time without its
flattened preview is shown too; a PSD without one is blank in viewers that do not composite.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from psd_tools import PSDImage

from benchmarks.machine import record
from layerfusion.layers import Affine, Layer, LayerStack, write

SIDE, RUNS = 2048, 7


def soft_layers() -> list[Layer]:
    """An opaque background and three soft-edged shapes: what a triplet's layers look like."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    texture = rng.integers(0, 60, (SIDE, SIDE, 1))
    ramp = np.stack([x * 190 // SIDE, y * 190 // SIDE, 190 - x * 190 // SIDE], -1)
    layers = [Layer("background", (ramp + texture).astype(np.uint8))]
    for number in range(3):
        distance = np.hypot(x - SIDE * (0.3 + 0.2 * number), y - SIDE * 0.5)
        alpha = np.clip((SIDE * 0.3 - distance) / 40 + 0.5, 0, 1) * 255
        pixels = np.dstack([np.roll(layers[0].pixels[..., :3], number + 1, -1), alpha.astype(np.uint8)])
        layers.append(Layer(f"shape {number}", pixels))
    return layers


def noise_layers() -> list[Layer]:
    """Every pixel of every layer half transparent: the worst case."""
    rng = np.random.default_rng(1)
    return [Layer(str(number), rng.integers(0, 256, (SIDE, SIDE, 4), np.uint8)) for number in range(4)]


def medians(rivals: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median processor seconds of each, taken in turns after one run to warm up."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(RUNS + 1):
        for name, work in rivals.items():
            started = time.process_time()
            work()
            if turn:
                times[name].append(time.process_time() - started)
    return {name: round(statistics.median(taken), 4) for name, taken in times.items()}


def pillow_composite(pictures: list[Image.Image]) -> Image.Image:
    result = pictures[0]
    for picture in pictures[1:]:
        result = Image.alpha_composite(result, picture)
    return result


def psd_tools_export(pictures: list[Image.Image], names: list[str], path: Path, preview: bool) -> None:
    document = PSDImage.new("RGBA", (SIDE, SIDE))
    for picture, name in zip(pictures, names, strict=True):
        document.create_pixel_layer(picture, name=name)
    if not preview:
        document._updated = False
    document.save(path)


def measure(layers: list[Layer]) -> dict[str, dict[str, float]]:
    stack = LayerStack(SIDE, SIDE, layers)
    pictures, names = [layer.image for layer in layers], [layer.name for layer in layers]
    composite = medians({"layerfusion": stack.composite, "pillow": lambda: pillow_composite(pictures)})
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.psd", Path(folder) / "theirs.psd"
        psd = medians(
            {
                "layerfusion": lambda: write(stack, ours),
                "psd_tools": lambda: psd_tools_export(pictures, names, theirs, preview=True),
                "psd_tools_without_preview": lambda: psd_tools_export(pictures, names, theirs, preview=False),
            }
        )
    turned = Layer("turned", layers[-1].pixels, Affine.rotation(30).about(SIDE / 2, SIDE / 2))
    placing = medians({"turn by 30 degrees": turned.baked, "scale by 0.37": turned.scaled(0.37).baked})
    composite["ratio"] = round(composite["layerfusion"] / composite["pillow"], 2)
    psd["ratio"] = round(psd["layerfusion"] / psd["psd_tools"], 2)
    psd["ratio_without_preview"] = round(psd["layerfusion"] / psd["psd_tools_without_preview"], 2)
    return {"composite": composite, "psd": psd, "placing": placing}


def main() -> None:
    """Measure both kinds of stack, print the seconds and keep them in `results/layers.json`."""
    results = {
        "bars": {"composite ratio": 2.0, "psd ratio": 1.5},
        "processor seconds, soft shapes over an opaque background": measure(soft_layers()),
        "processor seconds, noise with noise for alpha": measure(noise_layers()),
    }
    record("layers", results)


if __name__ == "__main__":
    main()
