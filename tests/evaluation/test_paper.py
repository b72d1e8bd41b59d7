"""The file of the paper's prompts: whole, and within what the embedded model knows."""

import pytest

from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.paper import figure, figures, question
from layerfusion.models import MINI, read_vocabulary


def test_the_supplements_prompts_are_the_papers() -> None:
    assert figure("11").paper[0] == ("a lynx", "a snowy forest")
    assert figure("17").paper[2] == ("a cup filled with coke", "a table")
    assert figure("20").pairs(any_words=True) == (("a candle", "a dark cave"),)
    assert "from a scale of 1-to-5" in question()


@pytest.mark.parametrize("name", figures())
def test_the_embedded_model_knows_every_word_of_its_own(name: str) -> None:
    known = read_vocabulary(MINI)
    assert known is not None
    pairs = figure(name).pairs(any_words=False)
    assert pairs and figure(name).paper
    assert [known.unknown_words(f"{f} {b}") for f, b in pairs] == [{}] * len(pairs)


def test_a_figure_without_prompts_is_named() -> None:
    with pytest.raises(LayerFusionError, match="no prompts of figure '4'"):
        figure("4")
