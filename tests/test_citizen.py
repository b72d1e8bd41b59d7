"""What diffusers' pipelines can do, on ours: callbacks, LoRA, components left out, distilled guidance, offloading."""

import copy

import diffusers
import jaxtyping
import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback, SDXLCFGCutoffCallback
from peft import LoraConfig
from safetensors.torch import save_file

from layerfusion import LayerFusionError, LayerFusionPipeline
from layerfusion.method.blocks import transformer_blocks
from layerfusion.offsets import published_form
from tests.tiny import INDEPENDENT, PROMPTS, latents_of, quiet, seeded, tiny_components, tiny_pipeline


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture(autouse=True)
def same_adapters():
    """Adapters begin at random."""
    torch.manual_seed(0)


def close(a, b, tolerance=1e-4):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_guidance_follows_a_callback(pipe):
    def change(pipeline, step, timestep, tensors):
        pipeline._guidance_scale = 9.0 if step == 0 else pipeline._guidance_scale
        return tensors

    changed = latents_of(pipe, callback_on_step_end=change)
    assert pipe.guidance_scale == 9.0
    assert (changed - latents_of(pipe)).abs().max() > 0.1
    # The first step is as it was, the others are as in a run with guidance 9 that begins where it ended.
    first = latents_of(pipe, num_inference_steps=3, callback_on_step_end=stop_after(0))

    def take(pipeline, step, timestep, tensors):
        return {"latents": first} if step == 0 else {}

    close(changed, latents_of(pipe, guidance_scale=9.0, callback_on_step_end=take))


def stop_after(step):
    def stop(pipeline, i, timestep, tensors):
        pipeline._interrupt = i == step
        return tensors

    return stop


@pytest.mark.parametrize("batch", [1, 2])
def test_guidance_can_be_cut_off(pipe, batch):
    """diffusers' own callback takes `[-1:]` of each tensor; from then on only conditional halves are computed."""
    rows = []
    hook = pipe.unet.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    prompts = (["a red fox", "a duck"][:batch], "a snowy forest")
    callback = SDXLCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)
    cut = latents_of(pipe, *prompts, callback_on_step_end=callback)
    hook.remove()
    assert rows == [batch, 6 * batch, batch, 3 * batch, batch, 3 * batch]  # each after its prior pass
    assert not pipe.do_classifier_free_guidance
    first = latents_of(pipe, *prompts, callback_on_step_end=stop_after(0))

    def take(pipeline, step, timestep, tensors):
        return {"latents": first} if step == 0 else {}

    close(cut, latents_of(pipe, *prompts, guidance_scale=1.0, callback_on_step_end=take))


def test_a_callback_says_itself_what_it_needs(pipe):
    class Watch(PipelineCallback):
        tensor_inputs = ("latents", "prompt_embeds", "add_text_embeds", "add_time_ids")

        def callback_fn(self, pipeline, step, timestep, tensors):
            shapes.append({name: tuple(tensor.shape) for name, tensor in tensors.items()})
            return tensors

    shapes = []
    watched = latents_of(pipe, callback_on_step_end=MultiPipelineCallbacks([Watch()]))
    close(watched, latents_of(pipe), 0)
    expected = {"latents": (3, 1, 4, 8, 8), "prompt_embeds": (2, 3, 1, 77, 40), "add_text_embeds": (2, 3, 1, 24)}
    assert shapes == [expected | {"add_time_ids": (2, 3, 1, 6)}] * 3


def test_prompts_can_change_on_the_way(pipe):
    other = pipe.encode_prompt("a duck", do_classifier_free_guidance=True)

    def change(pipeline, step, timestep, tensors):
        if step == 0:
            tensors["prompt_embeds"][-1, 0], tensors["add_text_embeds"][-1, 0] = other[0], other[2]
        return tensors

    names = ("prompt_embeds", "add_text_embeds")
    changed = latents_of(
        pipe, config=INDEPENDENT, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names
    )
    difference = (changed - latents_of(pipe, config=INDEPENDENT)).abs().amax(dim=(1, 2, 3, 4))
    assert difference[0] > 0.05 and (difference[1:] == 0).all()


def test_guidance_cannot_be_turned_on_where_there_is_none(pipe):
    def turn_on(pipeline, step, timestep, tensors):
        pipeline._guidance_scale = 5.0
        return tensors

    with pytest.raises(LayerFusionError, match="begin the run with a guidance_scale above 1"):
        latents_of(pipe, guidance_scale=1.0, callback_on_step_end=turn_on)


# --- LoRA -------------------------------------------------------------------------------------------------------------


def test_every_way_to_scale_a_lora_agrees():
    pipe = tiny_pipeline()
    plain = latents_of(pipe)
    config = LoraConfig(r=2, target_modules=["to_q", "to_v", "to_out.0"], init_lora_weights=False)
    pipe.unet.add_adapter(config, adapter_name="style")
    pipe.text_encoder.add_adapter(
        LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False), adapter_name="style"
    )
    whole = latents_of(pipe)
    half = latents_of(pipe, cross_attention_kwargs={"scale": 0.5})
    assert (half - plain).abs().max() > 0.05 and (half - whole).abs().max() > 0.05
    close(latents_of(pipe, cross_attention_kwargs={"scale": 0.0}), plain)
    close(latents_of(pipe), whole, 0)  # the scale was of that run alone
    pipe.set_adapters("style", 0.5)
    close(latents_of(pipe), half)
    pipe.set_adapters("style", 1.0)
    pipe.fuse_foreground()
    pipe.fuse_lora(lora_scale=0.5)
    close(latents_of(pipe), half)
    pipe.unload_lora_weights()  # leaves the fused weights and plain layers
    close(latents_of(pipe), half)


def test_adapters_mix_go_and_act_in_some_blocks_alone():
    pipe = tiny_pipeline()
    plain = latents_of(pipe)
    for name in ("a", "b"):
        config = LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
        pipe.unet.add_adapter(config, adapter_name=name)
    pipe.set_adapters(["a", "b"], [0.5, 0.7])
    mixed = latents_of(pipe)
    pipe.set_adapters("a")
    alone = latents_of(pipe)
    pipe.delete_adapters("b")
    close(latents_of(pipe), alone, 0)
    assert pipe.get_list_adapters() == {"unet": ["a"]}
    assert (mixed - alone).abs().max() > 0.05 and (alone - plain).abs().max() > 0.05
    pipe.set_adapters("a", {"unet": {"down": 1.0, "mid": 0.0, "up": 0.0}})
    assert (latents_of(pipe) - alone).abs().max() > 0.01
    pipe.set_adapters("a", {"unet": {"down": 0.0, "mid": 0.0, "up": 0.0}})
    close(latents_of(pipe), plain)


def test_a_lora_in_a_text_encoder_is_saved_with_it(pipe, tmp_path):
    loaded = quiet(LayerFusionPipeline.from_pretrained(save(pipe, tmp_path)))
    for encoder in (loaded.text_encoder, loaded.text_encoder_2):
        target = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        encoder.add_adapter(target, adapter_name="style")
    styled = latents_of(loaded)
    assert (styled - latents_of(pipe)).abs().max() > 0.05
    # transformers writes the adapter and the name of what it belongs to.
    loaded.save_pretrained(tmp_path / "styled")
    close(latents_of(quiet(LayerFusionPipeline.from_pretrained(tmp_path / "styled"))), styled)


def test_other_attention_arguments_are_refused(pipe):
    with pytest.raises(LayerFusionError, match="has gligen; give only scale"):
        latents_of(pipe, cross_attention_kwargs={"scale": 1.0, "gligen": {}})


def test_a_dora_is_refused_until_it_is_fused():
    pipe = tiny_pipeline()
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False, use_dora=True))
    with pytest.raises(LayerFusionError, match=r"such as a DoRA.*fuse_lora\(\)"):
        latents_of(pipe)
    pipe.fuse_lora()
    assert latents_of(pipe).isfinite().all()


# --- components -------------------------------------------------------------------------------------------------------


def test_a_pipeline_that_only_encodes(pipe, tmp_path):
    encoder = LayerFusionPipeline.from_pretrained(save(pipe, tmp_path), unet=None, vae=None, foreground=None)
    embeds = {}
    for name, prompt in zip(("foreground", "background"), PROMPTS, strict=True):
        values = encoder.encode_prompt(prompt, do_classifier_free_guidance=True)
        for which, value in zip(("{}", "negative_{}", "pooled_{}", "negative_pooled_{}"), values, strict=True):
            embeds[f"{which}_prompt_embeds".format(name)] = value
    painter = quiet(
        LayerFusionPipeline.from_pretrained(
            tmp_path / "whole", text_encoder=None, text_encoder_2=None, tokenizer=None, tokenizer_2=None
        )
    )
    end = pipe.tokenizer(PROMPTS[0]).input_ids.index(pipe.tokenizer.eos_token_id)
    close(latents_of(painter, None, None, foreground_eos=[end], **embeds), latents_of(pipe))
    with pytest.raises(LayerFusionError, match="no tokenizer_2; give it, or embeddings in place of prompts"):
        latents_of(painter)
    # What was left out stays out when the rest is saved and loaded.
    encoder.save_pretrained(tmp_path / "encoder")
    assert not (tmp_path / "encoder" / "unet").exists()
    again = LayerFusionPipeline.from_pretrained(tmp_path / "encoder")
    assert again.unet is None and again.vae is None and again.foreground is None
    close(again.encode_prompt("a fox")[0], encoder.encode_prompt("a fox")[0], 0)
    with pytest.raises(LayerFusionError, match="the pipeline has no unet; give it to from_pretrained"):
        latents_of(again)


def save(pipe, folder):
    pipe.save_pretrained(folder / "whole")
    return folder / "whole"


@pytest.mark.parametrize("name", ["foreground", "vae", "transparent_decoder"])
def test_a_missing_component_gets_a_sentence(pipe, tmp_path, name):
    loaded = quiet(LayerFusionPipeline.from_pretrained(save(pipe, tmp_path), **{name: None}))
    with pytest.raises(LayerFusionError, match=f"the pipeline has no {name}; give it"):
        loaded(*PROMPTS)
    if name != "foreground":
        assert latents_of(loaded).isfinite().all()


def test_diffusers_finds_the_class_of_a_saved_pipeline(pipe, tmp_path):
    loaded = quiet(diffusers.DiffusionPipeline.from_pretrained(save(pipe, tmp_path)))
    assert type(loaded) is LayerFusionPipeline
    close(latents_of(loaded), latents_of(pipe))


def test_variants_types_and_devices_are_as_diffusers_has_them(pipe, tmp_path):
    pipe.save_pretrained(tmp_path, variant="fp16")
    assert (tmp_path / "foreground" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    loaded = quiet(LayerFusionPipeline.from_pretrained(tmp_path, variant="fp16", device_map="cpu"))
    assert all(map(torch.equal, pipe.unet.parameters(), loaded.unet.parameters()))
    close(latents_of(loaded), latents_of(pipe))
    with pytest.raises(OSError, match="no file named"):  # of whichever part diffusers comes to first
        LayerFusionPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="load the model files of the `variant=fp16`"):
        LayerFusionPipeline.from_pretrained(save(pipe, tmp_path), variant="fp16")
    types = {"foreground": torch.bfloat16, "default": torch.float16}
    typed = LayerFusionPipeline.from_pretrained(tmp_path / "whole", dtype=types)
    assert typed.foreground.dtype == torch.bfloat16
    assert typed.unet.dtype == typed.transparent_decoder.dtype == torch.float16


def test_another_kind_of_vae_decodes():
    vae = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    pipe = tiny_pipeline(vae=vae.eval())
    output = pipe(*PROMPTS, num_inference_steps=1, height=64, width=64, output_type="np")
    assert output.background.shape == (1, 64, 64, 3) and output.foreground.shape == (1, 64, 64, 4)


# --- switches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "off", "changes"),
    [
        (lambda pipe: pipe.enable_attention_slicing(1), lambda pipe: pipe.disable_attention_slicing(), False),
        (lambda pipe: pipe.fuse_qkv_projections(), lambda pipe: pipe.unfuse_qkv_projections(), False),
        (lambda pipe: pipe.enable_freeu(0.9, 0.2, 1.2, 1.4), lambda pipe: pipe.disable_freeu(), True),
    ],
    ids=["slicing", "fused projections", "FreeU"],
)
def test_diffusers_switches_act_on_all_streams_and_go(on, off, changes):
    pipe = tiny_pipeline()
    plain = latents_of(pipe)
    on(pipe)
    changed = (latents_of(pipe) - plain).abs().amax(dim=(1, 2, 3, 4))
    assert (changed > 0.05).all() if changes else (changed < 1e-4).all()
    off(pipe)
    close(latents_of(pipe), plain)


def test_weights_may_lie_in_float8():
    pipe = tiny_pipeline(transparent_decoder=None).to(dtype=torch.bfloat16)
    plain = latents_of(pipe)
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    cast = latents_of(pipe)
    assert cast.isfinite().all() and (cast - plain).abs().max() > 0


# --- a UNet distilled for guidance ------------------------------------------------------------------------------------


def test_a_distilled_unet_is_told_the_guidance():
    """The full LCM-SDXL takes the guidance scale as an embedding, and runs without an unconditional half."""
    torch.manual_seed(0)
    components = tiny_components()
    config = {name: value for name, value in components["unet"].config.items() if not name.startswith("_")}
    unet = UNet2DConditionModel(**config | {"time_cond_proj_dim": 16}).eval()
    pipe = tiny_pipeline(unet=unet, transparent_decoder=None)
    merged = copy.deepcopy(unet)
    pipe.foreground.merge_into(merged)
    expected = []
    for prompt, model in ((PROMPTS[0], merged), (PROMPTS[1], unet), (PROMPTS[1], unet)):
        sdxl = quiet(StableDiffusionXLPipeline(**components | {"unet": model}, add_watermarker=False))
        run = {"num_inference_steps": 3, "guidance_scale": 4.0, "height": 64, "width": 64}
        expected.append(sdxl(prompt, generator=seeded(), output_type="latent", **run).images)
    close(latents_of(pipe, config=INDEPENDENT), torch.stack(expected))
    assert (latents_of(pipe) - latents_of(pipe, guidance_scale=8.0)).abs().max() > 1e-3
    assert not pipe.do_classifier_free_guidance


# --- memory -----------------------------------------------------------------------------------------------------------


def test_group_offload_to_disk_keeps_components_apart(tmp_path):
    pipe = tiny_pipeline()
    run = {"num_inference_steps": 2, "height": 64, "width": 64, "output_type": "np"}
    before = pipe(*PROMPTS, generator=seeded(), **run)
    pipe.enable_group_offload(torch.device("cpu"), offload_type="leaf_level", offload_to_disk_path=tmp_path)
    folders = {folder.name for folder in tmp_path.iterdir()}
    assert folders == {"unet", "vae", "text_encoder", "text_encoder_2", "foreground", "transparent_decoder"}
    after = pipe(*PROMPTS, generator=seeded(), **run)
    for name in ("foreground", "background", "blended"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=1e-4)


def test_fused_foreground_weights_follow_a_lora():
    pipe = tiny_pipeline()
    pipe.fuse_foreground()
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    fused = latents_of(pipe, config=INDEPENDENT)
    pipe.unfuse_foreground()
    close(fused, latents_of(pipe, config=INDEPENDENT), 1e-3)


# --- compiling --------------------------------------------------------------------------------------------------------


@pytest.fixture
def unchecked():
    """Without the checks of shapes, which a graph cannot hold."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Counting:
    """A back end that computes as torch does, and keeps the graphs."""

    def __init__(self):
        self.graphs = []

    def __call__(self, graph, inputs):
        self.graphs.append(graph)
        return graph.forward


@pytest.mark.usefixtures("unchecked")
def test_a_compiled_unet_is_one_graph():
    pipe, backend = tiny_pipeline(transparent_decoder=None), Counting()
    plain = latents_of(pipe, num_inference_steps=2)
    pipe.unet.compile(backend=backend, fullgraph=True)
    close(latents_of(pipe, num_inference_steps=2), plain, 0)
    assert len(backend.graphs) == 1


@pytest.mark.usefixtures("unchecked")
def test_blocks_that_are_compiled_one_by_one_share_their_graphs():
    """A graph depends on shapes and on what a call is for, not on where its block stands."""
    pipe, backend = tiny_pipeline(transparent_decoder=None), Counting()
    plain = latents_of(pipe, num_inference_steps=2)
    blocks = [block for _, block in transformer_blocks(pipe.unet)]
    pipe.unet.compile_repeated_blocks(backend=backend, fullgraph=True)
    for _ in range(2):  # the second run has processors of its own, and no new graph
        close(latents_of(pipe, num_inference_steps=2), plain, 0)
    kinds = {tuple(block.norm1.weight.shape) for block in blocks}
    assert len(backend.graphs) <= len(kinds) + 2 < len(blocks)


def test_a_wrapped_unet_takes_published_files_and_is_fused(pipe, tmp_path):
    """`pipe.unet = torch.compile(pipe.unet)` gives the UNet's modules other paths; the graphs themselves are above."""
    save_file(published_form(pipe.foreground, "diffusers", pipe.unet), tmp_path / "foreground.safetensors")
    sdxl = StableDiffusionXLPipeline(**tiny_components(), add_watermarker=False)
    with torch.compiler.set_stance("force_eager"):
        sdxl.unet = torch.compile(sdxl.unet)
        ours = quiet(LayerFusionPipeline.from_sdxl(sdxl, tmp_path / "foreground.safetensors", None))
        close(latents_of(ours), latents_of(pipe))
        ours.fuse_foreground()
        close(latents_of(ours, config=INDEPENDENT), latents_of(pipe, config=INDEPENDENT), 1e-3)


# --- embeddings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"foreground_eos": [77]}, "foreground_eos is [77]; give 1 of 77 places, counted from 0"),
        ({"foreground_eos": [-1]}, "foreground_eos is [-1]; give 1 of 77 places"),
        ({"foreground_eos": [3, 4]}, "foreground_eos is [3, 4]; give 1 of 77 places"),
        ({"foreground_eos": None}, "come without foreground_eos"),
        ({"pooled_foreground_prompt_embeds": None}, "pooled_foreground_prompt_embeds belong together"),
        (
            {"negative_pooled_background_prompt_embeds": None},
            "negative_background_prompt_embeds and negative_pooled_background_prompt_embeds belong together",
        ),
        (
            {"negative_background_prompt": "blur"},
            "either negative_background_prompt or negative_background_prompt_embeds",
        ),
        (
            {"negative_foreground_prompt_embeds": torch.zeros(1, 154, 40)},
            "have the shapes (1, 77, 40) and (1, 154, 40); give all the same",
        ),
        ({"background_prompt_embeds": torch.zeros(1, 154, 40)}, "have the shapes (1, 77, 40) and (1, 154, 40)"),
    ],
)
def test_embeddings_that_do_not_fit_get_a_sentence(pipe, change, sentence):
    embeds = {"foreground_eos": [3]}
    for name in ("foreground", "background"):
        values = pipe.encode_prompt("a fox", do_classifier_free_guidance=True)
        for which, value in zip(("{}", "negative_{}", "pooled_{}", "negative_pooled_{}"), values, strict=True):
            embeds[f"{which}_prompt_embeds".format(name)] = value
    with pytest.raises(LayerFusionError) as error:
        latents_of(pipe, None, None, **embeds | change)
    assert sentence in str(error.value)
