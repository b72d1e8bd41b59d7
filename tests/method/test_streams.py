import torch
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.method import BACKGROUND, BLENDED, StreamLayout

layouts = st.builds(
    StreamLayout,
    batch=st.integers(1, 3),
    guidance=st.booleans(),
    foregrounds=st.sampled_from([("foreground",), ("far", "near"), ("a", "b", "c")]),
)


@given(layouts)
def test_rows_are_told_by_name(layout):
    # Each row carries its own address: stream, half, picture.
    addresses = [(s, g, b) for s in range(len(layout.names)) for g in range(layout.halves) for b in range(layout.batch)]
    rows = torch.tensor(addresses)
    assert len(rows) == layout.rows
    for index, name in enumerate(layout.names):
        stream = layout.stream(rows, name)
        assert stream.shape == (layout.halves, layout.batch, 3)
        assert (stream[..., 0] == index).all()
    conditional = layout.conditional_foregrounds(rows)
    assert conditional.tolist() == [
        [s, layout.halves - 1, b] for s in range(len(layout.foregrounds)) for b in range(layout.batch)
    ]
    assert rows[: layout.foreground_rows, 0].max() == len(layout.foregrounds) - 1
    assert layout.names[-2:] == (BLENDED, BACKGROUND)


@given(layouts)
def test_streams_are_views(layout):
    rows = torch.zeros(layout.rows, 2)
    layout.stream(rows, BLENDED).fill_(1)
    assert rows.sum() == 2 * layout.halves * layout.batch


@given(layouts, st.integers(1, 4))
def test_pair_lays_two_pictures_into_one_sequence(layout, tokens):
    rows = torch.randn(layout.rows, 2, tokens, 3, generator=torch.Generator().manual_seed(0))
    pair = layout.pair(rows)
    assert torch.equal(pair[:, :, :tokens], layout.stream(rows, BLENDED).flatten(0, 1))
    assert torch.equal(pair[:, :, tokens:], layout.stream(rows, BACKGROUND).flatten(0, 1))
    assert torch.equal(layout.unpair(pair), rows[layout.foreground_rows :])
