"""What a run tells while it works, so that no face is silent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Stage = Literal["loading", "sampling", "decoding", "writing"]


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        stage: What it does now.
        done, total: Sampling steps of the whole run, over all batches; 0 of 0 where a stage is not counted.
        triplets: How many triplets the batch at hand brings the run to.
        clean: (streams, B, 4, h, w) of the batch at hand after a sampling step, what it says that the latents become;
            None otherwise.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    triplets: int = 0
    clean: "Tensor | None" = field(default=None, compare=False, repr=False)


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A listener that does not care."""
