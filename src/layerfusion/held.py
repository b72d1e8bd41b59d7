"""Held streams: a stream is generated, or held to a given picture, place by place and for a part of the run.

A held place's latent is set before every step to the given picture's, noised to the step's level with the triplet's own
draw; for how long is a map (Levin and Fried, Differential Diffusion). What is held for the first part of a run and then
let go is the picture noised part-way and generated from there (SDEdit).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.schedulers import SchedulerMixin
from torch import Tensor

from layerfusion.decoding import decode_picture
from layerfusion.given import Given, pad_to
from layerfusion.latents import encode_cutout, encode_in_scene, encode_picture
from layerfusion.matting import matte
from layerfusion.method import BACKGROUND, BLENDED, foreground_names
from layerfusion.method.detail import SceneSubject
from layerfusion.placing import Places
from layerfusion.regions import FEATHER, REACH, SEEN, dilate, erode, reach
from layerfusion.relighting import composite_rgba
from layerfusion.transparency import TransparentEncoder, settle_alpha

INNER = 0.025  # from the outside of a rough mask, in heights, from where on it is believed
STRENGTH = 0.7  # how much of the run a re-blended picture is made anew, where it is not said
STEADY = 0.4  # part of the run in which a blended picture follows the inside of a given foreground
INSIDE, BORDER = 0.8, 0.4  # part of the run in which a cut-out follows a picture, inside a rough mask and at its border


@dataclass(frozen=True)
class Holds:
    """What a sampler holds its streams to.

    Attributes:
        latents: (S, B, 4, h, w), the encoded pictures.
        noise: (S, B, 4, h, w) of unit variance, the triplets' own draw.
        until: (S, B, 1, h, w), the part of the run in which a place is held: 0 never, 1 to the end.
        hidden: (B, h, w) bool, where the background may not attend to the blended stream: to a subject that is to go.
    """

    latents: Tensor
    noise: Tensor
    until: Tensor
    hidden: Tensor | None = None

    @cached_property
    def whole(self) -> Tensor:
        """(S, B) bool: which streams are held everywhere and to the end, so that nobody needs their prediction."""
        return (self.until >= 1).flatten(2).all(-1)

    def first_step(self, steps: int, order: int = 1) -> int:
        """The first step at which anything is free; the steps before it need not be taken."""
        first = min(int(float(self.until.min()) * steps), steps - order)
        return first - first % order

    def at(self, latents: Tensor, schedulers: Sequence[SchedulerMixin], timestep: Tensor, progress: float) -> Tensor:
        """The latents (S, B, 4, h, w) with every place that is held at `progress` (0 ≤ i/n < 1) set."""
        times = timestep.expand(latents.shape[1])
        noised = [
            scheduler.add_noise(z, noise, times)
            for scheduler, z, noise in zip(schedulers, self.latents, self.noise, strict=True)
        ]
        return torch.where(self.until > progress, torch.stack(noised).to(latents.dtype), latents)

    def finished(self, latents: Tensor) -> Tensor:
        """The clean latents, with those that were held to the end as they were given."""
        return torch.where(self.until >= 1, self.latents, latents)


@dataclass(frozen=True)
class Held:
    """The given pictures of B triplets, and where the subject reaches in each.

    Attributes:
        given: B pictures of each kind, at their own size.
        size: (height, width) of the run, which that size is padded to.
        alpha: (B, 1, height, width), where the subjects are, or may be, in the scene; on the CPU, as the pictures.
        places: Where the foregrounds stand; None where each fills the scene.
    """

    given: Given
    size: tuple[int, int]
    alpha: Tensor
    places: Places | None = None

    def holds(
        self, vae: AutoencoderKL, encoder: TransparentEncoder | None, noise: Tensor, names: tuple[str, ...]
    ) -> Holds:
        """Encode the pictures.

        Args:
            vae, encoder: The model's; the encoder may be None where no foreground is held.
            noise: (S, B, 4, h, w) of unit variance.
            names: Of the S streams.
        """
        plans = [self._plan(index) for index in range(self.given.count)]
        latents, until = torch.zeros_like(noise), torch.zeros_like(noise[:, :, :1])
        for s, name in enumerate(names):
            for b, plan in enumerate(plans):
                if name not in plan:
                    continue
                picture, hold = (x[None].to(noise.device) for x in plan[name])
                if name not in (BLENDED, BACKGROUND):
                    assert encoder is not None  # `Given.check` has seen to it
                    encoded = encode_cutout(vae, encoder, picture)
                else:
                    encoded = encode_picture(vae, picture)
                latents[s, b] = encoded[0].to(latents.dtype)
                until[s, b] = F.interpolate(hold, noise.shape[-2:], mode="area")[0].to(until.dtype)
        # A background that is completed where a subject was.
        removed = [p is not None and g is None for p, g in zip(self.given.blended, self.given.background, strict=True)]
        hidden = None
        if any(removed):
            near = F.adaptive_max_pool2d(reach(self.alpha), noise.shape[-2:])[:, 0] > 0
            hidden = (near & torch.tensor(removed).view(-1, 1, 1)).to(noise.device)
        return Holds(latents, noise, until, hidden)

    def _plan(self, index: int) -> dict[str, tuple[Tensor, Tensor]]:
        """For each stream of one triplet that is held, its picture (C, H, W) and for how long (1, H, W)."""
        background, blended, mask = (
            None if picture is None else pad_to(picture[None], self.size)[0]
            for picture in (getattr(self.given, name)[index] for name in ("background", "blended", "mask"))
        )
        foreground = self.scene(index) if self.given.all_cut(index) else None
        alpha = self.alpha[index : index + 1]
        near = reach(alpha)[0]
        always = torch.ones_like(near)
        plan: dict[str, tuple[Tensor, Tensor]] = {}
        names = foreground_names(len(self.given.cutouts))
        for name, stream in zip(names, self.given.cutouts, strict=True):
            if (cutout := stream[index]) is not None:
                plan[name] = (pad_to(cutout[None], self.size)[0], always)
        if background is not None:
            plan[BACKGROUND] = (background, always)
        if blended is not None:
            plan[BLENDED] = (blended, always)
            if background is None:
                plan[BACKGROUND] = (blended, 1 - near)
            if foreground is None:
                cutout = torch.cat([blended, alpha[0]])
                solid = erode(alpha > 0.5, REACH / 2)[0].float()
                plan[names[0]] = (cutout, torch.maximum(1 - near, BORDER + (INSIDE - BORDER) * solid))
        elif foreground is not None and background is not None:
            rgb, a = foreground.split([3, 1])
            kept = 1 - (STRENGTH if self.given.strength is None else self.given.strength)
            plan[BLENDED] = (rgb * a + background * (1 - a), (1 - near).clamp(min=kept))
        elif background is not None:
            plan[BLENDED] = (background, 1 - near)
            if mask is not None:
                plan[names[0]] = (torch.zeros(4, *self.size), 1 - near)
        elif foreground is not None:
            rgb, a = foreground.split([3, 1])
            plan[BLENDED] = (0.5 + (rgb - 0.5) * a, STEADY * erode(alpha > 0.9, FEATHER)[0].float())
        return plan

    def scene(self, index: int) -> Tensor:
        """The cut-outs of one triplet, each in its place and one over the other: (4, *size)."""
        in_scene = []
        for number, stream in enumerate(self.given.cutouts):
            cutout = stream[index]
            assert cutout is not None
            frame = pad_to(cutout[None], self.size)
            in_scene.append(frame if self.places is None else self.places.of(index).rgba_to_scene(number, frame))
        return composite_rgba(in_scene)[0]

    def in_scene(self, vae: AutoencoderKL, device: torch.device) -> dict[int, SceneSubject]:
        """Each foreground that is given, of any triplet, as it stands in the scene."""
        found = {}
        for number, stream in enumerate(self.given.cutouts):
            known = torch.tensor([cutout is not None for cutout in stream])
            if not known.any():
                continue
            nothing = torch.zeros(4, *self.size)
            frames = torch.cat([pad_to((nothing if one is None else one)[None], self.size) for one in stream])
            scene = frames if self.places is None else self.places.rgba_to_scene(number, frames)
            found[number] = encode_in_scene(vae, scene.to(device), known.to(device))
        return found

    def cutouts(self, device: torch.device) -> list[Tensor | None]:
        """For each foreground stream, the cut-outs (B, 4, height, width) if all B triplets are given one."""
        return [
            pad_to(torch.stack([one for one in stream if one is not None]), self.size).to(device)
            if all(one is not None for one in stream)
            else None
            for stream in self.given.cutouts
        ]

    def whole(self, device: torch.device) -> dict[str, Tensor]:
        """By stream, the pictures (B, C, height, width) that all B triplets are given."""
        given = {name: getattr(self.given, name) for name in (BACKGROUND, BLENDED)}
        return {
            name: pad_to(torch.stack(pictures), self.size).to(device)
            for name, pictures in given.items()
            if all(picture is not None for picture in pictures)
        }

    def own_pixels(self, alpha: Tensor) -> Tensor:
        """Where the blended picture shows the layers' own pixels, a layer being given or placed; of a photo, in reach.

        alpha: (B, 1, H, W) of the subjects in the scene, at the pictures' own size. Returns the same shape in [0, 1].
        """
        where = torch.zeros_like(alpha)
        height, width = alpha.shape[-2:]
        for b, (photo, picture) in enumerate(zip(self.given.background, self.given.blended, strict=True)):
            if picture is None and photo is not None:
                one = slice(b, b + 1)
                where[one] = torch.minimum(reach(alpha[one]), reach(self.alpha[one])[..., :height, :width].to(alpha))
            elif picture is None and (self.places is not None or self.given.all_cut(b)):
                where[b] = 1
        return where

    def given_back(
        self, frames: list[Tensor], pictures: dict[str, Tensor], vae: AutoencoderKL, background_latents: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The decoded pictures (B, C, H, W), with the given pixels in place of what the autoencoder made of them.

        `frames` are the foregrounds, `pictures` the background and the blended picture.

        A given picture comes back as it is. A blended picture is its background's own pixels out of the subject's
        reach; within it, what the autoencoder lost of the background is added again where the subject is not. The
        cut-out of a given blended picture takes the alpha that picture and background speak of (`matting.matte`).
        """
        frames = [frame.clone() for frame in frames]
        for frame, stream in zip(frames, self.given.cutouts, strict=True):
            for b, cutout in enumerate(stream):
                if cutout is not None:
                    frame[b] = pad_to(cutout[None], self.size)[0].to(frame)
        places = self.places
        in_scene = frames if places is None else [places.rgba_to_scene(k, frame) for k, frame in enumerate(frames)]
        alphas = composite_rgba(in_scene)[:, 3:]
        background, blended = (pictures[name].clone() for name in (BACKGROUND, BLENDED))
        for b in range(self.given.count):
            g, p = (
                None if picture is None else pad_to(picture[None], self.size)[0].to(background)
                for picture in (getattr(self.given, name)[b] for name in ("background", "blended"))
            )
            possible = reach(self.alpha[b : b + 1]).to(background)[0]
            near = torch.minimum(possible, reach(alphas[b : b + 1])[0])
            if g is not None:
                background[b] = g
                if p is None:
                    lost = g - decode_picture(vae, background_latents[b : b + 1])[0]
                    bare = 1 - dilate(alphas[b : b + 1], FEATHER / 2)[0]
                    blended[b] = (g + (blended[b] + lost * bare - g) * near).clamp(0, 1)
            elif p is not None:
                background[b] = p + (background[b] - p) * possible
            if p is not None:
                blended[b] = p
                if not self.given.all_cut(b):
                    frames[0][b] = self._cut_out(b, frames[0][b], p, background[b])
        height, width = self.given.size or self.size
        result = pictures | {BACKGROUND: background, BLENDED: blended}
        return (
            [frame[..., :height, :width] for frame in frames],
            {name: picture[..., :height, :width] for name, picture in result.items()},
        )

    def _cut_out(self, index: int, frame: Tensor, picture: Tensor, background: Tensor) -> Tensor:
        """The subject of a given picture, (4, H, W), from what was decoded; where alpha grew, the picture's colour."""
        mask = self.alpha[index : index + 1].to(frame)
        colour, alpha = frame.split([3, 1])
        found = matte(alpha[None], erode(mask > 0.5, INNER), mask > SEEN, picture[None], background[None])[0]
        seen = ((picture - (1 - found) * background) / found.clamp(min=SEEN)).clamp(0, 1)
        own = (alpha / found.clamp(min=1e-6)).clamp(0, 1)
        return settle_alpha(torch.cat([own * colour + (1 - own) * seen, found])[None])[0]
