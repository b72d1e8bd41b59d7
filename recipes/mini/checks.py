"""The checks of the embedded model: what a probe, the true alpha and the true light say about generated triplets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np
import torch

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.decoding import decode_picture, decode_transparency
from layerfusion.evaluation.measures import Line, colour_gain, explained, fit, interior, mean_overlap, wholeness
from layerfusion.method.config import Mask
from layerfusion.models import Vocabulary
from layerfusion.transparency import encode_transparent
from recipes.mini.probes import NOTHING, Probe
from recipes.mini.triplets import INDEPENDENT, Case, Sampling, Triplets
from recipes.mini.world import World, article
from recipes.mini.world.light import Placed, shadow, total_gain
from recipes.mini.world.paint import Canvas

FRESH = 80_000_000  # seeds of the report's own renders


@dataclass(frozen=True)
class Check:
    """One row of the verdict: what was measured, the bar, and whether it is met."""

    name: str
    value: float
    bar: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """NaN meets no bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass(frozen=True)
class Named:
    """What the probe says about triplets, as shares in [0, 1].

    Attributes:
        foreground: Foreground streams named as prompted.
        background_scene: Background streams whose scene is named as prompted.
        background_object: Background streams in which any object is found.
        blended_object, blended_scene, blended_both: The same of the blended streams.
    """

    foreground: float
    background_scene: float
    background_object: float
    blended_object: float
    blended_scene: float
    blended_both: float


def name_triplets(probe: Probe, triplets: Triplets, blended: np.ndarray | None = None) -> Named:
    """Ask the probe about every picture; `blended` takes the place of the blended streams (for alpha blending)."""
    fronts = probe.name(triplets.on_grey)
    backs = probe.name(triplets.background)
    wholes = probe.name(triplets.blended if blended is None else blended)
    objects = [case.obj for case in triplets.cases]
    scenes = [case.scene for case in triplets.cases]
    front = [name == obj for (name, _), obj in zip(fronts, objects, strict=True)]
    found = [name == obj for (name, _), obj in zip(wholes, objects, strict=True)]
    placed = [scene == asked for (_, scene), asked in zip(wholes, scenes, strict=True)]
    return Named(
        foreground=float(np.mean(front)),
        background_scene=float(np.mean([scene == asked for (_, scene), asked in zip(backs, scenes, strict=True)])),
        background_object=float(np.mean([name != NOTHING for name, _ in backs])),
        blended_object=float(np.mean(found)),
        blended_scene=float(np.mean(placed)),
        blended_both=float(np.mean([a and b for a, b in zip(found, placed, strict=True)])),
    )


def wholenesses(triplets: Triplets) -> np.ndarray:
    """`wholeness` of every triplet whose subject is large enough: (n,); one NaN, which meets no bar, where none is."""
    pairs = zip(triplets.blended, triplets.foreground, strict=True)
    values = np.array([wholeness(blended, foreground[..., :3], foreground[..., 3]) for blended, foreground in pairs])
    return values[np.isfinite(values)] if np.isfinite(values).any() else np.full(1, np.nan)


def thin_wholeness(triplets: Triplets, pictures: np.ndarray | None = None) -> float:
    """Mean `wholeness` of the whole visible subject (alpha above one half), its thinnest parts included.

    The blended pictures are judged, or (N, H, W, 3) others.
    """
    shown = triplets.blended if pictures is None else pictures
    pairs = zip(shown, triplets.foreground, strict=True)
    values = [explained(picture, foreground[..., :3], foreground[..., 3] > 0.5) for picture, foreground in pairs]
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def ghosts(blending: Triplets, independent: Triplets) -> float:
    """How much the background streams of the same cases differ where the subject is: mean over its alpha, in [0, 1]."""
    alpha = blending.foreground[..., 3]
    difference = np.abs(blending.background - independent.background).mean(-1)
    return float((alpha * difference).sum() / max(alpha.sum(), 1e-6))


def sharpness(pictures: np.ndarray) -> float:
    """Mean absolute Laplacian of the luma of pictures (N, H, W, 3): 0 where nothing has an edge."""
    luma = np.ascontiguousarray(pictures @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)
    return float(np.mean([np.abs(cv2.Laplacian(one, cv2.CV_32F)).mean() for one in luma]))


def border(alphas: np.ndarray) -> float:
    """The largest alpha along the outermost two pixels of each of (N, H, W), in the mean."""
    rim = np.ones(alphas.shape[1:], bool)
    rim[2:-2, 2:-2] = False
    return float(alphas[:, rim].max(1).mean())


def relative_sharpness(world: World, triplets: Triplets) -> float:
    """Sharpness of the background streams over that of fresh renders of the same scenes: 1 is as sharp as the world."""
    real = [
        world.render("background", scene=case.scene, seed=FRESH + k).picture for k, case in enumerate(triplets.cases)
    ]
    return sharpness(triplets.background) / sharpness(np.stack(real).astype(np.float32) / 255)


def pair_halves(pictures: np.ndarray) -> np.ndarray:
    """What stands left and right in pictures (N, H, W, 3): (2 N, h, w, 3), one after the other."""
    height, width = pictures.shape[1:3]
    wide = width * 3 // 5
    rows, left, right = slice(height // 5, None), slice(0, wide), slice(width - wide, None)
    return np.stack([half for one in pictures for half in (one[rows, left], one[rows, right])])


def pairs_named(pipe: LayerFusionPipeline, world: World, probe: Probe, count: int, sampling: Sampling) -> float:
    """Share of pictures of two subjects, drawn by the base alone, in which the probe names both in their places."""
    rng = np.random.default_rng(FRESH)
    solid = [spec.key for spec in world.objects if not spec.see_through]
    pairs = [tuple(str(key) for key in rng.choice(solid, 2, replace=False)) for _ in range(count)]
    scenes = [world.scenes[k % len(world.scenes)] for k in range(count)]
    prompts = [
        f"{article(a)} on the left and {article(b)} on the right {scene.where} {scene.phrases[0]}"
        for (a, b), scene in zip(pairs, scenes, strict=True)
    ]
    named: list[str] = []
    for start in range(0, count, sampling.batch):
        batch = prompts[start : start + sampling.batch]
        out = pipe(
            batch,
            batch,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            generator=[torch.Generator().manual_seed(start + k) for k in range(len(batch))],
            config=INDEPENDENT,
            transparency_passes=1,
            output_type="np",
        )
        named += [name for name, _ in probe.name(pair_halves(np.asarray(out.background)))]
    return float(np.mean([tuple(named[2 * k : 2 * k + 2]) == pair for k, pair in enumerate(pairs)]))


def true_gain(world: World, case: Case) -> np.ndarray:
    """The light (3,) that the case's scene throws on its object, at the middle of the day."""
    return total_gain(world.scene(case.scene), world.object(case.obj), np.ones(3, np.float32))


def case_gains(
    world: World, triplets: Triplets, unlit: dict[tuple[str, int], np.ndarray], blended: np.ndarray | None = None
) -> np.ndarray:
    """The true and the measured colour gain of every case's subject, (N, 2, 3); NaN where it is too small to measure.

    The gain is the mean colour of the subject in the blended picture over that of the same subject unlit: `unlit`
    holds, by (object, seed), the foreground (H, W, 4) of an independent run, which no scene has touched. Both are
    measured where the subject is solid in both foregrounds.
    """
    pictures = triplets.blended if blended is None else blended
    gains = []
    for i, case in enumerate(triplets.cases):
        reference = unlit[case.obj, case.seed]
        where = interior(np.minimum(reference[..., 3], triplets.foreground[i, ..., 3]))
        gains.append((true_gain(world, case), colour_gain(pictures[i], reference[..., :3], where)))
    return np.array(gains)


def regress(scenes: Sequence[str], gains: np.ndarray) -> tuple[Line, np.ndarray]:
    """Regression of measured on true gains over scenes and channels, the gains averaged over the subjects of a scene.

    Args:
        scenes: The scene of each of N cases.
        gains: (N, 2, 3), as `case_gains` gives them.

    Returns:
        The regression, and its points (scenes, 3, 2): true and measured gain by channel.
    """
    by_scene: dict[str, list[np.ndarray]] = {}
    for scene, pair in zip(scenes, gains, strict=True):
        if np.isfinite(pair).all():
            by_scene.setdefault(scene, []).append(pair)
    points = np.array([np.mean(pairs, axis=0).T for pairs in by_scene.values()]).reshape(-1, 3, 2)
    return fit(points[..., 0], points[..., 1]), points


def harmonization(
    world: World, triplets: Triplets, unlit: dict[tuple[str, int], np.ndarray], blended: np.ndarray | None = None
) -> tuple[Line, np.ndarray]:
    """How far the blended subjects follow the light of their scenes: `regress` of their `case_gains`."""
    return regress([case.scene for case in triplets.cases], case_gains(world, triplets, unlit, blended))


def real_triplets(world: World, cases: Sequence[Case]) -> Triplets:
    """Real renders in the place of generated triplets: what a perfect model would give."""
    foregrounds, backgrounds, blended = [], [], []
    for case in cases:
        sample = world.render("composite", obj=case.obj, scene=case.scene, seed=FRESH + case.seed)
        assert sample.foreground is not None and sample.background is not None
        foregrounds.append(sample.foreground)
        backgrounds.append(sample.background)
        blended.append(sample.picture)
    parts = (np.stack(pictures).astype(np.float32) / 255 for pictures in (foregrounds, backgrounds, blended, blended))
    return Triplets(tuple(cases), *parts)


def unlit_of(triplets: Triplets) -> dict[tuple[str, int], np.ndarray]:
    """By (object, seed), the foreground of real renders or of an independent run: no scene has touched it."""
    subjects = [(case.obj, case.seed) for case in triplets.cases]
    return dict(zip(subjects, triplets.foreground, strict=True))


def real_harmonization(world: World, cases: Sequence[Case]) -> Line:
    """`harmonization` of real renders: what a perfect model would score."""
    real = real_triplets(world, cases)
    return harmonization(world, real, unlit_of(real))[0]


def true_shadow(world: World, case: Case, alpha: np.ndarray) -> list[np.ndarray]:
    """The darkening, (H, W) in [0, 1], that the world would lay under a subject of this alpha (H, W).

    One for each side that the scene's key light may come from.
    """
    rows, columns = np.nonzero(alpha > 0.5)
    size, scene = len(alpha), world.scene(case.scene)
    if not len(rows):
        return [np.zeros_like(alpha)]
    box = (columns.min() / size, rows.min() / size, (columns.max() + 1) / size, (rows.max() + 1) / size)
    placed = Placed(world.object(case.obj), np.repeat(alpha[..., None], 4, -1).astype(np.float32), box)
    shadows = []
    for key in (-1, 1) if scene.light.key is None else (scene.light.key,):
        canvas = Canvas(size)
        canvas.image += 1
        shadow(canvas, placed, scene, key)
        shadows.append((1 - canvas.image.mean(-1)) * (alpha <= 0.05))
    return shadows


def subject_kept(probe: Probe, triplets: Triplets) -> tuple[float, float]:
    """One subject and seed over many scenes: (share of its foregrounds named alike, mean overlap of their alphas)."""
    agreements, overlaps = [], []
    for subject in sorted({(case.obj, case.seed) for case in triplets.cases}):
        alike = triplets.where(lambda case, subject=subject: (case.obj, case.seed) == subject)  # type: ignore[misc]
        names = Counter(name for name, _ in probe.name(alike.on_grey))
        agreements.append(names.most_common(1)[0][1] / len(alike.cases))
        overlaps.append(mean_overlap(alike.foreground[..., 3]))
    return float(np.mean(agreements)), float(np.mean(overlaps))


@torch.no_grad()
def alpha_errors(pipe: LayerFusionPipeline, world: World, passes: int = 8) -> tuple[float, float]:
    """Mean absolute error of alpha after encoding and decoding real RGBA: (over all objects, over see-through ones)."""
    assert pipe.transparent_encoder is not None
    errors: dict[bool, list[float]] = {True: [], False: []}
    for spec in world.objects:
        # The see-through ones are few and vary: the mean over three of each.
        samples = [
            world.render("foreground", obj=spec.key, seed=FRESH + k) for k in range(3 if spec.see_through else 1)
        ]
        pictures = np.stack([sample.foreground for sample in samples if sample.foreground is not None])
        rgba = torch.from_numpy(pictures).movedim(-1, 1).float() / 255
        latents = encode_transparent(pipe.vae, pipe.transparent_encoder, rgba)
        decoded = decode_transparency(
            pipe.vae, pipe.transparent_decoder, decode_picture(pipe.vae, latents), latents, passes
        )
        errors[spec.see_through].append(float((decoded - rgba)[:, 3:].abs().mean()))
    return float(np.mean(errors[True] + errors[False])), float(np.mean(errors[True]))


@torch.no_grad()
def autoencoder_psnr(pipe: LayerFusionPipeline, world: World, count: int = 24) -> float:
    """Mean PSNR in dB of fresh composites that went through the autoencoder."""
    values = []
    for k in range(count):
        picture = torch.from_numpy(world.sample(FRESH + k, "composite").picture).movedim(-1, 0)[None].float() / 255
        again = pipe.vae.decode(pipe.vae.encode(2 * picture - 1).latent_dist.mean).sample / 2 + 0.5
        values.append(-10 * np.log10(float((again.clamp(0, 1) - picture).square().mean())))
    return float(np.mean(values))


UNHEARD_OF = ("gryphon", "submarine", "volcano", "ballroom", "gryphons")


def words_told_apart(vocabulary: Vocabulary | None, world: World) -> float:
    """How often the model's vocabulary is right about a word: names of the world known, others not. 0 without one."""
    if vocabulary is None:
        return 0.0
    names = [*(spec.key for spec in world.objects), *(spec.key for spec in world.scenes)]
    known = [not vocabulary.unknown_words(name) for name in names]
    return float(np.mean(known + [word in vocabulary.unknown_words(f"a {word}") for word in UNHEARD_OF]))


OWN = "the model's own"
"""The row of the settings that the model is saved with."""


def ablations() -> list[tuple[str, LayerFusionConfig | None]]:
    """No blending, every mask of the paper's Fig. 8c at its boundary of 10, and what the model is saved with."""
    rows = [(f"{mask}, d = 10", LayerFusionConfig(mask=mask)) for mask in get_args(Mask)[::-1]]
    return [("independent", INDEPENDENT), *rows, (OWN, None)]
