"""What trades memory for speed and back: fused foreground weights, and offloading."""

import os
from collections.abc import Sequence
from typing import Any, cast

from diffusers import DiffusionPipeline
from diffusers.hooks import apply_group_offloading
from diffusers.models import ModelMixin
from torch import nn


class MemoryMixin:
    """The part of `LayerFusionPipeline` that decides where its weights lie."""

    def fuse_foreground(self) -> None:
        """Keep ε_FG's projections as dense weights: fewer products, for one more copy of them in memory."""
        pipe = cast(Any, self)
        pipe.foreground.fuse(pipe.unet)

    def unfuse_foreground(self) -> None:
        """Undo `fuse_foreground`."""
        cast(Any, self).foreground.unfuse()

    def enable_group_offload(
        self,
        *args: Any,
        offload_to_disk_path: str | os.PathLike[str] | None = None,
        exclude_modules: str | Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """As in diffusers; on disk every component has a folder of its own.

        diffusers names its files by a module's path within its component, so that two components would read each
        other's.
        """
        pipe = cast(DiffusionPipeline, self)
        excluded = [exclude_modules] if isinstance(exclude_modules, str) else list(exclude_modules)
        if offload_to_disk_path is None:
            super().enable_group_offload(*args, exclude_modules=excluded, **kwargs)  # type: ignore[misc]
            return
        for name, component in pipe.components.items():
            if isinstance(component, nn.Module) and name not in excluded:
                folder = os.path.join(offload_to_disk_path, name)
                if isinstance(component, ModelMixin):
                    component.enable_group_offload(*args, offload_to_disk_path=folder, **kwargs)
                else:
                    apply_group_offloading(component, *args, offload_to_disk_path=folder, **kwargs)
