"""From files to a pipeline, on a device."""

from pathlib import Path
from typing import Literal, get_args

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionXLPipeline
from huggingface_hub.errors import LocalEntryNotFoundError

from layerfusion.errors import LayerFusionError
from layerfusion.models.few_step import make_few_step
from layerfusion.models.locate import ModelFiles
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.weights import PICKLES

Offload = Literal["none", "model", "sequential", "group"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_device(name: str | None) -> torch.device:
    """The device `name`, or the best there is where None: CUDA, then MPS, then the CPU.

    Raises:
        LayerFusionError: it is no device, or this machine has none such.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name is None:
        return torch.device(next(each for each in ("cuda", "mps", "cpu") if has[each]))
    backend, _, index = name.partition(":")
    if backend not in has or (index and not index.isdecimal()):
        raise LayerFusionError(f"there is no device {name!r}; choose cpu, cuda, cuda:1 or mps.")
    if not has[backend]:
        raise LayerFusionError(f"this machine has no {backend} device that torch can use; choose cpu.")
    if backend == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise LayerFusionError(f"there is no {name}: this machine has {torch.cuda.device_count()} CUDA device(s).")
    return torch.device(name)


def choose_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The type `name` ("float32", "float16", "bfloat16"); where None, float16 on CUDA and float32 elsewhere.

    Raises:
        LayerFusionError: it is none of the three.
    """
    if name is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise LayerFusionError(f"there is no dtype {name!r}; choose one of {', '.join(DTYPES)}.")
    return DTYPES[name]


def load(files: ModelFiles, dtype: torch.dtype, device: torch.device, offload: Offload = "none") -> LayerFusionPipeline:
    """Load a model and put it on its device.

    Args:
        files: What `locate` found.
        dtype: Of the weights.
        device: Where it computes.
        offload: Keeps what is not being computed in main memory: "model" moves whole parts, "sequential" single
            layers (the least memory, slow), "group" layers ahead of their use.

    Raises:
        LayerFusionError: a file is missing, a pickle, or holds something else; or there is nothing to offload from.
    """
    if offload not in get_args(Offload):
        raise LayerFusionError(f"there is no offload {offload!r}; choose one of {', '.join(get_args(Offload))}.")
    if offload != "none" and device.type == "cpu":
        raise LayerFusionError(f"offload {offload!r} needs a GPU to offload from; choose none on a CPU.")
    _refuse_pickles(files.path)
    try:
        pipeline = _load(files, dtype)
    except LayerFusionError:
        raise
    except LocalEntryNotFoundError:
        # Only a single file asks the hub for anything at this point.
        raise LayerFusionError(
            f"{files.name} needs the configuration of SDXL, which is not on this machine, and the hub cannot be "
            "reached; where there is a network, run `hf download stabilityai/stable-diffusion-xl-base-1.0 --include "
            '"*.json" "*.txt"`, or give the model as a folder in diffusers\' layout.'
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LayerFusionError(
            f"the model {files.name} cannot be loaded ({reason}); download or save it again."
        ) from error
    _check_whole(files, pipeline)
    if files.few_step is not None:
        make_few_step(pipeline, files.few_step)
    return put_on(pipeline, device, offload)


def put_on(pipeline: LayerFusionPipeline, device: torch.device, offload: Offload) -> LayerFusionPipeline:
    """Put a pipeline on its device in one of the ways of `load`."""
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    elif offload == "group":
        # Prefetching on a stream counts on one fixed order of calls; the prior and the joint pass differ in theirs.
        pipeline.enable_group_offload(device, offload_type="leaf_level")
    else:
        pipeline.to(device)
    if device.type == "cpu":
        # Convolutions over whole pictures are faster so; the UNet's, over latents, are not (docs/speed.md).
        for part in (pipeline.vae, pipeline.transparent_decoder):
            part.to(memory_format=torch.channels_last)
    return pipeline


def _load(files: ModelFiles, dtype: torch.dtype) -> LayerFusionPipeline:
    if files.on_top is None:
        return LayerFusionPipeline.from_pretrained(
            files.path, torch_dtype=dtype, variant=files.variant, use_safetensors=True
        )
    if files.layout == "checkpoint":
        sdxl = StableDiffusionXLPipeline.from_single_file(str(files.path), torch_dtype=dtype)
    else:
        parts = {}
        if files.half_vae is not None and dtype == torch.float16:
            parts["vae"] = AutoencoderKL.from_pretrained(files.half_vae, torch_dtype=dtype, use_safetensors=True)
        sdxl = StableDiffusionXLPipeline.from_pretrained(
            files.path, torch_dtype=dtype, variant=files.variant, use_safetensors=True, **parts
        )
    if files.preset.scheduler is not None:
        sdxl.scheduler = DPMSolverMultistepScheduler.from_config(sdxl.scheduler.config, **files.preset.scheduler)
    structure = {
        key: value for key in ("structure_layer", "structure_sign") if (value := getattr(files.preset, key)) is not None
    }
    return LayerFusionPipeline.from_sdxl(
        sdxl,
        files.on_top.foreground,
        files.on_top.transparent_decoder,
        files.on_top.transparent_encoder,
        defaults=files.defaults.to_dict(),
        **structure,
    )


def _check_whole(files: ModelFiles, pipeline: LayerFusionPipeline) -> None:
    """diffusers leaves weights that a file does not hold without values, and only logs it."""
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) and any(weight.is_meta for weight in part.parameters()):
            raise LayerFusionError(
                f"the {name} of {files.name} does not hold all its weights, or those of something else; download or "
                "save it again."
            )


def _refuse_pickles(path: Path) -> None:
    """A folder whose weights come only as pickles is refused by name; safetensors beside them are taken."""
    for part in sorted(path.iterdir()) if path.is_dir() else []:
        names = [file.name for file in part.iterdir()] if part.is_dir() else []
        pickles = [name for name in names if name.endswith(PICKLES)]
        if pickles and not any(name.endswith(".safetensors") for name in names):
            raise LayerFusionError(
                f"{part / pickles[0]} is a pickle, which can run any code when opened; take the model's .safetensors "
                "files."
            )
