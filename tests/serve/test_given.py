"""Runs with pictures that a client sent, and with several foregrounds."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from tests.serve.conftest import ASKED, Served
from tests.serve.test_runs import picture


def upload(served: Served, pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    answer = served.client.post("/v1/uploads", content=file.getvalue())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def photo(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def cut_out() -> np.ndarray:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (200, 30, 30, 255)
    return pixels


def test_a_photo_comes_back_as_the_background_and_the_record_says_no_path(served: Served) -> None:
    given = upload(served, photo())
    done = served.run(background_image=given)
    assert done["status"] == "done", done["error"]
    np.testing.assert_array_equal(picture(served, done["pictures"]["background"]), photo())
    record = served.client.get(done["record"])
    assert record.json()["background_image"] == f"{given}.png"
    assert str(served.settings.data) not in record.text
    for address in done["pictures"].values():
        assert str(served.settings.data).encode() not in served.client.get(address).content


def test_several_foregrounds_have_layers_of_their_own(served: Served) -> None:
    each = [{"prompt": "a red fox", "box": [0, 0, 0.5, 1]}, {"prompt": "a cup", "image": upload(served, cut_out())}]
    body = {"foregrounds": each, "background_prompt": "a snowy forest", "seed": 1}
    run = served.client.post("/v1/runs", json=body)
    assert run.status_code == 202, run.text
    served.worker.work()
    done = served.client.get(f"/v1/runs/{run.json()['id']}").json()
    assert done["status"] == "done", done["error"]
    names = [layer["name"] for layer in done["layers"]]
    assert sum(name.startswith("foreground") and "unlit" not in name for name in names) == 2, names
    assert done["request"] == body


def test_what_is_no_upload_is_refused_at_the_door(served: Served) -> None:
    unknown = served.client.post("/v1/runs", json=ASKED | {"background_image": "0" * 32})
    assert unknown.status_code == 422 and "no upload" in unknown.json()["error"]["message"]
    for wrong in ("/etc/passwd", "x.png", "../" + "0" * 32):
        assert served.client.post("/v1/runs", json=ASKED | {"background_image": wrong}).status_code == 422
        several = {"foregrounds": [{"prompt": "a", "image": wrong}], "background_prompt": "b"}
        assert served.client.post("/v1/runs", json=several).status_code == 422


def test_a_sentence_of_the_worker_names_the_upload_and_not_its_place(served: Served) -> None:
    given = upload(served, photo())
    failed = served.run(foreground_image=given)
    assert failed["status"] == "failed" and given in failed["error"], failed
    assert str(served.settings.data) not in json.dumps(failed)


def test_pictures_that_do_not_fit_together_are_refused_at_the_door(served: Served) -> None:
    small, large = (upload(served, np.zeros((side, 64, 3), np.uint8)) for side in (64, 72))

    def said(**asked: Any) -> str:
        answer = served.client.post("/v1/runs", json=ASKED | asked)
        assert answer.status_code == 422, answer.text
        return str(answer.json()["error"]["message"])

    assert "64x72" in said(background_image=large, width=64, height=64)
    assert "64x72" in said(background_image=small, mask_image=large)
    # A cut-out that has a place is brought to it, whatever its size.
    each = [{"prompt": "a cup", "image": upload(served, cut_out()[10:50]), "box": [0, 0.5, 0.5, 0.5]}]
    body = {"foregrounds": each, "background_prompt": "b", "background_image": small}
    assert served.client.post("/v1/runs", json=body).status_code == 202
    served.worker.work()
    assert served.client.get("/v1/runs").json()["runs"][0]["status"] == "done"
