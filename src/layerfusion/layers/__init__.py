"""Layers that leave the program: a stack of placed pictures, compositing, and the files artists use."""

from layerfusion.layers.affine import Affine
from layerfusion.layers.files import FORMATS, check_writable, read, write
from layerfusion.layers.stack import Layer, LayerStack, stack_from_triplet

__all__ = ["FORMATS", "Affine", "Layer", "LayerStack", "check_writable", "read", "stack_from_triplet", "write"]
