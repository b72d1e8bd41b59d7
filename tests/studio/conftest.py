"""The studio in a real Chromium, on a real service with the embedded model: one of each for all tests."""

import io
import json
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerfusion.layers import LayerStack
from tools.studio import Studio, serving

pytest.importorskip("fastapi", reason="needs the service (pip install 'layerfusion[studio]')")

STEPS = 2  # enough to see that things arrive


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("studio")) as where:
        yield where


@pytest.fixture
def studio(browser: Any, address: str) -> Iterator[Studio]:
    """An empty page that notes what it complains of, and what it asks of anyone but its service."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened = Studio(context, address)
    yield opened
    assert opened.complaints == []
    context.close()


class Api:
    """What a program reads of the service."""

    def __init__(self, address: str) -> None:
        self.address = address

    def read(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.address}{path}") as answer:
            return bytes(answer.read())

    def wait_until_ready(self) -> None:
        """Until the model is loaded."""
        while not json.loads(self.read("v1/model"))["ready"]:
            time.sleep(0.1)

    def newest(self) -> dict[str, Any]:
        """The run that was asked for last."""
        found: dict[str, Any] = json.loads(self.read("v1/runs?limit=1"))["runs"][0]
        return found

    def stack(self, run: dict[str, Any], folder: Path) -> LayerStack:
        """Its layers as they came, with their placements."""
        with zipfile.ZipFile(io.BytesIO(self.read(f"v1/runs/{run['id']}/layers.zip"))) as archive:
            archive.extractall(folder)
        return LayerStack.open(folder / "layers")


@pytest.fixture
def api(address: str) -> Api:
    return Api(address)
