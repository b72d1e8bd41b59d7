"""The application keeps what its OpenAPI says, whatever is asked: requests made from the description by schemathesis.

python -m pytest tests/serve/test_openapi.py --slow      2,000 of them
"""

import io
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from PIL import Image

from layerfusion.serve.worker import Worker
from tests.serve.conftest import ASKED, serving, settings_of

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
SHORT, LONG = 4, 130  # examples an operation


@pytest.fixture(scope="module")
def described(model: Path, opened: Worker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description, and a service at work behind it with a done run, a cancelled one and an upload."""
    limits = {"queue": 100_000, "steps": 2, "scale": 1, "hosts": ("testserver",), "lease": 1e6}
    settings = settings_of(model, tmp_path_factory.mktemp("openapi"), **limits)
    ending = threading.Event()
    with ExitStack() as stack:
        served = stack.enter_context(serving(settings, opened))
        done = served.run(steps=1)["id"]
        cancelled = served.client.post("/v1/runs", json=ASKED).json()["id"]
        served.client.delete(f"/v1/runs/{cancelled}")
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "PNG")
        upload = served.client.post("/v1/uploads", content=file.getvalue()).json()["id"]

        def work() -> None:
            while not ending.is_set():
                if not served.worker.work():
                    ending.wait(0.01)
            served.worker.store.close()

        thread = threading.Thread(target=work)
        thread.start()
        stack.callback(thread.join)
        stack.callback(ending.set)
        schema = schemathesis.openapi.from_asgi("/openapi.json", served.client.app)
        known = {"run_id": [done, cancelled], "upload_id": [upload], "ending": ["psd", "png"], "name": ["blended"]}
        known |= {"z": ["0", "3"]}
        yield schema, known


def check(described: Any, examples: int) -> int:
    """Ask `examples` times for each operation; how often that was in all."""
    schema, known = described
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.given(operation.as_strategy(), hypothesis.strategies.integers(0, 99))
        @hypothesis.settings(max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck), deadline=None)
        def ask(case: Any, chance: int) -> None:
            nonlocal asked
            # Made-up ids lead nowhere: most often it is a real one.
            for name in case.path_parameters or {}:
                if chance < 70 and name in known:
                    case.path_parameters[name] = known[name][chance % len(known[name])]
            if case.method == "DELETE" and case.path_parameters["run_id"] == known["run_id"][0]:
                return
            asked += 1
            answer = case.call(timeout=100)  # nine pictures take their time on a busy machine
            # A description cannot say everything: a size must also divide by what the model needs, and such.
            case.validate_response(answer, excluded_checks=[checks.positive_data_acceptance])

        ask()
    return asked


def test_no_request_breaks_what_the_description_says(described: Any) -> None:
    assert check(described, SHORT) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_2000_requests_break_nothing(described: Any) -> None:
    assert check(described, LONG) >= 2000
