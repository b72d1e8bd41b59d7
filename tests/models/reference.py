"""Reference pictures of the embedded model. `python -m tests.models.reference` draws them anew, for a new model."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from layerfusion import LayerFusionConfig, Triplet
from layerfusion.runs import Request, Session, generate

FOLDER = Path(__file__).parent / "reference"
PROMPTS = {
    "snowman": ("a snowman", "a beach at night"),
    "glass": ("a wine glass", "a wooden table"),
}
STEPS = 8  # enough to see what the method does, and quick
PICTURES = ("foreground", "background", "blended")


def draw(name: str, session: Session, config: LayerFusionConfig | None = None) -> Triplet:
    """One of the triplets, seed 7, otherwise with the model's own settings."""
    foreground, background = PROMPTS[name]
    request = Request(
        foreground_prompt=foreground, background_prompt=background, seed=7, steps=STEPS, device="cpu", config=config
    )
    return next(generate(session, request)).triplet


def open_session() -> Session:
    return Session.open(Request(foreground_prompt="any", background_prompt="any", device="cpu"))


def compare(picture: Image.Image, reference: Image.Image) -> tuple[float, float]:
    """PSNR in dB (inf for equal pictures) and SSIM of two pictures; colours count as far as they are seen."""
    ours, theirs = _premultiplied(picture), _premultiplied(reference)
    with np.errstate(divide="ignore"):
        psnr = peak_signal_noise_ratio(theirs, ours, data_range=1)
    return float(psnr), float(structural_similarity(theirs, ours, channel_axis=-1, data_range=1))


def _premultiplied(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture.convert("RGBA")) / 255
    return np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], axis=-1)


def main() -> None:
    session = open_session()
    FOLDER.mkdir(exist_ok=True)
    for name in PROMPTS:
        triplet = draw(name, session)
        for which in PICTURES:
            path = FOLDER / f"{name}-{which}.webp"
            getattr(triplet, which).save(path, lossless=True, quality=100, method=6, exact=True)
            print(path)


if __name__ == "__main__":
    main()
