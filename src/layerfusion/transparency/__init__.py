"""Latent transparency (LayerDiffuse, arXiv 2402.17113): RGBA pictures in the latent space of an ordinary VAE."""

from layerfusion.transparency.decoder import TransparentDecoder
from layerfusion.transparency.encoder import TransparentEncoder, encode_transparent
from layerfusion.transparency.load import load_transparent
from layerfusion.transparency.padding import pad_rgb, pad_rgb_batch

__all__ = [
    "TransparentDecoder",
    "TransparentEncoder",
    "encode_transparent",
    "load_transparent",
    "pad_rgb",
    "pad_rgb_batch",
]
