"""Algorithm 3 inside a real UNet, against a transcription with two UNets, full probabilities and row by row."""

import copy

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0, PAGIdentitySelfAttnProcessor2_0, SlicedAttnProcessor
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from layerfusion import LayerFusionConfig, LayerFusionError
from layerfusion.method import (
    JointAttention,
    Observer,
    StreamLayout,
    UNetPass,
    resolve_structure_layer,
    self_attention_layers,
)
from layerfusion.method.blocks import transformer_blocks
from layerfusion.method.sharing import attend_to_both
from layerfusion.method.streams import BACKGROUND, BLENDED
from tests.tiny import TEXT_WIDTHS, tiny_foreground, tiny_unet

SIZE = (8, 16)
EOS = 3


def unet_inputs(rows: int, seed: int = 0) -> tuple[Tensor, dict]:
    generator = torch.Generator().manual_seed(seed)
    sample = torch.randn(rows, 4, *SIZE, generator=generator)
    return sample, {
        "encoder_hidden_states": torch.randn(rows, 7, sum(TEXT_WIDTHS), generator=generator),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(rows, TEXT_WIDTHS[1], generator=generator),
            "time_ids": torch.full((rows, 6), 64.0),
        },
    }


def merged(unet, offsets):
    """ε_FG as a UNet of its own."""
    unet = copy.deepcopy(unet)
    offsets.merge_into(unet)
    return unet


# --- the transcription ------------------------------------------------------------------------------------------------


def normalize(x: Tensor) -> Tensor:
    return (x - x.min()) / (x.max() - x.min())


def probabilities(attn, query_states: Tensor, key_states: Tensor) -> Tensor:
    """(heads, M, T) of one row."""
    q, k = (
        linear(x).unflatten(-1, (attn.heads, -1)).transpose(0, 1)
        for linear, x in ((attn.to_q, query_states), (attn.to_k, key_states))
    )
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)


def attention(attn, query_states: Tensor, key_states: Tensor) -> Tensor:
    value = attn.to_v(key_states).unflatten(-1, (attn.heads, -1)).transpose(0, 1)
    attended = probabilities(attn, query_states, key_states) @ value
    return attn.to_out[0](attended.transpose(0, 1).flatten(1))


class NaiveBlending:
    """Runs ε_FG and ε as two UNets' attentions side by side in one batch of rows, each row on its own.

    Rows: foreground, blended, background; each unconditional then conditional; one triplet.
    """

    def __init__(self, fg_block, block, structure: Tensor, config: LayerFusionConfig, cross: bool):
        self.fg_block, self.block, self.structure, self.config, self.cross = fg_block, block, structure, config, cross

    def see_block_inputs(self, module, args, kwargs):
        self.raw, self.prompts = args[0], kwargs["encoder_hidden_states"]

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        h = dict(zip(("fg0", "fg1", "bl0", "bl1", "bg0", "bg1"), hidden_states, strict=True))
        out = {}
        fg_attn = self.fg_block.attn2 if self.cross else self.fg_block.attn1
        if self.cross:
            prompts = dict(zip(h, encoder_hidden_states, strict=True))
            for name in h:
                out[name] = attention(fg_attn if name.startswith("fg") else attn, h[name], prompts[name])
            n = probabilities(fg_attn, h["fg1"], prompts["fg1"])
        else:
            for half in "01":
                out[f"fg{half}"] = attention(fg_attn, h[f"fg{half}"], h[f"fg{half}"])
                both = torch.cat([h[f"bg{half}"], h[f"bl{half}"]])
                tokens = len(both) // 2
                joint = attention(attn, both, both)
                out[f"bg{half}"], out[f"bl{half}"] = joint[:tokens], joint[tokens:]
            n = probabilities(self.fg_block.attn2, self.fg_block.norm2(self.raw[1]), self.prompts[1])
        c = n.mean(dim=0)[:, EOS]
        rows, columns = SIZE if len(c) == 128 else (SIZE[0] // 2, SIZE[1] // 2)
        if len(c) == 8:
            rows, columns = SIZE[0] // 4, SIZE[1] // 4
        s = nn.functional.interpolate(self.structure[None, None], (rows, columns), mode="bilinear")[0, 0].flatten()
        low, high = (torch.quantile(s * c, q) for q in self.config.mask_range)
        mask_soft = ((s * c - low) / (high - low)).clamp(0, 1)
        mask_hard = 1 / (1 + torch.exp(-self.config.boundary * (mask_soft - 0.5)))
        for half in "01":
            a_fg, a_bl = out[f"fg{half}"], out[f"bl{half}"]
            means = [sum(m * row for m, row in zip(mask_soft, a, strict=True)) / mask_soft.sum() for a in (a_fg, a_bl)]
            a_fg = a_fg + self.config.align * (means[1] - means[0])
            new_bl = a_fg * mask_soft[:, None] + a_bl * (1 - mask_soft[:, None])
            new_fg = new_bl * mask_hard[:, None] + a_fg * (1 - mask_hard[:, None])
            out[f"fg{half}"], out[f"bl{half}"] = new_fg, new_bl
        return torch.stack([out[name] for name in h])


def naive_structure(fg_unet, sample: Tensor, timestep: Tensor, conditions: dict) -> Tensor:
    """s' from the last self-attention of a full run of ε_FG, by hooks on its queries' and keys' inputs."""
    _, block = transformer_blocks(fg_unet)[-1]
    seen = []
    hook = block.norm1.register_forward_hook(lambda module, args, output: seen.append(output))
    fg_unet(sample, timestep, **conditions)
    hook.remove()
    m = probabilities(block.attn1, seen[0][0], seen[0][0]).mean(dim=0)
    s = 1 / m.square().sum(dim=-1)
    return (1 - normalize(s)).unflatten(0, (SIZE[0] // 2, SIZE[1] // 2))


def naive_joint(unet, fg_unet, structure: Tensor, sample: Tensor, timestep, conditions, config) -> Tensor:
    unet = copy.deepcopy(unet)
    processors = {}
    for (path, block), (_, fg_block) in zip(transformer_blocks(unet), transformer_blocks(fg_unet), strict=True):
        own = NaiveBlending(fg_block, block, structure, config, cross=False)
        block.register_forward_pre_hook(
            lambda module, args, kwargs, own=own: (
                (
                    setattr(own, "raw", args[0]),
                    setattr(own, "prompts", kwargs["encoder_hidden_states"]),
                )[2:]
                or None
            ),
            with_kwargs=True,
        )
        processors[f"{path}.attn1.processor"] = own
        processors[f"{path}.attn2.processor"] = NaiveBlending(fg_block, block, structure, config, cross=True)
    unet.set_attn_processor(processors)
    return unet(sample, timestep, **conditions).sample


# --- ours against it --------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(
    "config",
    [
        LayerFusionConfig(boundary=1.0),
        LayerFusionConfig.paper(),
        LayerFusionConfig(mask_range=(0.1, 0.8)),
        LayerFusionConfig(mask_range=(0.05, 0.9), align=0.5),
    ],
)
def test_joint_pass_equals_the_transcription(tiny, tiny_offsets, config):
    unet, fg_unet = tiny["unet"], merged(tiny["unet"], tiny_offsets)
    layout = StreamLayout(batch=1, guidance=True)
    sample, conditions = unet_inputs(layout.rows)
    timestep, eos = torch.tensor(500), torch.tensor([EOS])
    foreground = slice(1, 2)  # the conditional half of the first stream
    fg_conditions = {
        "encoder_hidden_states": conditions["encoder_hidden_states"][foreground],
        "added_cond_kwargs": {k: v[foreground] for k, v in conditions["added_cond_kwargs"].items()},
    }
    structure = naive_structure(fg_unet, sample[foreground], timestep, fg_conditions)
    expected = naive_joint(unet, fg_unet, structure, sample, timestep, conditions, config)

    joint = JointAttention(unet, tiny_offsets, config, resolve_structure_layer(unet, None), 1)
    with joint.installed():
        alone = StreamLayout(batch=1, guidance=False, plain=())
        joint.take_prior(UNetPass(alone, SIZE, eos, take_structure=True), sample[foreground], timestep, **fg_conditions)
        torch.testing.assert_close(joint.structure[0], structure, atol=1e-4, rtol=0)
        step = UNetPass(layout, SIZE, eos, blend=True, structure=joint.structure)
        result = joint.predict(step, sample, timestep, **conditions)
    plain = unet(sample, timestep, **conditions).sample
    assert (plain - expected).abs().max() > 0.1, "the blending must be visible for the comparison to mean something"
    # Rounding differs from processor to processor, and masks of random weights enlarge it: 4e-4 was seen.
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def predict(unet, offsets, config, layout, sample, conditions, structure=None, observer=None):
    joint = JointAttention(unet, offsets, config, resolve_structure_layer(unet, None), 1)
    eos = torch.full((len(layout.foregrounds) * layout.batch,), EOS)
    step = UNetPass(layout, SIZE, eos, blend=config.blend, structure=structure, observer=observer)
    with joint.installed():
        return joint.predict(step, sample, torch.tensor(300), **conditions)


@pytest.mark.parametrize("fused", [False, True])
def test_switched_off_every_row_is_its_own_model(tiny, tiny_offsets, fused):
    unet, layout = tiny["unet"], StreamLayout(batch=2, guidance=True)
    sample, conditions = unet_inputs(layout.rows)
    if fused:
        tiny_offsets.fuse(unet)
    config = LayerFusionConfig(blend=False, share_attention=False)
    result = predict(unet, tiny_offsets, config, layout, sample, conditions)
    tiny_offsets.unfuse()
    n = layout.foreground_rows
    with torch.no_grad():
        plain = unet(sample, torch.tensor(300), **conditions).sample
        foreground = merged(unet, tiny_offsets)(sample, torch.tensor(300), **conditions).sample
    torch.testing.assert_close(result[n:], plain[n:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(result[:n], foreground[:n], atol=1e-4, rtol=1e-4)
    assert (plain - foreground).abs().max() > 0.1


@given(batch=st.integers(1, 3), guidance=st.booleans(), mask=st.sampled_from(["combined", "self", "cross"]))
@settings(max_examples=8)
def test_a_triplet_is_the_same_in_any_batch(tiny, tiny_offsets, batch, guidance, mask):
    layout = StreamLayout(batch, guidance)
    sample, conditions = unet_inputs(layout.rows)
    structure = torch.rand(batch, *SIZE, generator=torch.Generator().manual_seed(1))
    config = LayerFusionConfig(mask=mask)
    whole = predict(tiny["unet"], tiny_offsets, config, layout, sample, conditions, structure)
    alone_layout = StreamLayout(1, guidance)
    last = [i for i in range(layout.rows) if i % batch == batch - 1]
    alone_conditions = {
        "encoder_hidden_states": conditions["encoder_hidden_states"][last],
        "added_cond_kwargs": {k: v[last] for k, v in conditions["added_cond_kwargs"].items()},
    }
    alone = predict(tiny["unet"], tiny_offsets, config, alone_layout, sample[last], alone_conditions, structure[-1:])
    torch.testing.assert_close(whole[last], alone, atol=1e-4, rtol=1e-4)


def test_the_background_is_left_to_itself_and_the_blended_stream(tiny, tiny_offsets):
    """a_BG leaves unchanged: without sharing, the background stream is plain SDXL whatever the foreground does."""
    layout = StreamLayout(batch=1, guidance=True)
    sample, conditions = unet_inputs(layout.rows)
    structure = torch.rand(1, *SIZE)
    on = predict(
        tiny["unet"], tiny_offsets, LayerFusionConfig(share_attention=False), layout, sample, conditions, structure
    )
    off = predict(
        tiny["unet"], tiny_offsets, LayerFusionConfig(share_attention=False, blend=False), layout, sample, conditions
    )
    background = [-2, -1]
    torch.testing.assert_close(on[background], off[background])
    assert (on[:4] - off[:4]).abs().max() > 0.05


def test_the_ablations_use_the_masks_they_name(tiny, tiny_offsets):
    layout = StreamLayout(batch=1, guidance=False)
    sample, conditions = unet_inputs(layout.rows)
    structure = torch.rand(1, *SIZE)
    for mask in ("combined", "self", "cross"):
        observer = Observer()
        given_structure = None if mask == "cross" else structure
        predict(
            tiny["unet"],
            tiny_offsets,
            LayerFusionConfig(mask=mask),
            layout,
            sample,
            conditions,
            given_structure,
            observer,
        )
        assert [m.layer for m in observer.maps] == [
            f"{path}.{name}" for path, _ in transformer_blocks(tiny["unet"]) for name in ("attn1", "attn2")
        ]
        for m in observer.maps:
            assert m.soft.shape[:2] == (1, 1) and m.soft.shape[2] * 2 == m.soft.shape[3]
            assert (m.structure == 1).all() == (mask == "cross")
            assert (m.content == 1).all() == (mask == "self")
            assert m.soft.min() == 0 and m.soft.max() == 1


def test_equation_2_and_layers_can_be_switched(tiny, tiny_offsets):
    layout = StreamLayout(batch=1, guidance=False)
    sample, conditions = unet_inputs(layout.rows)
    structure = torch.rand(1, *SIZE)

    def run(**switches):
        config = LayerFusionConfig(share_attention=False, **switches)
        return predict(tiny["unet"], tiny_offsets, config, layout, sample, conditions, structure)

    off, one_way, both = run(blend=False), run(update_foreground=False), run()
    torch.testing.assert_close(one_way[0], off[0])  # the foreground does not hear of the others
    assert (one_way[1] - off[1]).abs().max() > 0.05 and (both[0] - off[0]).abs().max() > 0.05
    torch.testing.assert_close(run(blocks=("nowhere.*",)), off)
    some = run(blocks=("mid_block.*",))
    assert not torch.allclose(some, off, atol=1e-3) and not torch.allclose(some, both, atol=1e-3)


def test_several_foregrounds_are_laid_from_far_to_near(tiny, tiny_offsets):
    """The order of the streams is data: two foregrounds run through the same code, and each gets masks of its own."""
    layout = StreamLayout(batch=1, guidance=True, foregrounds=("far", "near"))
    sample, conditions = unet_inputs(layout.rows)
    near_only = torch.zeros(2, *SIZE)
    near_only[1, :, 8:] = 1
    observer = Observer()
    config = LayerFusionConfig(share_attention=False)
    result = predict(tiny["unet"], tiny_offsets, config, layout, sample, conditions, near_only, observer)
    assert observer.maps[0].soft.shape[:2] == (2, 1)
    assert (observer.maps[0].soft[0] == 0).all() and observer.maps[0].soft[1].max() == 1
    # A foreground whose mask is zero blends nothing in, so it may as well not be there.
    single = StreamLayout(batch=1, guidance=True, foregrounds=("near",))
    rows = slice(2, None)
    alone = predict(
        tiny["unet"],
        tiny_offsets,
        config,
        single,
        sample[rows],
        {
            "encoder_hidden_states": conditions["encoder_hidden_states"][rows],
            "added_cond_kwargs": {k: v[rows] for k, v in conditions["added_cond_kwargs"].items()},
        },
        near_only[1:],
    )
    torch.testing.assert_close(result[rows], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_finite_blends(tiny, dtype):
    unet = copy.deepcopy(tiny["unet"]).to(dtype)
    offsets = tiny_foreground(unet, scale=0.5).to(dtype)
    layout = StreamLayout(batch=1, guidance=True)
    sample, conditions = unet_inputs(layout.rows)
    conditions = {
        "encoder_hidden_states": conditions["encoder_hidden_states"].to(dtype),
        "added_cond_kwargs": {k: v.to(dtype) for k, v in conditions["added_cond_kwargs"].items()},
    }
    result = predict(unet, offsets, LayerFusionConfig(), layout, sample.to(dtype), conditions, torch.rand(1, *SIZE))
    assert result.dtype == dtype and result.isfinite().all()


def test_the_unet_is_left_as_it_was_found_also_after_an_exception(tiny, tiny_offsets):
    unet = tiny["unet"]
    processors = dict(unet.attn_processors)
    joint = JointAttention(unet, tiny_offsets, LayerFusionConfig(), resolve_structure_layer(unet, None), 1)
    with pytest.raises(ZeroDivisionError), joint.installed():
        assert dict(unet.attn_processors) != processors
        raise ZeroDivisionError
    assert dict(unet.attn_processors) == processors
    assert not any(module._forward_pre_hooks for module in unet.modules())
    with pytest.raises(LayerFusionError, match=r"take steps within `joint\.installed\(\)`"):
        sample, conditions = unet_inputs(6)
        joint.predict(
            UNetPass(StreamLayout(batch=1, guidance=True), SIZE, torch.tensor([EOS])),
            sample,
            torch.tensor(500),
            **conditions,
        )


def test_a_unet_in_use_says_so(tiny, tiny_offsets):
    unet = tiny["unet"]
    first, second = (
        JointAttention(unet, tiny_offsets, LayerFusionConfig(), resolve_structure_layer(unet, None), 1) for _ in "ab"
    )
    with first.installed():
        processors = dict(unet.attn_processors)
        with pytest.raises(LayerFusionError, match="in use by another run"), second.installed():
            pass
        assert dict(unet.attn_processors) == processors


def test_processors_that_would_not_be_honoured_are_refused():
    unet = tiny_unet()
    joint = JointAttention(unet, tiny_foreground(unet), LayerFusionConfig(), resolve_structure_layer(unet, None), 1)
    unet.set_attn_processor(SlicedAttnProcessor(1))  # plain attention, in slices
    with joint.installed():
        assert "StreamProcessor" in repr(next(iter(unet.attn_processors.values())))
    unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1").set_processor(
        PAGIdentitySelfAttnProcessor2_0()
    )
    sentence = r"mid_block.*attn1\.processor is a PAGIdentity\w+, whose .*set_attn_processor\(AttnProcessor2_0\(\)\)\.$"
    with pytest.raises(LayerFusionError, match=sentence), joint.installed():
        pass
    unet.set_attn_processor(AttnProcessor2_0())
    with joint.installed():
        pass


def test_a_compiled_unet_gives_the_same(tiny, tiny_offsets):
    """`torch.compile(unet)` wraps the UNet, which gives its modules other paths; compiling itself takes a minute."""
    layout = StreamLayout(batch=1, guidance=True)
    sample, conditions = unet_inputs(layout.rows)
    structure = torch.rand(1, *SIZE)
    with torch.compiler.set_stance("force_eager"):
        results = [
            predict(unet, tiny_offsets, LayerFusionConfig(), layout, sample, conditions, structure)
            for unet in (tiny["unet"], torch.compile(tiny["unet"]))
        ]
    torch.testing.assert_close(results[0], results[1])


def test_the_prior_pass_stops_at_its_layer(tiny, tiny_offsets):
    unet = tiny["unet"]
    layers = self_attention_layers(unet)
    reached = []
    hooks = [
        block.register_forward_pre_hook(lambda module, args, path=path: reached.append(path))
        for path, block in transformer_blocks(unet)
    ]
    joint = JointAttention(unet, tiny_offsets, LayerFusionConfig(), layers[2], 1)
    sample, conditions = unet_inputs(1)
    with joint.installed(), torch.no_grad():
        alone = StreamLayout(batch=1, guidance=False, plain=())
        step = UNetPass(alone, SIZE, torch.tensor([EOS]), take_structure=True)
        joint.take_prior(step, sample, torch.tensor(300), **conditions)
    for hook in hooks:
        hook.remove()
    assert [f"{path}.attn1" for path in reached] == layers[:3]
    assert joint.structure.shape == (1, SIZE[0] // 4, SIZE[1] // 4)


def test_structure_layers_are_named_in_the_order_of_computation(tiny):
    layers = self_attention_layers(tiny["unet"])
    assert layers[0].startswith("down_blocks.1") and layers[-1].startswith("up_blocks.1")
    assert any(layer.startswith("mid_block") for layer in layers[1:-1])
    assert resolve_structure_layer(tiny["unet"], None) == layers[-1]
    with pytest.raises(LayerFusionError, match=r"has no self-attention 'up_blocks\.9'"):
        resolve_structure_layer(tiny["unet"], "up_blocks.9")


def test_the_background_sees_no_hidden_token_of_the_blended_stream(tiny, tiny_offsets):
    """Other keys and values where it is closed change the blended stream's attention, and not the background's."""
    layout = StreamLayout(batch=2, guidance=True)
    hidden = torch.zeros(2, 4, 4)
    hidden[0, 1:3, 1:3] = 1  # the second triplet hides nothing
    closed = UNetPass(layout, (4, 4), torch.zeros(2), hidden=hidden).closed_to(16)
    query, key, value = (torch.randn(12, 3, 16, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    changed = torch.zeros(3, 2, 2, 1, 16, 1)
    changed[1] = hidden.flatten(1)[None, :, None, :, None]
    changed = changed.flatten(0, 2)

    def attended(key, value, closed):
        return attend_to_both(layout, query, key, value, 0.3, closed).unflatten(0, (2, 2, 2))

    before, after = attended(key, value, closed), attended(key + 5 * changed, value - 9 * changed, closed)
    assert torch.equal(after[1], before[1])
    assert (after - before)[0, :, 0].abs().min() > 0 and torch.equal(after[0, :, 1], before[0, :, 1])
    plain = attended(key, value, None)
    torch.testing.assert_close(before[:, :, 1], plain[:, :, 1])
    assert (before - plain)[1, :, 0].abs().max() > 0.01


@pytest.mark.parametrize("unguided", [(BLENDED,), (BACKGROUND,), (BLENDED, BACKGROUND)])
def test_a_stream_without_its_unconditional_half_shows_the_other_one(unguided):
    """As if its two halves were the same; whatever else is left is exact."""
    whole = StreamLayout(batch=2, guidance=True)
    query, key, value = (torch.randn(12, 3, 16, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    for rows in (query, key, value):
        for name in unguided:
            whole.stream(rows, name)[:] = whole.stream(rows, name)[-1].clone()
    layout, rows = whole.taken(whole.names, unguided)
    found = attend_to_both(layout, *(x[rows] for x in (query, key, value)), 0.3)
    expected = torch.cat([torch.zeros(4, 3, 16, 8), attend_to_both(whole, query, key, value, 0.3)])[rows][4:]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
