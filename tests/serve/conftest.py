"""A service without processes: its application, and a worker that the test sets to work."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from layerfusion.runs import Request
from layerfusion.serve.app import create_app
from layerfusion.serve.settings import Settings
from layerfusion.serve.worker import Worker
from tests.models.tiny_files import tiny_pipeline

ASKED = {"foreground_prompt": "a red fox", "background_prompt": "a snowy forest", "seed": 3}


@dataclass
class Served:
    """An application, its client, and the worker that shares its store."""

    client: TestClient
    worker: Worker
    settings: Settings

    def run(self, **asked: Any) -> dict[str, Any]:
        """Ask for a run and bring it to its end."""
        answer = self.client.post("/v1/runs", json=ASKED | asked)
        assert answer.status_code == 202, answer.text
        self.worker.work()
        found: dict[str, Any] = self.client.get(f"/v1/runs/{answer.json()['id']}").json()
        return found


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_pipeline(defaults={"steps": 2, "guidance_scale": 2.5, "size": [64, 64]}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def opened(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """A worker whose model is loaded, for others to borrow from."""
    worker = Worker(settings_of(model, tmp_path_factory.mktemp("opened")))
    worker._open(few_step=False)
    return worker


def settings_of(model: Path, data: Path, **more: Any) -> Settings:
    asked = Request(foreground_prompt="a thing", background_prompt="a scene", model=str(model), device="cpu")
    return replace(Settings(data, asked), **more)


@pytest.fixture
def served(model: Path, opened: Worker, tmp_path: Path) -> Iterator[Served]:
    with serving(settings_of(model, tmp_path), opened) as found:
        yield found


def serving(settings: Settings, opened: Worker) -> Any:
    """As a context: a service with these settings."""
    from contextlib import contextmanager

    @contextmanager
    def context() -> Iterator[Served]:
        with TestClient(create_app(settings), base_url="http://localhost") as client:
            worker = Worker(settings, "worker")
            worker._session, worker._facts = opened._session, opened._facts
            worker.store.beat(worker.name, settings.lease, worker._facts)
            yield Served(client, worker, settings)

    return context()
