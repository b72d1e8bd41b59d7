"""What a wrong file is, in one sentence, and which one to take instead."""

import re
from collections.abc import Mapping

from diffusers import UNet2DConditionModel

ADVICE = "take ld_diffusers_sdxl_attn.safetensors of lllyasviel/LayerDiffuse_Diffusers instead"
ATTENTION = re.compile(r"attn[12][._](processor\.)?to_(q|k|v|out)")
CONV_IN = re.compile(r"(unet\.)?conv_in\.weight|(model\.)?diffusion_model\.input_blocks\.0\.0\.weight(::diff::\d+)?")
ENCODER = re.compile(r"(model\.)?blocks\.\d+\.(weight|bias)")
SD15_SHARING = re.compile(r"(layers\.)?\d+\.to_(q|k|v|out)_lora\.|kwargs_encoder\.")
TEXT_LORA = ("text_encoder", "lora_te", "te1_", "te2_")
CHECKPOINT = ("first_stage_model.", "conditioner.", "cond_stage_model.")


def refusal(name: str, shapes: Mapping[str, tuple[int, ...]], unet: UNet2DConditionModel) -> str:
    """Why these tensors cannot be foreground offsets on attention alone.

    Args:
        name: how the user named the file.
        shapes: key -> shape of all its tensors.
        unet: the UNet the offsets were wanted for.
    """
    conv_in = next((shape for key, shape in shapes.items() if CONV_IN.fullmatch(key)), None)
    lora = any("lora" in key for key in shapes)
    queries = any(re.search(r"attn[12]\.to_q\b", key) for key in shapes)
    if not shapes:
        return f"{name} holds no tensors; {ADVICE}."
    if any(key.endswith("latent_conv_in.weight") for key in shapes):
        return f"{name} is a transparent decoder, not foreground offsets; as foreground {ADVICE}."
    if all(ENCODER.fullmatch(key) for key in shapes):
        return f"{name} is a transparent encoder, not foreground offsets; as foreground {ADVICE}."
    if any(key.startswith(CHECKPOINT) for key in shapes):
        return f"{name} is a whole checkpoint, not foreground offsets; give it as the model and {ADVICE}."
    if any(key.startswith(("quant_conv.", "post_quant_conv.")) for key in shapes):
        return f"{name} is a VAE, not foreground offsets; {ADVICE}."
    if conv_in and len(conv_in) > 1 and conv_in[1] > unet.config.in_channels:
        return (
            f"{name} belongs to LayerDiffuse's sequential pipeline (its conv_in takes {conv_in[1]} channels), "
            f"which makes one layer after another; {ADVICE}."
        )
    if any(SD15_SHARING.match(key) for key in shapes):
        return f"{name} is LayerDiffuse for SD 1.5, which does not fit SDXL; {ADVICE}."
    if any(key.startswith(TEXT_LORA) for key in shapes):
        return f"{name} is a LoRA on a text encoder too; load it with load_lora_weights, and as foreground {ADVICE}."
    if any(key.startswith("base_model.model.") for key in shapes):
        return f"{name} is an adapter as PEFT saves it, without its configuration; save it with save_lora_weights."
    if lora and not all(ATTENTION.search(key) for key in shapes):
        return f"{name} is a LoRA on more than attention; load it with load_lora_weights, and as foreground {ADVICE}."
    if conv_in and queries:
        return f"{name} is a whole UNet, not offsets on one; {ADVICE}."
    if any(ATTENTION.search(key) for key in shapes) and all(ATTENTION.search(key) for key in shapes):
        return f"{name} was made for a UNet of another layout, such as that of SD 1.5; {ADVICE}."
    if conv_in or any("conv" in key or "in_layers" in key or ".ff." in key for key in shapes):
        return (
            f"{name} changes layers outside attention (LayerDiffuse's conv variant does), which the streams share in "
            f"one UNet; {ADVICE}."
        )
    return f"{name} holds no foreground offsets (its first tensor is {next(iter(shapes))}); {ADVICE}."
