"""Which slice of the batch is which stream, guidance half and picture.

One batch of the UNet holds every stream of every triplet. Its rows are ordered stream first, guidance half second,
picture last, so that the foregrounds' rows (which pass through the foreground offsets) come first and in one piece, and
the blended and the background stream (which share their self-attention) come last and side by side.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
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
        plain: Names of the streams of ε. All of them (the joint pass) or none (the prior pass); one alone where
            nothing reads the other.
        unguided: Names of the streams that have their conditional half alone, also with guidance: those that are held
            to a picture, whose prediction nobody needs.
    """

    batch: int
    guidance: bool
    foregrounds: tuple[str, ...] = (FOREGROUND,)
    plain: tuple[str, ...] = (BLENDED, BACKGROUND)
    unguided: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.foregrounds, *self.plain)

    @property
    def halves(self) -> int:
        return 2 if self.guidance else 1

    def halves_of(self, name: str) -> int:
        """How many guidance halves one stream has."""
        return 1 if name in self.unguided else self.halves

    @property
    def rows(self) -> int:
        return sum(map(self.halves_of, self.names)) * self.batch

    @property
    def foreground_rows(self) -> int:
        """How many of the first rows go through the foreground offsets."""
        return sum(map(self.halves_of, self.foregrounds)) * self.batch

    def prior_pass(self) -> "StreamLayout":
        """The layout of the prior pass: the conditional half of every foreground, alone."""
        return StreamLayout(self.batch, guidance=False, foregrounds=self.foregrounds, plain=())

    def split(self, rows: Shaped[Tensor, "rows ..."]) -> Shaped[Tensor, "S G B ..."]:
        """(S·G·B, …) → (S, G, B, …), a view: streams in the order of `names`, the conditional half last.

        Every stream has the same halves: none is unguided.
        """
        return rows.unflatten(0, (len(self.names), self.halves, self.batch))

    def stream(self, rows: Shaped[Tensor, "rows ..."], name: str) -> Shaped[Tensor, "G B ..."]:
        """(rows, …) → (G, B, …), a view of one stream; G is 1 where it is unguided."""
        halves = [self.halves_of(one) for one in self.names]
        index = self.names.index(name)
        return rows.narrow(0, sum(halves[:index]) * self.batch, halves[index] * self.batch).unflatten(
            0, (halves[index], self.batch)
        )

    def conditional_foregrounds(self, rows: Shaped[Tensor, "rows ..."]) -> Shaped[Tensor, "FB ..."]:
        """(at least the foregrounds' rows, …) → (F·B, …): their conditional half; masks come from it alone.

        A view where there is one foreground.
        """
        each = [self.stream(rows, name)[-1] for name in self.foregrounds]
        return each[0] if len(each) == 1 else torch.cat(each)

    def attended(self, streams: Collection[str], blend: bool, update: bool, share: bool) -> set[str]:
        """These streams and all that any of them attends to, directly or by way of others.

        Args:
            streams: Names of some.
            blend, update, share: Whether the blended stream takes on the foregrounds' attention (Eq. 1), whether they
                take on its own (Eq. 2), and whether blended and background share theirs.
        """
        reads = {BLENDED: {*(self.foregrounds if blend else ()), *([BACKGROUND] if share else ())}}
        reads[BACKGROUND] = {BLENDED} if share else set()
        reads |= {name: {BLENDED} if blend and update else set() for name in self.foregrounds}
        found: set[str] = set()
        added = set(streams)
        while added:
            found |= added
            added = {other for name in added for other in reads[name]} - found
        return found

    def taken(self, names: Collection[str], unguided: Collection[str]) -> tuple["StreamLayout", list[int]]:
        """The layout of some of the streams, of which some lose their unconditional half, and its rows in this one."""
        kept = replace(
            self,
            foregrounds=tuple(name for name in self.foregrounds if name in names),
            plain=tuple(name for name in self.plain if name in names),
            unguided=tuple(name for name in self.names if name in unguided),
        )
        numbers = torch.arange(self.rows)
        rows = [self.stream(numbers, name)[-kept.halves_of(name) :].flatten() for name in kept.names]
        return kept, torch.cat(rows).tolist()

    def pair(self, rows: Shaped[Tensor, "rows heads M dim"]) -> Shaped[Tensor, "GB heads 2*M dim"]:
        """The rows of the two plain streams, (2·G·B, heads, M, dim) → (G·B, heads, 2M, dim): one sequence."""
        return rows[self.foreground_rows :].unflatten(0, (2, -1)).movedim(0, 2).flatten(2, 3)

    def unpair(self, sequence: Shaped[Tensor, "GB heads MM dim"]) -> Shaped[Tensor, "2*GB heads MM//2 dim"]:
        """Undo `pair`: (G·B, heads, 2M, dim) → (2·G·B, heads, M, dim)."""
        return sequence.unflatten(2, (2, -1)).movedim(2, 0).flatten(0, 1)
