"""Held streams: what is held, for how long, and where a given picture's pixels come back."""

import diffusers
import pytest
import torch
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.given import Given
from layerfusion.held import Held, Holds
from tests.tiny import tiny_scheduler

# What diffusers itself lists as fit for one another; those that sample from the other end of a distillation; SA-Solver.
# DPMSolverSDE needs torchsde, and EDMEuler speaks of another noise.
SCHEDULERS = sorted(
    {member.name.removesuffix("Scheduler") for member in KarrasDiffusionSchedulers} - {"DPMSolverSDE"}
    | {"LCM", "TCD", "SASolver", "DDIMParallel", "DDPMParallel"}
)


def holds(until, seed=0):
    generator = torch.Generator().manual_seed(seed)
    latents, noise = (torch.randn(1, 2, 4, 4, 4, generator=generator) for _ in range(2))
    return Holds(latents, noise, torch.full((1, 2, 1, 4, 4), until))


def started(kind, steps=6, first=0):
    scheduler = getattr(diffusers, f"{kind}Scheduler").from_config(tiny_scheduler().config)
    scheduler.set_timesteps(steps)
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return scheduler


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_held_latent_is_the_picture_noised_to_the_step(kind):
    """At every step of every scheduler; from clean latents back: (z_t − a·z) / s is the one fixed draw."""
    scheduler, held = started(kind), holds(1.0)
    latents = torch.zeros_like(held.latents)
    levels = []
    for i, t in enumerate(scheduler.timesteps):
        latents = held.at(latents, [scheduler], t, i / len(scheduler.timesteps))
        # The same a and s everywhere: three unknown numbers would not fit 128 values by accident.
        columns = torch.stack([held.latents.flatten(), held.noise.flatten()], 1)
        solution = torch.linalg.lstsq(columns, latents.flatten()[:, None]).solution
        torch.testing.assert_close((columns @ solution)[:, 0], latents.flatten(), atol=1e-4, rtol=1e-4)
        levels.append(float(solution[1] / solution[0]))
        model_input = scheduler.scale_model_input(latents[0], t)
        latents = scheduler.step(torch.zeros_like(model_input), t, latents[0], return_dict=False)[0][None]
    assert levels == pytest.approx(sorted(levels, reverse=True)) and levels[0] > 5 > levels[-1]
    assert torch.equal(held.finished(latents), held.latents)


def test_what_is_not_held_is_left_alone():
    scheduler, latents = started("EulerDiscrete"), torch.randn(1, 2, 4, 4, 4)
    free = holds(0.0)
    assert torch.equal(free.at(latents, [scheduler], scheduler.timesteps[0], 0.0), latents)
    assert torch.equal(free.finished(latents), latents)


def test_a_place_is_let_go_at_its_time():
    scheduler, held = started("EulerDiscrete"), holds(0.0)
    held.until[..., 1], held.until[..., 2], held.until[..., 3] = 0.4, 0.8, 1.0
    start = torch.full_like(held.latents, 99.0)
    for progress, columns in ((0.0, [1, 2, 3]), (0.39, [1, 2, 3]), (0.4, [2, 3]), (0.8, [3]), (0.99, [3])):
        changed = (held.at(start, [scheduler], scheduler.timesteps[0], progress) != 99).all(dim=(0, 1, 2, 3))
        assert changed.nonzero()[:, 0].tolist() == columns
    assert torch.equal(held.finished(start)[..., :3], start[..., :3])


@given(st.floats(0, 1), st.integers(1, 40), st.sampled_from([1, 2]))
def test_no_step_is_skipped_in_which_anything_is_free(until, pairs, order):
    steps = pairs * order
    first = holds(until).first_step(steps, order)
    assert 0 <= first < steps and first % order == 0
    # Before it all is held; and nothing is taken twice: the next whole step would be free.
    assert all(until > i / steps for i in range(first))
    assert until == 1 or first + order > until * steps - 1e-9 or first == steps - order


def test_only_what_every_triplet_is_given_is_not_decoded():
    photo = torch.rand(3, 6, 5)
    some, all_ = (Given.of(None, pictures, None, None, None) for pictures in ([photo, None], [photo, photo]))
    assert Held(some, (8, 8), torch.zeros(2, 1, 8, 8)).whole(torch.device("cpu")) == {}
    whole = Held(all_, (8, 8), torch.zeros(2, 1, 8, 8)).whole(torch.device("cpu"))
    assert list(whole) == ["background"] and torch.equal(whole["background"][1, :, :6, :5], photo)
