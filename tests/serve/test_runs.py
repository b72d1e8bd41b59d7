"""/v1/runs: from a request to pictures and layers."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layerfusion.layers import LayerStack
from layerfusion.layers.provenance import portable
from layerfusion.runs import Request, Session, generate
from layerfusion.serve import worker
from layerfusion.serve.worker import Worker
from tests.serve.conftest import ASKED, Served, serving, settings_of


def picture(served: Served, address: str) -> np.ndarray:
    answer = served.client.get(address)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_a_run_gives_the_pictures_that_the_command_gives(served: Served) -> None:
    done = served.run()
    request = Request.checked({**ASKED, "model": served.settings.asked.model, "device": "cpu"})
    (expected,) = generate(Session.open(request), request)
    assert done["status"] == "done" and done["seed"] == 3
    assert set(done["pictures"]) == set(expected.triplet.pictures())
    for name, address in done["pictures"].items():
        np.testing.assert_array_equal(picture(served, address), np.asarray(expected.triplet.pictures()[name]))


def test_layers_composite_to_the_picture_layered(served: Served, tmp_path: Path) -> None:
    done = served.run()
    layers = served.client.get(f"/v1/runs/{done['id']}/layers").json()
    assert [layer["z"] for layer in layers["layers"]] == list(range(len(layers["layers"])))
    exported = [
        {key: layer[key] for key in ("picture", "name", "placement", "opacity", "visible", "blend", "group")}
        for layer in layers["layers"]
    ]
    body = {"format": "png", "width": layers["width"], "height": layers["height"], "layers": exported}
    answer = served.client.post("/v1/exports", json=body)
    assert answer.status_code == 200, answer.text
    flat = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    np.testing.assert_array_equal(flat, picture(served, done["pictures"]["layered"]))
    (tmp_path / "layers.html").write_bytes(served.client.post("/v1/exports", json=body | {"format": "html"}).content)
    stack = LayerStack.open(tmp_path / "layers.html")
    assert stack.provenance == portable(served.client.get(done["record"]).json())  # its prompts and its seed


@pytest.mark.parametrize("apart, steps", [(0.0, [0, 1, 2, 3]), (60.0, [0, 1])])
def test_events_tell_every_stage_and_the_steps_that_are_far_enough_apart(
    served: Served, monkeypatch: pytest.MonkeyPatch, apart: float, steps: list[int]
) -> None:
    monkeypatch.setattr(worker, "STEPS_APART", apart)
    answer = served.client.post("/v1/runs", json=ASKED | {"steps": 3}).json()
    seen: list[dict[str, Any]] = []
    tell = served.worker.store.progress

    def told(*arguments: Any) -> None:
        tell(*arguments)
        seen.append(served.client.get(f"/v1/runs/{answer['id']}").json())

    served.worker.store.progress = told  # type: ignore[method-assign]
    served.worker.work()
    sampling = ["sampling"] * len(steps)
    assert [each["stage"] for each in seen] == ["loading", *sampling, "decoding", "writing"]
    assert [each["done"] for each in seen if each["stage"] == "sampling"] == steps
    assert seen[2]["preview"].startswith("data:image/png;base64,")
    stream = served.client.get(f"/v1/runs/{answer['id']}/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert events(stream.text)[-1]["status"] == "done"


def test_a_wrong_value_is_one_sentence(served: Served) -> None:
    answer = served.client.post("/v1/runs", json=ASKED | {"harmony": 3})
    assert answer.status_code == 422 and answer.json()["error"]["message"].endswith(".")
    answer = served.client.post("/v1/runs", json=ASKED | {"width": 60})
    assert answer.status_code == 422 and "divisible" in answer.json()["error"]["message"]


def test_what_only_the_worker_finds_out_fails_the_run_with_a_sentence(served: Served) -> None:
    run, _ = served.worker.store.submit(ASKED | {"width": 60}, "alike", 9)
    served.worker.work()
    failed = served.client.get(f"/v1/runs/{run.id}").json()
    assert failed["status"] == "failed" and "divisible" in failed["error"]


def test_a_waiting_run_is_cancelled_and_an_ended_one_forgotten(served: Served) -> None:
    first = served.client.post("/v1/runs", json=ASKED).json()
    assert served.client.get(f"/v1/runs/{first['id']}").json()["position"] == 0
    assert served.client.delete(f"/v1/runs/{first['id']}").json()["status"] == "cancelled"
    assert served.worker.work() == 0
    done = served.run()
    folder = next(served.settings.results.iterdir())
    served.client.delete(f"/v1/runs/{done['id']}")
    assert served.client.get(f"/v1/runs/{done['id']}").status_code == 404 and not folder.exists()


def test_a_running_run_is_cancelled_between_two_steps(served: Served) -> None:
    first = served.client.post("/v1/runs", json=ASKED).json()
    tell = served.worker.store.progress

    def told(run_id: str, stage: str, done: int, *more: Any) -> None:
        tell(run_id, stage, done, *more)
        if done == 1:
            assert served.client.delete(f"/v1/runs/{run_id}").json()["status"] == "running"
            served.worker._held, served.worker._cancelled = served.worker.store.beat("worker", 10.0, None)
        assert done < 2, "it went on after it was cancelled"

    served.worker.store.progress = told  # type: ignore[method-assign]
    served.worker.work()
    assert served.client.get(f"/v1/runs/{first['id']}").json()["status"] == "cancelled"
    assert not list(served.settings.results.iterdir())


def test_equal_runs_are_sampled_together_and_give_what_each_gives_alone(
    model: Path, opened: Worker, tmp_path: Path
) -> None:
    asked = [ASKED, ASKED | {"seed": 9}, ASKED | {"foreground_prompt": "a cat"}, ASKED | {"steps": 3}]
    pictures = {}
    for batch in (1, 4):
        with serving(settings_of(model, tmp_path / str(batch), batch=batch), opened) as served:
            ids = [served.client.post("/v1/runs", json=body).json()["id"] for body in asked]
            taken = []
            while number := served.worker.work():
                taken.append(number)
            runs = [served.client.get(f"/v1/runs/{run_id}").json() for run_id in ids]
            assert {run["status"] for run in runs} == {"done"}
            pictures[batch] = [picture(served, run["pictures"]["blended"]).astype(int) for run in runs]
            assert taken == ([1, 1, 1, 1] if batch == 1 else [3, 1])
    for alone, together in zip(pictures[1], pictures[4], strict=True):
        assert np.abs(alone - together).max() <= 2
    assert np.abs(pictures[1][0] - pictures[1][2]).max() > 10


def test_a_run_that_is_cancelled_in_a_batch_leaves_the_others_alone(
    model: Path, opened: Worker, tmp_path: Path
) -> None:
    with serving(settings_of(model, tmp_path, batch=2), opened) as served:
        first, second = (served.client.post("/v1/runs", json=ASKED | {"seed": seed}).json()["id"] for seed in (1, 2))
        tell = served.worker.store.progress

        def told(run_id: str, stage: str, done: int, *more: Any) -> None:
            tell(run_id, stage, done, *more)
            if done == 1 and run_id == first:
                served.client.delete(f"/v1/runs/{first}")
                served.worker._held, served.worker._cancelled = served.worker.store.beat("worker", 10.0, None)

        served.worker.store.progress = told  # type: ignore[method-assign]
        served.worker.work()
        states = [served.client.get(f"/v1/runs/{run_id}").json()["status"] for run_id in (first, second)]
        assert states == ["cancelled", "done"]
