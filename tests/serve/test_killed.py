"""The service as processes: web and worker are killed once, and no run is lost. `tests.serve.killing` goes further."""

from pathlib import Path

from tests.serve.killing import Service, attack


def test_no_process_that_dies_takes_a_run_along(model: Path, tmp_path: Path) -> None:
    service = Service(model, tmp_path)
    try:
        findings = attack(service, 2, 30, [(1.0, "web"), (3.0, "worker")])
        assert findings.are_well(2), findings
    finally:
        service.stop()
