"""What is said in words, as the values of a request."""

from collections.abc import Callable

import pytest

from layerfusion.errors import LayerFusionError
from layerfusion.runs.words import numbers, place, width_and_height, with_foregrounds


def test_words_become_values() -> None:
    assert width_and_height("1024×768") == width_and_height(" 1024X768 ") == {"width": 1024, "height": 768}
    assert width_and_height(None) == {}
    assert numbers("40,-20", "--move", (2,), "") == [40, -20] and numbers("1e-1", "--scale", (1, 2), "") == [0.1]
    assert place("0.1,0.5,0.4,0.4") == {"box": [0.1, 0.5, 0.4, 0.4], "flip": False}
    assert place("0.1,0.5,0.4,0.4, Flip") == {"box": [0.1, 0.5, 0.4, 0.4], "flip": True}
    assert place(None) == place("all") == place("") == {"box": None, "flip": False}
    assert place("all,flip") == place("flip") == {"box": None, "flip": True}


def test_one_argument_beside_foregrounds_is_the_background() -> None:
    given = with_foregrounds(
        {"foreground_prompt": "a pond"}, ["a duck", "a heron"], ["0,0,1,1", "all,flip"], ["", "h.png"]
    )
    assert given == {
        "background_prompt": "a pond",
        "foregrounds": [
            {"prompt": "a duck", "box": [0, 0, 1, 1], "flip": False, "image": None},
            {"prompt": "a heron", "box": None, "flip": True, "image": "h.png"},
        ],
    }


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (lambda: width_and_height("large"), "the size 'large' is not WIDTHxHEIGHT; write it as 1024x1024."),
        (lambda: numbers("left", "--move", (2,), "40,-20"), "--move 'left' is not 2 numbers; write it as 40,-20."),
        (lambda: numbers("1,2,3", "--scale", (1, 2), "0.8"), "--scale '1,2,3' is not 1 or 2 numbers; write it as 0.8."),
        (lambda: place("0,0,1"), "--at '0,0,1' is not 4 numbers; write it as 0.1,0.5,0.4,0.4"),
        (lambda: with_foregrounds({}, [], ["all"], []), "--at says where a foreground stands"),
        (lambda: with_foregrounds({}, ["a", "b"], ["all"], []), "--at is given 1 times for 2 foregrounds"),
    ],
)
def test_what_is_none_gets_a_sentence(said: Callable[[], object], sentence: str) -> None:
    with pytest.raises(LayerFusionError) as caught:
        said()
    assert str(caught.value).startswith(sentence)
