"""The user study: the page as people use it, in a real browser, and the analysis on answers whose result is known.

All answers here are synthetic, and are in no other place than these tests.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.user_study import ANSWERS, Item, analyse, build, read_answers, read_items


def items(per_method: int = 3) -> list[Item]:
    rng = np.random.default_rng(0)

    def picture(channels: int) -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (48, 48, channels), np.uint8))

    return [
        Item(method, (f"a thing {k}", "a </script> place"), picture(4), picture(3), picture(3))
        for method in ("ours", "theirs")
        for k in range(per_method)
    ]


@pytest.fixture(scope="module")
def study() -> tuple[str, dict[str, Any]]:
    return build(items(), seed=5)


def answers_file(folder: Path, key: dict[str, Any], person: str, rating: dict[str, int], /, **other: Any) -> Path:
    given = [{"item": item, "rating": rating[known["method"]], "seconds": 1} for item, known in key["items"].items()]
    file = folder / f"{person}.json"
    said = {"format": ANSWERS, "version": 1, "study": key["study"], "person": person, "answers": given}
    file.write_text(json.dumps(said | other))
    return file


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_names_no_method_and_asks_for_nothing(study: tuple[str, dict[str, Any]]) -> None:
    page, key = study
    assert "ours" not in re.sub(r"base64,[^\"]*", "", page).replace("yours", "").replace("your", "")
    assert "theirs" not in re.sub(r"base64,[^\"]*", "", page)
    assert "http://" not in page and "https://" not in page and 'src="http' not in page
    assert sorted(key["items"]) == [f"{k:03}" for k in range(6)]
    methods = [known["method"] for known in key["items"].values()]
    assert sorted(methods) == ["ours"] * 3 + ["theirs"] * 3 and methods != sorted(methods)
    assert build(items(), seed=5)[0] == page and build(items(), seed=6)[1]["items"] != key["items"]


@pytest.fixture
def tab(study: tuple[str, dict[str, Any]], tmp_path: Path, browser: Any) -> Any:
    file = tmp_path / "study.html"
    file.write_text(study[0], encoding="utf-8")
    context = browser.new_context(viewport={"width": 360, "height": 740}, accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(file.as_uri())
    yield page
    assert complaints == []
    context.close()


def test_a_person_rates_by_keyboard_closes_the_page_goes_on_and_saves(
    tab: Any, study: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    for rating in (4, 2):
        tab.keyboard.press("Enter")  # nothing chosen yet: it stays
        assert "choose a rating" in tab.locator("#hint").inner_text()
        tab.keyboard.press(str(rating))
        tab.keyboard.press("Enter")
    assert tab.locator("#title").inner_text() == "Triplet 3 of 6"
    order = tab.evaluate("answers.order")
    tab.wait_for_timeout(6000)  # Chromium writes what a page stores within five seconds; people do not reload sooner
    tab.reload()
    tab.get_by_role("button", name="Go on").click()
    assert tab.evaluate("answers.order") == order
    assert tab.locator("#title").inner_text() == "Triplet 3 of 6"
    tab.keyboard.press("Alt+ArrowLeft")
    assert tab.get_by_role("radio", name="2", exact=True).is_checked()
    tab.keyboard.press("3")  # thought better of it
    tab.keyboard.press("Enter")
    for _ in range(4):
        tab.get_by_role("radio", name="5, very satisfactory").check(force=True)
        tab.get_by_role("button", name="Next").click()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Save the answers").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    ((person, ratings),) = read_answers([file], study[1]).items()
    assert file.name == f"answers-{person}.json"
    assert ratings == dict(zip(order, (4, 3, 5, 5, 5, 5), strict=True))


def test_the_order_is_each_persons_own(tab: Any) -> None:
    orders = {tuple(tab.evaluate("begun().order")) for _ in range(20)}
    assert len(orders) > 10 and all(sorted(order) == sorted(next(iter(orders))) for order in orders)


def test_nothing_sticks_out_on_a_telephone_and_axe_finds_no_barrier(tab: Any) -> None:
    axe = Path(__file__).parents[2] / "build" / "axe" / "axe.min.js"

    def look(what: str) -> None:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360, what
        if axe.exists():
            rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
            tab.evaluate(axe.read_text(encoding="utf-8"))
            found = tab.evaluate(f"axe.run({{ runOnly: {json.dumps(rules)} }})")["violations"]
            assert [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]] == [], what

    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.evaluate("only('welcome')")
        look(f"welcome, {scheme}")
        tab.evaluate("show()")
        look(f"rating, {scheme}")
        tab.evaluate("only('end')")
        look(f"end, {scheme}")


# --- triplets on disk -------------------------------------------------------------------------------------------------


def test_triplets_are_read_from_what_generate_writes(tmp_path: Path) -> None:
    for item in items(2)[:2]:
        folder = tmp_path / item.prompts[0]
        folder.mkdir()
        for name in ("foreground", "background", "blended"):
            getattr(item, name).save(folder / f"{name}.png")
        said = {"foreground_prompt": item.prompts[0], "background_prompt": "a place", "seed": 3}
        (folder / "triplet.json").write_text(json.dumps(said))
    read = read_items("ours", tmp_path)
    assert [one.prompts for one in read] == [("a thing 0", "a place"), ("a thing 1", "a place")]
    assert read[0].foreground.mode == "RGBA"
    (tmp_path / "a thing 1" / "triplet.json").unlink()
    with pytest.raises(LayerFusionError, match="a thing 1 is no whole triplet"):
        read_items("ours", tmp_path)
    with pytest.raises(LayerFusionError, match="holds no folders with triplets"):
        read_items("ours", tmp_path / "a thing 1")


# --- the analysis -----------------------------------------------------------------------------------------------------


def test_means_deviations_and_tests_are_scipys(study: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    from scipy import stats

    key = study[1]
    rng = np.random.default_rng(3)
    ours, theirs = rng.integers(3, 6, 12), rng.integers(1, 5, 12)
    files = [
        answers_file(tmp_path, key, f"p{k:02}", {"ours": int(a), "theirs": int(b)})
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True))
    ]
    found = analyse(read_answers(files, key), key)
    assert found["persons"] == 12
    row = found["methods"]["ours"]
    assert row["mean"] == pytest.approx(ours.mean()) and row["deviation"] == pytest.approx(ours.std(ddof=1))
    assert row["low"] < row["mean"] < row["high"] and row["triplets"] == 3
    pair = found["paired"]["ours − theirs"]
    assert pair["difference"] == pytest.approx((ours - theirs).mean())
    assert pair["t_p"] == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)
    assert pair["wilcoxon_p"] == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)
    assert pair["low"] < pair["difference"] < pair["high"]


def test_where_nothing_differs_no_test_is_claimed(study: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    key = study[1]
    files = [answers_file(tmp_path, key, f"p{k}", {"ours": 3, "theirs": 3}) for k in range(4)]
    pair = analyse(read_answers(files, key), key)["paired"]["ours − theirs"]
    assert pair["difference"] == 0 and np.isnan(pair["t_p"]) and np.isnan(pair["wilcoxon_p"])


def test_answers_that_are_none_are_refused(study: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    key = study[1]
    good = answers_file(tmp_path, key, "one", {"ours": 4, "theirs": 2})
    cases = {
        "another study": answers_file(tmp_path, key, "two", {"ours": 4, "theirs": 2}, study="else"),
        "not complete": answers_file(tmp_path, key, "three", {"ours": 6, "theirs": 2}),
        "second file of person one": answers_file(tmp_path, key, "four", {"ours": 4, "theirs": 2}, person="one"),
        "not complete;": answers_file(tmp_path, key, "five", {"ours": 4, "theirs": 2}, answers=[]),
    }
    for says, file in cases.items():
        with pytest.raises(LayerFusionError, match=says):
            read_answers([good, file], key)
    good.write_text("{}")
    with pytest.raises(LayerFusionError, match="holds no answers"):
        read_answers([good], key)
    with pytest.raises(LayerFusionError, match="there are no answers"):
        read_answers([], key)
