"""Every face shares the runs: the same request gives the same files, whoever asks."""

import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from layerfusion import LayerFusionConfig, LayerFusionError, LayerFusionPipeline
from layerfusion.cli import app
from layerfusion.inputs import Inputs
from layerfusion.layers import Affine
from layerfusion.prompts import Conditions
from layerfusion.runs import Progress, Record, Request, Session, Target, generate
from layerfusion.runs.pictures import asked_of_the_pipeline
from layerfusion.runs.record import ModelDescription, requested
from tests.models.tiny_files import tiny_pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    config = LayerFusionConfig(boundary=4.0)
    own = {"steps": 2, "guidance_scale": 2.5, "negative_background": "blue", "config": config.to_dict()}
    tiny_pipeline(defaults=own).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def request_(model: Path) -> Request:
    return Request(
        foreground_prompt="a red fox",
        background_prompt="a snowy forest",
        model=str(model),
        seed=7,
        device="cpu",
        count=2,
    )


@pytest.fixture(scope="module")
def session(request_: Request) -> Session:
    return Session.open(request_)


def test_command_and_script_write_the_same_files(request_: Request, session: Session, tmp_path: Path) -> None:
    for number, generated in enumerate(generate(session, request_), start=1):
        Target(tmp_path / "script" / f"{number:04d}").write(generated)
    options = ["--model", request_.model, "--seed", "7", "--count", "2", "--device", "cpu"]
    prompts = [request_.foreground_prompt, request_.background_prompt]
    ran = CliRunner().invoke(app, ["generate", *prompts, *options, "--out", str(tmp_path / "command")])
    assert ran.exit_code == 0, ran.output
    script, command = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "script", tmp_path / "command")
    )
    assert len(script) == 18 and script == command


def test_the_pipeline_alone_gives_the_same_pixels(request_: Request, session: Session) -> None:
    """With nothing else given, a call in Python takes the model's own settings, as the command does."""
    from torch import Generator

    ours = next(generate(session, request_)).triplet
    output = session.pipeline(
        request_.foreground_prompt, request_.background_prompt, generator=Generator().manual_seed(7)
    )
    assert {name: p.tobytes() for name, p in output.triplet().pictures().items()} == {
        name: p.tobytes() for name, p in ours.pictures().items()
    }


def test_the_prompt_walks_from_the_request_to_the_unet_in_typed_values(
    request_: Request, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[tuple[str, list[str], str]] = []

    def watch(of: type, name: str) -> None:
        original = getattr(of, name)

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            walked.append((name, [type(each).__name__ for each in args], type(result).__name__))
            return result

        monkeypatch.setattr(of, name, watched)

    watch(Session, "completed")
    for name in ("check_inputs", "encode", "prepare", "decode"):
        watch(LayerFusionPipeline, name)
    (_,) = generate(session, request_.model_copy(update={"count": 1}))
    ways = [(name, args[:2], made) for name, args, made in walked]
    assert ways == [
        ("check_inputs", [], "Inputs"),  # of the request's own values
        ("completed", ["Request"], "Request"),
        ("check_inputs", [], "Inputs"),
        ("encode", ["Inputs"], "Conditions"),
        ("prepare", ["Inputs", "Conditions"], "Sampler"),
        ("decode", ["Tensor", "str"], "LayerFusionOutput"),
    ]
    hints = get_type_hints(asked_of_the_pipeline)["return"], Inputs, Conditions
    untyped = [
        name
        for of in hints
        for name, hint in get_type_hints(of).items()
        if "Any" in str(hint) and name != "cross_attention_kwargs"  # as diffusers' pipelines have it
    ]
    assert untyped == []


def test_a_completed_request_leaves_nothing_open(request_: Request, session: Session) -> None:
    full = session.completed(request_)
    assert (full.steps, full.guidance_scale, full.width, full.height) == (2, 2.5, 64, 64)
    assert (full.negative_foreground, full.negative_background) == ("", "blue")
    assert full.config == LayerFusionConfig(boundary=4.0)
    assert (full.device, full.dtype, full.offload, full.batch_size) == ("cpu", "float32", "none", 1)
    assert session.completed(full) == full
    assert session.completed(request_.model_copy(update={"mask": "self"})).config == LayerFusionConfig("self", 4.0)
    with pytest.raises(LayerFusionError, match="not divisible by 8"):
        session.completed(request_.model_copy(update={"width": 100}))


def test_exact_is_all_of_the_steps_and_all_of_the_passes(request_: Request, session: Session) -> None:
    saving = LayerFusionConfig(prior_range=(0.0, 0.5), guidance_range=(0.0, 0.5))
    own = {"steps": 2, "guidance_scale": 2.5, "config": saving.to_dict(), "transparency_passes": 1}
    saver = replace(session, pipeline=tiny_pipeline(defaults=own))
    completed = saver.completed(request_)
    assert (completed.config, completed.transparency_passes) == (saving, 1)
    exact = saver.completed(request_.model_copy(update={"exact": True}))
    assert (exact.config, exact.transparency_passes, exact.exact) == (LayerFusionConfig(), 8, False)
    one = saver.completed(request_.model_copy(update={"exact": True, "transparency_passes": 1}))
    assert (one.config, one.transparency_passes) == (LayerFusionConfig(), 1)
    record = Record(completed, saver.model, {})
    again, otherwise = (saver.completed(requested(given, record)) for given in ({}, {"exact": True}))
    assert (again.transparency_passes, otherwise.transparency_passes) == (1, 8)


def test_few_steps_are_asked_for_beside_a_record_and_left_again(request_: Request) -> None:
    slow = Record(request_.model_copy(update={"steps": 20, "guidance_scale": 2.5}), ModelDescription("mini"), {})
    fast = requested({"fast": True}, slow)
    assert (fast.fast, fast.steps, fast.guidance_scale) == (True, None, None)
    assert requested({"fast": True, "steps": 4}, slow).steps == 4
    again = requested({}, Record(fast.model_copy(update={"steps": 6, "guidance_scale": 1.0}), slow.model, {}))
    assert (again.fast, again.steps) == (True, 6)
    assert requested({"fast": False}, Record(again, slow.model, {})).steps is None


def test_prompts_beside_a_record_take_the_place_of_its_foregrounds(request_: Request) -> None:
    single = Record(request_, ModelDescription("mini"), {})
    two = requested({"foregrounds": [{"prompt": "a snowman"}, {"prompt": "a penguin"}]}, single)
    assert two.foreground_prompt == "a snowman and a penguin"
    several = Record(two, ModelDescription("mini"), {})
    assert requested({"foreground_prompt": "a butterfly"}, several).foregrounds is None
    assert requested({"background_prompt": "a pond"}, several).foregrounds == two.foregrounds


def test_priors_that_no_step_has_are_refused_before_it_is_sampled(request_: Request, session: Session) -> None:
    late = LayerFusionConfig(blend_range=(0.9, 1.0))
    asked = request_.model_copy(update={"show_priors": True, "config": late, "steps": 1})
    with pytest.raises(LayerFusionError, match="no step of 1 blends"):
        session.completed(asked)


def test_a_request_has_its_say_on_the_passes(request_: Request, session: Session) -> None:
    one, eight = (
        next(generate(session, request_.model_copy(update={"transparency_passes": passes}))) for passes in (1, 8)
    )
    assert one.triplet.blended.tobytes() == eight.triplet.blended.tobytes()
    assert one.triplet.foreground.tobytes() != eight.triplet.foreground.tobytes()


def test_a_record_from_before_the_passes_were_a_setting_had_eight(
    request_: Request, session: Session, tmp_path: Path
) -> None:
    values = Record(session.completed(request_), session.model, {}).to_dict()
    del values["transparency_passes"]
    (tmp_path / "triplet.json").write_text(json.dumps(values))
    assert Record.read(tmp_path).request.transparency_passes == 8


def test_progress_is_told_from_loading_to_decoding(request_: Request) -> None:
    told: list[Progress] = []
    session = Session.open(request_, listener=told.append)
    list(generate(session, request_, told.append))
    assert [p.stage for p in told] == ["loading", *(["sampling"] * 3 + ["decoding"]) * 2]
    assert [p.done for p in told if p.stage == "sampling"] == [0, 1, 2, 2, 3, 4]
    assert {p.total for p in told if p.stage == "sampling"} == {4}


def test_a_record_is_read_back_as_it_was(request_: Request, session: Session, tmp_path: Path) -> None:
    generated = next(generate(session, request_))
    Target(tmp_path).write(generated)
    for source in (tmp_path, tmp_path / "triplet.json", tmp_path / "blended.png"):
        record = Record.read(source)
        assert record.to_dict() == generated.record.to_dict()
        assert record.request.seed == 7 and record.model == session.model


def test_figures_on_request(request_: Request, session: Session) -> None:
    asked = request_.model_copy(update={"count": 1, "show_priors": True})
    (generated,) = generate(session, asked)
    assert set(generated.figures) == {"priors", "structure", "structureprior", "contentprior", "softmask"}
    assert generated.figures["softmask"].size == generated.triplet.blended.size


def test_every_foregrounds_priors_lie_where_it_stands(request_: Request, session: Session, tmp_path: Path) -> None:
    each = [{"prompt": "a fox", "box": [0.0, 0.0, 0.5, 0.5]}, {"prompt": "a cat", "box": [0.5, 0.5, 0.5, 0.5]}]
    body = {"foregrounds": each, "background_prompt": "a forest", "model": request_.model, "device": "cpu"}
    (generated,) = generate(session, Request.checked(body | {"seed": 7, "show_priors": True}))
    (subject, _) = generated.triplet.subjects
    mask, back = generated.figures["softmask"], astuple(Affine(*subject.placement).inverse())
    frame = np.asarray(Image.new("L", mask.size, 255).transform(mask.size, Image.Transform.AFFINE, back))
    outside = np.asarray(mask)[frame == 0]
    assert 0 < len(outside) < frame.size and (outside == outside[0]).all()
    assert {"softmask2", "structureprior2", "contentprior2"} < set(generated.figures)
    target = Target(tmp_path / "out", show_priors=True, subjects=2)
    target.write(generated)
    assert sorted(path.name for path in target.folder.iterdir()) == sorted(target.names)
    target.write(generated, overwrite=True)
    Target(tmp_path / "out").check(overwrite=True)  # a triplet without them takes its place


def test_every_foreground_is_advised_on_alone() -> None:
    session = Session.open(Request(foreground_prompt="a fox", background_prompt="a beach"))
    each = {"foregrounds": [{"prompt": "a fox"}, {"prompt": "a penguin"}], "background_prompt": "a sunny beach"}
    assert not [said for said in session.warnings_for(Request.checked(each)) if "several things" in said]
    each["foregrounds"] = [{"prompt": "a fox"}, {"prompt": "two penguins"}]
    (said,) = [said for said in session.warnings_for(Request.checked(each)) if "several things" in said]
    assert "penguins" in said and "fox" not in said
