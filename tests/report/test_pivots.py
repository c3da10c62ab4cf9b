"""Pivotal tokens and preference training on the page: the numbers of the files, marked text, and nothing hostile."""

from __future__ import annotations

import html
import itertools
import re
import shutil
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.report.searches import ATTACK, add_search, add_tuning, list_stage, pivot, searched, write_search

from teachable.pivot import Alternative
from teachable.report import ReportConfig, build_report
from teachable.report.drawing.searches import pivotal_tokens
from teachable.report.drawing.solutions import solution
from teachable.report.gathering.load import RunReader
from teachable.report.gathering.pivots import TOKENS_SHOWN
from teachable.report.gathering.tokens import effects, solution_facts, strength, visible
from teachable.store.files import read_json, read_rows, write_json, write_rows, write_text

if TYPE_CHECKING:
    pass


def text_of(page: str) -> str:
    """The page's text without style, script and markup, white space made single."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def built(searched_run: Path) -> tuple[Path, dict[str, Any], str]:
    files = build_report(searched_run)
    assert files.missing == ()
    return searched_run, read_json(files.json), files.html.read_text(encoding="utf-8")


def test_a_search_is_counted_from_its_rows(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    (one,) = facts["pivots"]
    pivots, gates = read_rows(run / "pivot/pivots.parquet"), read_rows(run / "pivot/gates.parquet")
    pairs, stats = read_rows(run / "pivot/preferences.parquet"), read_json(run / "pivot/stats.json")
    assert (one["n_pivots"], one["n_pairs"], one["n_prompts"], one["n_solutions"]) == (len(pivots), len(pairs), 40, 12)
    assert one["n_raising"] == sum(p["delta"] > 0 for p in pivots) and one["n_raising"] + one["n_lowering"] == 18
    assert sum(one["outcomes"].values()) == len(gates) and one["outcomes"]["searched"] == 12
    assert one["completions_per_pivot"] == stats["completions"] / len(pivots)
    text = text_of(page)
    assert "18 pivotal tokens in 12 solutions" in text and "by at least 20 points. Intervals are 95%." in text
    assert "completions 4,321 240 a pivotal token, 2 requests failed tokens sampled 98.8 k 12 k read" in text
    assert "preference pairs 18 5 left out" in text and "improbable 4 invisible 1" in text
    assert "outside too easy or too hard: its success probability is out of the range 10" in text


def test_the_most_telling_solutions_come_first_with_their_numbers(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    pivots = read_rows(run / "pivot/pivots.parquet")
    sums: dict[str, float] = {}
    for p in pivots:
        sums[p["prompt_id"]] = sums.get(p["prompt_id"], 0.0) + abs(p["delta"])
    shown = facts["pivots"][0]["solutions"]
    assert [s["prompt_id"] for s in shown] == sorted(sums, key=lambda one: -sums[one])[:8]
    rows = {row["prompt_id"]: row for row in read_rows(run / "pivot/solutions.parquet")}
    questions = {row["id"]: row["messages"][0]["content"] for row in read_rows(run / "tasks/prompts.parquet")}
    for one in shown:
        row = rows[one["prompt_id"]]
        assert one["values"] == row["values"] and one["question"] == questions[one["prompt_id"]]
        assert [t["effect"] for t in one["tokens"]] == pytest.approx(
            [b - a for a, b in itertools.pairwise(row["values"])]
        )
        mine = sorted((p for p in pivots if p["prompt_id"] == one["prompt_id"]), key=lambda p: p["position"])
        assert [(p["position"], p["delta"]) for p in one["pivots"]] == [(p["position"], p["delta"]) for p in mine]
    assert page.count('class="tok pivotal') == 1 + sum(len(one["pivots"]) for one in shown)  # one is in the key
    assert "8 of 12 solutions, the largest changes first." in text_of(page)
    first = shown[0]["pivots"][0]
    cells = f"{first['position']} \u2423{first['token'].strip()} {100 * first['p_before']:.1f}%"
    assert f"{cells} {100 * first['p_after']:.1f}%" in text_of(page)
    assert "\u2423 80 3/24".replace("\u2423 ", "\u2423") in text_of(page) and "untried (9.0%)" in text_of(page)


def test_the_drawn_curve_is_the_value_curve_with_its_band(built: tuple[Path, dict[str, Any], str]) -> None:
    _, facts, page = built
    one = facts["pivots"][0]["solutions"][0]
    drawing = re.search(r'<figure class="value-curve">.*?</figure>', page, flags=re.S)
    assert drawing is not None
    line = re.search(r'<polyline points="([^"]*)"', drawing[0])
    band = re.search(r'<polygon points="([^"]*)"', drawing[0])
    assert line is not None and band is not None
    points = [tuple(map(float, point.split(","))) for point in line[1].split()]
    n = len(one["tokens"])
    assert points == [
        (pytest.approx(100 * i / n, abs=0.01), pytest.approx(100 - 100 * value, abs=0.01))
        for i, value in enumerate(one["values"])
    ]
    edge = [tuple(map(float, point.split(","))) for point in band[1].split()]
    for i, (value, sd) in enumerate(zip(one["values"], one["value_sds"], strict=True)):
        high, low = min(1.0, value + 1.96 * sd), max(0.0, value - 1.96 * sd)
        assert edge[i][1] == pytest.approx(100 - 100 * high, abs=0.01)
        assert edge[-1 - i][1] == pytest.approx(100 - 100 * low, abs=0.01)
    assert drawing[0].count('class="step c-up"') == sum(p["delta"] > 0 for p in one["pivots"])
    assert drawing[0].count('class="step c-down"') == sum(p["delta"] < 0 for p in one["pivots"])
    label = re.search(r'aria-label="([^"]*)"', drawing[0])
    assert label is not None and all(f"at token {p['position']} " in label[1] for p in one["pivots"])


def test_training_on_pairs_is_that_of_the_files(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    first, later = facts["preferences"]["tuned"]
    assert (first["stage"], later["stage"]) == ("dpo", "later")
    rows = read_rows(run / "dpo/curves.parquet")
    for told in first["runs"]:
        ends = [row for row in rows if row["seed"] == told["seed"] and row["step"] > 18]
        for name in ("loss", "reward_margin", "reward_accuracy"):
            assert told[f"last_{name}"] == pytest.approx(mean(row[name] for row in ends))
    step5 = [row["loss"] for row in rows if row["step"] == 5]
    assert first["curves"]["loss"]["mean"][4] == [5.0, pytest.approx(mean(step5))]
    (judged,) = facts["preferences"]["judged"]
    assert (judged["n_pairs"], judged["mean_margin"]) == (4, 2.5)
    text = text_of(page)
    assert "Training on pairs, later" in text and "Judged pairs, judge_pairs" in text
    assert "0 64 1 20 16 2,000 0.495 0.975 89.0% 7.0 s" in text
    assert "small 9 4.25 1 3" in text and "mean margin 2.50" in text and "share of such votes 0.125" in text


def test_a_run_without_searches_has_no_such_section(finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "quickstart"))
    files = build_report(run)
    page, facts = files.html.read_text(), read_json(files.json)
    assert (facts["pivots"], facts["preferences"]) == ([], {"judged": [], "tuned": []})
    assert "Pivotal tokens" not in page and "Preference pairs" not in page


def test_stages_are_found_by_kind_and_a_wanted_one_is_said_to_be_missing(tmp_path: Path) -> None:
    recipe = "name: small\nstages:\n  tasks: {kind: tasks}\n  look: {kind: pivot, gap: 0.3}\n  tune: {kind: dpo}\n"
    write_text(tmp_path / "run.yaml", recipe)
    files = build_report(tmp_path)
    assert "look/stats.json" in files.missing and "tune/runs.parquet" in files.missing
    assert not [name for name in files.missing if name.startswith(("probe/", "select/", "sft/", "evaluate/"))]
    text = text_of(files.html.read_text())
    assert "Not here yet: the pivotal tokens. It comes from look/stats.json" in text
    assert "The arms side by side" not in text and "Training curves" not in text
    add_search(tmp_path, ["a", "b", "c"], n_searched=3, stage="look")
    add_tuning(tmp_path, "tune")
    page = build_report(tmp_path).html.read_text()
    assert "Not finished: tasks." in text_of(page)
    assert "<h1>3 pivotal tokens in 3 solutions.</h1>" in page and "by at least 30 points" in text_of(page)
    assert "(the question is not in the run folder)" in text_of(page)
    given = build_report(tmp_path, folders={"pivot": "look", "dpo": "tune"})
    assert given.html.read_text() == page


def test_a_search_that_was_cut_short_is_shown_as_such(searched_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(searched_run, tmp_path / "quickstart"))
    stats = read_json(copy / "pivot/stats.json") | {"complete": False}
    write_json(copy / "pivot/stats.json", stats)
    for name in ("pivots", "solutions"):
        write_rows(copy / f"pivot/{name}.parquet", [])
    files = build_report(copy)
    (one,) = read_json(files.json)["pivots"]
    assert (one["n_pivots"], one["completions_per_pivot"], one["solutions"]) == (0, None, [])
    assert "The search ended before its end" in files.html.read_text()


def test_many_long_solutions_stay_below_the_limit(tmp_path: Path) -> None:
    n = 2000
    values = [0.3 + 0.4 * (i % 2) for i in range(n + 1)]
    found = [searched(f"p{i}", ["<token>"] * n, values) for i in range(12)]
    write_search(tmp_path / "pivot", found, [pivot(one, n - 1) for one in found])
    list_stage(tmp_path, "pivot", "pivot", seconds=1.0)
    files = build_report(tmp_path, ReportConfig(n_solutions=50))
    assert files.n_bytes < 5_000_000
    (told,) = read_json(files.json)["pivots"]
    assert len(told["solutions"]) == TOKENS_SHOWN // n and len(told["solutions"][0]["tokens"]) == n
    page = files.html.read_text()
    assert "[500 more tokens]" in page and 'id="p0s0t1999"' in page
    assert f"{TOKENS_SHOWN // n} of 12 solutions" in page


def test_the_same_run_gives_the_same_bytes(built: tuple[Path, dict[str, Any], str]) -> None:
    run, _, page = built
    assert build_report(run).html.read_text(encoding="utf-8") == page


def test_private_paths_are_taken_out_of_tokens_too(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    assert "/".join(["", "home", "some"]) in "".join(read_rows(run / "pivot/solutions.parquet")[3]["tokens"])
    shown = [one for one in facts["pivots"][0]["solutions"] if ATTACK in one["tokens"][0]["token"]]
    assert [token["token"] for token in shown[0]["tokens"][2:4]] == ["\u2026", "\u2026"]
    assert "/home/" not in page and "body/secret" not in page


# ---- any text ----


def test_what_cannot_be_seen_is_drawn() -> None:
    assert visible("a\n\tb") == "a\u21b5\n\u21e5b" and visible(" \n", flat=True) == "\u2423\u21b5"
    assert visible("\x1b[2J\x7f\x9b") == "\u241b[2J\u2421\u27e8U+009B\u27e9"
    assert visible("\u202e\u2028\u00a0\u200b") == "".join(
        f"\u27e8U+{c}\u27e9" for c in ("202E", "2028", "00A0", "200B")
    )
    assert (visible("", 7), visible(""), visible("\u0301e")) == ("\u27e8token 7\u27e9", "", "\u25cc\u0301e")
    assert visible("\u00e9\u4e2d\U0001f600\ufffd ") == "\u00e9\u4e2d\U0001f600\ufffd "
    assert [strength(e) for e in (None, 0.0, 0.0199, -0.02, 0.08, -0.5)] == [0, 0, 0, 1, 2, 3]


def test_a_measured_change_outweighs_the_curve() -> None:
    one = searched("p", ("a", "b"), (0.5, 0.5, 0.6))
    told = solution_facts(dict(one), [dict(pivot(one, 1, delta=0.4, alternatives=()))], "here")
    assert effects(told) == [0.0, 0.4]


class Markup(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


SAFE = {
    *(
        "li",
        "details",
        "summary",
        "h3",
        "h4",
        "span",
        "div",
        "pre",
        "p",
        "code",
        "figure",
        "figcaption",
        "b",
        "svg",
        "g",
    ),
    *(
        "line",
        "text",
        "title",
        "path",
        "polyline",
        "polygon",
        "a",
        "em",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
    ),
    "td",
}
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("<>&\"'=/\n \x1b\x00\u202e"), max_size=10)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(tokens=[ATTACK, "", "\x00", "\ufffd"], other=ATTACK, prompt='"><script>')
@given(tokens=st.lists(TEXTS, min_size=1, max_size=8), other=TEXTS, prompt=TEXTS)
def test_any_text_stays_text(tokens: list[str], other: str, prompt: str) -> None:
    one = searched(prompt, tokens, [0.1 + 0.8 * (i % 2) for i in range(len(tokens) + 1)], note=other)
    found = [pivot(one, i, alternatives=(Alternative(9, other, 0.2, 4, 1),)) for i in range(0, len(tokens), 2)]
    told = {"question": other, **solution_facts(dict(one), [dict(p) for p in found], "here")}
    for pivots in (told["pivots"], []):
        drawn = solution({**told, "pivots": pivots}, "s", first=True)
        read = Markup()
        read.feed(drawn)
        assert read.tags <= SAFE and not {name for name in read.attributes if name.startswith("on")}
        assert not {c for c in drawn if c != "\n" and unicodedata.category(c) in {"Cc", "Cs"}} - set(other)
        assert "\x1b" not in drawn and "\x00" not in drawn and "\u202e" not in drawn
        for place, token in enumerate(tokens):
            assert visible(token, one.token_ids[place], flat=bool(pivots) and place % 2 == 0) in read.text


def test_an_absent_search_draws_nothing(tmp_path: Path) -> None:
    assert RunReader(tmp_path).stages_of("pivot") == []
    assert pivotal_tokens({"pivots": []}) == ""
