"""LayerFusionPipeline on the tiny SDXL: equal to diffusers where it should be, a citizen of diffusers elsewhere."""

import copy
import json
from pathlib import Path

import accelerate
import diffusers
import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.pipelines.pipeline_loading_utils import _get_custom_components_and_folders
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from layerfusion import LayerFusionConfig, LayerFusionError, LayerFusionPipeline
from layerfusion.offsets import published_form
from tests.tiny import INDEPENDENT, PROMPTS, latents_of, quiet, seeded, tiny_foreground, tiny_pipeline


@pytest.fixture(scope="module")
def offsets(tiny):
    # Half the size of the weights: as strong as is needed to tell the models apart, without amplifying rounding.
    return tiny_foreground(tiny["unet"], scale=0.5)


@pytest.fixture(scope="module")
def pipe(tiny, offsets, tiny_decoder, tiny_encoder):
    return quiet(
        LayerFusionPipeline(
            **tiny, foreground=offsets, transparent_decoder=tiny_decoder, transparent_encoder=tiny_encoder
        )
    )


@pytest.fixture
def own_pipe():
    """A pipeline that a test may change."""
    return tiny_pipeline()


# --- equal to three runs of diffusers' own SDXL -----------------------------------------------------------------------


SCHEDULERS = ["EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "UniPCMultistep", "DDIM"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("guidance_scale", "size"), [(1.0, (64, 64)), (4.0, (64, 64)), (4.0, (64, 128))])
def test_without_blending_the_streams_are_three_sdxl_runs(pipe, tiny, scheduler, guidance_scale, size):
    kind = getattr(diffusers, f"{scheduler}Scheduler")
    scheduler = kind.from_config(tiny["scheduler"].config)
    arguments = {
        "num_inference_steps": 3,
        "guidance_scale": guidance_scale,
        "height": size[0],
        "width": size[1],
    }

    def sdxl(prompt, negative_prompt, unet):
        single = quiet(
            StableDiffusionXLPipeline(**tiny | {"unet": unet, "scheduler": scheduler}, add_watermarker=False)
        )
        return single(
            prompt, negative_prompt=negative_prompt, generator=seeded(), output_type="latent", **arguments
        ).images

    merged = copy.deepcopy(tiny["unet"])
    pipe.foreground.merge_into(merged)
    expected = torch.stack(
        [
            sdxl("a red fox", "blue", merged),
            sdxl("a snowy forest", None, tiny["unet"]),
            sdxl("a snowy forest", None, tiny["unet"]),
        ]
    )
    ours = LayerFusionPipeline.from_sdxl(
        StableDiffusionXLPipeline(**tiny | {"scheduler": scheduler}, add_watermarker=False), pipe.foreground, None
    )
    output = latents_of(quiet(ours), **arguments | {"negative_foreground_prompt": "blue", "config": INDEPENDENT})
    torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)
    assert (expected[0] - expected[1]).abs().max() > 0.5


def test_blending_changes_what_it_should(pipe):
    apart = latents_of(pipe, config=INDEPENDENT)
    joint = latents_of(pipe)
    foreground, blended, background = (joint - apart).abs().amax(dim=(1, 2, 3, 4))
    assert foreground > 0.05 and blended > 0.05 and background > 0.05
    unshared = latents_of(pipe, config=LayerFusionConfig(share_attention=False))
    torch.testing.assert_close(unshared[2], apart[2], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "switch",
    [
        {"mask": "self"},
        {"mask": "cross"},
        {"boundary": 1.0},
        {"structure_layer": "mid_block.attentions.0.transformer_blocks.0.attn1"},
        {"structure_sign": -1},
        {"structure_from": "previous_step"},
        {"prior_range": (0.0, 0.5)},
        {"update_foreground": False},
        {"share_attention": False},
        {"share_noise": False},
        {"blend_range": (0.0, 0.5)},
        {"blocks": ("up_blocks.*",)},
    ],
)
def test_every_switch_makes_a_difference(pipe, switch):
    default, switched = latents_of(pipe), latents_of(pipe, config=LayerFusionConfig(**switch))
    assert switched.isfinite().all() and (default - switched).abs().max() > 1e-3


def test_without_a_prior_range_every_step_but_the_first_takes_the_map_of_the_step_before(pipe):
    never = latents_of(pipe, config=LayerFusionConfig(prior_range=(0.0, 0.0)))
    assert torch.equal(never, latents_of(pipe, config=LayerFusionConfig(structure_from="previous_step")))


def test_the_structure_layer_and_sign_travel_with_the_model(pipe, tiny, offsets, tiny_decoder):
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1"
    own = LayerFusionPipeline(
        **tiny, foreground=offsets, transparent_decoder=tiny_decoder, structure_layer=layer, structure_sign=-1
    )
    asked = latents_of(pipe, config=LayerFusionConfig(structure_layer=layer, structure_sign=-1))
    assert torch.equal(latents_of(quiet(own)), asked)


def test_outside_its_range_there_is_no_guidance(pipe):
    """As where a callback ends it; before its start as with guidance of 1, and afterwards both halves are there."""

    def end_guidance(pipeline, step, timestep, tensors):
        pipeline._guidance_scale = 1.0 if step == 1 else pipeline._guidance_scale
        return {}

    steps = {"num_inference_steps": 4, "guidance_scale": 4.0}
    ended = latents_of(pipe, **steps, callback_on_step_end=end_guidance)
    early = latents_of(pipe, **steps, config=LayerFusionConfig(guidance_range=(0, 0.5)))
    torch.testing.assert_close(early, ended, atol=1e-5, rtol=1e-5)
    seen = []
    late = latents_of(
        pipe,
        **steps,
        config=LayerFusionConfig(guidance_range=(0.5, 1)),
        callback_on_step_end=lambda pipeline, step, timestep, tensors: seen.append(tensors["latents"].clone()) or {},
    )
    unguided = []
    latents_of(
        pipe,
        **(steps | {"guidance_scale": 1.0}),
        callback_on_step_end=lambda pipeline, step, timestep, tensors: unguided.append(tensors["latents"]) or {},
    )
    torch.testing.assert_close(seen[1], unguided[1], atol=1e-5, rtol=1e-5)
    assert (late - unguided[3]).abs().max() > 0.01 and (late - early).abs().max() > 0.01


# --- batches, prompts, seeds ------------------------------------------------------------------------------------------


def test_a_triplet_of_a_batch_equals_the_same_triplet_alone(pipe):
    together = latents_of(
        pipe,
        ["a red fox", "a duck"],
        ["a snowy forest", "a pond"],
        num_images_per_prompt=2,
        generator=[seeded(i) for i in range(4)],
    )
    alone = latents_of(pipe, "a duck", "a pond", generator=[seeded(3)])
    torch.testing.assert_close(together[:, 3:], alone, atol=1e-4, rtol=1e-4)
    assert (together[:, 2] - together[:, 3]).abs().max() > 0.1


def test_one_prompt_goes_with_many(pipe):
    one_seed = [seeded(1), seeded(1)]
    both = latents_of(pipe, "a red fox", ["a snowy forest", "a pond"], generator=one_seed)
    pond = latents_of(pipe, "a red fox", "a pond", generator=seeded(1))
    torch.testing.assert_close(both[:, 1:], pond, atol=1e-4, rtol=1e-4)


def test_embeddings_in_place_of_prompts(pipe):
    encoded = [pipe.encode_prompt(prompt, do_classifier_free_guidance=True) for prompt in PROMPTS]
    names = (
        "{}_prompt_embeds",
        "negative_{}_prompt_embeds",
        "pooled_{}_prompt_embeds",
        "negative_pooled_{}_prompt_embeds",
    )
    embeds = {
        name.format(layer): value
        for layer, values in zip(("foreground", "background"), encoded, strict=True)
        for name, value in zip(names, values, strict=True)
    }
    end = pipe.tokenizer(PROMPTS[0]).input_ids.index(pipe.tokenizer.eos_token_id)
    torch.testing.assert_close(latents_of(pipe, None, None, **embeds, foreground_eos=[end]), latents_of(pipe))
    with pytest.raises(LayerFusionError, match="without foreground_eos"):
        latents_of(pipe, None, None, **embeds)


def test_noise_can_be_given_for_all_streams_or_each(pipe):
    noise = torch.randn(1, 4, 8, 8, generator=seeded())
    torch.testing.assert_close(latents_of(pipe, latents=noise), latents_of(pipe))
    each = torch.stack([noise, -noise, noise])
    assert not torch.allclose(latents_of(pipe, latents=each), latents_of(pipe), atol=1e-2)
    with pytest.raises(LayerFusionError, match="latents have the shape"):
        latents_of(pipe, latents=noise[..., :4])


def test_without_a_generator_torchs_own_seed_decides(pipe):
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(latents_of(pipe, generator=None))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_a_long_prompt_is_cut_and_still_ends(pipe):
    # What lies beyond 77 tokens is not read, so a still longer prompt makes the same pictures.
    long, longer = (latents_of(pipe, "a red fox " * words, "a snowy forest") for words in (60, 80))
    assert long.isfinite().all() and torch.equal(long, longer)
    assert not torch.equal(long, latents_of(pipe))


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_output_types(pipe):
    run = {"num_inference_steps": 2, "height": 64, "width": 128}
    as_np = pipe(*PROMPTS, **run, generator=seeded(), output_type="np", return_premultiplied=True)
    assert as_np.foreground.shape == (1, 64, 128, 4)
    for picture in (as_np.background, as_np.blended, as_np.composite, as_np.premultiplied):
        assert picture.shape == (1, 64, 128, 3) and picture.min() >= 0 and picture.max() <= 1
    rgb, alpha = as_np.foreground[..., :3], as_np.foreground[..., 3:]
    np.testing.assert_allclose(as_np.composite, rgb * alpha + as_np.background * (1 - alpha), atol=1e-6)

    as_pt = pipe(*PROMPTS, **run, generator=seeded(), output_type="pt")
    np.testing.assert_array_equal(as_pt.foreground.permute(0, 2, 3, 1).numpy(), as_np.foreground)
    as_pil = pipe(*PROMPTS, **run, generator=seeded())
    assert as_pil.foreground[0].mode == "RGBA" and as_pil.blended[0].mode == "RGB"
    np.testing.assert_allclose(np.asarray(as_pil.foreground[0]) / 255, as_np.foreground[0], atol=0.51 / 255)
    as_tuple = pipe(*PROMPTS, **run, generator=seeded(), return_dict=False)
    assert isinstance(as_tuple, tuple) and len(as_tuple) == 4
    assert as_tuple[3][0] == as_pil.composite[0]
    assert as_pil.premultiplied is None and as_pil.maps is None
    decoded = pipe(*PROMPTS, **run, generator=seeded(), output_type="pt", clean_alpha=False)
    assert not torch.equal(decoded.foreground, as_pt.foreground) and torch.equal(decoded.blended, as_pt.blended)


def test_a_stack_of_layers_comes_out(pipe):
    output = pipe(*PROMPTS, num_inference_steps=1, height=64, width=64, generator=seeded())
    stack = output.to_stack()
    names = ["background", "shadow", "light", "foreground", "foreground (unlit)", "blended"]
    assert [layer.name for layer in stack.layers] == names
    assert [layer.visible for layer in stack.layers] == [True, True, True, True, False, False]
    difference = np.asarray(stack.composite())[..., :3].astype(int) - np.asarray(output.layered[0]).astype(int)
    assert np.abs(difference).max() <= 1


def test_maps_on_request(pipe):
    output = pipe(*PROMPTS, num_inference_steps=2, height=64, width=128, return_maps=True, output_type="latent")
    assert len(output.maps) == 2 and output.maps[0].timestep > output.maps[1].timestep
    assert output.maps[0].structure.shape == (1, 1, 4, 8)
    assert len(output.maps[0].attentions) == 2 * len([k for k in pipe.unet.attn_processors if "attn1" in k])


def test_one_and_eight_transparency_passes(pipe):
    run = {"num_inference_steps": 1, "height": 64, "width": 64, "output_type": "np"}
    one, eight = (pipe(*PROMPTS, **run, generator=seeded(), transparency_passes=n) for n in (1, 8))
    assert np.array_equal(one.blended, eight.blended) and not np.array_equal(one.foreground, eight.foreground)


def test_latents_are_decoded_with_the_models_own_transparency_passes():
    own = tiny_pipeline(defaults={"transparency_passes": 1})
    latents = torch.randn(3, 1, 4, 8, 8, generator=seeded())
    unsaid, one, eight = (own.decode(latents, "np", passes).foreground for passes in (None, 1, 8))
    assert np.array_equal(unsaid, one) and not np.array_equal(unsaid, eight)


def test_an_overflow_in_half_precision_is_decoded_again(own_pipe):
    own_pipe.vae.to(torch.bfloat16)
    narrow = own_pipe.vae.decode

    def overflowing(latents, **kwargs):
        decoded = narrow(latents, **kwargs)[0]
        return (decoded if own_pipe.vae.dtype == torch.float32 else decoded * float("nan"),)

    own_pipe.vae.decode = overflowing
    output = own_pipe(*PROMPTS, num_inference_steps=1, height=64, width=64, output_type="np", generator=seeded())
    assert np.isfinite(output.foreground).all() and output.blended.std() > 0
    assert own_pipe.vae.dtype == torch.bfloat16
    own_pipe.vae.to(torch.float32)
    own_pipe.vae.decode = lambda latents, **kwargs: (narrow(latents, **kwargs)[0] * float("nan"),)
    with pytest.raises(LayerFusionError, match="gives NaN, also in float32"):
        own_pipe(*PROMPTS, num_inference_steps=1, height=64, width=64)


# --- a citizen of diffusers -------------------------------------------------------------------------------------------


def test_save_and_load(pipe, tmp_path):
    pipe.register_to_config(structure_sign=-1)
    try:
        before = latents_of(pipe)
        pipe.save_pretrained(tmp_path)
        loaded = quiet(LayerFusionPipeline.from_pretrained(tmp_path))
        assert loaded.config.structure_sign == -1
        # Weights mapped from a file are aligned differently in memory, which moves the last bits.
        torch.testing.assert_close(latents_of(loaded), before, atol=1e-4, rtol=1e-4)
        a, b = (p(*PROMPTS, num_inference_steps=1, generator=seeded()) for p in (pipe, loaded))
        for ours, theirs in zip(a.foreground + a.blended, b.foreground + b.blended, strict=True):
            assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).max() <= 1
        assert list(tmp_path.rglob("*.bin")) == []
    finally:
        pipe.register_to_config(structure_sign=1)


def test_diffusers_would_download_it(pipe, tmp_path):
    """`from_pretrained("owner/name")` first checks that every component's module is known."""
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    files = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    custom, folders = _get_custom_components_and_folders("owner/name", index, files)
    assert custom == {} and {"unet", "foreground", "transparent_decoder", "transparent_encoder"} <= set(folders)


def test_half_precision_from_disk(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    half = quiet(LayerFusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.float16))
    assert {half.unet.dtype, half.foreground.dtype, half.transparent_decoder.dtype} == {torch.float16}
    output = half(*PROMPTS, num_inference_steps=2, height=64, width=64, output_type="np", generator=seeded())
    assert np.isfinite(output.foreground).all()


def test_optional_components(tiny, offsets, tmp_path, tiny_decoder):
    bare = quiet(LayerFusionPipeline(**tiny, foreground=offsets))
    bare.save_pretrained(tmp_path)
    loaded = quiet(LayerFusionPipeline.from_pretrained(tmp_path))
    assert loaded.transparent_decoder is None
    assert latents_of(loaded).isfinite().all()
    with pytest.raises(LayerFusionError, match="no transparent_decoder"):
        loaded(*PROMPTS)
    completed = quiet(LayerFusionPipeline.from_pretrained(tmp_path, transparent_decoder=tiny_decoder))
    assert completed(*PROMPTS, num_inference_steps=1).foreground[0].mode == "RGBA"


def test_from_sdxl_takes_a_pipeline_and_published_files(pipe, tiny, tmp_path, offsets):
    from safetensors.torch import save_file

    for form in ("dense", "diffusers", "forge"):
        file = tmp_path / f"{form}.safetensors"
        save_file(published_form(offsets, form, tiny["unet"]), file)
        sdxl = StableDiffusionXLPipeline(**tiny, add_watermarker=False)
        ours = quiet(LayerFusionPipeline.from_sdxl(sdxl, file, pipe.transparent_decoder))
        torch.testing.assert_close(latents_of(ours), latents_of(pipe), atol=1e-3, rtol=1e-3)


def test_a_users_lora_acts_on_all_streams(own_pipe, tmp_path):
    before = latents_of(own_pipe, config=INDEPENDENT)
    donor = copy.deepcopy(own_pipe.unet)
    donor.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v", "to_out.0"], init_lora_weights=False))
    lora = convert_state_dict_to_diffusers(get_peft_model_state_dict(donor))
    StableDiffusionXLPipeline.save_lora_weights(tmp_path, unet_lora_layers=lora)
    own_pipe.load_lora_weights(tmp_path)
    after = latents_of(own_pipe, config=INDEPENDENT)
    assert ((after - before).abs().amax(dim=(1, 2, 3, 4)) > 1e-2).all()
    own_pipe.fuse_foreground()
    torch.testing.assert_close(latents_of(own_pipe, config=INDEPENDENT), after, atol=1e-3, rtol=1e-3)
    own_pipe.unfuse_foreground()
    own_pipe.unload_lora_weights()
    torch.testing.assert_close(latents_of(own_pipe, config=INDEPENDENT), before, atol=1e-4, rtol=1e-4)


def test_fused_offsets_give_the_same_pictures(own_pipe):
    apart = latents_of(own_pipe)
    own_pipe.fuse_foreground()
    torch.testing.assert_close(latents_of(own_pipe), apart, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", ["model", "sequential", "group"])
def test_offloading_gives_the_same_pictures(own_pipe, mode):
    expected = latents_of(own_pipe)
    if mode == "model":
        own_pipe.enable_model_cpu_offload(device="cpu")
    elif mode == "sequential":
        # What enable_sequential_cpu_offload does for each component; itself it runs on accelerators only.
        for component in own_pipe.components.values():
            if isinstance(component, torch.nn.Module):
                accelerate.cpu_offload(component, torch.device("cpu"), offload_buffers=len(component._parameters) > 0)
        assert own_pipe.unet.conv_in.weight.is_meta and next(own_pipe.foreground.parameters()).is_meta
    else:
        own_pipe.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level")
    torch.testing.assert_close(latents_of(own_pipe), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(latents_of(own_pipe), expected, atol=1e-4, rtol=1e-4)  # the first run left it usable


def test_model_offloading_brings_the_foreground_to_the_device(own_pipe):
    """Nothing of `foreground` is called by the UNet's own forward, so its hook must be set off by the pipeline."""
    calls = []
    own_pipe.enable_model_cpu_offload(device="cpu")
    hook = own_pipe.foreground._hf_hook
    pre_forward = hook.pre_forward
    hook.pre_forward = lambda *args, **kwargs: calls.append(1) or pre_forward(*args, **kwargs)
    latents_of(own_pipe)
    assert calls


def test_vae_tiling_and_slicing(own_pipe):
    run = {"num_inference_steps": 1, "height": 64, "width": 64, "output_type": "np"}
    generators = [seeded(0), seeded(1)]
    plain = own_pipe(*PROMPTS, **run, num_images_per_prompt=2, generator=generators)
    own_pipe.vae.enable_slicing()
    sliced = own_pipe(*PROMPTS, **run, num_images_per_prompt=2, generator=[seeded(0), seeded(1)])
    np.testing.assert_allclose(sliced.blended, plain.blended, atol=1e-4)
    own_pipe.vae.enable_tiling()
    assert own_pipe(*PROMPTS, **run, generator=seeded()).foreground.shape == (1, 64, 64, 4)


def test_callback_sees_changes_and_interrupts(pipe):
    seen = []

    def watch(pipeline, step, timestep, tensors):
        assert pipeline is pipe and tensors["latents"].shape == (3, 1, 4, 8, 8)
        seen.append((step, float(timestep)))
        return {}

    watched = latents_of(pipe, callback_on_step_end=watch)
    assert [step for step, _ in seen] == [0, 1, 2] and torch.equal(watched, latents_of(pipe))
    zeroed = latents_of(pipe, callback_on_step_end=lambda p, i, t, tensors: {"latents": 0 * tensors["latents"]})
    assert (zeroed == 0).all()

    def stop(pipeline, step, timestep, tensors):
        pipeline._interrupt = step == 0
        return {}

    calls = []
    early = latents_of(pipe, callback_on_step_end=lambda *a: calls.append(1) or stop(*a))
    assert len(calls) == 1 and not torch.equal(early, watched)


@pytest.mark.parametrize("scheduler", ["EulerDiscrete", "DPMSolverMultistep", "LCM"])
def test_a_callback_sees_what_the_latents_become(own_pipe, scheduler):
    own_pipe.scheduler = getattr(diffusers, f"{scheduler}Scheduler").from_config(own_pipe.scheduler.config)
    seen = []

    def watch(pipeline, step, timestep, tensors):
        seen.append(tensors["clean_latents"].clone())
        return {"clean_latents": 0 * tensors["clean_latents"]}  # is not to be changed

    names = ["clean_latents"]
    finished = latents_of(own_pipe, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=names)
    assert torch.equal(finished, latents_of(own_pipe))
    # In the last step all noise goes; LCM keeps a little of the noisy latent.
    torch.testing.assert_close(seen[-1], finished, atol=2e-2 if scheduler == "LCM" else 1e-3, rtol=1e-3)


def test_the_unet_is_as_before_also_after_an_exception(pipe):
    processors = dict(pipe.unet.attn_processors)
    weights = {k: v.clone() for k, v in pipe.unet.state_dict().items()}

    def fail(*args):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        latents_of(pipe, callback_on_step_end=fail)
    assert dict(pipe.unet.attn_processors) == processors
    assert all(torch.equal(v, weights[k]) for k, v in pipe.unet.state_dict().items())


def test_the_progress_bar_counts_the_steps(tiny, offsets, capsys):
    loud = LayerFusionPipeline(**tiny, foreground=offsets)
    latents_of(loud)
    assert "3/3" in capsys.readouterr().err


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"foreground_prompt": "  "}, "the foreground prompt is empty"),
        ({"background_prompt": ["a pond", ""]}, "the background prompt is empty"),
        ({"background_prompt": None}, "give either background_prompt or background_prompt_embeds"),
        ({"foreground_prompt": ["a", "b"], "background_prompt": ["a", "b", "c"]}, "give as many of each, or one"),
        ({"width": 100}, "the size 100x64 is not divisible by 8; try 96x64"),
        ({"height": 0, "width": 32}, "not divisible by 8"),
        ({"generator": [seeded(), seeded()]}, "there are 2 generators for 1 triplets"),
        ({"output_type": "jpeg"}, "output_type is 'jpeg'"),
        ({"transparency_passes": 3}, "give 1 or 8"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "choose from latents"),
    ],
)
def test_bad_input_gets_a_sentence_before_any_work(pipe, arguments, sentence, monkeypatch):
    monkeypatch.setattr(pipe.unet, "forward", None)
    run = {"foreground_prompt": "a fox", "background_prompt": "a wood", "height": 64, "width": 64} | arguments
    with pytest.raises(LayerFusionError) as error:
        pipe(**run)
    assert sentence in str(error.value) and str(error.value).endswith(".")


def test_single_files_must_be_safetensors(tmp_path):
    for name in ("model.ckpt", "model.pt"):
        (tmp_path / name).write_bytes(b"\x80\x02")
        with pytest.raises(LayerFusionError, match=r"is not a \.safetensors file"):
            LayerFusionPipeline.from_single_file(Path(tmp_path / name), "offsets.safetensors", None)


def test_pictures_are_pictures(pipe):
    output = pipe(*PROMPTS, num_inference_steps=1, height=64, width=64)
    assert all(isinstance(p[0], PIL.Image.Image) for p in (output.foreground, output.background, output.composite))
