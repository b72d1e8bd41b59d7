import numpy as np
from PIL import Image

from layerfusion.drawing import Tile, fit, grey_map, heat_map, on_checkerboard, picture_of, sheet


def test_maps_keep_their_values() -> None:
    ramp = np.tile(np.linspace(0, 1, 5), (2, 1))
    grey = np.asarray(grey_map(ramp, (5, 2)))
    assert grey[0, :, 0].tolist() == [0, 64, 128, 191, 255]
    lightness = np.asarray(heat_map(ramp * 3 - 7, (64, 8)).convert("L")).astype(int)[4]
    assert (np.diff(lightness) >= 0).all()
    assert lightness[-1] - lightness[0] > 200
    flat = np.asarray(heat_map(np.full((4, 4), 0.3), (8, 8)))
    assert (flat == flat[0, 0]).all()


def test_transparency_shows_the_checkerboard() -> None:
    clear = np.asarray(on_checkerboard(Image.new("RGBA", (48, 24)), square=12))
    assert {int(value) for value in np.unique(clear)} == {214, 255}
    red = np.asarray(on_checkerboard(Image.new("RGBA", (48, 24), (255, 0, 0, 255))))
    assert (red == (255, 0, 0)).all()


def test_tiles_do_not_overlap_and_long_labels_are_shortened() -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    tiles = [
        Tile(Image.new("RGB", (10, 10), colour), "a label that is much too long for its tile") for colour in colours
    ]
    drawn = sheet([tiles[:2], tiles[2:]], (60, 40), "Title", "subtitle", ["one", ""])
    counts = [int((np.asarray(drawn) == colour).all(-1).sum()) for colour in colours]
    assert all(abs(count - 60 * 40) < 250 for count in counts)
    assert fit(Image.new("RGB", (10, 20)), (30, 30)).size == (30, 30)


def test_labels_take_room_only_where_they_are_given() -> None:
    rows = [[Tile(Image.new("RGB", (10, 10)))] * 3] * 2
    plain = sheet(rows, (30, 20))
    assert plain.size == (2 * 24 + 3 * 30 + 2 * 14, 2 * 24 + 2 * 20 + 14)
    assert sheet(rows, (30, 20), row_labels=["", ""]).size == plain.size
    assert sheet(rows, (30, 20), row_labels=["row", ""]).width > plain.width
    one, two = (sheet(rows, (30, 20), column_labels=[label] * 3).height for label in ("a", "a\nb"))
    assert plain.height < one < two


def test_floats_become_pictures_and_what_is_out_of_range_is_clipped() -> None:
    picture = picture_of(np.array([[[-1, 0.5, 2, 1]]]))
    assert picture.mode == "RGBA" and picture.getpixel((0, 0)) == (0, 128, 255, 255)
