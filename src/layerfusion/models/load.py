"""From files to a pipeline, on a device."""

from typing import Literal, get_args

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionXLPipeline
from huggingface_hub.errors import LocalEntryNotFoundError

from layerfusion.errors import LayerFusionError, told
from layerfusion.models.devices import absent, check_offload, parse_device
from layerfusion.models.few_step import make_few_step
from layerfusion.models.locate import ModelFiles
from layerfusion.models.whole import check_files, check_tensors
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.weights import hub_answers

Offload = Literal["none", "model", "sequential", "group"]
CONFIGURATION = "stabilityai/stable-diffusion-xl-base-1.0"  # what a single file of SDXL is put together by
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_device(name: str | None) -> torch.device:
    """The device `name`, or the best there is where None: CUDA, then MPS, then the CPU.

    Raises:
        LayerFusionError: it is no device, or this machine has none such.
    """
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name is None:
        return torch.device(next(each for each in ("cuda", "mps", "cpu") if has[each]))
    backend, index = parse_device(name)
    if not has[backend]:
        raise absent(backend)
    if backend == "cuda" and index >= torch.cuda.device_count():
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
    check_offload(offload, device.type)
    check_files(files.path)
    try:
        pipeline = _load(files, dtype)
    except LayerFusionError:
        raise
    except LocalEntryNotFoundError:
        # Only a single file asks the hub for anything at this point.
        raise LayerFusionError(
            f"{files.name} needs the configuration of SDXL, which is not on this machine, and the hub cannot be "
            f"reached; where there is a network, run `hf download {CONFIGURATION} --include '*.json' '*.txt'`, or give "
            "the model as a folder in diffusers' layout."
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        # Whatever it is that a stranger's configuration makes of diffusers and transformers.
        reason = f"{type(error).__name__}: {told(error)}"
        raise LayerFusionError(
            f"the model {files.name} cannot be loaded ({reason}); download or save it again."
        ) from error
    check_tensors(files, pipeline.components, dtype == torch.float16)
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
        # Its configuration comes from the hub.
        here = not hub_answers(CONFIGURATION)
        sdxl = StableDiffusionXLPipeline.from_single_file(str(files.path), torch_dtype=dtype, local_files_only=here)
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
