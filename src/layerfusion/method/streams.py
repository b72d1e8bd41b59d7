"""Which slice of the batch is which stream, guidance half and picture.

One batch of the UNet holds every stream of every triplet. Its rows are ordered stream first, guidance half second,
picture last, so that the foregrounds' rows (which pass through the foreground offsets) come first and in one piece, and
the blended and the background stream (which share their self-attention) come last and side by side.
"""

from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor

FOREGROUND = "foreground"
BLENDED = "blended"
BACKGROUND = "background"


def foreground_names(count: int) -> tuple[str, ...]:
    """The names of `count` foreground streams, from the farthest to the nearest; a single one is `FOREGROUND`."""
    return (FOREGROUND, *(f"{FOREGROUND} {number}" for number in range(2, count + 1)))


@dataclass(frozen=True)
class StreamLayout:
    """The order of the rows of one batch.

    Attributes:
        batch: Triplets denoised together, B.
        guidance: Whether each stream has an unconditional half before its conditional one (G = 2, else 1).
        foregrounds: Names of the streams of ε_FG, from the farthest to the nearest, F of them.
        plain: Names of the streams of ε. All of them (the joint pass) or none (the prior pass).
    """

    batch: int
    guidance: bool
    foregrounds: tuple[str, ...] = (FOREGROUND,)
    plain: tuple[str, ...] = (BLENDED, BACKGROUND)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.foregrounds, *self.plain)

    @property
    def halves(self) -> int:
        return 2 if self.guidance else 1

    @property
    def rows(self) -> int:
        return len(self.names) * self.halves * self.batch

    @property
    def foreground_rows(self) -> int:
        """How many of the first rows go through the foreground offsets."""
        return len(self.foregrounds) * self.halves * self.batch

    def prior_pass(self) -> "StreamLayout":
        """The layout of the prior pass: the conditional half of every foreground, alone."""
        return StreamLayout(self.batch, guidance=False, foregrounds=self.foregrounds, plain=())

    def split(self, rows: Shaped[Tensor, "rows ..."]) -> Shaped[Tensor, "S G B ..."]:
        """(S·G·B, …) → (S, G, B, …), a view: streams in the order of `names`, the conditional half last."""
        return rows.unflatten(0, (len(self.names), self.halves, self.batch))

    def stream(self, rows: Shaped[Tensor, "rows ..."], name: str) -> Shaped[Tensor, "G B ..."]:
        """(S·G·B, …) → (G, B, …), a view of one stream."""
        return self.split(rows)[self.names.index(name)]

    def conditional_foregrounds(self, rows: Shaped[Tensor, "rows ..."]) -> Shaped[Tensor, "FB ..."]:
        """(at least F·G·B, …) → (F·B, …): the conditional half of every foreground; masks come from it alone."""
        split = rows[: self.foreground_rows].unflatten(0, (len(self.foregrounds), self.halves, self.batch))
        return split[:, -1].flatten(0, 1)

    def pair(self, rows: Shaped[Tensor, "rows heads M dim"]) -> Shaped[Tensor, "GB heads 2*M dim"]:
        """The rows of the two plain streams, (2·G·B, heads, M, dim) → (G·B, heads, 2M, dim): one sequence."""
        return rows[self.foreground_rows :].unflatten(0, (2, -1)).movedim(0, 2).flatten(2, 3)

    def unpair(self, sequence: Shaped[Tensor, "GB heads MM dim"]) -> Shaped[Tensor, "2*GB heads MM//2 dim"]:
        """Undo `pair`: (G·B, heads, 2M, dim) → (2·G·B, heads, M, dim)."""
        return sequence.unflatten(2, (2, -1)).movedim(2, 0).flatten(0, 1)
