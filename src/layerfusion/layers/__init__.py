"""Layers that leave the program: a stack of placed pictures, compositing, and the files artists use."""

from layerfusion.layers import files
from layerfusion.layers.affine import Affine
from layerfusion.layers.edits import edited
from layerfusion.layers.files import FORMATS, check_writable, read, write, write_all
from layerfusion.layers.layer import SUBJECT_ALPHA, Layer
from layerfusion.layers.stack import LayerStack, stack_from_subjects, stack_from_triplet

LayerStack.keep_in(files)

__all__ = [
    "FORMATS",
    "SUBJECT_ALPHA",
    "Affine",
    "Layer",
    "LayerStack",
    "check_writable",
    "edited",
    "read",
    "stack_from_subjects",
    "stack_from_triplet",
    "write",
    "write_all",
]
