"""Random stacks for the layer tests, and what it means that two are the same."""

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from layerfusion.layers import Affine, Layer, LayerStack, stack_from_triplet
from layerfusion.layers.composite import BLENDS
from layerfusion.layers.layer import clean_name

SIDES = st.sampled_from([1, 2, 3, 7, 16, 33])
OPACITIES = st.integers(0, 255).map(lambda step: step / 255)
NAMES = st.one_of(
    st.sampled_from(["foreground", "雪の森の狐", "лиса", "ثعلب", "🦊", "a/b\\c:d", "<&>\"'", "..", " é e\u0301"]),
    st.text(min_size=1, max_size=20),
).map(clean_name)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """uint8 (h, w, 4) with every alpha, colours under alpha 0 included."""
    height, width = draw(SIDES), draw(SIDES)
    pixels = np.random.default_rng(draw(st.integers(0, 1000))).integers(0, 256, (height, width, 4), np.uint8)
    kind = draw(st.sampled_from(["noise", "opaque", "hard", "clear"]))
    if kind == "opaque":
        pixels[..., 3] = 255
    elif kind == "hard":
        pixels[..., 3] = np.where(pixels[..., 3] > 127, 255, 0)
    elif kind == "clear":
        pixels[..., 3] = 0
    return pixels


# As files keep them: the layers of a group lie together, and no two groups share a name.
GROUPS = st.sampled_from([(None,) * 4, ("a", "a", None, "b"), (None, "狐", "狐", "狐"), ("a", "b", "b", "b 2")])


@st.composite
def stacks(draw: st.DrawFn, exact: bool = True) -> LayerStack:
    """Up to four layers, some wholly off the canvas; with exact=False also turned and scaled."""
    layers, groups = [], draw(GROUPS)
    for number in range(draw(st.integers(0, 4))):
        placement = Affine.translation(draw(st.integers(-40, 40)), draw(st.integers(-40, 40)))
        if not exact:
            turn = Affine.rotation(draw(st.sampled_from([0, 30, 90, 180, -45.5])))
            scale = st.sampled_from([0.37, 1.0, -1.0, 1.7])
            placement = turn.then(Affine.scaling(draw(scale), draw(scale))).then(placement)
        pixels, blend = draw(pictures()), draw(st.sampled_from(BLENDS))
        layer = Layer(draw(NAMES), pixels, placement, draw(OPACITIES), draw(st.booleans()), blend, groups[number])
        layers.append(layer)
    return LayerStack(draw(SIDES), draw(SIDES), layers)


def assert_same(one: LayerStack, other: LayerStack) -> None:
    """Same canvas and layers, pixel for pixel; opacity to the 8-bit step."""
    assert one.size == other.size
    assert [layer.name for layer in one] == [layer.name for layer in other]
    for a, b in zip(one, other, strict=True):
        assert (a.blend, a.visible, a.group) == (b.blend, b.visible, b.group)
        assert round(a.opacity * 255) == round(b.opacity * 255)
        assert a.placement == b.placement
        np.testing.assert_array_equal(a.pixels, b.pixels)


def example_stack(width: int = 96, height: int = 64) -> LayerStack:
    """A fixed stack with everything in it: soft edges, a hidden layer, an offset, opacity and every blend mode."""
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], -1).astype(np.uint8)
    layers = [Layer("background", ramp)]
    for number, blend in enumerate(BLENDS):
        disc = soft_disc(41, (230 - 40 * number, 60 + 50 * number, 90), soft=9)
        opacity = (1.0, 0.8, 0.6, 0.9)[number]
        layers.append(
            Layer(f"{blend} ☀", disc, Affine.translation(20 * number - 6, 9 * number - 5), opacity, True, blend)
        )
    return LayerStack(width, height, [*layers, Layer("hidden", ramp[::-1].copy(), visible=False)])


def soft_disc(side: int, colour: tuple[int, int, int], soft: float) -> np.ndarray:
    """uint8 (side, side, 4): a disc of one colour whose edge fades over `soft` pixels; black under alpha 0."""
    y, x = np.mgrid[:side, :side] + 0.5
    distance = np.hypot(x - side / 2, y - side / 2)
    alpha = np.clip((side * 0.4 - distance) / soft + 0.5, 0, 1)
    pixels = np.empty((side, side, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(alpha * 255)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def effects(width: int = 96, height: int = 64) -> dict[str, Image.Image]:
    """The pictures of a triplet with effects: a disc that throws a coloured shadow down right and glows up left.

    Shadow and light are RGB, smooth, and nothing (white, black) far from the disc.
    """
    y, x = np.mgrid[:height, :width] + 0.5
    ramp = np.stack([x * 255 / width, y * 255 / height, 255 - x * 255 / width], -1).astype(np.uint8)
    disc = np.zeros((height, width, 4), np.uint8)
    disc[12:53, 28:69] = soft_disc(41, (200, 90, 60), soft=5)
    relit = disc.copy()
    relit[..., :3] = disc[..., :3] * np.array([0.6, 0.7, 0.9])

    def falloff(left: float, top: float, radius: float) -> np.ndarray:
        near = np.clip(1 - np.hypot(x - left, y - top) / radius, 0, 1)[..., None]
        return near * near * (3 - 2 * near)

    shadow = 255 * (1 - falloff(60, 44, 26) * np.array([0.7, 0.6, 0.4]))
    light = 255 * falloff(34, 20, 22) * np.array([0.5, 0.3, 0.1])
    pictures = {"foreground": disc, "background": ramp, "blended": ramp[::-1].copy(), "relit": relit}
    pictures |= {name: np.rint(effect).astype(np.uint8) for name, effect in (("shadow", shadow), ("light", light))}
    return {name: Image.fromarray(picture) for name, picture in pictures.items()}


def lit_stack() -> LayerStack:
    """A triplet's stack with every effect layer."""
    return stack_from_triplet(**effects())
