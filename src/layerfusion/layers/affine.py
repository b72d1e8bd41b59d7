"""Where a layer lies: an affine map from its own pixels to the canvas."""

import math
from dataclasses import astuple, dataclass

import numpy as np

from layerfusion.errors import LayerFusionError

LARGEST = 1e15  # up to which floats still tell whole pixels apart; an inverse needs more room than a placement


@dataclass(frozen=True)
class Affine:
    """x' = a·x + b·y + c, y' = d·x + e·y + f, in pixels, y downward, angles clockwise (as in CSS and PowerPoint).

    Coordinates are continuous: pixel (i, j) covers [i, i+1] × [j, j+1], so a picture of width w spans 0 to w.

    Raises:
        LayerFusionError: a number is beyond LARGEST, or not one, or the map squeezes the plane to a line.
    """

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    def __post_init__(self) -> None:
        # Also false for what is not a number.
        if not all(abs(number) <= LARGEST for number in astuple(self)):
            raise LayerFusionError("A placement needs finite numbers of ordinary size; give smaller ones.")
        if min(self.stretches()) < 1e-6:
            raise LayerFusionError("A placement squeezes its layer to nothing; give a scale other than 0.")

    @classmethod
    def translation(cls, x: float, y: float) -> "Affine":
        """Move by (x, y) pixels."""
        return cls(c=x, f=y)

    @classmethod
    def scaling(cls, x: float, y: float) -> "Affine":
        """Stretch about the origin; a negative factor mirrors."""
        return cls(a=x, e=y)

    @classmethod
    def rotation(cls, degrees: float) -> "Affine":
        """Turn clockwise about the origin; exact for quarter turns."""
        if not math.isfinite(degrees):
            raise LayerFusionError(f"A turn by {degrees} degrees is none; give a finite number.")
        if degrees % 90 == 0:
            cos, sin = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(degrees // 90) % 4]
        else:
            cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return cls(a=cos, b=-sin, d=sin, e=cos)

    def then(self, after: "Affine") -> "Affine":
        """This map first, `after` second."""
        return Affine(
            after.a * self.a + after.b * self.d,
            after.a * self.b + after.b * self.e,
            after.a * self.c + after.b * self.f + after.c,
            after.d * self.a + after.e * self.d,
            after.d * self.b + after.e * self.e,
            after.d * self.c + after.e * self.f + after.f,
        )

    def about(self, x: float, y: float) -> "Affine":
        """The same map with (x, y) in the origin's part: a rotation about (x, y), a scaling that keeps (x, y)."""
        return Affine.translation(-x, -y).then(self).then(Affine.translation(x, y))

    def inverse(self) -> "Affine":
        """The map from the canvas back to the layer's pixels."""
        det = self.a * self.e - self.b * self.d
        a, b, d, e = self.e / det, -self.b / det, -self.d / det, self.a / det
        return Affine(a, b, -(a * self.c + b * self.f), d, e, -(d * self.c + e * self.f))

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) goes."""
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f

    def bounds(self, width: float, height: float) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a width × height picture after the map."""
        corners = [self(x, y) for x in (0, width) for y in (0, height)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def stretches(self) -> tuple[float, float]:
        """(largest, smallest) factor by which the map lengthens a line: its singular values."""
        largest, smallest = np.linalg.svd(np.array([[self.a, self.b], [self.d, self.e]]), compute_uv=False)
        return float(largest), float(smallest)

    def as_tuple(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f)."""
        return self.a, self.b, self.c, self.d, self.e, self.f

    @property
    def is_exact(self) -> bool:
        """Whether pixels land on pixels: quarter turns, flips and whole-pixel moves, so nothing is resampled.

        Within a millionth, so that scaling by 2 and then by 0.5 counts as nothing done.
        """
        near = [abs(number - round(number)) < 1e-6 for number in self.as_tuple()]
        linear = {abs(round(number)) for number in (self.a, self.b, self.d, self.e)}
        return all(near) and linear == {0, 1} and abs(round(self.a)) == abs(round(self.e))

    def similarity(self) -> "tuple[float, float, float, bool] | None":
        """(scale along x, scale along y, clockwise degrees, mirrored) of flip first, then scale, then turn.

        None when the map also slants, which the four numbers cannot say.
        """
        scale_x, scale_y = math.hypot(self.a, self.d), math.hypot(self.b, self.e)
        if abs(self.a * self.b + self.d * self.e) > 1e-6 * scale_x * scale_y:
            return None
        mirrored = self.a * self.e - self.b * self.d < 0
        sign = -1.0 if mirrored else 1.0
        return scale_x, scale_y, math.degrees(math.atan2(sign * self.d, sign * self.a)), mirrored

    def describe(self) -> str:
        """What it does beside moving, in words: "flipped ×0.8 -12.5°"."""
        shape = self.similarity()
        if shape is None:
            return "slanted"
        across, down, degrees, mirrored = shape
        words = ["flipped"] if mirrored else []
        if abs(across - down) > 1e-6:
            words.append(f"×{across:.4g},{down:.4g}")
        elif abs(across - 1) > 1e-6:
            words.append(f"×{across:.4g}")
        if abs(degrees) > 1e-6:
            words.append(f"{degrees:.4g}°")
        return " ".join(words)
