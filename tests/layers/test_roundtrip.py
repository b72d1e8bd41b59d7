"""Stack to file to stack: equal for every kind that can be read back."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from layerfusion.layers import Affine, Layer, LayerStack, read, stack_from_triplet, write
from tests.layers.stacks import assert_same, example_stack, stacks


def through(stack: LayerStack, name: str) -> LayerStack:
    with tempfile.TemporaryDirectory() as folder:
        return read(write(stack, Path(folder) / name))


@given(stacks(exact=False))
def test_folder_keeps_everything(stack: LayerStack) -> None:
    again = through(stack, "stack")
    assert_same(again, stack)
    assert [layer.opacity for layer in again] == [layer.opacity for layer in stack]


@given(stacks())
def test_psd(stack: LayerStack) -> None:
    if not len(stack):
        return  # a PSD without layers is read as its flattened picture: tested below
    assert_same(through(stack, "stack.psd"), stack.baked())


@given(stacks())
def test_ora(stack: LayerStack) -> None:
    again = through(stack, "stack.ora")
    assert_same(again, stack.baked())
    assert [layer.opacity for layer in again] == [layer.opacity for layer in stack]


@given(stacks(exact=False))
def test_a_page_keeps_everything_but_the_clear_border(stack: LayerStack) -> None:
    again = through(stack, "stack.html")
    assert_same(again, stack.copy([layer.trimmed(2) for layer in stack]))
    assert [layer.opacity for layer in again] == [layer.opacity for layer in stack]


@pytest.mark.parametrize("ending", ["psd", "ora"])
def test_placements_are_baked_where_the_kind_has_none(ending: str, tmp_path: Path) -> None:
    stack = example_stack()
    stack["normal ☀"] = stack["normal ☀"].rotated(20).scaled(0.7).moved(3.5, 4.25)
    again = read(write(stack, tmp_path / f"stack.{ending}"))
    assert_same(again, stack.baked())
    assert np.abs(np.asarray(again.composite(), int) - np.asarray(stack.composite(), int)).max() <= 1


def test_a_psd_without_layers_is_its_picture(tmp_path: Path) -> None:
    from psd_tools import PSDImage

    picture = Image.fromarray(example_stack().layers[0].pixels).convert("RGB")
    PSDImage.frompil(picture).save(tmp_path / "flat.psd")
    stack = read(tmp_path / "flat.psd")
    assert [layer.name for layer in stack] == ["background"]
    np.testing.assert_array_equal(np.asarray(stack.composite().convert("RGB")), np.asarray(picture))


def test_psd_groups_and_masks_pass_to_their_layers(tmp_path: Path) -> None:
    from psd_tools import PSDImage

    document = PSDImage.new("RGBA", (20, 10))
    masked = document.create_pixel_layer(Image.new("RGBA", (20, 10), "red"), name="masked", opacity=200)
    mask = Image.new("L", (20, 10), 0)
    mask.paste(255, (0, 0, 5, 10))
    masked.create_mask(mask)
    group = document.create_group(layer_list=[masked], name="group")
    group.opacity, group.visible = 128, False
    document.save(tmp_path / "grouped.psd")
    (layer,) = read(tmp_path / "grouped.psd")
    assert (layer.name, layer.visible) == ("masked", False)
    assert layer.opacity == pytest.approx(200 / 255 * 128 / 255)
    np.testing.assert_array_equal(layer.pixels[..., 3], np.asarray(mask))


def test_a_psd_of_other_blend_modes_says_what_it_loses(tmp_path: Path) -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import BlendMode

    document = PSDImage.new("RGBA", (4, 4))
    document.create_pixel_layer(Image.new("RGBA", (4, 4), "red"), name="burnt", blend_mode=BlendMode.COLOR_BURN)
    document.save(tmp_path / "burnt.psd")
    with pytest.warns(UserWarning, match="'burnt' blends by color_burn, read as normal"):
        (layer,) = read(tmp_path / "burnt.psd")
    assert layer.blend == "normal"


def triplet_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stack = example_stack()
    for name, layer in (("background", 0), ("foreground", 1), ("blended", -1)):
        picture = LayerStack(*stack.size, [stack[layer]]).composite() if layer == 1 else stack[layer].image
        picture.convert("RGBA" if name == "foreground" else "RGB").save(folder / f"{name}.png")
    (folder / "triplet.json").write_text("{}")
    return folder


def test_a_triplet_is_foreground_over_background_with_a_hidden_reference(tmp_path: Path) -> None:
    stack = read(triplet_folder(tmp_path / "fox"))
    assert [(layer.name, layer.visible) for layer in stack] == [
        ("background", True),
        ("foreground", True),
        ("blended", False),
    ]
    pictures = [Image.open(tmp_path / "fox" / f"{name}.png") for name in ("foreground", "background", "blended")]
    assert_same(stack, stack_from_triplet(*pictures))
    for name in ("poster.psd", "poster.ora"):
        assert_same(read(write(stack, tmp_path / name)), stack.baked())
    assert_same(read(write(stack, tmp_path / "layers")), stack)


def test_the_same_stack_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.ora", "a.psd", "a.html"):
        first = write(example_stack(), tmp_path / name).read_bytes()
        assert write(example_stack(), tmp_path / name).read_bytes() == first


def test_photoshop_opacity_is_a_step_of_255(tmp_path: Path) -> None:
    layer = Layer("faint", np.zeros((2, 2, 4), np.uint8), Affine(), opacity=0.3)
    (again,) = read(write(LayerStack(2, 2, [layer]), tmp_path / "faint.psd"))
    assert again.opacity == pytest.approx(0.3, abs=0.5 / 255)
