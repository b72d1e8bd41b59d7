"""A small, randomly initialised SDXL that every test can build offline in a second.

It has every part of SDXL that the method touches: two text encoders (the second with projection), a tokenizer that cuts
at 77 tokens, a UNet whose first level has no attention and whose other two have transformers of different depths,
micro-conditioning, a VAE of factor 8, SDXL's scheduler. Weights are scaled so that attention is not flat and pictures
differ visibly.
"""

from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.offsets import ForegroundOffsets, attention_projections
from layerfusion.transparency import TransparentDecoder, TransparentEncoder

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = ("fox", "red", "forest", "snowy")
TEXT_WIDTHS = (16, 24)


def tiny_tokenizer(pad_token: str = END) -> CLIPTokenizer:
    """Byte-level BPE over 256 bytes and a few words; 77 tokens, the end-of-text id is the largest, as in CLIP."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
    pieces = characters + [character + "</w>" for character in characters]
    merges = []
    for word in WORDS:
        left = word[0]
        for character in [*word[1:-1], word[-1] + "</w>"]:
            merges.append((left, character))
            left += character
            pieces.append(left)
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*pieces, START, END]))}
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=list(dict.fromkeys(merges)),
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=pad_token,
        model_max_length=77,
    )


def tiny_text_encoder(
    tokenizer: CLIPTokenizer, width: int, projection: bool
) -> CLIPTextModel | CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=width,
        hidden_act="gelu" if projection else "quick_gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_factor=1.0,
    )
    encoder = CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "embedding" in name:
                # CLIP's initial embeddings are so small that every prompt would mean the same.
                parameter.mul_(20)
    return encoder.eval()


def tiny_unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(1, 2, 4),
        cross_attention_dim=sum(TEXT_WIDTHS),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + TEXT_WIDTHS[1],
    )
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith(("to_q.weight", "to_k.weight")):
                parameter.mul_(3)
    return unet.eval()


def tiny_vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
        force_upcast=True,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(2)
    return vae.eval()


def tiny_scheduler() -> EulerDiscreteScheduler:
    """SDXL's own scheduler configuration."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        interpolation_type="linear",
        steps_offset=1,
        timestep_spacing="leading",
    )


def tiny_components(seed: int = 0) -> dict[str, Any]:
    """The seven components of a `StableDiffusionXLPipeline`, fp32 on the CPU, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer, tokenizer_2 = tiny_tokenizer(), tiny_tokenizer(pad_token="!")  # SDXL's second one pads with "!"
        return {
            "vae": tiny_vae(),
            "text_encoder": tiny_text_encoder(tokenizer, TEXT_WIDTHS[0], projection=False),
            "text_encoder_2": tiny_text_encoder(tokenizer_2, TEXT_WIDTHS[1], projection=True),
            "tokenizer": tokenizer,
            "tokenizer_2": tokenizer_2,
            "unet": tiny_unet(),
            "scheduler": tiny_scheduler(),
        }


def tiny_foreground(unet: UNet2DConditionModel, rank: int = 4, scale: float = 1.0, seed: int = 1) -> ForegroundOffsets:
    """Random low-rank offsets on every attention projection of `unet`, of about the size of its weights at scale 1."""
    offsets = ForegroundOffsets(
        {path: [linear.in_features, linear.out_features, rank] for path, linear in attention_projections(unet).items()}
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in offsets.named_parameters():
            spread = parameter.shape[1] ** -0.5 * (scale if name.endswith("up.weight") else 1)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return offsets.eval()


def tiny_transparent_decoder(seed: int = 2) -> TransparentDecoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = TransparentDecoder(
            block_out_channels=(4, 4, 8, 8), layers_per_block=1, attention_levels=1, attention_head_dim=4
        )
        # The published one starts with a closed latent gate; a tiny one that ignores the latent would hide mistakes.
        torch.nn.init.normal_(decoder.latent_conv_in.weight)
        with torch.no_grad():
            decoder.conv_out.weight.mul_(2)
            decoder.conv_out.bias.add_(0.5)
    return decoder.eval()


def tiny_transparent_encoder(seed: int = 3) -> TransparentEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = TransparentEncoder(level_channels=(4, 8, 8, 8))
        for parameter in encoder.parameters():
            if parameter.dim() == 4:
                torch.nn.init.kaiming_normal_(parameter)
    return encoder.eval()


def tiny_ip_adapter(unet: UNet2DConditionModel, seed: int = 4, tokens: int = 4, width: int = 12) -> dict[str, Any]:
    """An IP-Adapter for `unet` as its published files hold it: an image projection, keys and values."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * shape[-1] ** -0.5

    cross = unet.config.cross_attention_dim
    projections = {}
    attentions = [name for name in unet.attn_processors if "attn2" in name]
    for index, name in enumerate(attentions):
        hidden = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        projections |= {f"{2 * index + 1}.{to}.weight": 3 * random(hidden, cross) for to in ("to_k_ip", "to_v_ip")}
    image_proj = {"proj.weight": 3 * random(tokens * cross, width), "proj.bias": random(tokens * cross)}
    return {
        "image_proj": image_proj | {"norm.weight": torch.ones(cross), "norm.bias": torch.zeros(cross)},
        "ip_adapter": projections,
    }


def tiny_image_encoder(seed: int = 5) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=12,
        image_size=32,
        patch_size=8,
        initializer_factor=10.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPVisionModelWithProjection(config).eval()


INDEPENDENT = LayerFusionConfig(blend=False, share_attention=False)
PROMPTS = ("a red fox", "a snowy forest")


def tiny_pipeline(**components: Any) -> LayerFusionPipeline:
    """A pipeline of its own, for a test that changes it; `components` take the place of the tiny ones."""
    parts = tiny_components() | {"transparent_decoder": tiny_transparent_decoder()} | components
    if "foreground" not in parts:
        # Half the size of the weights: as strong as is needed to tell the models apart, without amplifying rounding.
        parts["foreground"] = tiny_foreground(parts["unet"], scale=0.5)
    return quiet(LayerFusionPipeline(**parts))


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents_of(pipe: LayerFusionPipeline, *prompts: Any, **kwargs: Any) -> torch.Tensor:
    """(3, B, 4, h, w): foreground, blended, background."""
    arguments = {"num_inference_steps": 3, "guidance_scale": 4.0, "generator": seeded(), "height": 64, "width": 64}
    output = pipe(*(prompts or PROMPTS), **(arguments | kwargs), output_type="latent")
    return torch.stack([output.foreground, output.blended, output.background])
