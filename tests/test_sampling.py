import pytest
import torch

from layerfusion import LayerFusionError
from layerfusion.method import StreamLayout
from layerfusion.sampling import initial_latents

SHAPE = (4, 8, 8)
CPU = torch.device("cpu")


def noise(layout, generator, latents=None, share=True):
    return initial_latents(layout, SHAPE, torch.float32, CPU, generator, latents, share)


def test_one_draw_is_shared_and_later_draws_agree():
    layout = StreamLayout(batch=2, guidance=True)
    latents, generators = noise(layout, torch.Generator().manual_seed(3))
    expected = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    assert all(torch.equal(stream, expected) for stream in latents)
    later = [torch.randn(5, generator=generator) for generator in generators]
    assert torch.equal(later[0], later[1]) and torch.equal(later[0], later[2])


def test_separate_draws_differ_and_come_from_one_generator():
    layout = StreamLayout(batch=1, guidance=False)
    latents, generators = noise(layout, torch.Generator().manual_seed(3), share=False)
    assert not torch.equal(latents[0], latents[1]) and not torch.equal(latents[1], latents[2])
    assert generators[0] is generators[1] is generators[2]


def test_a_list_of_generators_makes_each_triplet_its_own():
    layout = StreamLayout(batch=3, guidance=True)
    latents, _ = noise(layout, [torch.Generator().manual_seed(seed) for seed in (5, 6, 7)])
    single, _ = noise(StreamLayout(batch=1, guidance=True), torch.Generator().manual_seed(6))
    assert torch.equal(latents[:, 1:2], single)


def test_the_callers_generator_moves_on():
    generator = torch.Generator().manual_seed(0)
    _, generators = noise(StreamLayout(batch=1, guidance=True), generator)
    assert generators[0] is generator and generators[1] is not generator


def test_given_noise_is_checked():
    layout = StreamLayout(batch=2, guidance=True)
    given = torch.randn(3, 2, *SHAPE)
    assert torch.equal(noise(layout, None, given)[0], given)
    assert torch.equal(noise(layout, None, given[0])[0], given[0].expand(3, *given[0].shape))
    with pytest.raises(LayerFusionError, match="latents have the shape"):
        noise(layout, None, given[:2])
    with pytest.raises(LayerFusionError, match="1 generators for 2 triplets"):
        noise(layout, [torch.Generator()])
