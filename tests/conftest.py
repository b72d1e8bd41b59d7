"""What all tests share: the tiny SDXL, and the rules for what is skipped."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

# Before anything imports a hub library: no test may reach for the network by accident.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The tests' tensors are so small that handing work to a second thread costs more than doing it, most of all on a busy
# machine. Commands that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hypothesis
import jaxtyping
import pytest
import torch

import tests.typecheck  # noqa: F401  (by name, below)

# The shapes in the method's signatures are checked in every call that a test makes; elsewhere they cost nothing.
jaxtyping.install_import_hook(
    [
        f"layerfusion.method.{name}"
        for name in ("attention", "blending", "detail", "image_prompts", "priors", "streams")
    ],
    "tests.typecheck.checked",
)

if TYPE_CHECKING:
    from layerfusion.offsets import ForegroundOffsets
    from layerfusion.transparency import TransparentDecoder, TransparentEncoder

# Deadlines would fail on a busy machine; the same examples everywhere make a failure repeatable.
hypothesis.settings.register_profile("layerfusion", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("layerfusion")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium: one for all tests, since a process has one Playwright at a time."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    from tools.studio import chromium

    found = chromium()
    if found is None:
        pytest.skip("needs chromium (make apt)")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hub", action="store_true", help="run the tests that need the model hub")
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--hub"):
        os.environ["HF_HUB_OFFLINE"] = "0"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skips = {
        "gpu": (torch.cuda.is_available(), "needs a CUDA GPU"),
        "hub": (config.getoption("--hub"), "needs the model hub (pytest --hub)"),
        "slow": (config.getoption("--slow"), "takes minutes (pytest --slow)"),
    }
    for item in items:
        for marker, (available, reason) in skips.items():
            if marker in item.keywords and not available:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache."""
    os.environ["LAYERFUSION_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """The tiny SDXL's components, shared: a test that changes one builds its own with `tests.tiny.tiny_components`."""
    from tests.tiny import tiny_components

    return tiny_components()


@pytest.fixture(scope="session")
def tiny_offsets(tiny: dict[str, Any]) -> "ForegroundOffsets":
    """Random foreground offsets for the shared tiny UNet."""
    from tests.tiny import tiny_foreground

    return tiny_foreground(tiny["unet"])


@pytest.fixture(scope="session")
def tiny_decoder() -> "TransparentDecoder":
    from tests.tiny import tiny_transparent_decoder

    return tiny_transparent_decoder()


@pytest.fixture(scope="session")
def tiny_encoder() -> "TransparentEncoder":
    from tests.tiny import tiny_transparent_encoder

    return tiny_transparent_encoder()
