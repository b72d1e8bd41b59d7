"""The service as processes: each is killed once, and no run is lost. `tests.serve.killing` does it 60 times."""

from pathlib import Path

from tests.serve.killing import Service, attack


def test_no_process_that_dies_takes_a_run_along(model: Path, tmp_path: Path) -> None:
    service = Service(model, tmp_path)
    try:
        findings = attack(service, 3, 30, [(1.0, "web"), (3.0, "worker"), (1.0, "supervisor")])
        assert findings.are_well(3), findings
    finally:
        service.stop()
