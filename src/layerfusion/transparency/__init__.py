"""Latent transparency (LayerDiffuse, arXiv 2402.17113): RGBA pictures in the latent space of an ordinary VAE."""

# diffusers looks a component's base class up in the module that a saved pipeline names for it: this one.
from diffusers.models.modeling_utils import ModelMixin

from layerfusion.transparency.decoder import TransparentDecoder
from layerfusion.transparency.encoder import TransparentEncoder, encode_transparent
from layerfusion.transparency.load import load_transparent
from layerfusion.transparency.padding import alpha_and_padded_rgb, pad_rgb, pad_rgb_batch
from layerfusion.transparency.settling import settle_alpha

__all__ = [
    "ModelMixin",
    "TransparentDecoder",
    "TransparentEncoder",
    "alpha_and_padded_rgb",
    "encode_transparent",
    "load_transparent",
    "pad_rgb",
    "pad_rgb_batch",
    "settle_alpha",
]

# A saved pipeline names the classes by their module: the package, so that files within it may move.
TransparentDecoder.__module__ = TransparentEncoder.__module__ = __name__
