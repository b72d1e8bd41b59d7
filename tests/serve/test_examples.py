"""The examples of docs/service.md, against a service at work."""

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from layerfusion.layers import LayerStack
from layerfusion.layers.limits import decode
from layerfusion.serve.app import create_app
from layerfusion.serve.worker import Worker
from tests.serve.conftest import settings_of

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def examples(heading: str, language: str) -> str:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


@pytest.fixture
def port(model: Path, opened: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    settings = settings_of(model, tmp_path / "data")
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    worker = Worker(settings, "worker")
    worker._session, worker._facts = opened._session, opened._facts

    def work() -> None:
        while not server.should_exit:
            if not worker.work():
                worker.stopping.wait(0.02)
        worker.store.close()

    threads = [threading.Thread(target=server.run), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    while not server.started:
        worker.stopping.wait(0.02)
    monkeypatch.chdir(tmp_path)
    yield str(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    for thread in threads:
        thread.join()


def test_the_shell_leaves_with_a_psd(port: str) -> None:
    subprocess.run(["sh", "-ec", examples("From a shell", "sh").replace("8188", port)], check=True)
    assert LayerStack.open("fox.psd")[0].name == "background"
    assert decode(Path("fox.png"), "fox.png").shape[:2] == (64, 64)
    assert '"status":"done"' in Path("events.txt").read_text()


def test_python_reads_the_layers(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(examples("From Python", "python").replace("8188", port), "service.md", "exec"), {})
    assert "0 background [0, 0, 64, 64] normal /v1/runs/" in capsys.readouterr().out


def test_the_openai_package_writes_a_cut_out(port: str) -> None:
    pytest.importorskip("openai")
    exec(compile(examples("With the `openai` package", "python").replace("8188", port), "service.md", "exec"), {})
    assert decode(Path("fox-cut-out.png"), "the cut-out")[..., 3].min() < 255
