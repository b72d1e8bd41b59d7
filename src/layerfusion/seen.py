"""Where a subject is in a given picture, as the generative priors of the foreground model see it (Sec. 3.2)."""

import copy
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import interpolate

from layerfusion.latents import encode_picture
from layerfusion.method import UNetPass
from layerfusion.method.blending import soft_mask
from layerfusion.method.detail import subject_mask
from layerfusion.method.priors import resize_to_tokens
from layerfusion.sampling import Sampler

TIMES = (0.3, 0.5, 0.7)
"""Parts of the run whose noise the picture is seen through: at little noise priors see detail, at much the whole."""


@torch.no_grad()
def seen_subject(run: Sampler, vae: AutoencoderKL, scheduler: Any, pictures: Tensor) -> Tensor:
    """A rough mask of each triplet's subject in its picture.

    The picture is noised to a few levels and shown to ε_FG with the foreground's prompt; s' · c of all its attentions,
    each min–max scaled, are averaged and parted in two (`method.detail.subject_mask`).

    Args:
        run: A prepared run of one foreground; its noise and conditions are used, its state is left alone.
        vae, scheduler: The pipeline's.
        pictures: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 1, H, W), 0 or 1, on the CPU.
    """
    layout, joint, noise = run.layout, run.joint, run.noise[0]
    clean = encode_picture(vae, pictures.to(noise.device)).to(noise)
    alone = run.conditions.rows(layout.conditional_foregrounds)
    size = (noise.shape[-2], noise.shape[-1])
    masks = []
    with joint.installed():
        for part in TIMES:
            t = run.timesteps[min(int(part * len(run.timesteps)), len(run.timesteps) - 1)]
            own = copy.deepcopy(scheduler)
            noised = own.scale_model_input(own.add_noise(clean, noise, t.expand(len(clean))), t)
            prior_pass = UNetPass(layout.prior_pass(), size, alone.eos, pictured=alone.pictured)
            priors = joint.observe_priors(prior_pass, noised.to(noise.dtype), t, **run.arguments(alone, []))
            structure = next(p for p in priors if p.layer == joint.structure_layer).structure(joint.structure_sign)
            for prior in priors:
                content = prior.content.flatten(1)
                masks.append(soft_mask(resize_to_tokens(structure, size, content.shape[1]), content)[None])
    found = interpolate(subject_mask(masks, size)[0][:, None], pictures.shape[-2:], mode="bilinear")
    return (found > 0.5).float().cpu()
