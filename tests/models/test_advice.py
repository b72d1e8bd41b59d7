"""Every kind of prompt that a small model misreads has a sentence of its own, and good prompts have none."""

import pytest

from layerfusion.models import MINI, Vocabulary, read_vocabulary
from layerfusion.models.advice import advise
from layerfusion.models.vocabulary import article, plural

KNOWN = Vocabulary.from_dict(
    {
        "objects": {
            "animals": [{"name": "fox", "synonyms": ["vixen"]}, "dragon", "teddy bear"],
            "vehicles": [{"name": "car", "coloured": True}],
        },
        "colours": ["red", "blue"],
        "scenes": [{"name": "snowy forest", "synonyms": ["winter forest"]}, "beach at night"],
        "styles": ["comics style"],
    }
)


def said(foreground: str, background: str) -> list[str]:
    return advise(KNOWN, "mini", foreground, background)


@pytest.mark.parametrize(
    ("foreground", "background"),
    [
        ("a fox", "a snowy forest"),
        ("A Red CAR", "a Beach at Night, comics style"),
        ("the Vixen", "a picture of a winter forest"),
        ("car", "snowy forest"),
    ],
)
def test_nothing_is_said_of_good_prompts(foreground: str, background: str) -> None:
    assert said(foreground, background) == []


@pytest.mark.parametrize(
    ("foreground", "background", "sentence"),
    [
        ("a fax machine", "a snowy forest", "knows no subject in the foreground prompt, “a fax machine”"),
        ("a bear", "a snowy forest", "“bear” of the foreground prompt only as part of teddy bear."),
        ("a fox", "a ballroom", "knows no scene in the background prompt, “a ballroom”"),
        ("a fox", "a forest", "“forest” of the background prompt only as part of snowy forest, winter forest."),
        ("a blue fox", "a snowy forest", "a fox has one look only to mini, so “blue” may do nothing"),
        ("two foxes", "a snowy forest", "names several things (foxes)"),
        ("a fox and a red car", "a snowy forest", "names several things (fox, car)"),
        ("a fox in a snowy forest", "a beach at night", "names a scene (snowy forest), and a foreground has none"),
        ("a car", "a snowy forest with a teddy bear", "names a thing (teddy bear)"),
        ("a snowy forest", "two vixens", "the prompts look swapped"),
    ],
)
def test_each_kind_of_misunderstanding_has_its_sentence(foreground: str, background: str, sentence: str) -> None:
    sentences = said(foreground, background)
    assert [sentence in one for one in sentences] == [True], sentences
    assert all(one.endswith(".") and "\n" not in one for one in sentences)


def test_the_nearest_names_are_offered_and_the_gravest_comes_first() -> None:
    first, second = said("a dragoon and a scene of a beach at night", "a snowy forest")
    assert "knows no subject" in first and "nearest in spelling: dragon" in first
    assert "names a scene" in second


def test_a_colour_belongs_to_the_thing_behind_it() -> None:
    assert not any("one look" in one for one in said("a fox and a red car", "a snowy forest"))
    assert any("“red”" in one for one in said("a red fox and a car", "a snowy forest"))


def test_a_vocabulary_without_scenes_is_silent_about_them() -> None:
    assert advise(Vocabulary.from_dict({"objects": {"animals": ["fox"]}}), "mini", "a fox", "anywhere") == []


def test_everything_the_embedded_model_knows_is_understood_in_the_plural_and_in_capitals() -> None:
    known = read_vocabulary(MINI)
    assert known is not None
    for entries in known.objects.values():
        for entry in entries:
            for name in entry.names:
                (one,) = known.mentions(article(name).upper())
                assert (one.entry, one.several) == (entry, False)
                (many,) = known.mentions(f"Two {plural(name)}")
                assert many.entry == entry
    for scene in known.scenes:
        for name in scene.names:
            assert [mention.entry for mention in known.mentions(article(name))] == [scene]
            assert advise(known, "mini", "a fox", article(name)) == []
