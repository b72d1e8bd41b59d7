"""SDXL's real architecture with random weights: does it fit, and what does a triplet cost beside three plain pictures?

    python -m benchmarks.sdxl

On a CPU: one joint step (prior pass, then three streams with guidance) at 512x512 in bfloat16; it must stay within 24
GB. On a CUDA GPU: whole triplets of 25 steps at 1024x1024 in float16, beside diffusers' `StableDiffusionXLPipeline`
making three pictures in one batch with the same steps and guidance, taking turns in the same run.

Speed and memory do not depend on what the weights have learned, so none are downloaded.
"""

import argparse
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor, nn

from benchmarks.machine import gpu_name, record
from layerfusion import LayerFusionPipeline
from layerfusion.offsets import ForegroundOffsets, attention_projections
from layerfusion.transparency import TransparentDecoder

UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    # As in madebyollin/sdxl-vae-fp16-fix: both pipelines decode in half precision.
    "force_upcast": False,
}
RANK = 256
LIMIT_GIB = 24


def randomly(module: nn.Module, device: str, dtype: torch.dtype) -> Any:
    """Give a module built on the meta device random weights in place; no copy of it ever exists."""
    nn.Module.to(module, dtype).to_empty(device=device)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.uniform_(-1, 1).mul_(fan_in**-0.5)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return module.eval().requires_grad_(False)


def build(device: str, dtype: torch.dtype) -> LayerFusionPipeline:
    """A `LayerFusionPipeline` of SDXL's full size, without text encoders: prompts arrive as embeddings."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNET)
        vae = AutoencoderKL(**VAE)
        decoder = TransparentDecoder()
        projections = attention_projections(unet)
        offsets = ForegroundOffsets(
            {path: [linear.in_features, linear.out_features, RANK] for path, linear in projections.items()}
        )
    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True
    )
    pipeline = LayerFusionPipeline(
        vae=randomly(vae, device, dtype),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=randomly(unet, device, dtype),
        scheduler=scheduler,
        foreground=randomly(offsets, device, dtype),
        transparent_decoder=randomly(decoder, device, dtype),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def embeddings(device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Random prompt embeddings of SDXL's shapes, under the names of `StableDiffusionXLPipeline`."""
    generator = torch.Generator(device).manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)

    return {
        "prompt_embeds": noise(1, 77, 2048),
        "negative_prompt_embeds": noise(1, 77, 2048),
        "pooled_prompt_embeds": noise(1, 1280),
        "negative_pooled_prompt_embeds": noise(1, 1280),
    }


def for_triplet(embeds: dict[str, Tensor]) -> dict[str, Any]:
    """The same embeddings for both prompts, under the names of `LayerFusionPipeline`."""
    arguments: dict[str, Any] = {"foreground_eos": [7]}
    for stream in ("foreground", "background"):
        arguments |= {name.replace("prompt_embeds", f"{stream}_prompt_embeds"): value for name, value in embeds.items()}
    return arguments


def peak_rss_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def joint_step_on_cpu() -> dict[str, Any]:
    """One joint step at 512x512 in bfloat16, latents only; peak resident memory of the whole process."""
    start = time.perf_counter()
    pipeline = build("cpu", torch.bfloat16)
    built = time.perf_counter()
    parameters = sum(parameter.numel() for parameter in pipeline.unet.parameters())
    latents: Any = pipeline(
        **for_triplet(embeddings("cpu", torch.bfloat16)),
        height=512,
        width=512,
        num_inference_steps=1,
        guidance_scale=7.0,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    )
    seconds = time.perf_counter() - built
    for stream in (latents.foreground, latents.blended, latents.background):
        assert stream.shape == (1, 4, 64, 64) and torch.isfinite(stream).all()
    return {
        "what": "one joint step with guidance at 512x512, bfloat16, random weights",
        "unet_parameters": parameters,
        "build_seconds": round(built - start, 1),
        "step_seconds": round(seconds, 1),
        "peak_rss_gib": round(peak_rss_gib(), 2),
        "limit_gib": LIMIT_GIB,
    }


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """(seconds, peak GPU memory in GiB) of one call."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() / 2**30


def triplets_on_gpu(steps: int, size: int, rounds: int) -> dict[str, Any]:
    """Triplets (offsets low-rank, then fused) and three plain pictures, in turns; medians after one warm-up each."""
    pipeline = build("cuda", torch.float16)
    plain = StableDiffusionXLPipeline(
        pipeline.vae, None, None, None, None, pipeline.unet, pipeline.scheduler, add_watermarker=False
    )
    plain.set_progress_bar_config(disable=True)
    embeds = embeddings("cuda", torch.float16)
    shared: dict[str, Any] = {
        "height": size,
        "width": size,
        "num_inference_steps": steps,
        "guidance_scale": 7.0,
        "generator": torch.Generator("cuda").manual_seed(0),
    }

    def triplet(output_type: Any) -> Callable[[], Any]:
        return lambda: pipeline(**for_triplet(embeds), **shared, output_type=output_type)

    def pictures(output_type: str) -> Callable[[], Any]:
        return lambda: plain(**embeds, **shared, num_images_per_prompt=3, output_type=output_type)

    contenders = {"triplet": triplet, "triplet, fused offsets": triplet, "three pictures of diffusers": pictures}
    results: dict[str, Any] = {}
    for output_type, what in (("latent", "latents"), ("pt", "decoded")):
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for turn in range(rounds + 1):
            for name, make in contenders.items():
                (pipeline.fuse_foreground if "fused" in name else pipeline.unfuse_foreground)()
                gc.collect()
                torch.cuda.empty_cache()
                measurement = timed(make(output_type))
                if turn:
                    measured[name].append(measurement)
        results[what] = {
            name: {
                "seconds": round(statistics.median(seconds for seconds, _ in runs), 2),
                "all_seconds": [round(seconds, 2) for seconds, _ in runs],
                "peak_gpu_gib": round(max(peak for _, peak in runs), 2),
            }
            for name, runs in measured.items()
        }
    return {"what": f"{steps} steps at {size}x{size}, guidance 7, float16, random weights", **results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25, help="sampling steps on a GPU")
    parser.add_argument("--size", type=int, default=1024, help="side of the pictures on a GPU, in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="measured turns on a GPU, after one warm-up")
    arguments = parser.parse_args()
    gpu = gpu_name()
    if gpu:
        name = "sdxl-" + "-".join(gpu.lower().split())
        record(name, triplets_on_gpu(arguments.steps, arguments.size, arguments.rounds))
        return
    results = joint_step_on_cpu()
    record("sdxl-cpu", results)
    if results["peak_rss_gib"] > LIMIT_GIB:
        sys.exit(f"It took {results['peak_rss_gib']} GiB, more than the limit of {LIMIT_GIB} GiB.")


if __name__ == "__main__":
    main()
