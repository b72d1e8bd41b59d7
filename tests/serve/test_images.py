"""OpenAI's shape, by its own client, unchanged."""

import base64
import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from layerfusion.serve.images import PLAIN, split
from tests.serve.conftest import Served

openai = pytest.importorskip("openai")


@pytest.fixture
def client(served: Served) -> Iterator["openai.OpenAI"]:
    """OpenAI's client on the application, while the worker works."""
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            if not served.worker.work():
                ending.wait(0.02)
        served.worker.store.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield openai.OpenAI(base_url="http://localhost/v1", api_key="none", http_client=served.client, max_retries=0)
    finally:
        ending.set()
        thread.join()


def picture(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_openai_package_makes_pictures(client: "openai.OpenAI", served: Served) -> None:
    answer = client.images.generate(
        model="mini", prompt="a red fox in a snowy forest", n=2, size="64x64", extra_body={"seed": 5, "steps": 2}
    )
    assert len(answer.data) == 2 and answer.size == "64x64" and answer.background == "auto"
    for number, image in enumerate(answer.data):
        run = served.client.get(f"/v1/runs/{image.run}").json()
        assert run["seed"] == 5 + number
        assert run["request"]["foreground_prompt"] == "a red fox"
        assert run["request"]["background_prompt"] == "a snowy forest"
        blended = served.client.get(run["pictures"]["blended"]).content
        np.testing.assert_array_equal(np.asarray(picture(image.b64_json)), np.asarray(Image.open(io.BytesIO(blended))))


def test_a_transparent_background_gives_the_subject_and_layers_come_along(client: "openai.OpenAI") -> None:
    answer = client.images.generate(
        prompt="a red fox", background="transparent", output_format="webp", size="64x64", extra_body={"layers": True}
    )
    image = answer.data[0]
    assert picture(image.b64_json).format == "WEBP" and picture(image.b64_json).mode == "RGBA"
    assert [layer["z"] for layer in image.layers] == list(range(len(image.layers)))
    assert image.layers[0]["name"] == "background" and picture(image.layers[0]["b64_json"]).size == (64, 64)


def test_an_edit_keeps_the_photo_and_draws_into_it(client: "openai.OpenAI", served: Served) -> None:
    photo, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (128, 128), "teal").save(photo, "PNG")
    Image.new("RGBA", (128, 128), (0, 0, 0, 0)).save(mask, "PNG")
    answer = client.images.edit(
        image=("photo.png", photo.getvalue()), mask=("mask.png", mask.getvalue()), prompt="a red fox", size="64x64"
    )
    run = served.client.get(f"/v1/runs/{answer.data[0].run}").json()
    assert picture(answer.data[0].b64_json).size == (64, 64) and "mask_image" in run["request"]
    background = Image.open(io.BytesIO(served.client.get(run["pictures"]["background"]).content))
    assert background.getextrema() == ((0, 0), (128, 128), (128, 128))


def test_an_edit_of_a_cut_out_draws_a_scene_round_it(client: "openai.OpenAI", served: Served) -> None:
    file = io.BytesIO()
    cut_out = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    cut_out.paste((200, 30, 30, 255), (16, 16, 48, 48))
    cut_out.save(file, "PNG")
    answer = client.images.edit(image=("cup.png", file.getvalue()), prompt="a cup on a table", background="transparent")
    run = served.client.get(f"/v1/runs/{answer.data[0].run}").json()
    assert "foreground_image" in run["request"] and run["request"]["background_prompt"] == "a table"
    np.testing.assert_array_equal(np.asarray(picture(answer.data[0].b64_json)), np.asarray(cut_out))


def test_what_is_wrong_reaches_the_client_as_its_own_errors(client: "openai.OpenAI") -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="divisible"):
        client.images.generate(prompt="a fox", size="63x64")
    with pytest.raises(openai.UnprocessableEntityError):
        client.images.generate(prompt=" ")


def test_a_full_queue_is_a_rate_limit_with_a_time(served: Served) -> None:
    body = {"foreground_prompt": "a fox", "background_prompt": "a forest"}
    statuses = [served.client.post("/v1/runs", json=body).status_code for _ in range(served.settings.queue)]
    assert set(statuses) == {202}
    client = openai.OpenAI(base_url="http://localhost/v1", api_key="none", http_client=served.client, max_retries=0)
    with pytest.raises(openai.RateLimitError) as refused:
        client.images.generate(prompt="a fox")
    assert int(refused.value.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a red fox in a snowy forest", ("a red fox", "a snowy forest")),
        ("a cat sitting on a wooden table", ("a cat", "a wooden table")),
        ("a penguin", ("a penguin", PLAIN)),
        ("a ship at sea in a storm", ("a ship", "sea in a storm")),
        ("something inside", ("something inside", PLAIN)),
    ],
)
def test_one_prompt_becomes_two(prompt: str, parts: tuple[str, str]) -> None:
    assert split(prompt) == parts
