"""Pictures for IP-Adapters: each stream sees its own, as it would in a run of diffusers' SDXL."""

import copy

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file
from transformers import CLIPImageProcessorPil as CLIPImageProcessor

from layerfusion import LayerFusionError, LayerFusionPipeline
from tests.tiny import (
    INDEPENDENT,
    PROMPTS,
    latents_of,
    quiet,
    seeded,
    tiny_components,
    tiny_foreground,
    tiny_image_encoder,
    tiny_ip_adapter,
    tiny_pipeline,
)


def picture(seed):
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8))


PARTS = {"feature_extractor": CLIPImageProcessor(crop_size=32, size=32)}


def with_adapters(seeds=(4,), **components):
    pipe = tiny_pipeline(image_encoder=tiny_image_encoder(), **PARTS, **components)
    pipe.unet._load_ip_adapter_weights([tiny_ip_adapter(pipe.unet, seed) for seed in seeds])
    pipe.set_ip_adapter_scale([0.8] * len(seeds))
    return pipe


@pytest.fixture(scope="module")
def pipe():
    return with_adapters()


def sdxl_run(prompt, unet, adapters=(), image=None, **arguments):
    components = tiny_components() | {"unet": unet}
    sdxl = quiet(
        StableDiffusionXLPipeline(**components, image_encoder=tiny_image_encoder(), **PARTS, add_watermarker=False)
    )
    if adapters:
        unet._load_ip_adapter_weights(list(adapters))
        sdxl.set_ip_adapter_scale(0.8)
    run = {"num_inference_steps": 3, "guidance_scale": 4.0, "height": 64, "width": 64} | arguments
    return sdxl(prompt, ip_adapter_image=image, generator=seeded(), output_type="latent", **run).images


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
@pytest.mark.parametrize("given", ["foreground", "background", "both"])
def test_each_stream_sees_its_own_picture(pipe, given, guidance_scale):
    """Without blending, the streams are three SDXL runs: with a picture where one was given, plain where none was."""
    images = {"foreground": picture(0), "background": picture(1)}
    images = {name: image for name, image in images.items() if given in (name, "both")}
    components = tiny_components()
    adapter = tiny_ip_adapter(components["unet"])
    expected = []
    for prompt, name in zip(
        (PROMPTS[0], PROMPTS[1], PROMPTS[1]), ("foreground", "background", "background"), strict=True
    ):
        unet = copy.deepcopy(components["unet"])
        if name == "foreground":
            tiny_foreground(unet, scale=0.5).merge_into(unet)
        adapters = [adapter] if name in images else []
        expected.append(sdxl_run(prompt, unet, adapters, images.get(name), guidance_scale=guidance_scale))
    pictures = {f"{name}_ip_adapter_image": image for name, image in images.items()}
    streams = latents_of(pipe, config=INDEPENDENT, guidance_scale=guidance_scale, **pictures)
    torch.testing.assert_close(streams, torch.stack(expected), atol=1e-4, rtol=1e-4)
    # The pictures matter, and only where they were given.
    other = {f"{name}_ip_adapter_image": picture(2) for name in images}
    changed = (latents_of(pipe, config=INDEPENDENT, guidance_scale=guidance_scale, **other) - streams).abs()
    assert (changed.amax(dim=(1, 2, 3, 4)) > 1e-3).tolist() == [
        name in images for name in ("foreground", *["background"] * 2)
    ]


def test_a_published_adapter_loads_scales_and_goes(tmp_path):
    pipe = tiny_pipeline(image_encoder=tiny_image_encoder(), **PARTS)
    plain = latents_of(pipe)
    adapter = tiny_ip_adapter(pipe.unet)
    tensors = {f"{part}.{key}": value for part, values in adapter.items() for key, value in values.items()}
    save_file(tensors, tmp_path / "ip-adapter.safetensors")
    pipe.load_ip_adapter(str(tmp_path), subfolder="", weight_name="ip-adapter.safetensors", image_encoder_folder=None)
    found = dict(pipe.unet.attn_processors)
    pictured = latents_of(pipe, foreground_ip_adapter_image=picture(0))
    assert ((pictured - plain).abs().amax(dim=(1, 2, 3, 4)) > 1e-3).all()  # blending carries it on to the others
    assert dict(pipe.unet.attn_processors) == found
    assert not any("ip_adapters" in name for name, _ in pipe.unet.named_modules())
    pipe.set_ip_adapter_scale(0.0)
    torch.testing.assert_close(latents_of(pipe, foreground_ip_adapter_image=picture(0)), plain, atol=1e-4, rtol=1e-4)
    pipe.unload_ip_adapter()
    assert torch.equal(latents_of(pipe), plain)


def test_several_adapters_embeddings_and_batches(pipe):
    two = with_adapters(seeds=(4, 5))
    images = [picture(0), picture(1)]
    pictured = latents_of(two, foreground_ip_adapter_image=images)
    embeds = two.prepare_ip_adapter_image_embeds(images, None, torch.device("cpu"), 1, True)
    same = latents_of(two, foreground_ip_adapter_image_embeds=embeds)
    torch.testing.assert_close(same, pictured, atol=1e-4, rtol=1e-4)
    # [[a, b]]: one adapter that sees two pictures.
    both = {
        "foreground_ip_adapter_image": [images],
        "background_ip_adapter_image": [images[::-1]],
        "config": INDEPENDENT,
    }
    batch = latents_of(pipe, ["a red fox", "a duck"], PROMPTS[1], generator=[seeded(1), seeded(2)], **both)
    alone = latents_of(pipe, "a duck", PROMPTS[1], generator=[seeded(2)], **both)
    torch.testing.assert_close(batch[:, 1:], alone, atol=1e-4, rtol=1e-4)


def test_offloading_moves_the_adapters_with_the_unet():
    pipe = with_adapters()
    expected = latents_of(pipe, background_ip_adapter_image=picture(0))
    pipe.enable_model_cpu_offload(device="cpu")
    held = []

    def look(module, args):
        held.extend(name for name, _ in module.named_modules() if name.endswith("to_k_ip.0"))

    pipe.unet.register_forward_pre_hook(look)
    result = latents_of(pipe, background_ip_adapter_image=picture(0))
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    # What moves the UNet to the device sees every adapter, though their processors are exchanged at the time.
    cross_attentions = [name for name in pipe.unet.attn_processors if "attn2" in name]
    assert len(set(held)) == len(cross_attentions)


def test_pictures_are_saved_with_what_sees_them(pipe, tmp_path):
    whole = tiny_pipeline(image_encoder=tiny_image_encoder(), **PARTS)
    whole.save_pretrained(tmp_path)
    loaded = quiet(LayerFusionPipeline.from_pretrained(tmp_path))
    loaded.unet._load_ip_adapter_weights([tiny_ip_adapter(loaded.unet)])
    loaded.set_ip_adapter_scale(0.8)
    run = {"foreground_ip_adapter_image": picture(0), "config": INDEPENDENT}
    torch.testing.assert_close(latents_of(loaded, **run), latents_of(pipe, **run), atol=1e-4, rtol=1e-4)


def test_processors_beside_an_adapter_say_what_they_are(pipe):
    """They are printed in errors, and by whoever looks at a UNet on the way."""
    printed = []

    def look(module, args):
        printed.extend(map(repr, module.attn_processors.values()))

    hook = pipe.unet.register_forward_pre_hook(look)
    latents_of(pipe, foreground_ip_adapter_image=picture(0), num_inference_steps=1)
    hook.remove()
    assert all("StreamProcessor" in text for text in printed) and len(printed) == 2 * len(pipe.unet.attn_processors)


def test_a_face_is_an_embedding():
    """IP-Adapter FaceID projects an embedding of a face instead of a picture's."""
    pipe, generator = tiny_pipeline(), seeded(6)
    cross = pipe.unet.config.cross_attention_dim
    shapes = {"proj.0.weight": (24, 12), "proj.0.bias": (24,), "proj.2.weight": (4 * cross, 24)}
    shapes |= {"proj.2.bias": (4 * cross,), "norm.weight": (cross,), "norm.bias": (cross,)}
    projection = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    pipe.unet._load_ip_adapter_weights([tiny_ip_adapter(pipe.unet) | {"image_proj": projection}])
    plain = latents_of(tiny_pipeline(), config=INDEPENDENT)
    faces = {"foreground_ip_adapter_image_embeds": [torch.randn(2, 1, 1, 12, generator=generator)]}
    for scale, acts in ((0.0, False), (0.8, True)):
        pipe.set_ip_adapter_scale(scale)
        changed = (latents_of(pipe, config=INDEPENDENT, **faces) - plain).abs().amax(dim=(1, 2, 3, 4)) > 1e-3
        assert changed.tolist() == [acts, False, False]


def test_pictures_and_adapters_belong_together(pipe):
    image = picture(0)
    with pytest.raises(LayerFusionError, match="the UNet carries an IP-Adapter; give foreground_ip_adapter_image"):
        latents_of(pipe)
    with pytest.raises(LayerFusionError, match="none is there; load one with load_ip_adapter"):
        latents_of(tiny_pipeline(), foreground_ip_adapter_image=image)
    with pytest.raises(LayerFusionError, match="there are 1 IP-Adapters; give a foreground picture"):
        latents_of(pipe, foreground_ip_adapter_image=[image, image])
    with pytest.raises(LayerFusionError, match="different numbers of pictures"):
        latents_of(pipe, foreground_ip_adapter_image=[[image, image]], background_ip_adapter_image=image)


def test_masks_say_where_pictures_act(pipe):
    """As diffusers has it: a mask for each picture of each adapter, and an adapter's pictures each in its own place."""
    components = tiny_components()
    adapter = tiny_ip_adapter(components["unet"])
    left = torch.zeros(1, 64, 64)
    left[..., :24] = 1
    masks = [torch.stack([left, 1 - left], dim=1)]
    pictures = [[picture(0), picture(1)]]
    arguments = {"cross_attention_kwargs": {"ip_adapter_masks": masks}}
    expected = sdxl_run(PROMPTS[1], components["unet"], [adapter], pictures, **arguments)
    streams = latents_of(pipe, config=INDEPENDENT, background_ip_adapter_image=pictures, **arguments)
    torch.testing.assert_close(streams[2], expected, atol=5e-4, rtol=5e-4)  # added up in another order
    unmasked = latents_of(pipe, config=INDEPENDENT, background_ip_adapter_image=pictures)
    assert (streams - unmasked)[1:].abs().amax() > 0.05 and (streams - unmasked)[0].abs().max() == 0
    for given, wrong, sentence in (
        (pictures, {"ip_adapter_masks": [left[None]]}, r"begin with the shapes \[\(1, 1\)\]"),
        (None, {"ip_adapter_masks": masks}, "no picture for an IP-Adapter|the UNet carries an IP-Adapter"),
    ):
        with pytest.raises(LayerFusionError, match=sentence):
            latents_of(pipe, background_ip_adapter_image=given, cross_attention_kwargs=wrong)
