"""Who is let in, with how much, and what every answer carries."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.runs.request import ON_TOP
from layerfusion.serve.start import read_token, start
from layerfusion.serve.worker import Worker
from tests.serve.conftest import ASKED, Served, serving, settings_of
from tests.serve.killing import SAME_SOURCE

TOKEN = "0123456789abcdef"


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def guarded(model: Path, opened: Worker, tmp_path: Path) -> Iterator[TestClient]:
    settings = settings_of(model, tmp_path, token=TOKEN, hosts=("draw.example",), upload_bytes=4096, upload_pixels=100)
    with serving(settings, opened) as served:
        yield served.client


def test_without_the_token_only_probes_answer(guarded: TestClient) -> None:
    for path in ("/v1/model", "/v1/runs", "/metrics", "/openapi.json"):
        answer = guarded.get(path)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", path
        assert guarded.get(path, headers={"Authorization": "Bearer " + TOKEN[:-1] + "0"}).status_code == 401
        assert guarded.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.get("/healthz").status_code == guarded.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "draw.example"}, 200),
        ({"Host": "DRAW.example:8443"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "draw.example", "Origin": "https://draw.example"}, 200),
        ({"Host": "draw.example", "Origin": "https://evil.example"}, 403),
        ({"Host": "draw.example", "Origin": "null"}, 403),
    ],
)
def test_other_names_and_pages_of_other_sites_are_refused(
    guarded: TestClient, headers: dict[str, str], status: int
) -> None:
    assert guarded.get("/v1/model", headers={"Authorization": f"Bearer {TOKEN}", **headers}).status_code == status


def test_every_answer_forbids_what_comes_from_outside(served: Served) -> None:
    for path in ("/v1/model", "/v1/nothing", "/healthz", "/v1/runs/zz"):
        headers = served.client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"] and "*" not in str(headers), path
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_uploads_are_bounded_in_bytes_pixels_and_kinds(guarded: TestClient) -> None:
    guarded.headers["Authorization"] = f"Bearer {TOKEN}"

    def status(body: bytes | Iterator[bytes]) -> int:
        return guarded.post("/v1/uploads", content=body).status_code

    assert status(png(10, 10)) == 201
    assert status(png(11, 10)) == 422
    assert status(b"%!PS-Adobe-3.0 EPSF-3.0") == 422
    assert status(b"GIF89a" + bytes(40)) == 422
    assert status(png(10, 10)[:45]) == 422
    assert status(b"") == 422
    assert status(bytes((1 << 20) + 4097)) == 413
    # Without a length, by chunks: counted on the way.
    assert status(iter([bytes(1 << 19)] * 3)) == 413


def test_an_upload_comes_back_as_its_pixels_and_without_its_metadata(served: Served) -> None:
    file, pixels = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (5, 7, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x013B] = "someone's name"
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    first, again = (served.client.post("/v1/uploads", content=file.getvalue()).json() for _ in range(2))
    assert first == again and (first["width"], first["height"]) == (7, 5)
    back = served.client.get(first["picture"])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(back.content))), pixels)
    assert b"someone" not in back.content


@pytest.mark.parametrize(
    "address",
    ["/etc/passwd", "../../etc/passwd", "/v1/uploads/../../x.png", "/v1/uploads/" + "0" * 32 + ".png", "file:///x.png"],
)
def test_no_path_of_a_client_is_ever_opened(served: Served, address: str) -> None:
    layer = {"picture": address, "name": "x"}
    answer = served.client.post("/v1/exports", json={"format": "png", "width": 8, "height": 8, "layers": [layer]})
    assert answer.status_code in (404, 422)
    for field in ("model", *ON_TOP, "device"):
        assert served.client.post("/v1/runs", json=ASKED | {field: address}).status_code == 422


def test_an_export_that_would_fill_the_memory_is_refused_before_it_is_drawn(served: Served) -> None:
    upload = served.client.post("/v1/uploads", content=png(8, 8)).json()["picture"]
    layer = {"picture": upload, "name": "x", "placement": [5000, 0, 0, 0, 5000, 0]}
    answer = served.client.post("/v1/exports", json={"format": "psd", "width": 8, "height": 8, "layers": [layer]})
    assert answer.status_code == 422 and "million pixels" in answer.json()["error"]["message"]


def test_a_service_that_others_reach_needs_a_token(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAYERFUSION_TOKEN", raising=False)
    with pytest.raises(LayerFusionError, match="token"):
        start(settings_of(model, tmp_path), "0.0.0.0", 0, lambda address: None)
    (tmp_path / "token").write_text("short")
    with pytest.raises(LayerFusionError, match="16"):
        read_token(tmp_path / "token")
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert read_token(tmp_path / "token") == TOKEN


def test_the_web_process_is_there_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from layerfusion.serve.app import create_app; "
        "from layerfusion.serve.settings import Settings; create_app(Settings(Path(sys.argv[1]))); "
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=False, env=SAME_SOURCE).returncode == 0
