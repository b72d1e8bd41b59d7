"""Blending a stack again: what was given stays to the bit, however often; what follows from it is new."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from layerfusion import Layer, LayerFusionError, LayerFusionPipeline, LayerStack
from layerfusion.reblending import reblend, subjects_of
from tests.test_holding import picture, seeded

OPTIONS = {"num_inference_steps": 2, "guidance_scale": 1.0, "transparency_passes": 1}


@pytest.fixture(scope="module")
def pipe(tiny, tiny_offsets, tiny_decoder, tiny_encoder):
    pipe = LayerFusionPipeline(
        **tiny, foreground=tiny_offsets, transparent_decoder=tiny_decoder, transparent_encoder=tiny_encoder
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stack_of(*subjects):
    layers = [Layer("background", picture(9))]
    layers += [Layer(name, picture(seed, alpha=True)) for seed, name in enumerate(subjects, start=1)]
    return LayerStack(64, 64, layers, {"foreground_prompt": "a fox"})


def again(pipe, stack, prompts=("a fox",), **options):
    return reblend(pipe, stack, prompts, "a pond", generator=[seeded()], **OPTIONS | options)


def test_ten_edits_leave_the_given_layers_as_they_were(pipe):
    stack = stack_of("fox")
    cutout, photo = stack["fox"].pixels, stack["background"].pixels
    draw = np.random.default_rng(0)
    for _ in range(10):
        x, y, turn, scale = draw.uniform(-6, 6), draw.uniform(-6, 6), draw.uniform(-20, 20), draw.uniform(0.8, 1.25)
        stack = stack.edited("fox", lambda one: one.moved(x, y).rotated(turn).scaled(scale))  # noqa: B023
        before = stack["fox"].placement
        stack = again(pipe, stack)
        assert np.array_equal(stack["fox (unlit)"].pixels, cutout)
        assert np.array_equal(stack["background"].pixels, photo)
        assert stack["fox"].placement == stack["fox (unlit)"].placement == before
    names = ["background", "shadow", "light", "fox", "fox (unlit)", "blended"]
    assert [layer.name for layer in stack] == names
    assert stack.provenance == {"foreground_prompt": "a fox"}


def test_the_blend_follows_the_edit(pipe):
    stack = stack_of("fox")
    here = again(pipe, stack)
    there = again(pipe, stack.edited("fox", lambda layer: layer.moved(25, 0)))
    assert not np.array_equal(here["blended"].pixels, there["blended"].pixels)
    assert np.array_equal(here["blended"].pixels, again(pipe, stack)["blended"].pixels)
    little, much = (again(pipe, stack, strength=s, num_inference_steps=8) for s in (0.2, 1.0))
    assert not np.array_equal(little["blended"].pixels, much["blended"].pixels)


def test_every_subject_keeps_its_order_and_hidden_layers_stay(pipe):
    stack = stack_of("fox", "bear")
    stack.layers.append(Layer("notes", picture(5, alpha=True), visible=False))
    blended = again(pipe, stack, ("a fox", "a bear"))
    assert [layer.name for layer in blended if layer.visible] == [
        *("background", "shadow", "light", "fox"),
        *("shadow 2", "light 2", "bear"),
    ]
    assert blended["fox"].group != blended["bear"].group and not blended["notes"].visible
    moved = blended.edited("bear", lambda layer: layer.moved(3, 0))
    assert moved["shadow 2"].placement.c == 3 and moved["shadow"].placement.c == 0
    twice = again(pipe, moved, ("a fox", "a bear"))
    assert [layer.name for layer in twice] == [layer.name for layer in blended]
    hidden = replace(blended["bear"], visible=False)
    blended["bear"] = hidden
    assert len(subjects_of(blended)[1]) == 1
    alone = again(pipe, blended)
    assert [layer.name for layer in alone if layer.visible] == ["background", "shadow", "light", "fox"]


def test_subjects_of_one_group_keep_their_own_pixels(pipe):
    """As where a layer was put into a subject's group in a drawing program."""
    stack = stack_of("fox", "bear")
    own = replace(stack["fox"], name="fox (unlit)", visible=False)
    stack.layers[:] = [replace(layer, group=None if layer.name == "background" else "g") for layer in (*stack, own)]
    given = {name: stack[name].pixels for name in ("fox", "bear")}
    blended = again(pipe, stack, ("a fox", "a bear"))
    for name, pixels in given.items():
        assert np.array_equal(blended[f"{name} (unlit)"].pixels, pixels)
    renamed = stack_of("fox")
    renamed.layers[1:] = [replace(renamed["fox"], name="Reineke", group="g"), replace(own, group="g")]
    assert np.array_equal(again(pipe, renamed)["Reineke (unlit)"].pixels, own.pixels)


def test_a_relit_subject_adds_up_with_its_unlit_one(pipe):
    """An own layer that is moved to the canvas's place is lit as the canvas is."""
    blended = again(pipe, stack_of("fox"))
    lit, own = blended["fox"].pixels, blended["fox (unlit)"].pixels
    assert np.array_equal(lit[..., 3], own[..., 3]) and lit.shape == own.shape


def test_what_cannot_be_blended_is_a_sentence(pipe):
    with pytest.raises(LayerFusionError, match="no subject on a background"):
        again(pipe, stack_of())
    with pytest.raises(LayerFusionError, match="shows 1 subjects and there are 2 foreground prompts"):
        again(pipe, stack_of("fox"), ("a fox", "a bear"))
    with pytest.raises(LayerFusionError, match="strength is 0"):
        again(pipe, stack_of("fox"), strength=0)


def test_the_canvas_may_have_any_size(pipe):
    stack = LayerStack(
        70, 52, [Layer("background", Image.new("RGB", (70, 52), "teal")), Layer("fox", picture(1, 33, 47, alpha=True))]
    )
    blended = again(pipe, stack)
    assert blended["blended"].size == (70, 52) and blended["fox"].size == (47, 33)
