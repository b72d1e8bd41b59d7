"""The training recipe on a model so small that every stage, the export and a triplet take seconds."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler
from diffusers.models.unets.unet_2d_blocks import DownBlock2D
from torch import nn

from layerfusion import LayerFusionPipeline
from layerfusion.errors import LayerFusionError
from layerfusion.models import load_pipeline
from recipes.mini.train.autoencoder import build_autoencoder, train_autoencoder
from recipes.mini.train.base import SHARES, build_unet, draw, load_base, odds_of, train_base
from recipes.mini.train.data import Pictures, over_grey
from recipes.mini.train.decoder import texture_loss, train_decoder
from recipes.mini.train.export import export
from recipes.mini.train.few_step import (
    add_lora,
    consistent,
    distillation_loss,
    few_step_sampler,
    load_lora,
    train_few_step,
)
from recipes.mini.train.foreground import train_foreground
from recipes.mini.train.latents import SCALING_FACTOR, encode_pictures, load_latents, normalise
from recipes.mini.train.loop import Loop, load_averaged
from recipes.mini.train.settings import Settings
from recipes.mini.train.start import inner_state, start_from, wider, wrap
from recipes.mini.train.text import EOS, MAX_LENGTH, load_tokenizer, train_tokenizer
from recipes.mini.train.transparency import train_alpha, train_transparency

CPU = torch.device("cpu")
TINY = Settings(
    size=64,
    tier="core",
    vae=(8, 8, 8, 8),
    vae_layers=1,
    vae_batch=2,
    unet=(32, 32),
    unet_layers=1,
    unet_batch=2,
    head_dim=16,
    text_width=32,
    text_layers=2,
    decoder=(8, 8, 8, 8, 8),
    encoder=(4, 4, 4, 4),
    transparency_batch=2,
    offset_rank=2,
)
WIDE = dataclasses.replace(TINY, size=128, unet=(48, 48))
CAPTIONS = ["a fox", "a blue car", "an owl in a cave"]


def write_pictures(run: Path) -> None:
    rng = np.random.default_rng(0)
    (run / "data").mkdir(parents=True)
    for kind, channels in (("composite", 3), ("background", 3), ("foreground", 4)):
        np.save(run / "data" / f"{kind}.npy", rng.integers(0, 256, (300, 64, 64, channels), dtype=np.uint8))
        lines = [json.dumps(CAPTIONS[i % 3]) for i in range(300)]
        (run / "data" / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went through all stages, two steps or so each, and its export."""
    folder = tmp_path_factory.mktemp("run")
    write_pictures(folder)
    images = 4
    train_autoencoder(TINY, folder, CPU, images)
    vae = build_autoencoder(TINY)
    load_averaged(folder, "autoencoder", {"vae": vae})
    encode_pictures(vae.eval(), folder, CPU)
    train_decoder(TINY, folder, CPU, images)
    train_transparency(TINY, folder, CPU, images)
    train_alpha(TINY, folder, CPU, images)
    train_base(TINY, folder, CPU, images)
    train_foreground(TINY, folder, CPU, images)
    train_few_step(TINY, folder, CPU, images)
    export(TINY, folder, folder / "model", "up_blocks.1.attentions.0.transformer_blocks.0.attn1", -1)
    return folder


def test_exported_folder_makes_triplets(run: Path) -> None:
    pipeline = LayerFusionPipeline.from_pretrained(run / "model")
    assert pipeline.config.structure_layer == "up_blocks.1.attentions.0.transformer_blocks.0.attn1"
    assert pipeline.config.structure_sign == -1
    assert pipeline.text_encoder.dtype == pipeline.text_encoder_2.dtype == pipeline.unet.dtype == torch.float32
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    result = pipeline("a fox", "a cave", num_inference_steps=2, generator=generator, width=64, height=64)
    assert result.foreground[0].size == result.blended[0].size == (64, 64)
    assert result.foreground[0].mode == "RGBA"
    files = list((run / "model").rglob("*.safetensors"))
    assert len(files) == 8 and (run / "model" / "README.md").exists()


def test_the_exported_lora_makes_the_few_step_form(run: Path) -> None:
    plain, fast = load_pipeline(str(run / "model"), device="cpu"), load_pipeline(str(run / "model"), few_step=True)
    assert isinstance(fast.scheduler, LCMScheduler)
    assert (fast.defaults.steps, fast.defaults.guidance_scale) == (6, 1)
    # The same as with the LoRA beside the weights, and the effect of the one that was trained.
    plain.load_lora_weights(run / "model" / "few_step")
    ours, trained = (load_base(TINY, run, CPU)["unet"] for _ in range(2))
    load_lora(trained, run)
    x, condition = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 2 * TINY.text_width)
    extra = {"text_embeds": torch.randn(2, TINY.text_width), "time_ids": torch.zeros(2, 6)}

    def predict(unet: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return unet(x, 300, condition, added_cond_kwargs=extra).sample

    beside = predict(plain.unet)
    plain.unload_lora_weights()
    torch.testing.assert_close(predict(fast.unet), beside, atol=1e-5, rtol=1e-4)
    effect, expected = beside - predict(plain.unet), predict(trained) - predict(ours)
    assert expected.abs().max() > 0
    assert torch.cosine_similarity(effect.flatten(), expected.flatten(), dim=0) > 0.98


def test_different_things_together_are_drawn_twice_as_often() -> None:
    odds = odds_of(["a fox in a cave", "two foxes in a cave", "a fox and a dog in a cave", "a cave"])
    assert odds.tolist() == pytest.approx([0.2, 0.2, 0.4, 0.2])
    even = np.full(4, 0.25)
    odds = {"composite": odds, "background": even, "foreground": even}
    drawn = Counter(draw(odds, 10_000, np.random.default_rng(0)))
    of = {kind: sum(n for (each, _), n in drawn.items() if each == kind) for kind in SHARES}
    assert of == pytest.approx({kind: 10_000 * share for kind, share in SHARES.items()}, rel=0.1)
    assert drawn["composite", 2] / of["composite"] == pytest.approx(0.4, rel=0.1)
    assert drawn["background", 2] / of["background"] == pytest.approx(0.25, rel=0.1)


def test_consistency_is_what_the_sampler_takes_it_for() -> None:
    scheduler = few_step_sampler()
    scheduler.set_timesteps(4)
    x, noise = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8)
    ours, clean = consistent(x, noise, scheduler.timesteps)
    for k, t in enumerate(scheduler.timesteps):
        torch.testing.assert_close(scheduler.step(noise[k], t, x[k]).denoised, ours[k], atol=1e-4, rtol=1e-4)
    again = scheduler.add_noise(clean, noise, scheduler.timesteps)
    torch.testing.assert_close(again, x, atol=1e-4, rtol=1e-4)


def test_a_teacher_that_is_consistent_already_has_nothing_to_teach(tmp_path: Path) -> None:
    class Knowing(nn.Module):
        """Sees the noise in any latent of one clean one; a UNet that is done."""

        def __init__(self, clean: torch.Tensor) -> None:
            super().__init__()
            self.clean, self.schedule, self.gain = clean, few_step_sampler(), nn.Parameter(torch.ones(()))
            self.adapters = True

        def disable_adapters(self) -> None:
            self.adapters = False

        def enable_adapters(self) -> None:
            self.adapters = True

        def forward(self, x, t, embeds, added_cond_kwargs):
            product = self.schedule.alphas_cumprod[t][:, None, None, None]
            noise = (x - product.sqrt() * self.clean.repeat(len(x) // len(self.clean), 1, 1, 1)) / (1 - product).sqrt()
            return SimpleNamespace(sample=noise * (self.gain if self.adapters else 1))

    torch.manual_seed(0)
    clean = torch.randn(4, 4, 8, 8)
    unet = Knowing(clean)
    loop = Loop(tmp_path, "few_step", {"unet": unet}, 4, peak=0.1, ema=0.5, device=CPU)
    condition = torch.zeros(4, 5, 8), torch.zeros(4, 8)
    # Near t = 0 the boundary condition, f(x, 0) = x, leaves a little.
    assert distillation_loss(unet, clean, condition, 64, loop) < 0.02
    unet.gain.data.fill_(0.5)
    worse = distillation_loss(unet, clean, condition, 64, loop)
    worse.backward()
    assert worse > 0.1 and unet.gain.grad < 0


def test_a_new_lora_does_nothing_and_covers_the_unet() -> None:
    unet = build_unet(TINY).eval()
    x, condition = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 2 * TINY.text_width)
    extra = {"text_embeds": torch.randn(1, TINY.text_width), "time_ids": torch.zeros(1, 6)}
    with torch.no_grad():
        before = unet(x, 300, condition, added_cond_kwargs=extra).sample
        lora = add_lora(unet)
        torch.testing.assert_close(unet(x, 300, condition, added_cond_kwargs=extra).sample, before)
    trained = [value for value in unet.parameters() if value.requires_grad]
    assert len(trained) == len(lora) and all(a is b for a, b in zip(trained, lora, strict=True))
    adapted = {name.split(".lora")[0] for name, _ in unet.named_parameters() if "lora" in name}
    weighted = {name for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    left = {name for name in weighted if not any(name.startswith(one) for one in adapted)}
    assert all(name.startswith(("conv_in", "conv_out", "time_embedding", "add_embedding")) for name in left), left


def test_tokenizer_of_the_export_equals_the_trained_one(run: Path, tmp_path: Path) -> None:
    tokenizer = LayerFusionPipeline.from_pretrained(run / "model").tokenizer_2
    trained = train_tokenizer(CAPTIONS * 100, tmp_path)
    for text in ("a fox", "An OWL, in a cave!", "zebra 東京 3-d"):
        assert tokenizer(text).input_ids == trained(text).input_ids


def test_cached_latents_have_unit_spread(run: Path) -> None:
    means = torch.cat([load_latents(run, kind)["mean"].float() for kind in ("composite", "background", "foreground")])
    torch.testing.assert_close(means.std(dim=(0, 2, 3)), torch.ones(4), atol=0.1, rtol=0)
    torch.testing.assert_close(means.mean(dim=(0, 2, 3)), torch.zeros(4), atol=0.1, rtol=0)


def test_the_decoder_trains_on_and_the_encoder_rests(run: Path) -> None:
    first = build_autoencoder(TINY)
    load_averaged(run, "autoencoder", {"vae": first})
    exported = LayerFusionPipeline.from_pretrained(run / "model").vae
    for name, value in exported.encoder.state_dict().items():
        torch.testing.assert_close(value, first.encoder.state_dict()[name], atol=1e-3, rtol=1e-3)
    further = build_autoencoder(TINY)
    load_averaged(run, "decoder", {"decoder": further.decoder, "post_quant_conv": further.post_quant_conv})
    # A step or two move weights by little: only bit for bit do the two decoders differ in the export's float16.
    rounded = [
        torch.cat([value.half().flatten() for value in vae.decoder.state_dict().values()])
        for vae in (exported, further, first)
    ]
    assert torch.equal(rounded[0], rounded[1])
    assert not torch.equal(rounded[0], rounded[2])


def test_any_text_has_tokens(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CAPTIONS * 2, tmp_path)
    ids = tokenizer("fox 東京 ~!", padding="max_length").input_ids
    assert len(ids) == MAX_LENGTH and ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1 : ids.index(tokenizer.eos_token_id)]).replace(" ", "") == "fox東京~!"
    assert tokenizer.tokenize("a fox") == ["a</w>", "fox</w>"]
    assert tokenizer.pad_token == EOS


def test_normalising_changes_the_latents_and_not_the_pictures() -> None:
    torch.manual_seed(0)
    vae = build_autoencoder(TINY).eval()
    pictures = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pictures).latent_dist
        decoded = vae.decode(before.mean).sample
        mean, std = before.mean.mean(dim=(0, 2, 3)), before.mean.std(dim=(0, 2, 3))
        normalise(vae, mean, std)
        after = vae.encode(pictures).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, decoded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.mean.std(dim=(0, 2, 3)), torch.full((4,), 1 / SCALING_FACTOR))
    torch.testing.assert_close(
        after.std / before.std, (1 / (std * SCALING_FACTOR))[None, :, None, None].expand(4, 4, 8, 8)
    )


def test_a_stopped_stage_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)

    def loop_over(images: int) -> tuple[Loop, nn.Module]:
        module = nn.Linear(2, 1)
        return Loop(tmp_path, "stage", {"module": module}, images, peak=0.1, ema=0.5, device=CPU), module

    first, module = loop_over(6)
    for _step, _due in first.steps():
        first.update((module(torch.ones(1, 2)) - 3).pow(2).mean(), 2)
    second, again = loop_over(12)
    assert second.step == first.step == 3 and second.progress == 0.5
    torch.testing.assert_close(again.weight, module.weight)
    moments = [loop.optimizer.state_dict()["state"][0]["exp_avg"] for loop in (first, second)]
    torch.testing.assert_close(*moments)
    averaged = nn.Linear(2, 1)
    load_averaged(tmp_path, "stage", {"module": averaged})
    torch.testing.assert_close(averaged.weight, first.ema.shadow_params[0])


@pytest.mark.parametrize(("half", "tried"), [(1.0, 8), (60.0, 2)])
def test_the_loop_takes_the_faster_precision_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: float, tried: int
) -> None:
    module = nn.Linear(2, 1)
    loop = Loop(tmp_path, "stage", {"module": module}, 40, peak=0.1, ema=0.5, device=CPU)
    clock, types = [0.0], []
    monkeypatch.setattr("recipes.mini.train.loop.time.monotonic", lambda: clock[0])
    for _ in loop.steps():
        with loop.autocast():
            out = module(torch.ones(1, 2))
        types.append(out.dtype)
        clock[0] += half if out.dtype == torch.bfloat16 else 3.0
        loop.update(out.float().mean(), 1)
    faster = torch.bfloat16 if half < 3 else torch.float32
    assert types[: 2 * tried] == [torch.float32, torch.bfloat16] * tried and set(types[2 * tried :]) == {faster}
    chosen = json.loads((tmp_path / "machine.jsonl").read_text())
    assert f"torch.{chosen['chosen']}" == str(faster)
    assert (chosen["seconds_float32"], chosen["seconds_bfloat16"]) == (3, half)


def test_a_run_starts_from_a_finished_model(run: Path, tmp_path: Path) -> None:
    start_from(TINY, tmp_path, run / "model")
    ours, theirs = load_base(TINY, tmp_path, CPU), load_base(TINY, run, CPU)
    for name, module in ours.items():
        for ours_value, value in zip(module.parameters(), theirs[name].parameters(), strict=True):
            torch.testing.assert_close(ours_value, value, atol=1e-3, rtol=1e-3)
    loras = [load_lora(build_unet(TINY), folder) for folder in (tmp_path, run)]
    assert loras[0].keys() == loras[1].keys() and any(value.abs().max() > 0 for value in loras[1].values())
    for name, value in loras[1].items():
        torch.testing.assert_close(loras[0][name], value, atol=1e-3, rtol=1e-3)
    assert (
        load_tokenizer(tmp_path / "tokenizer")("a fox").input_ids
        == load_tokenizer(run / "tokenizer")("a fox").input_ids
    )


def enlarged(values: torch.Tensor) -> torch.Tensor:
    return values.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_an_added_level_hears_and_speaks_as_the_former_unet() -> None:
    larger = dataclasses.replace(TINY, size=256, unet=(48, *WIDE.unet))
    assert build_unet(larger).down_blocks[0].__class__ is DownBlock2D
    former, unet = build_unet(WIDE).eval(), build_unet(larger).eval()
    unet.load_state_dict(unet.state_dict() | inner_state(former.state_dict(), 1))
    wrap(unet, former)
    small = torch.randn(2, 4, 16, 16)
    condition = {
        "timestep": torch.tensor([800, 100]),
        "encoder_hidden_states": torch.randn(2, 5, 2 * WIDE.text_width),
        "added_cond_kwargs": {"text_embeds": torch.randn(2, WIDE.text_width), "time_ids": torch.zeros(2, 6)},
    }
    seen: dict[str, torch.Tensor] = {}
    unet.down_blocks[0].downsamplers[0].register_forward_hook(lambda _m, _i, output: seen.update(entered=output))
    for name, one in (("former", former), ("ours", unet)):
        one.conv_norm_out.register_forward_pre_hook(lambda _m, inputs, name=name: seen.update({name: inputs[0]}))
    with torch.no_grad():
        former(small, **condition)
        unet(enlarged(small), **condition)
    torch.testing.assert_close(seen["entered"], former.conv_in(small), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen["ours"], enlarged(seen["former"]), atol=1e-4, rtol=1e-4)


def test_a_wider_autoencoder_does_what_the_narrower_does() -> None:
    torch.manual_seed(0)
    former = build_autoencoder(dataclasses.replace(TINY, vae=(8, 16, 48, 64)))
    for parameter in former.parameters():
        nn.init.normal_(parameter, std=0.2)
    vae = build_autoencoder(dataclasses.replace(TINY, vae=(16, 32, 48, 64)))
    vae.load_state_dict(wider(vae, former.state_dict()))
    pictures = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(vae.encode(pictures).latent_dist.mean, former.encode(pictures).latent_dist.mean)
    latents = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(vae.decode(latents).sample, former.decode(latents).sample, atol=1e-4, rtol=1e-4)
    # The two copies of a channel are not used alike, or they would learn alike for ever.
    weight = vae.decoder.conv_out.weight
    assert not torch.allclose(weight[:, 0::2], weight[:, 1::2])


def test_texture_is_how_much_of_it_there_is_not_where_it_lies() -> None:
    torch.manual_seed(0)
    grass, blurred = torch.rand(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.5)
    moved = grass.roll((16, 8), (2, 3))
    assert texture_loss(grass, grass) == 0
    assert texture_loss(moved, grass) < 0.2 * texture_loss(blurred, grass)
    assert (moved - grass).abs().mean() > (blurred - grass).abs().mean()


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(LayerFusionError, match=r"composite\.npy is missing; run"):
        Pictures(tmp_path, "composite")


def test_grey_is_what_the_vae_is_fed() -> None:
    rgba = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(2 * over_grey(rgba) - 1, (2 * rgba[:, :3] - 1) * rgba[:, 3:])
