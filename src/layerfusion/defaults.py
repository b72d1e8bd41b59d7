"""A model's own defaults: the settings where a user gives none, kept with the model and read by every face of it.

A saved `LayerFusionPipeline` holds them in its `model_index.json`, under `defaults`; an SDXL that is no such pipeline
may have them in a file `layerfusion.json` beside its `model_index.json`. Every key may be left out:

    {
      "steps": 25,                      sampling steps
      "guidance_scale": 7.0,            classifier-free guidance; 1 turns it off
      "size": [1024, 1024],             width and height in pixels
      "negative_foreground": "",        what to steer the foreground away from
      "negative_background": "",        the same for background and blended picture
      "config": {"mask": "combined"},   switches of the method, as `LayerFusionConfig` names them
      "transparency_passes": 8          of the transparent decoder, 8 or 1
    }
"""

from dataclasses import dataclass, fields
from typing import Any

from layerfusion.errors import LayerFusionError, shown
from layerfusion.method.config import LayerFusionConfig

MAX_SIDE = 16_384  # pixels
MAX_SHAPE = 16  # the longer side to the shorter one


@dataclass(frozen=True)
class Defaults:
    """Settings for where the user gives none; as they stand here, those of LayerDiffuse's authors and of the paper.

    Attributes:
        steps: Sampling steps, at least 1.
        guidance_scale: Classifier-free guidance; 1 turns it off.
        size: (width, height) in pixels; None takes the size the UNet was made for.
        negative_foreground, negative_background: What to steer away from; empty for nothing.
        config: The switches of the method.
        transparency_passes: Of the transparent decoder: 8, of which the median is taken, or 1.
    """

    steps: int = 25
    guidance_scale: float = 7.0
    size: tuple[int, int] | None = None
    negative_foreground: str = ""
    negative_background: str = ""
    config: LayerFusionConfig = LayerFusionConfig()  # noqa: RUF009 (immutable)
    transparency_passes: int = 8

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them, without those that say nothing; `from_dict` gives the same back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"config": self.config.to_dict(), "size": list(self.size) if self.size else None}
        return {key: value for key, value in values.items() if value not in (None, "")}

    @classmethod
    def from_dict(cls, values: Any, source: str = "the model's defaults") -> "Defaults":
        """What `to_dict` wrote, or part of it.

        Args:
            values: A dictionary, as read from JSON.
            source: What an error calls it.

        Raises:
            LayerFusionError: it is no dictionary, or holds an unknown key or a value of the wrong type.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(values, dict) or not set(values) <= set(known):
            raise LayerFusionError(f"{source} should hold an object with keys among {', '.join(known)}; mend it.")
        for key, value in values.items():
            if not _is_valid(key, value):
                raise LayerFusionError(f"{source} has a wrong value for {key}: {shown(value)}; mend it.")
        given = dict(values)
        if "size" in given:
            given["size"] = (given["size"][0], given["size"][1])
        if "config" in given:
            given["config"] = LayerFusionConfig.from_dict(dict(given["config"]))
        return cls(**given)


def check_size(width: int, height: int, multiple: int) -> None:
    """Raise a LayerFusionError for a size that the levels cannot halve often enough, or of no sensible shape."""
    if min(width, height) < multiple or width % multiple or height % multiple:
        nearest = (max(multiple, round(side / multiple) * multiple) for side in (width, height))
        raise LayerFusionError(
            f"the size {width}x{height} is not divisible by {multiple}; try {'x'.join(map(str, nearest))}."
        )
    if max(width, height) > MAX_SHAPE * min(width, height):
        raise LayerFusionError(
            f"one side of {width}x{height} is more than {MAX_SHAPE} times the other; give a squarer size."
        )


def _is_valid(key: str, value: Any) -> bool:
    """Whether a value is of its key's type and in its range."""
    if key == "size":
        return (
            isinstance(value, (list, tuple))
            and len(value) == 2
            and all(type(s) is int and 0 < s <= MAX_SIDE for s in value)
        )
    if key == "steps":
        return type(value) is int and 0 < value <= 1000
    if key == "transparency_passes":
        return type(value) is int and value in (1, 8)
    if key == "config":
        return isinstance(value, dict)
    if key == "guidance_scale":
        return type(value) in (int, float) and 0 <= value <= 1000
    return isinstance(value, str)
