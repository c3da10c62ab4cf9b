"""A searched solution in the terminal: its tokens, numbers and curve, in colour and without, and nothing that acts."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.report.searches import list_stage, pivot, rising_and_falling, searched, write_search
from typer.testing import CliRunner

from teachable.cli import solution as cli
from teachable.cli.curve import curve_lines
from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.pivot import Alternative, Gated, Pivot, Searched
from teachable.store.files import write_rows

PROMPT = "3f9c0a1b2c3d4e5f"
QUESTION = "What is 47 + 38?\nThink first."
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Written by `seen`, read by a terminal: sequences, bells, reversed text, half characters, marks, nothing at all.
NASTY = (
    "\x1b[31m",
    "\x1b]0;owned\x07",
    "\x9b2J",
    "\r",
    "\b\b",
    "\x00",
    "\u202eevil",
    "\u2028",
    "\u200b",
    "\u0301",
    "\ufffd",
)


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may not like colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)


def write(folder: Path, *solutions: Searched, pivots: list[Pivot] | None = None) -> Path:
    gates = [Gated("0utside", "outside", "12 of 12 right, which is above 0.8", 12, 12, 1.0)]
    return write_search(folder, solutions, pivots or [], gates)


def write_questions(folder: Path, *ids: str) -> None:
    rows = [{"id": one, "domain": "sum", "messages": [{"role": "user", "content": QUESTION}]} for one in ids]
    write_rows(folder / "prompts.parquet", rows)


@pytest.fixture
def found(tmp_path: Path) -> tuple[Path, Searched, list[Pivot]]:
    """A run folder with a finished search of one solution: two pivotal tokens, one up and one down."""
    solution, pivots = rising_and_falling(PROMPT, seed=1, n_pivots=2)
    write(tmp_path / "search", solution, pivots=pivots)
    write_questions(tmp_path / "questions", PROMPT)
    list_stage(tmp_path, "questions", "tasks", outputs={})
    list_stage(tmp_path, "search", "pivot", outputs={})
    return tmp_path, solution, pivots


def drawn(told: dict[str, Any], **console: Any) -> str:
    """What is printed on a terminal of this kind."""
    out = io.StringIO()
    cli._draw(told, Console(file=out, highlight=False, soft_wrap=True, width=200, **console))
    return out.getvalue()


def test_without_colours_pivotal_tokens_are_marked_with_their_change(
    found: tuple[Path, Searched, list[Pivot]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, solution, pivots = found
    assert {one.delta > 0 for one in pivots} == {True, False}
    cli.show_solution(folder, PROMPT[:4], as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert QUESTION in out and f"prompt {PROMPT}" in out and "solution: right, 30 tokens, 2 pivotal, 96 samples" in out
    expected = ""
    marks = {one.position: f"{one.delta:+.2f}" for one in pivots}
    for place, token in enumerate(solution.tokens):
        alone = token.replace("\n", "\u21b5").replace(" ", "\u2423")
        expected += f"[{marks[place]}|{alone}]" if place in marks else token.replace("\n", "\u21b5\n")
    assert expected in out
    for one in pivots:
        row = next(line for line in out.splitlines() if line.split()[:1] == [str(one.position)])
        assert f"{one.p_before:.2f} \u2192 {one.p_after:.2f}" in row and f" {one.delta:+.2f} " in row
        assert f"[{one.delta_low:+.2f}, {one.delta_high:+.2f}]  {one.n_samples}" in row
        assert "\u242380 3/24 (0.31), \u2423seven untried (0.09)" in row
    curve = [line for line in out.splitlines() if "\u2502" in line]
    assert len(curve) == 5 and sum(line.count("\u25b2") + line.count("\u25bc") for line in out.splitlines()) == 2


def test_colours_say_which_way_and_how_far(found: tuple[Path, Searched, list[Pivot]]) -> None:
    folder, _, pivots = found
    told = cli.solution_document(folder, PROMPT)
    text = cli.solution_text(told["solutions"][0], coloured=True)
    bold = {text.plain[span.start : span.end]: span.style for span in text.spans if getattr(span.style, "bold", False)}
    assert len(bold) == 2
    for one in pivots:
        arrow = "\u25b2" if one.delta > 0 else "\u25bc"
        style = bold[arrow + one.token.replace(" ", "\u2423")]
        red, green, _ = style.bgcolor.get_truecolor()  # type: ignore[union-attr]
        assert style.underline and (green > red) == (one.delta > 0)  # type: ignore[union-attr]
    levels = [cli._style(effect) for effect in (0.001, 0.03, 0.1, 0.3, -0.001, -0.03, -0.1, -0.3, None)]
    assert [not style for style in levels] == [True, False, False, False, True, False, False, False, True]
    assert len({str(style) for style in levels}) == 7
    shown = drawn(told, force_terminal=True, color_system="truecolor")
    assert "\x1b[1;4" in shown and "[+0" not in COLOURS.sub("", shown).split("place")[0]


@pytest.mark.parametrize("plain", [{}, {"force_terminal": True, "no_color": True}])
def test_no_colour_is_no_escape(found: tuple[Path, Searched, list[Pivot]], plain: dict[str, Any]) -> None:
    assert "\x1b" not in drawn(cli.solution_document(found[0], PROMPT), **plain)


def test_the_variable_no_color_is_heeded(
    found: tuple[Path, Searched, list[Pivot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in drawn(cli.solution_document(found[0], PROMPT), force_terminal=True)


def test_the_command_shows_it(found: tuple[Path, Searched, list[Pivot]]) -> None:
    shown = CliRunner().invoke(app, ["pivot", "--show", PROMPT[:5], "--out", str(found[0])])
    assert shown.exit_code == 0 and f"prompt {PROMPT}" in shown.stdout and "[change|token]" in shown.stdout
    as_json = CliRunner().invoke(app, ["pivot", "--show", PROMPT, "--out", str(found[0]), "--json"])
    assert json.loads(as_json.stdout)["prompt_id"] == PROMPT
    unknown = CliRunner().invoke(app, ["pivot", "--show", "nobody", "--out", str(found[0])])
    assert unknown.exit_code == 2 and unknown.stderr == (
        f"error: no searched prompt has the id 'nobody'. There are {PROMPT}.\n"
    )


def test_json_is_one_document_with_every_number(
    found: tuple[Path, Searched, list[Pivot]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, solution, pivots = found
    cli.show_solution(folder, PROMPT, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["prompt_id"] == PROMPT and told["question"] == QUESTION
    (one,) = told["solutions"]
    assert one["values"] == list(solution.values) and one["value_sds"] == list(solution.value_sds)
    steps = [b - a for a, b in pairwise(solution.values)]
    assert [token["effect"] for token in one["tokens"]] == pytest.approx(steps)
    assert [token["token_id"] for token in one["tokens"]] == list(solution.token_ids)
    assert [shown["delta"] for shown in one["pivots"]] == [one.delta for one in pivots]
    assert one["pivots"][0]["alternatives"][0]["p_success"] == 3 / 24
    assert one["pivots"][0]["alternatives"][1]["p_success"] is None


def test_a_search_may_lie_in_the_folder_itself_or_be_unfinished(tmp_path: Path) -> None:
    solution, pivots = rising_and_falling(PROMPT, seed=1)
    for place in ("itself", "unfinished/searching"):
        write(tmp_path / place, solution, pivots=pivots)
        told = cli.solution_document(tmp_path / Path(place).parts[0], PROMPT)
        assert len(told["solutions"]) == 1 and told["question"] is None
    assert "(the question is not in this folder)" in drawn(told)


def test_each_solution_of_a_prompt_has_its_own_pivots(tmp_path: Path) -> None:
    first = searched(PROMPT, ("a", "b"), (0.5, 0.5, 0.9))
    second = replace(searched(PROMPT, ("a", "c"), (0.5, 0.5, 0.1)), token_ids=(100, 201))
    write(tmp_path, first, second, pivots=[pivot(second, 1)])
    one, other = cli.solution_document(tmp_path, PROMPT)["solutions"]
    assert (one["pivots"], [p["position"] for p in other["pivots"]]) == ([], [1])
    out = drawn(cli.solution_document(tmp_path, PROMPT))
    assert "solution 1 of 2: right, 2 tokens, no pivotal token" in out and "solution 2 of 2: wrong" in out
    assert "[-0.40|c]" in out


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("ab", "2 prompts begin with 'ab': abc, abd. Give more of the id."),
        ("zz", "no searched prompt has the id 'zz'. There are a1, a2, a3, a4, abc and 1 more."),
        ("", "no searched prompt has the id ''. There are a1, a2, a3, a4, abc and 1 more."),
        ("0ut", "prompt 0utside was not searched: 12 of 12 right, which is above 0.8."),
        ("z\x1b[2J", "no searched prompt has the id 'z\u241b[2J'. There are a1, a2, a3, a4, abc and 1 more."),
    ],
)
def test_an_id_that_names_nothing_is_one_sentence(tmp_path: Path, wanted: str, sentence: str) -> None:
    ids = ("abc", "abd", "a1", "a2", "a3", "a4")
    write(tmp_path, *(searched(one, ("x",), (0.5, 1.0)) for one in ids))
    with pytest.raises(TeachableError) as caught:
        cli.show_solution(tmp_path, wanted)
    assert caught.value.sentence() == sentence


def test_a_folder_without_a_search_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="no finished search"):
        cli.show_solution(tmp_path, PROMPT)
    with pytest.raises(TeachableError, match="no such folder"):
        cli.show_solution(tmp_path / "nowhere", PROMPT)
    write(tmp_path, replace(searched(PROMPT, ("x", "y"), (0.5, 0.5, 1.0)), values=(0.5, 1.0)))
    with pytest.raises(TeachableError, match="differ in length"):
        cli.show_solution(tmp_path, PROMPT)


def test_one_token_and_an_unknown_sd_are_drawn(tmp_path: Path) -> None:
    one = searched(PROMPT, ("7",), (0.5, 1.0), value_sds=(float("nan"), 0.0))
    write(tmp_path, one, pivots=[pivot(one, 0, alternatives=())])
    out = drawn(cli.solution_document(tmp_path, PROMPT))
    assert "[+0.50|7]" in out and "after each of 1 tokens" in out


def test_stdout_that_cannot_write_it_gets_an_escape(
    found: tuple[Path, Searched, list[Pivot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    cli.show_solution(found[0], PROMPT)
    out.flush()
    assert b"\\u21b5" in out.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_curve_rises_where_the_values_do() -> None:
    def dots(values: list[float | None], width: int) -> list[set[int]]:
        """The heights of the dots in each column, from 0 to 19."""
        lines = [line.partition("\u2502")[2] for line in curve_lines(values, width, {})]
        bits = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
        return [
            {19 - 4 * row - r for row, line in enumerate(lines) for r in range(4) if ord(line[c]) - 0x2800 & side[r]}
            for c in range(len(lines[0]))
            for side in bits
        ]

    assert dots([0.0, 0.0, 1.0, 1.0], 10) == [{0}, {0}, set(range(1, 20)), {19}]
    assert dots([1.0, 0.0], 10) == [{19}, set(range(19))]
    assert dots([0.0, None, 1.0], 10) == [{0}, set(), {19}, set()]
    many = dots([i / 999 for i in range(1000)], 20)
    assert len(many) == 40 and all(min(a) <= min(b) for a, b in pairwise(many))
    assert curve_lines([0.0, 1.0], 10, {0: "a", 1: "b"}, stretch=4)[0].endswith(
        "\u2502" + 2 * "\u2800" + "\u284f\u2809"
    )
    assert curve_lines([0.0, 1.0], 10, {0: "a", 1: "b"}, stretch=4)[-1] == "     a b"
    assert curve_lines([0.1] * 100, 25, {1: "^", 99: "v"})[-1] == "     ^" + 23 * " " + "v"


TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("".join(NASTY) + '\n\t <>&"'), max_size=8)


def acts(text: str) -> set[str]:
    """The characters that a terminal would obey, or that nobody would see."""
    return {c for c in text if c not in "\n " and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(tokens=list(NASTY), other="\x1b[0m", prompt="\x1b[5m")
@given(tokens=st.lists(TEXTS, min_size=1, max_size=12), other=TEXTS, prompt=TEXTS)
def test_no_text_of_a_model_reaches_the_terminal_as_a_command(
    tmp_path_factory: pytest.TempPathFactory, tokens: list[str], other: str, prompt: str
) -> None:
    folder = tmp_path_factory.mktemp("search", numbered=True)
    values = [0.1 + 0.8 * (i % 2) for i in range(len(tokens) + 1)]
    one = searched(prompt, tokens, values, note=other)
    pivots = [pivot(one, i, alternatives=(Alternative(9, other, 0.2, 4, 1),)) for i in range(0, len(tokens), 2)]
    write(folder, one, pivots=pivots)
    told = cli.solution_document(folder, prompt)
    told["question"] = other
    assert acts(drawn(told)) == set()
    coloured = drawn(told, force_terminal=True, color_system="truecolor")
    assert acts(COLOURS.sub("", coloured)) == set()
    shown = cli._ACTIVE.sub("", json.dumps(told, ensure_ascii=False))
    assert {c for c in shown if unicodedata.category(c) == "Cc"} == set()
