"""The prompts of the paper's figures and supplement, and the words of its user study: `paper.json`, read.

Of each figure the file has the pairs for a model that takes any words, with what of them the paper itself prints
("foreground", "background"; the rest are ours, of the kind that the text or the picture describes), and stand-ins for
the embedded model out of its vocabulary.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from layerfusion.errors import LayerFusionError


@dataclass(frozen=True)
class Figure:
    """One figure's prompts.

    Attributes:
        shows: What it is about.
        paper: Pairs of a foreground's and a background's prompt.
        printed: Which of the two the paper prints.
        mini: The embedded model's stand-ins.
    """

    shows: str
    paper: tuple[tuple[str, str], ...]
    printed: tuple[str, ...]
    mini: tuple[tuple[str, str], ...]

    def pairs(self, any_words: bool) -> tuple[tuple[str, str], ...]:
        """The pairs for a model that takes any words, or for the embedded one."""
        return self.paper if any_words else self.mini


def figure(name: str) -> Figure:
    """The prompts of a figure by its number, "3" or "8a", or of "study".

    Raises:
        LayerFusionError: there are none.
    """
    known = _file()["figures"]
    if name not in known:
        raise LayerFusionError(f"there are no prompts of figure {name!r}; those known are {', '.join(known)}.")
    one = known[name]
    pairs: Any = {key: tuple((f, b) for f, b in one[key]) for key in ("paper", "mini")}
    return Figure(one["shows"], pairs["paper"], tuple(one["printed"]), pairs["mini"])


def figures() -> tuple[str, ...]:
    """The names that `figure` knows."""
    return tuple(_file()["figures"])


def question() -> str:
    """What the paper's user study asks of each triplet (Sec. A.5, Fig. 10)."""
    return str(_file()["question"])


@cache
def _file() -> dict[str, Any]:
    return dict(json.loads((Path(__file__).parent / "paper.json").read_text(encoding="utf-8")))
