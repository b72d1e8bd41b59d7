"""The triplet: the pictures of one run, their names, and what they become as layers and as a folder."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from layerfusion.files import atomic_write

if TYPE_CHECKING:
    from layerfusion.layers import LayerStack


@dataclass(frozen=True)
class Subject:
    """One foreground of several.

    Attributes:
        foreground, relit: RGBA, in a frame of their own.
        shadow, light: RGBA, in the scene.
        placement: (a, b, c, d, e, f), from that frame to the scene in pixels; see `layerfusion.layers.Affine`.
    """

    foreground: Image.Image
    relit: Image.Image
    shadow: Image.Image
    light: Image.Image
    placement: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Triplet:
    """A foreground, a background, and the picture in which they met; all of one size.

    Attributes:
        foreground: RGBA, straight alpha.
        background: RGB.
        blended: RGB; the picture in which foreground and background met (generative blending).
        composite: RGB; the foreground laid over the background (alpha blending).
        relit: RGBA; the foreground in the light of the blended picture.
        shadow, light: RGBA; to be multiplied and screened over the background, round the subject.
        layered: RGB; background, shadow, light and relit foreground, composited: what the layers add up to.
        subjects: Of several foregrounds, or one with a place, each as layers of its own, from the farthest to the
            nearest; the foreground and the relit one above are then all of them in the scene.
    """

    foreground: Image.Image
    background: Image.Image
    blended: Image.Image
    composite: Image.Image
    relit: Image.Image | None = None
    shadow: Image.Image | None = None
    light: Image.Image | None = None
    layered: Image.Image | None = None
    subjects: tuple[Subject, ...] = ()

    def pictures(self) -> dict[str, Image.Image]:
        """Every picture that there is, by its name."""
        return {name: picture for name in PICTURES if (picture := getattr(self, name)) is not None}

    def to_stack(self, provenance: dict[str, Any] | None = None) -> "LayerStack":
        """Layers that composite to `layered`; the unlit foreground and the blended picture are hidden in it.

        Args:
            provenance: Where it comes from, for the files that can say so; see `LayerStack`.
        """
        from layerfusion.layers import stack_from_subjects, stack_from_triplet

        if self.subjects:
            return stack_from_subjects(
                [(one.foreground, one.relit, one.shadow, one.light, one.placement) for one in self.subjects],
                self.background,
                self.blended,
                provenance=provenance,
            )
        return stack_from_triplet(
            self.foreground,
            self.background,
            self.blended,
            relit=self.relit,
            shadow=self.shadow,
            light=self.light,
            provenance=provenance,
        )

    def save(self, folder: str | Path, metadata: PngImagePlugin.PngInfo | None = None) -> None:
        """Write each picture as a PNG under its name, and the subjects as a folder of layers; each whole or not there.

        Args:
            folder: Made where it does not exist; files of these names in it are replaced.
            metadata: Text for every PNG, as `layerfusion.runs.record` makes it.
        """
        from layerfusion.layers.pictures import PNG_LEVEL

        for name, picture in self.pictures().items():
            with atomic_write(Path(folder) / f"{name}.png") as path:
                picture.save(path, "PNG", pnginfo=metadata, compress_level=PNG_LEVEL)
        if self.subjects:
            self.to_stack().save(Path(folder) / SUBJECT_LAYERS)

    @classmethod
    def open(cls, folder: str | Path) -> "Triplet":
        """Read the pictures that `save` wrote; the subjects lie in the folder `layers`, for `LayerStack.open`.

        Raises:
            LayerFusionError: a picture is missing, no PNG, damaged, or too large.
        """
        from layerfusion.layers.limits import decode

        files = {name: Path(folder) / f"{name}.png" for name in PICTURES}
        found = {name: file for name, file in files.items() if name in REQUIRED or file.exists()}
        pictures = {name: Image.fromarray(decode(file, str(file), ("PNG",))) for name, file in found.items()}
        whole: dict[str, Any] = {n: p if n in WITH_ALPHA else p.convert("RGB") for n, p in pictures.items()}
        return cls(**whole)


PICTURES = tuple(field.name for field in fields(Triplet) if field.name != "subjects")
"""The names of a triplet's pictures, and of their files without the ending."""
SUBJECT_LAYERS = "layers"
"""The folder of layers that a triplet of several foregrounds has beside its pictures."""
REQUIRED = ("foreground", "background", "blended", "composite")
WITH_ALPHA = ("foreground", "relit", "shadow", "light")
