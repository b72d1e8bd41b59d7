"""Models by name: where weights come from, how they are put together, what they know."""

from typing import TYPE_CHECKING

from layerfusion.defaults import Defaults
from layerfusion.errors import LayerFusionError
from layerfusion.models.locate import ModelFiles, locate, model_folder
from layerfusion.models.presets import MINI, PRESETS, Preset
from layerfusion.models.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    import torch

    from layerfusion.models.load import Offload
    from layerfusion.pipeline import LayerFusionPipeline

__all__ = [
    "MINI",
    "PRESETS",
    "Defaults",
    "ModelFiles",
    "Preset",
    "Vocabulary",
    "defaults_for",
    "load_pipeline",
    "locate",
    "model_folder",
    "read_vocabulary",
    "vocabulary_of",
]


def load_pipeline(
    model: str = "mini",
    dtype: "str | torch.dtype | None" = None,
    device: "str | torch.device | None" = None,
    offload: "Offload" = "none",
    few_step: bool = False,
) -> "LayerFusionPipeline":
    """A model by the name of its preset, its folder, its checkpoint or its repository on the hub, ready to be called.

    Args:
        model: As `locate` takes it.
        dtype: "float32", "float16", "bfloat16" or torch's own; where None, float16 on CUDA and float32 elsewhere.
        device: Where None, CUDA, MPS or the CPU, the first there is.
        offload: As `layerfusion.models.load.load` takes it.
        few_step: Its few-step form: 6 steps by default, without guidance; see `layerfusion.models.few_step`.

    Raises:
        LayerFusionError: the model or one of its files cannot be found, fetched or loaded, or there is no such device.
    """
    from layerfusion.models.load import choose_device, choose_dtype, load

    where = choose_device(None if device is None else str(device))
    weights = choose_dtype(None if dtype is None else str(dtype).removeprefix("torch."), where)
    return load(locate(model, few_step=few_step), weights, where, offload)


def defaults_for(model: str) -> Defaults:
    """The settings that go with a model. A model of the hub that is no preset is downloaded for it."""
    if model in PRESETS and model_folder(model) is None:
        return PRESETS[model].defaults
    return locate(model).defaults


def vocabulary_of(model: str) -> Vocabulary | None:
    """What a model knows; None of one that takes any words, or is not on this machine.

    Args:
        model: As `locate` takes it.

    Raises:
        LayerFusionError: it names a folder that holds no model, or its vocabulary is broken.
    """
    folder = model_folder(model)
    if folder is not None and not (folder / "model_index.json").is_file():
        raise LayerFusionError(f"{folder} holds no model; choose another.")
    return None if folder is None else read_vocabulary(folder)
