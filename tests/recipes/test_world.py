"""The world without its sprite package: stand-in sprites, so that nothing is fetched."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion.errors import LayerFusionError
from layerfusion.models.vocabulary import Vocabulary
from recipes.mini.world import GREY, KINDS, World, captions, fetch, load, sprites, vocabulary
from recipes.mini.world.paint import Canvas
from recipes.mini.world.render import MARGIN, SPANS
from recipes.mini.world.scenes import PAINTERS
from recipes.mini.world.seethrough import PAINTERS as DRAWN
from recipes.mini.world.seethrough import draw
from recipes.mini.world.styles import STYLES

CORE = load("core")
FULL = load("full")


# The vocabulary


def test_tiers_have_the_sizes_that_were_planned() -> None:
    assert 150 <= len(FULL.objects) <= 270
    assert len(FULL.scenes) == 24
    assert 25 <= sum(not o.see_through for o in CORE.objects) <= 52
    assert 5 <= sum(o.see_through for o in CORE.objects) <= 12
    assert 12 <= len(CORE.scenes) <= 20


def test_names_and_synonyms_mean_one_thing_each() -> None:
    phrases = [phrase for spec in FULL.objects for phrase in spec.phrases]
    assert len(phrases) == len(set(phrases))
    places = [phrase for spec in FULL.scenes for phrase in spec.phrases]
    assert len(places) == len(set(places))
    assert all(isinstance(phrase, str) and phrase == phrase.strip().lower() for phrase in phrases + places)
    sprites = [spec.sprite for spec in FULL.objects if spec.sprite]
    assert len(sprites) == len(set(sprites))


def test_everything_named_has_its_painter() -> None:
    assert {spec.key for spec in FULL.scenes} == set(PAINTERS)
    assert {spec.drawn for spec in FULL.objects if spec.drawn} == set(DRAWN)
    assert {spec.key for spec in FULL.styles} == set(STYLES)
    assert all(spec.where in ("in", "on", "by") for spec in FULL.scenes)


def test_the_lights_of_the_scenes_differ() -> None:
    gains = np.array([spec.light.gain for spec in CORE.scenes])
    assert gains.std(0).min() > 0.15
    distances = np.abs(gains[:, None] - gains[None]).max(-1)[np.triu_indices(len(gains), 1)]
    assert distances.min() > 0.03


@pytest.mark.parametrize(
    ("words", "phrase"), [("owl", "an owl"), ("fox", "a fox"), ("umbrella", "an umbrella"), ("unicorn", "a unicorn")]
)
def test_article(words: str, phrase: str) -> None:
    assert vocabulary.article(words) == phrase


# Captions


@given(st.integers(0, 10_000))
def test_captions_of_composites_name_both_and_backgrounds_only_the_scene(seed: int) -> None:
    rng = np.random.default_rng(seed)
    obj, scene = CORE.objects[seed % len(CORE.objects)], CORE.scenes[seed % len(CORE.scenes)]
    both = captions.caption(rng, [(obj, None)], [0.5], scene, None)
    assert any(phrase in both for phrase in obj.phrases)
    assert any(phrase in both for phrase in scene.phrases)
    alone = captions.caption(rng, [], [], scene, None)
    assert alone.removeprefix("a picture of ") in {*scene.phrases, *(p.split(" ", 1)[1] for p in scene.phrases)}
    assert len(captions.caption(rng, [(obj, None)], [0.5], None, None).split()) <= 5


def test_plain_captions() -> None:
    car = next(o for o in CORE.objects if o.key == "car")
    table = next(s for s in CORE.scenes if s.key == "wooden table")
    sepia = next(s for s in CORE.styles if s.key == "sepia")
    assert (
        captions.caption(None, [(car, "blue")], [0.5], table, sepia) == "a blue car on a wooden table, sepia photograph"
    )


def test_captions_of_several_things() -> None:
    fox, duck, car = (next(o for o in CORE.objects if o.key == key) for key in ("fox", "duck", "car"))
    meadow = next(s for s in CORE.scenes if s.key == "meadow")

    def words(rng: np.random.Generator | None, *things: captions.Thing) -> str:
        centres = [0.25, 0.75] if len(things) == 2 else [0.2, 0.5, 0.8]
        return captions.caption(rng, list(things), centres, meadow, None)

    assert words(None, (fox, None), (duck, None)) == "a fox and a duck in a meadow"
    assert words(None, (fox, None), (car, "red"), (duck, None)) == "a fox, a red car and a duck in a meadow"
    assert words(None, (car, "red"), (car, "red")) == "two red cars in a meadow"
    assert words(None, (duck, None), (duck, None), (duck, None)) == "three ducks in a meadow"
    drawn = {words(np.random.default_rng(k), (fox, None), (duck, None)) for k in range(40)}
    assert any("a fox on the left and a duck on the right" in caption for caption in drawn)
    assert not any("duck on the left" in caption for caption in drawn)


# Samples


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), kind=st.sampled_from(KINDS))
def test_samples_have_their_forms_and_repeat(world: World, seed: int, kind: str) -> None:
    one, again = world.sample(seed, kind), world.sample(seed, kind)  # type: ignore[arg-type]
    assert one.caption == again.caption
    assert one.truth == again.truth
    assert np.array_equal(one.picture, again.picture)
    assert one.picture.shape == (64, 64, 3) and one.picture.dtype == np.uint8
    assert (one.foreground is None) == (kind == "background")
    assert (one.background is None) == (kind == "foreground")
    if one.foreground is not None:
        alpha = one.foreground[..., 3]
        assert one.foreground.shape == (64, 64, 4) and alpha.max() > 0
        assert not one.foreground[alpha == 0].any()
        boxes = one.truth["boxes"]
        assert boxes[-1] == one.truth["box"] and len(boxes) == len(one.truth["objects"])
        assert kind == "composite" or len(boxes) == 1
        shortest, longest = SPANS[len(boxes)]
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
            assert shortest - 0.02 <= max(x1 - x0, y1 - y0) <= longest + 0.02


def test_foregrounds_lie_over_grey(world: World) -> None:
    sample = world.render("foreground", obj="fox", seed=3)
    assert sample.foreground is not None
    alpha = sample.foreground[..., 3:].astype(float) / 255
    over = sample.foreground[..., :3] * alpha + GREY * (1 - alpha)
    assert np.abs(over - sample.picture).max() <= 2


@pytest.mark.parametrize("seed", range(12))
def test_things_keep_off_the_border(world: World, seed: int) -> None:
    alpha = cast(np.ndarray, world.sample(seed, "foreground").foreground)[..., 3]
    keep = int(MARGIN * world.size)
    assert not alpha[:keep].any() and not alpha[-keep:].any()
    assert not alpha[:, :keep].any() and not alpha[:, -keep:].any()


def test_a_seed_puts_the_subject_at_one_place_in_every_scene(world: World) -> None:
    alone = world.render("foreground", obj="fox", seed=11)
    for scene in ("meadow", "dark cave", "sunset sea"):
        placed = world.render("composite", obj="fox", scene=scene, seed=11)
        assert placed.foreground is not None and alone.foreground is not None
        assert np.array_equal(placed.foreground, alone.foreground)


@pytest.mark.parametrize("scene", [s.key for s in CORE.scenes if s.light.haze is None and s.light.weather is None])
def test_the_recorded_gain_is_what_was_applied(world: World, scene: str) -> None:
    sample = world.render("composite", obj="balloon", scene=scene, seed=5)
    assert sample.foreground is not None
    inside = sample.foreground[..., 3] == 255
    unlit = sample.foreground[..., :3][inside].mean(0).astype(float)
    lit = sample.picture[inside].mean(0).astype(float)
    # The disc is symmetric and its grey stays below white, so shading averages out.
    assert np.abs(lit / unlit - sample.truth["gain"]).max() < 0.05


def test_fire_brings_its_own_light(world: World) -> None:
    fire = world.render("composite", obj="campfire", scene="beach at night", seed=2)
    fox = world.render("composite", obj="fox", scene="beach at night", seed=2)
    assert min(fire.truth["gain"]) > 0.9 > 0.6 > fox.truth["gain"][0]
    assert "glow" in fire.truth["effects"]
    assert fire.background is not None
    # It lights the sand around it, and most of all the red.
    x0, _, _, y1 = fire.truth["box"]
    row, column = int(64 * min(y1 + 0.06, 0.97)), int(64 * x0) - 3
    lit, unlit = (picture[row, column].astype(float) for picture in (fire.picture, fire.background))
    assert (lit > unlit).all() and lit[0] / unlit[0] > 1.15 * lit[2] / unlit[2]


def test_composites_differ_from_their_background_only_near_the_thing(world: World) -> None:
    sample = world.render("composite", obj="apple", scene="wooden table", seed=8)
    assert sample.background is not None and sample.foreground is not None
    changed = np.abs(sample.picture.astype(int) - sample.background).max(-1) > 8
    assert changed[sample.foreground[..., 3] > 200].mean() > 0.8
    assert not changed[:6].any()


def test_styles_change_the_whole_picture(world: World) -> None:
    plain = world.render("composite", obj="fox", scene="meadow", seed=1).picture.astype(int)
    pictures = [world.render("composite", obj="fox", scene="meadow", style=s, seed=1).picture for s in STYLES]
    assert all(np.abs(picture - plain).mean() > 4 for picture in pictures)


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_see_through_things_are_see_through(name: str) -> None:
    rgba = draw(name, np.random.default_rng(0))
    assert rgba.shape == (256, 256, 4) and rgba.min() >= 0 and rgba.max() <= 1
    assert (rgba[..., :3] <= rgba[..., 3:] + 1e-4).all()
    partial = (rgba[..., 3] > 0.08) & (rgba[..., 3] < 0.92)
    assert partial.sum() > 0.15 * (rgba[..., 3] > 0.08).sum()
    assert not np.array_equal(rgba, draw(name, np.random.default_rng(1)))


@pytest.mark.parametrize("key", sorted(PAINTERS))
def test_scenes_fill_the_frame_and_vary(key: str) -> None:
    pictures = []
    for seed in range(2):
        canvas = Canvas(64)
        PAINTERS[key](canvas, np.random.default_rng(seed))
        assert np.isfinite(canvas.image).all() and canvas.image.shape == (64, 64, 3)
        assert canvas.image.std() > 0.04
        pictures.append(np.clip(canvas.image, 0, 1))
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.005


def test_colour_words_turn_hues_and_leave_greys() -> None:
    red = np.full((4, 4, 3), (0.9, 0.1, 0.15), np.float32)
    blue = sprites.recolour(red, (355, 45), (216, 1, 1))
    assert blue[0, 0, 2] > 0.8 and blue[0, 0, 0] < 0.3
    grey = np.full((4, 4, 3), 0.5, np.float32)
    assert np.allclose(sprites.recolour(grey, (355, 45), (216, 1, 1)), grey)


def test_unknown_names_are_refused(world: World) -> None:
    for content in ({"obj": "gryphon"}, {"scene": "atlantis"}, {"style": "cubism"}):
        with pytest.raises(LayerFusionError, match=r"see vocabulary\.yaml"):
            world.render("composite", **content)  # type: ignore[arg-type]


# Fetching


def test_a_wrong_tarball_is_refused_and_removed(tmp_path: Path) -> None:
    (tmp_path / fetch.TARBALL).write_bytes(b"not the sprites")
    with pytest.raises(LayerFusionError, match="not the file the recipe was made with"):
        fetch.sprites(tmp_path)
    assert not (tmp_path / fetch.TARBALL).exists()
    assert not (tmp_path / "sprites").exists()


def test_two_processes_may_unpack_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / fetch.TARBALL, "w:gz") as archive:
        data = b"a sprite"
        entry = tarfile.TarInfo("package/assets/1f98a.webp")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))

    def checked_while_another_unpacks(tarball: Path) -> Path:
        (tmp_path / "sprites" / "assets").mkdir(parents=True)
        (tmp_path / "sprites" / "assets" / "1f98a.webp").write_bytes(b"the other's")
        return tarball

    monkeypatch.setattr(fetch, "_checked", checked_while_another_unpacks)
    assert (fetch.sprites(tmp_path) / "1f98a.webp").read_bytes() == b"the other's"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([fetch.TARBALL, "sprites"])


def test_a_machine_without_npm_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "which", lambda _: None)
    with pytest.raises(LayerFusionError, match=r"install Node\.js"):
        fetch.sprites(tmp_path)


def test_a_failing_npm_is_reported_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "which", lambda _: "npm")
    failed = subprocess.CompletedProcess([], 1, "", "npm error\nnpm error network is down\n")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(LayerFusionError, match="network is down"):
        fetch.sprites(tmp_path)


# What a model carries


def test_a_trained_model_knows_every_word_of_its_captions(world: World) -> None:
    captions_of = {kind: [world.sample(seed, kind).caption for seed in range(60)] for kind in KINDS}
    known = Vocabulary.from_dict(vocabulary.for_model("core", [text for of in captions_of.values() for text in of]))
    assert {name for entries in known.objects.values() for e in entries for name in e.names} == {
        phrase for spec in CORE.objects for phrase in spec.phrases
    }
    assert all(known.unknown_words(text) == {} for of in captions_of.values() for text in of)
    assert set(known.unknown_words("a gryphon in a dungeon")) == {"gryphon", "dungeon"}
