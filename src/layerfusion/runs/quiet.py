"""Silence from the libraries below."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No advice, bars and words of transformers and diffusers meanwhile: what fails is raised as well as logged."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    levels = of_transformers.get_verbosity(), of_diffusers.get_verbosity()
    bar = of_transformers.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(?!layerfusion)")
        try:
            for logging in (of_transformers, of_diffusers):
                logging.set_verbosity(CRITICAL)
                logging.disable_progress_bar()
            yield
        finally:
            of_transformers.set_verbosity(levels[0])
            of_diffusers.set_verbosity(levels[1])
            of_diffusers.enable_progress_bar()
            if bar:
                of_transformers.enable_progress_bar()
