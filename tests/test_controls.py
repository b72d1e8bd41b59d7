"""ControlNet: each stream follows its own picture, as it would in a run of diffusers' SDXL with a ControlNet."""

import copy

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionXLControlNetPipeline, StableDiffusionXLPipeline

from layerfusion import Control, Foreground, LayerFusionError, LayerFusionPipeline
from tests.tiny import (
    INDEPENDENT,
    PROMPTS,
    latents_of,
    quiet,
    seeded,
    tiny_components,
    tiny_foreground,
    tiny_pipeline,
    tiny_transparent_encoder,
)


def picture(seed, size=64):
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def tiny_controlnet(unet, seed=0):
    """A ControlNet that acts: diffusers begins with zeros in each of its outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8)).eval()
        last = (net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out)
        for convolution in (*net.controlnet_down_blocks, *last):
            torch.nn.init.normal_(convolution.weight, std=0.3)
    return net


@pytest.fixture(scope="module")
def nets():
    unet = tiny_components()["unet"]
    return [tiny_controlnet(unet, seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def pipe(nets):
    return tiny_pipeline(controlnet=nets[0])


def sdxl_run(prompt, foreground, controlnet, image, **arguments):
    """One stream by itself, as diffusers runs it."""
    components = tiny_components()
    if foreground:
        unet = copy.deepcopy(components["unet"])
        tiny_foreground(unet, scale=0.5).merge_into(unet)
        components["unet"] = unet
    run = {"num_inference_steps": 3, "guidance_scale": 4.0, "height": 64, "width": 64} | arguments
    if image is None:
        run = {name: value for name, value in run.items() if not name.startswith("control")}
        sdxl = StableDiffusionXLPipeline(**components, add_watermarker=False)
    else:
        sdxl = StableDiffusionXLControlNetPipeline(**components, controlnet=controlnet, add_watermarker=False)
        run["image"] = image
    return quiet(sdxl)(prompt, generator=seeded(), output_type="latent", **run).images


def streams_alone(controlnet, images, **arguments):
    """(3, B, 4, h, w), as `latents_of`: three runs of SDXL."""
    of_streams = (("foreground", PROMPTS[0]), ("background", PROMPTS[1]), ("background", PROMPTS[1]))
    return torch.stack(
        [
            sdxl_run(prompt, name == "foreground", controlnet, images.get(name), **arguments)
            for name, prompt in of_streams
        ]
    )


def called(images, **settings):
    return {f"{name}_control": Control(image, **settings) for name, image in images.items()}


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
@pytest.mark.parametrize("given", ["foreground", "background", "both"])
def test_each_stream_follows_its_own_picture(pipe, nets, given, guidance_scale):
    images = {"foreground": picture(0), "background": picture(1, 48)}
    images = {name: image for name, image in images.items() if given in (name, "both")}
    run = {"guidance_scale": guidance_scale}
    streams = latents_of(pipe, config=INDEPENDENT, **called(images, scale=0.7), **run)
    close(streams, streams_alone(nets[0], images, controlnet_conditioning_scale=0.7, **run))
    plain = latents_of(pipe, config=INDEPENDENT, guidance_scale=guidance_scale)
    changed = (streams - plain).abs().amax(dim=(1, 2, 3, 4)) > 0.05
    assert changed.tolist() == ["foreground" in images, *["background" in images] * 2]


def test_a_control_may_act_for_a_part_of_the_run(pipe, nets):
    images = {"foreground": picture(0), "background": picture(1)}
    part = latents_of(pipe, config=INDEPENDENT, **called(images, start=0.3, end=0.7))
    close(part, streams_alone(nets[0], images, control_guidance_start=0.3, control_guidance_end=0.7))
    assert (part - latents_of(pipe, config=INDEPENDENT, **called(images))).abs().max() > 0.05


def test_each_stream_has_its_own_settings(pipe, nets):
    images = {"foreground": picture(0), "background": picture(1)}
    settings = {"foreground": {"scale": 0.5}, "background": {"scale": 1.2, "end": 0.4}}
    given = {f"{name}_control": Control(images[name], **settings[name]) for name in images}
    streams = latents_of(pipe, config=INDEPENDENT, **given)
    of_foreground = streams_alone(nets[0], images, controlnet_conditioning_scale=0.5)
    of_background = streams_alone(nets[0], images, controlnet_conditioning_scale=1.2, control_guidance_end=0.4)
    close(streams, torch.cat([of_foreground[:1], of_background[1:]]))


def test_several_controlnets(nets):
    pipe = tiny_pipeline(controlnet=nets)
    images = {"foreground": [picture(0), picture(1)], "background": [picture(2), picture(3)]}
    given = {f"{name}_control": [Control(a, 0.5), Control(b, 0.9, end=0.4)] for name, (a, b) in images.items()}
    # diffusers takes start and end as lists only together.
    run = {"control_guidance_start": [0.0, 0.0], "control_guidance_end": [1.0, 0.4]}
    expected = streams_alone(nets, images, controlnet_conditioning_scale=[0.5, 0.9], **run)
    close(latents_of(pipe, config=INDEPENDENT, **given), expected)


def test_each_of_several_foregrounds_follows_its_own_picture(pipe, nets):
    """A stream for each, the farthest first; one without a picture is left to its prompt."""
    fox = Foreground(PROMPTS[0], seed=0, control=Control(picture(0), 0.7))
    bear = Foreground("a bear", z=-1.0, seed=0, control=Control(picture(1), end=0.4))
    owl = Foreground("an owl", seed=0)
    arguments = {"num_inference_steps": 3, "guidance_scale": 4.0, "height": 64, "width": 64, "config": INDEPENDENT}

    def foregrounds(each, scene=PROMPTS[1], **more):
        run = {"generator": seeded(), "output_type": "latent"} | arguments | more
        return pipe(foregrounds=each, background_prompt=scene, **run).foreground

    streams = foregrounds([fox, bear, owl])
    controls = {"controlnet_conditioning_scale": 0.7}, {"control_guidance_end": 0.4}, {}
    for stream, one, run in zip(streams, (bear, fox, owl), (controls[1], controls[0], controls[2]), strict=True):
        image = None if one.control is None else one.control.image
        close(stream, sdxl_run(one.prompt, True, nets[0], image, **run))
    # Of two pairs, each with a list of its own, every triplet is as it is alone.
    other = Foreground("a duck", control=Control(picture(2), 0.7))
    pairs = foregrounds([[fox], [other]], [PROMPTS[1]] * 2, generator=[seeded(1), seeded(2)])
    close(pairs[1:], foregrounds([other], generator=[seeded(2)]))


def test_the_prior_pass_follows_the_picture_too(pipe):
    run = {"num_inference_steps": 1, "height": 64, "width": 64, "output_type": "latent", "return_maps": True}
    plain, controlled = (
        pipe(*PROMPTS, generator=seeded(), foreground_control=control, **run).maps[0].structure
        for control in (None, Control(picture(0)))
    )
    # From the same noise, the first prior pass differs by the control alone.
    assert (plain - controlled).abs().max() > 0.01


@pytest.mark.parametrize("controlled", ["foreground", "background"])
@pytest.mark.parametrize("given", ["foreground_image", "background_image", "both", "blended_image"])
def test_held_streams_follow_too_and_leave_their_rows(nets, given, controlled):
    """A held stream has no unconditional half; in a batch whose triplets differ it has, and nothing else comes out."""
    pipe = tiny_pipeline(controlnet=nets[0], transparent_encoder=tiny_transparent_encoder())
    cutout = picture(4).convert("RGBA")
    cutout.putalpha(PIL.Image.new("L", (64, 64)))
    cutout.paste((200, 30, 30, 255), (16, 16, 48, 48))
    held = {"foreground_image": cutout, "background_image": picture(5), "blended_image": picture(6)}
    names = ("foreground_image", "background_image") if given == "both" else (given,)
    control = {f"{controlled}_control": Control(picture(0))}

    def latents(pairs, **pictures):
        prompts = ([prompt] * pairs for prompt in PROMPTS)
        return latents_of(pipe, *prompts, generator=[seeded(k) for k in range(pairs)], **control, **pictures)

    alone = latents(1, **{name: held[name] for name in names})
    beside = latents(2, **{name: [held[name], None] for name in names})
    close(alone, beside[:, :1])
    assert (alone - latents_of(pipe, generator=[seeded(0)], **{name: held[name] for name in names})).abs().max() > 0.01


def test_a_batch_and_pairs(pipe):
    """A triplet of a batch, with the pair's own picture, is the triplet alone."""
    prompts = (["a red fox", "a duck"], "a snowy forest")
    images = [picture(0), picture(1)]
    generators = [seeded(seed) for seed in range(4)]
    batch = latents_of(
        pipe, *prompts, background_control=Control(images), num_images_per_prompt=2, generator=generators
    )
    alone = latents_of(pipe, "a duck", prompts[1], background_control=Control(images[1]), generator=[seeded(3)])
    close(batch[:, 3:], alone)


def test_guidance_may_end_on_the_way(pipe):
    def end(pipeline, step, timestep, tensors):
        pipeline._guidance_scale = 1.0
        return {}

    assert latents_of(pipe, background_control=Control(picture(0)), callback_on_step_end=end).isfinite().all()


def test_controls_are_saved_and_shared(pipe, nets, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = quiet(LayerFusionPipeline.from_pretrained(tmp_path))
    given = {"foreground_control": Control(picture(0))}
    close(latents_of(loaded, **given), latents_of(pipe, **given))
    sdxl = StableDiffusionXLControlNetPipeline(**tiny_components(), controlnet=nets[0], add_watermarker=False)
    assert LayerFusionPipeline.from_sdxl(sdxl, pipe.foreground, None).controlnet is nets[0]


def test_what_does_not_fit_gets_a_sentence(pipe):
    without, one = tiny_pipeline(), Control(picture(0))
    for given, control, sentence in (
        (without, one, "the pipeline has no controlnet; give it to"),
        (pipe, Control([picture(0)] * 3), "there are 3 control pictures for 1 pairs of prompts"),
        (pipe, [one, one], "there are 1 ControlNets; give a Control for each"),
        (tiny_pipeline(controlnet=without.vae), one, "the controlnet is a AutoencoderKL; give a ControlNetModel"),
    ):
        with pytest.raises(LayerFusionError, match=sentence):
            latents_of(given, background_control=control)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"start": 0.9, "end": 0.1}, "0 ≤ start ≤ end ≤ 1"),
        ({"start": -3.0}, "0 ≤ start ≤ end ≤ 1"),
        ({"end": 9.0}, "0 ≤ start ≤ end ≤ 1"),
        ({"start": float("nan")}, "0 ≤ start ≤ end ≤ 1"),
        ({"scale": float("inf")}, "must be a finite number"),
    ],
)
def test_a_control_is_strong_and_long_as_a_run_allows(settings, sentence):
    with pytest.raises(LayerFusionError, match=sentence):
        Control(picture(0), **settings)


def test_controls_of_foregrounds_that_do_not_fit_get_a_sentence(pipe):
    one = Control(picture(0))
    with_one, without = Foreground("a fox", control=one), Foreground("a duck")
    another = Foreground("a duck", control=Control(picture(1), end=0.5))
    for given, each, more, sentence in (
        (tiny_pipeline(), [with_one], {}, "the pipeline has no controlnet; give it to"),
        (pipe, [without], {"foreground_control": one}, "give each of them its own control"),
        (pipe, [[with_one], [without]], {}, "control differs from pair to pair; give all pairs one"),
        (pipe, [[with_one], [another]], {}, "control differs from pair to pair"),
    ):
        with pytest.raises(LayerFusionError, match=sentence):
            given(foregrounds=each, background_prompt="a pond", num_inference_steps=1, **more)
