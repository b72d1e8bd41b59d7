"""The foreground offsets that turn a base UNet ε into ε_FG: every published form in, one form inside."""

# diffusers looks a component's base class up in the module that a saved pipeline names for it: this one.
from diffusers.models.modeling_utils import ModelMixin

from layerfusion.offsets.forms import published_form
from layerfusion.offsets.load import load_foreground, offsets_from_state_dict
from layerfusion.offsets.model import ForegroundOffsets, attention_projections

__all__ = [
    "ForegroundOffsets",
    "ModelMixin",
    "attention_projections",
    "load_foreground",
    "offsets_from_state_dict",
    "published_form",
]

# A saved pipeline names the class by its module: the package, so that files within it may move.
ForegroundOffsets.__module__ = __name__
