"""Layers that add up: the foreground in the light of the blended picture, its shadow and its light, each a layer.

The blended picture shows the subject in the light of its scene, but not always all of it; the foreground shows all of
it, unlit. What the first says about light is smooth, so it can be read off and carried over. With f, b, p the
foreground, the background and the blended picture:

    relit foreground = f · g,     g: smooth gain of p over f inside the alpha, in linear light
    shadow (multiply), light (screen): the smooth difference of p and b outside the alpha, near the subject
    layered = background · shadow · light · relit foreground, as every program composites them

Smooth fields are estimated on a small grid, whatever the size of the picture, by ratios of Gaussian averages from
coarse to fine. Every length below is a share of the picture's short side, every difference one of sRGB values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

GRID = 128  # short side of the grid that smooth fields are estimated on

# The gain of the subject
GAIN_SCALES = (0.25, 0.12, 0.06, 0.03, 0.02)  # Gaussian widths
GAIN_LIMITS = (0.02, 4.0)  # linear light; beyond them a gain is an accident of dark or missing pixels
GAIN_RIDGE = 0.004  # how much linear light the coarser scale's gain stands for at the next finer one
GREY_RIDGE = 0.03  # and the gain of the subject's grey, for that of a colour it hardly has
GAIN_ROUNDS = 4  # of reweighting
DETAIL = 0.012  # width over which a pixel is judged with its neighbours
DISAGREEMENT = 0.15  # difference to g·f at which a pixel's say on the gain is halved
VERDICT = 0.05  # width over which a local gain must prove better than the gain of the whole
AGREEMENT = 0.05  # difference left at which half of a local gain's deviation is kept
SHOWN = (0.7, 0.9)  # trust in what shows best of a subject: from where its gain begins to count, and counts in full

# Shadow and light
SHADOW_SCALES = (0.2, 0.1, 0.05, 0.025)  # a shadow touches its subject
LIGHT_SCALES = (0.2, 0.1, 0.05)  # light spreads
SURROUNDINGS = (0.2, 0.08, 0.03)  # widths over which noise is averaged
EFFECT_RIDGE = 0.003  # share of a neighbourhood that must lie outside the subject for a scale to have its say
DARK = 0.01  # squared level below which no ratio to the background is trusted
GONE = 6.0  # weight in the noise of contrast in the background that may be gone from the blended picture
CAME = 1.0  # of contrast in the blended picture that may not be light
IDLE = 4.0  # of the effects found far from the subject, where there are none
FAINTEST = 3 / 255  # difference of an effect that is half noise
OUTLINE = 0.03  # alpha above which a pixel belongs to the subject
RIM = 0.015  # how far the blended picture's subject may stick out of the alpha
REACH = 0.07  # width of the window round the subject; effects end at about three times this distance
SHADE_SCALES = (0.1, 0.03)  # widths over which what is painted round a given subject is averaged


@dataclass(frozen=True)
class Relit:
    """The layers of B triplets, float32 in [0, 1], and what they composite to.

    Attributes:
        relit: (B, 4, H, W) the foreground under the scene's light: straight RGB, then the foreground's own alpha.
        shadow: (B, 4, H, W) black, to be multiplied over the background; its alpha is the depth of the shadow.
        light: (B, 4, H, W) one colour, to be screened over both; its alpha is the strength of the light.
        layered: (B, 3, H, W) background · shadow · light · relit foreground, composited in sRGB from layers rounded to
            8 bits, as files hold them.
    """

    relit: Tensor
    shadow: Tensor
    light: Tensor
    layered: Tensor


@dataclass(frozen=True)
class RelitSubject:
    """One of several subjects in `relight_several`, in the scene's frame: see `Relit`.

    Attributes:
        relit, shadow, light: (B, 4, H, W).
        gain: (B, 3, H, W), what `relit` is of its foreground, in linear light.
    """

    relit: Tensor
    shadow: Tensor
    light: Tensor
    gain: Tensor


def relight(foreground: Tensor, background: Tensor, blended: Tensor) -> Relit:
    """Layers that composite to a picture as whole as the foreground and as lit as the blended picture.

    Args:
        foreground: (B, 4, H, W) in [0, 1], straight sRGB, then alpha.
        background, blended: (B, 3, H, W) in [0, 1], sRGB.

    Returns:
        The layers, on the pictures' device.
    """
    return relight_several([foreground], background, blended)[0]


@torch.no_grad()
def relight_several(
    foregrounds: Sequence[Tensor], background: Tensor, blended: Tensor
) -> tuple[Relit, list[RelitSubject]]:
    """`relight` for several foregrounds, from the farthest to the nearest, of which a nearer one hides a farther.

    Shadow and light are found round all of them and shared out by nearness, w_k of the sum of 1, so that they multiply
    and screen to the whole again: (1 − S) = Π (1 − S_k) with 1 − S_k = (1 − S)^w_k. The layers lie in the order shadow,
    light, subject of the farthest, then of the next: what a nearer subject throws falls on a farther one too.

    Returns:
        All foregrounds together, relit as one over the other, with the whole of shadow and light; and each of them.
    """
    background, blended = (picture.float().clamp(0, 1) for picture in (background, blended))
    foregrounds = [picture.float().clamp(0, 1) for picture in foregrounds]
    split = [picture.split([3, 1], dim=1) for picture in foregrounds]
    small = [_on_grid(alpha, rgb) for rgb, alpha in split]
    small_background, small_blended = _small(background, blended)
    alphas = [alpha for alpha, _ in small]
    whole = _effects(_together(alphas), small_background, small_blended)
    effects = _shared_out(alphas, *whole)
    gains = _gains(small, effects, small_background, small_blended)

    subjects = []
    for (rgb, alpha), (darker, brighter), gain in zip(split, effects, gains, strict=True):
        gain = _resized(gain, alpha)
        relit = torch.cat([srgb_of_linear(linear_of_srgb(rgb) * gain).clamp(0, 1), alpha], dim=1)
        subjects.append(RelitSubject(relit, *_as_layers(darker, brighter, alpha), gain))
    layered = background
    for subject in subjects:
        layered = composite(layered, subject.shadow, subject.light, subject.relit)
    return Relit(composite_rgba([one.relit for one in subjects]), *_as_layers(*whole, background), layered), subjects


def composite_rgba(pictures: Sequence[Tensor]) -> Tensor:
    """Straight RGBA pictures (B, 4, H, W), each over those before it, as one."""
    result = pictures[0]
    for picture in pictures[1:]:
        rgb, alpha = picture.split([3, 1], dim=1)
        below, below_alpha = result.split([3, 1], dim=1)
        left = below_alpha * (1 - alpha)
        total = alpha + left
        result = torch.cat([(rgb * alpha + below * left) / total.clamp(min=1e-6), total], dim=1)
    return result


@torch.no_grad()
def lay_in(foreground: Tensor, background: Tensor, blended: Tensor, relit: Relit) -> Tensor:
    """A blended picture made of the layers' own pixels, for what is given: a subject, or what it stands in.

    A model paints a given subject once more, and not quite where it is: its outline comes out torn, and what it has of
    another outline stays beside it. Its light is right. So the subject is laid in as it is relit, and round it the
    background stands as it is, under the layers' shadow and light; or, where that is deeper, under the shade that the
    model painted there, averaged so that nothing is left of it but shade.

    Args:
        foreground: (B, 4, H, W) in [0, 1], straight sRGB, then alpha.
        background, blended: (B, 3, H, W) in [0, 1], sRGB.
        relit: What `relight` makes of the three.

    Returns:
        (B, 3, H, W).
    """
    alpha = foreground[:, 3:].float()
    (small_alpha, _), (b, p) = _on_grid(alpha, foreground[:, :3].float()), _small(background.float(), blended.float())
    outside, window = _surroundings(small_alpha)
    none = torch.zeros_like(small_alpha[:, :, :1, :1])
    darkening = ((b - p) * b).mean(1, keepdim=True)
    shade = _smooth_ratio(outside * darkening, outside * (_power(b) + DARK), none, SHADE_SCALES, EFFECT_RIDGE)
    depth = torch.maximum(relit.shadow[:, 3:], _resized(window * shade.clamp(0, 1), alpha))
    return composite(background.float(), torch.cat([relit.shadow[:, :3], depth], dim=1), relit.light, relit.relit)


def _as_layers(darker: Tensor, brighter: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Shadow (B, 1, h, w) and light (B, 3, h, w) of the grid as layers (B, 4, H, W)."""
    darker, brighter = _resized(darker, like), _resized(brighter, like)
    strength = brighter.amax(1, keepdim=True)
    shadow = torch.cat([torch.zeros_like(brighter), darker], dim=1)
    return shadow, torch.cat([brighter / strength.clamp(min=1e-6), strength], dim=1)


def _together(alphas: Sequence[Tensor]) -> Tensor:
    """The alpha of all, one over the other."""
    result = alphas[0]
    for alpha in alphas[1:]:
        result = result + alpha * (1 - result)
    return result


def _shared_out(alphas: Sequence[Tensor], darker: Tensor, brighter: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each subject's shadow and light, of those of all."""
    if len(alphas) == 1:
        return [(darker, brighter)]
    near = [_blur(alpha, REACH).square() + 1e-9 for alpha in alphas]
    shares = [each / sum(near) for each in near]
    return [(1 - (1 - darker).clamp(min=0) ** share, 1 - (1 - brighter).clamp(min=0) ** share) for share in shares]


def _gains(
    subjects: Sequence[list[Tensor]], effects: Sequence[tuple[Tensor, Tensor]], background: Tensor, blended: Tensor
) -> list[Tensor]:
    """The gain of each subject (alpha, colour): of what is seen of it, when the nearer ones' effects are taken off."""
    gains, behind = [], background
    for number, ((alpha, rgb), (darker, brighter)) in enumerate(zip(subjects, effects, strict=True)):
        behind = 1 - (1 - behind * (1 - darker)) * (1 - brighter)
        seen, picture = alpha, blended
        for nearer, (its_darker, its_brighter) in zip(subjects[number + 1 :], effects[number + 1 :], strict=True):
            seen = seen * (1 - nearer[0])
            picture = 1 - (1 - picture) / (1 - its_brighter).clamp(min=0.05)
            picture = (picture / (1 - its_darker).clamp(min=0.05)).clamp(0, 1)
        gains.append(_gain(seen, rgb, behind, picture))
        behind = behind + alpha * (srgb_of_linear(linear_of_srgb(rgb) * gains[-1]).clamp(0, 1) - behind)
    return gains


def composite(background: Tensor, shadow: Tensor, light: Tensor, relit: Tensor) -> Tensor:
    """What the layers add up to, each rounded to 8 bits first: (B, 3, H, W), see `Relit`."""
    picture, shadow, light, relit = ((layer * 255).round() / 255 for layer in (background, shadow, light, relit))
    picture = picture * (1 - shadow[:, 3:] * (1 - shadow[:, :3]))
    picture = picture + light[:, 3:] * light[:, :3] * (1 - picture)
    return picture + relit[:, 3:] * (relit[:, :3] - picture)


def linear_of_srgb(value: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light in [0, 1] (IEC 61966-2-1)."""
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb_of_linear(light: Tensor) -> Tensor:
    """The inverse curve; light above 1 gives values above 1."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _gain(alpha: Tensor, rgb: Tensor, behind: Tensor, blended: Tensor) -> Tensor:
    """Smooth gain (B, 3, h, w) in linear light of the blended subject over the foreground.

    Least squares of g·f against what the blended picture shows of the subject, weighted for equal errors in sRGB, which
    makes it a ratio of sums; the sums reach outward under soft edges. Pixels that do not show the subject (a half that
    is missing, something before it) lose their say: by how far they are from g·f, and by how much nearer they are to
    what is behind. Where a local gain explains the picture no better than the gain of the whole, that one is kept. And
    of a subject of which the blended picture shows no part well, nothing is known of its light: it stays unlit.
    """
    seen = ((blended - (1 - alpha) * behind) / alpha.clamp(min=0.1)).clamp(0, 1)
    unlit, lit = linear_of_srgb(rgb), linear_of_srgb(seen)
    inside = alpha**2 * (0.02 + _blur(alpha, DETAIL).clamp(0, 1) ** 8)

    def mean(picture: Tensor, scale: float) -> Tensor:
        return _blur(alpha * picture, scale) / _blur(alpha, scale).clamp(min=1e-3)

    def error(gain: Tensor) -> Tensor:
        return _power(seen - srgb_of_linear(unlit * gain).clamp(0, 1))

    absent = mean(_power(seen - behind), DETAIL)
    trust = torch.ones_like(alpha)
    for _ in range(GAIN_ROUNDS):
        weight = inside * trust
        whole = _overall_gain(weight, unlit, lit)
        gain = _smooth_ratio(weight * lit, weight * unlit, whole, GAIN_SCALES, GAIN_RIDGE).clamp(*GAIN_LIMITS)
        wrong = mean(error(gain), DETAIL)
        trust = absent / (absent + wrong + 1e-4) / (1 + wrong / DISAGREEMENT**2)
    left, before = mean(error(gain), VERDICT), mean(error(whole), VERDICT)
    keep = (1 - left / before.clamp(min=1e-5)).clamp(0, 1).sqrt() / (1 + left / AGREEMENT**2)
    shown = _total(inside * trust**2) / _total(inside * trust).clamp(min=1e-6)
    least, most = SHOWN
    return (whole * (gain / whole) ** keep) ** ((shown - least) / (most - least)).clamp(0, 1)


def _overall_gain(weight: Tensor, unlit: Tensor, lit: Tensor) -> Tensor:
    """The gain (B, 3, 1, 1) of the subject as one; a colour it hardly has takes the gain of its grey."""
    total = _total(weight).clamp(min=1e-6)
    light, colour = _total(weight * lit) / total, _total(weight * unlit) / total
    grey = (light.mean(1, keepdim=True) + 1e-4) / (colour.mean(1, keepdim=True) + 1e-4)
    return ((light + GREY_RIDGE * grey) / (colour + GREY_RIDGE)).clamp(*GAIN_LIMITS)


def _effects(alpha: Tensor, background: Tensor, blended: Tensor) -> tuple[Tensor, Tensor]:
    """Shadow (B, 1, h, w) and light (B, 3, h, w) in [0, 1] that the subject throws on what is round it.

    blended = background · (1 − shadow) where that is darker, 1 − (1 − background) · (1 − light) where it is brighter.
    A shadow is grey, and the light of one subject has one colour. What does not fit this is no effect of the subject's
    but a background painted otherwise, and counts as noise. So does contrast that goes or comes: a moon that is gone is
    not in the shade, a tree that is gone is not dazzled, a moon that came is no light. As much of an effect is kept as
    rises above the noise: power / (power + noise).
    """
    outside, window = _surroundings(alpha)
    far = (window == 0).to(alpha.dtype)
    none = torch.zeros_like(alpha[:, :, :1, :1])
    difference, headroom = blended - background, 1 - background

    def smooth(value: Tensor, weight: Tensor | float, scales: tuple[float, ...]) -> Tensor:
        return _smooth_ratio(outside * value, outside * weight, none, scales, EFFECT_RIDGE)

    def contrast(picture: Tensor) -> Tensor:
        return _power(picture - smooth(picture, 1, SURROUNDINGS[:2]))

    def kept(change: Tensor, suspicious: Tensor) -> Tensor:
        noise = smooth(_power(difference - change) + suspicious, 1, SURROUNDINGS)
        idle = _total(far * _power(change)) / _total(far).clamp(min=1e-3)
        found = smooth(_power(change), 1, SURROUNDINGS)
        return window * found / (found + noise + IDLE * idle + FAINTEST**2)

    darkening = -(difference * background).mean(1, keepdim=True)
    shadow = smooth(darkening, _power(background) + DARK, SHADOW_SCALES).clamp(0, 1)
    shadow = shadow * kept(-shadow * background, GONE * contrast(background))

    difference = difference + shadow * background
    glow = smooth(difference * headroom, headroom.square() + DARK, LIGHT_SCALES).clamp(-1, 1)
    colour = _total(window * glow.mean(1, keepdim=True).clamp(min=0) * glow).clamp(min=0)
    colour = colour / colour.amax(1, keepdim=True).clamp(min=1e-6)
    strength = (glow * colour).sum(1, keepdim=True) / colour.square().sum(1, keepdim=True).clamp(min=1e-6)
    light = strength.clamp(0, 1) * colour
    came, gone = contrast(blended), (contrast(background) - contrast(blended)).clamp(min=0)
    return shadow, light * kept(light * headroom, CAME * came + GONE * gone)


def _surroundings(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Where the subject is not, and where its effects may be: (B, 1, h, w) in [0, 1], falling off softly."""
    subject = (alpha > OUTLINE).float()
    return (1 - 4 * _blur(subject, RIM)).clamp(0, 1), (4 * _blur(subject, REACH) - 0.01).clamp(0, 1)


def _smooth_ratio(
    numerator: Tensor, denominator: Tensor, parent: Tensor, scales: tuple[float, ...], ridge: float
) -> Tensor:
    """Ratio of blurred sums, coarse to fine; where a scale has little to go by it keeps the coarser one's value."""
    for scale in scales:
        parent = (_blur(numerator, scale) + ridge * parent) / (_blur(denominator, scale) + ridge)
    return parent


def _blur(picture: Tensor, scale: float) -> Tensor:
    """Gaussian blur of width `scale` short sides, nothing beyond the border: two products with banded matrices."""
    height, width = picture.shape[2:]
    sigma = scale * min(height, width)

    def kernel(side: int) -> Tensor:
        place = torch.arange(side, device=picture.device, dtype=picture.dtype)
        weights = torch.exp(-0.5 * ((place[:, None] - place[None]) / sigma) ** 2)
        return weights / weights[side // 2].sum()

    return kernel(height) @ picture @ kernel(width)


def _power(picture: Tensor) -> Tensor:
    return picture.square().mean(1, keepdim=True)


def _total(picture: Tensor) -> Tensor:
    return picture.sum((2, 3), keepdim=True)


def _small(*pictures: Tensor) -> list[Tensor]:
    """Pictures at the size of the grid, averaged by area."""
    height, width = pictures[0].shape[2:]
    factor = GRID / min(height, width)
    if factor >= 1:
        return list(pictures)
    size = (round(height * factor), round(width * factor))
    return [interpolate(picture, size=size, mode="area") for picture in pictures]


def _on_grid(alpha: Tensor, rgb: Tensor) -> list[Tensor]:
    """Alpha and straight colour at the size of the grid, colour averaged by alpha."""
    small_alpha, light = _small(alpha, rgb * alpha)
    return [small_alpha, rgb if small_alpha.shape == alpha.shape else light / small_alpha.clamp(min=1e-4)]


def _resized(field: Tensor, like: Tensor) -> Tensor:
    if field.shape[2:] == like.shape[2:]:
        return field
    return interpolate(field, size=like.shape[2:], mode="bilinear", align_corners=False)
