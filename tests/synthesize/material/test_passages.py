"""Passages: nothing is lost, nothing that belongs together is cut, and work is linear."""

from __future__ import annotations

import random
import re
import time
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.synthesize.config import DocumentsConfig
from teachable.synthesize.material.blocks import Markup, n_words
from teachable.synthesize.material.passages import LONGEST_WHOLE, passages, sentences

MARKUPS = get_args(Markup)


def config(max_words: int = 40, min_words: int = 5) -> DocumentsConfig:
    return DocumentsConfig(max_words=max_words, min_words=min_words)


def words(n: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefgh", k=5)) for _ in range(n))


def paragraph(n_sentences: int, seed: int) -> str:
    return " ".join(f"{words(7, seed * 100 + i).capitalize()}." for i in range(n_sentences))


@pytest.mark.parametrize("markup", MARKUPS)
def test_nothing_is_lost_and_nothing_is_too_long(markup: Markup) -> None:
    text = "\n\n".join(paragraph(3 + seed % 9, seed) for seed in range(20))
    found = passages(text, markup, config())
    assert " ".join(" ".join(one.text for one in found).split()) == " ".join(text.split())
    assert len(found) > 10 and all(n_words(one.text) <= 40 for one in found)
    assert all(one.text.endswith(".") for one in found)  # cut where sentences end


def test_a_passage_begins_at_a_heading_once_it_is_half_full() -> None:
    parts = [f"# Part {n}\n\n{words(25, n)}" for n in range(3)]
    found = passages("\n\n".join(parts), "markdown", config())
    assert [one.text.split("\n")[0] for one in found] == ["# Part 0", "# Part 1", "# Part 2"]
    short = passages("\n\n".join(f"# Part {n}\n\n{words(4, n)}" for n in range(3)), "markdown", config())
    assert len(short) == 1  # short sections are read together


def test_headings_stand_with_what_they_head_and_are_known_further_down() -> None:
    parts = ["# Top", words(30, 1), "## Under", "### Deep", words(35, 2), words(35, 3), "## Other", words(30, 4)]
    text = "\n\n".join(parts)
    found = passages(text, "markdown", config())
    assert [one.headings for one in found] == [(), ("Top",), ("Top", "Under", "Deep"), ("Top",)]
    assert [one.text.split("\n")[0][:8] for one in found[:2]] == ["# Top", "## Under"]
    assert not any(one.text.splitlines()[-1].startswith("#") for one in found)


@pytest.mark.parametrize(
    ("markup", "text", "title"),
    [
        ("markdown", "Title of it\n===========\n\n{}", "Title of it"),
        ("markdown", "## Title of it ##\n\n{}", "Title of it"),
        ("rst", "Title of it\n~~~~~~~~~~~\n\n{}", "Title of it"),
        ("rst", "===========\nTitle of it\n===========\n\n{}", "Title of it"),
        ("tex", "\\section*{{Title of it}}\n\n{}", "Title of it"),
    ],
)
def test_headings_of_each_markup(markup: Markup, text: str, title: str) -> None:
    found = passages(text.format(f"{words(30)}\n\n{words(30, 1)}"), markup, config())
    assert [one.headings for one in found] == [(), (title,)]


@pytest.mark.parametrize(
    ("markup", "block"),
    [
        ("markdown", "```python\n" + "\n\n".join(f"x{n} = {n}" for n in range(20)) + "\n```"),
        ("plain", "~~~\n" + "\n\n".join(f"x{n} = {n}" for n in range(20)) + "\n~~~"),
        ("markdown", "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(10))),
        ("rst", "+---+---+\n| a | b |\n+===+===+\n" + "\n".join(f"| {n} | {n} |\n+---+---+" for n in range(8))),
        ("markdown", "$$\n" + "\n\n".join(f"x_{n} + {n} \\\\" for n in range(15)) + "\n$$"),
        ("tex", "\\[\n" + "\n\n".join(f"x_{n} + {n} \\\\" for n in range(15)) + "\n\\]"),
        ("tex", "\\begin{align*}\n" + "\n\n".join(f"x_{n} + {n} \\\\" for n in range(15)) + "\n\\end{align*}"),
    ],
)
def test_what_belongs_together_is_not_cut(markup: Markup, block: str) -> None:
    assert 40 < n_words(block) <= LONGEST_WHOLE * 40
    found = passages(f"{words(35)}\n\n{block}\n\n{words(35, 1)}", markup, config())
    assert [one.text for one in found] == [words(35), block, words(35, 1)]


def test_what_is_too_long_to_stay_whole_is_cut_between_lines() -> None:
    fence = "```python\n" + "\n".join(f"x{n} = {n}" for n in range(100)) + "\n```"
    found = passages(fence, "markdown", config())
    assert len(found) > 5 and all(re.fullmatch(r"```python\n(x\d+ = \d+\n)+```", one.text) for one in found)
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(100))
    found = passages(table, "markdown", config())
    assert len(found) > 5 and all(one.text.startswith("| a | b |\n|---|---|\n| ") for one in found)


def test_a_dollar_sign_that_opens_nothing_is_text() -> None:
    text = f"$$ is what it costs.\n\n{words(30)}\n\n{words(30, 1)}"
    assert len(passages(text, "markdown", config())) == 2


def test_a_short_end_joins_what_is_before_it() -> None:
    text = f"# One\n\n{words(25)}\n\n# Two\n\n{words(3)}"
    assert len(passages(text, "markdown", config(min_words=6))) == 1
    assert len(passages(text, "markdown", config(min_words=3))) == 2


def test_sentences() -> None:
    text = 'It was so, cf. Fig. 3 of Dr. Who. "Was it?" Yes! See e.g. No. 7; J. Doe said 3.5 of it... He left.'
    assert sentences(text) == [
        "It was so, cf. Fig. 3 of Dr. Who.",
        '"Was it?"',
        "Yes!",
        "See e.g. No. 7; J. Doe said 3.5 of it...",
        "He left.",
    ]
    assert sentences("塞文桥于1966年通车。它横跨塞文河。") == ["塞文桥于1966年通车。", "它横跨塞文河。"]
    assert sentences("Take\n- one\n- two") == ["Take", "- one", "- two"]


def test_words_of_scripts_without_spaces() -> None:
    assert n_words("塞文桥 opened in 1966") == 6
    found = passages("塞文桥于年通车" * 30, "plain", config())
    assert len(found) == 6 and all(n_words(one.text) <= 40 for one in found)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "word",
                "A b.",
                "\n",
                "\n\n",
                "# H\n",
                "```\n",
                "$$\n",
                "| a |\n",
                "|---|\n",
                "\\[\n",
                "===\n",
                "é ",
                "塞",
                " ",
            ]
        ),
        max_size=60,
    ),
    st.sampled_from(MARKUPS),
)
def test_any_text_keeps_its_words(parts: list[str], markup: Markup) -> None:
    text = "".join(parts)
    found = passages(text, markup, config(max_words=20, min_words=1))
    assert all(one.text.strip() for one in found)
    kept = "".join(" ".join(one.text for one in found).split())
    for sign in ("word", "Ab.", "é", "塞"):
        assert kept.count(sign) == "".join(text.split()).count(sign)


@pytest.mark.parametrize("line", ["$$", "\\[", "```", "\\begin{x}", "a|b", "|---|", "=", "#", "A. ", "."])
def test_work_is_linear(line: str) -> None:
    for markup in MARKUPS:
        started = time.perf_counter()
        passages(f"{line}\n" * 8000, markup, config(400))
        passages(line * 8000, markup, config(400))
        assert time.perf_counter() - started < 3
