"""The embedded model draws what it drew when its reference pictures were made (`make reference` renews them)."""

from dataclasses import replace

import pytest
from PIL import Image

from layerfusion.runs import Session
from tests.models.reference import FOLDER, PICTURES, PROMPTS, compare, draw, open_session

# Another number of threads gives 91 dB and more; d = 9 in place of 10 gives 32 dB in the snowman's foreground.
PSNR, SSIM = 50.0, 0.999


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session()


@pytest.mark.parametrize("name", PROMPTS)
def test_pictures_are_as_they_were(name: str, session: Session) -> None:
    triplet = draw(name, session)
    for which in PICTURES:
        with Image.open(FOLDER / f"{name}-{which}.webp") as reference:
            psnr, ssim = compare(getattr(triplet, which), reference)
        assert psnr >= PSNR and ssim >= SSIM, f"{which}: {psnr:.1f} dB, SSIM {ssim:.4f}"


def test_the_bars_see_a_small_change_of_the_method(session: Session) -> None:
    own = session.pipeline.defaults.config
    triplet = draw("snowman", session, replace(own, boundary=own.boundary * 0.9))
    with Image.open(FOLDER / "snowman-foreground.webp") as reference:
        assert compare(triplet.foreground, reference)[0] < PSNR
