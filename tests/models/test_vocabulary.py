import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.errors import LayerFusionError
from layerfusion.models import vocabulary_of
from layerfusion.models.vocabulary import Vocabulary, article, plural, read_vocabulary, split

KNOWN = {
    "objects": {
        "animals": [{"name": "fox", "synonyms": ["vixen"]}, {"name": "tropical fish"}, "owl"],
        "vehicles": [{"name": "car", "coloured": True}],
    },
    "colours": ["red", "blue"],
    "scenes": [{"name": "snowy forest", "synonyms": ["winter forest"]}],
    "styles": ["comics style"],
}


@pytest.fixture(scope="module")
def known() -> Vocabulary:
    return Vocabulary.from_dict(KNOWN)


def test_words_come_from_the_names_where_none_are_listed(known: Vocabulary) -> None:
    assert known.words == {
        *("fox", "vixen", "tropical", "fish", "owl", "car", "red", "blue"),
        *("snowy", "winter", "forest", "comics", "style"),
    }
    assert Vocabulary.from_dict({**KNOWN, "words": ["A", "Fox"]}).words == {"a", "fox"}


def test_a_prompt_of_known_words_has_no_unknown_ones(known: Vocabulary) -> None:
    assert known.unknown_words("A red FOX in the snowy forest, comics style") == {}


def test_unknown_words_come_with_the_nearest_names(known: Vocabulary) -> None:
    assert known.unknown_words("two foxes and a goldfish, forrest") == {
        "two": [],
        "foxes": ["fox"],
        "goldfish": ["tropical fish"],
        "forrest": ["snowy forest", "winter forest"],
    }


def test_entries_may_be_objects_or_names(known: Vocabulary) -> None:
    animals = known.objects["animals"]
    assert [entry.names for entry in animals] == [("fox", "vixen"), ("tropical fish",), ("owl",)]
    assert known.objects["vehicles"][0].coloured
    assert list(known.groups()) == ["animals", "vehicles", "colours", "scenes", "styles"]


@given(st.lists(st.sampled_from(["red", "fox", "zeppelin", "qat", "the"]), max_size=6))
def test_every_word_is_known_or_named_once(words: list[str]) -> None:
    unknown = Vocabulary.from_dict(KNOWN).unknown_words(" ".join(words))
    assert set(unknown) == set(words) & {"zeppelin", "qat"}


def test_words_keep_their_hyphens_and_apostrophes() -> None:
    assert split("A jack-o-lantern; the T-shirt’s red — 3 foxes_2") == [
        *("a", "jack-o-lantern", "the", "t-shirt’s", "red", "3", "foxes", "2"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fox", "a fox"), ("owl", "an owl"), ("umbrella", "an umbrella"), ("unicorn", "a unicorn"), ("ufo", "a ufo")],
)
def test_article(name: str, expected: str) -> None:
    assert article(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fox", "foxes"),
        ("butterfly", "butterflies"),
        ("monkey", "monkeys"),
        ("snowman", "snowmen"),
        ("tropical fish", "tropical fish"),
        ("slice of pizza", "slices of pizza"),
        ("wine glass", "wine glasses"),
    ],
)
def test_plurals(name: str, expected: str) -> None:
    assert plural(name) == expected


def test_a_folder_without_a_vocabulary_has_none(tmp_path: Path) -> None:
    assert read_vocabulary(tmp_path) is None


@pytest.mark.parametrize("content", ["[]", "3", '{"objects": 3}', '{"objects": {"animals": [{}]}}'])
def test_a_broken_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model_index.json").write_text(f'{{"vocabulary": {content}}}')
    with pytest.raises(LayerFusionError, match="holds no valid vocabulary"):
        read_vocabulary(tmp_path)


def test_a_vocabulary_is_read_from_the_models_index(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"vocabulary": KNOWN}))
    assert read_vocabulary(tmp_path) == vocabulary_of(str(tmp_path)) == Vocabulary.from_dict(KNOWN)


def test_a_model_elsewhere_has_none_and_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    assert vocabulary_of("somebody/some-model") is None
    with pytest.raises(LayerFusionError, match="holds no model"):
        vocabulary_of(str(tmp_path))
