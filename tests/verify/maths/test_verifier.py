"""The verifier `math` on whole responses, bare answers and answers that try to game it (`responses.tsv`)."""

from __future__ import annotations

import asyncio
import csv
import threading
import time
from pathlib import Path

import pytest

from teachable.records import Prompt, Verdict
from teachable.verify.maths import Math

with Path(__file__).with_name("responses.tsv").open(encoding="utf-8", newline="") as file:
    RESPONSES = [
        (row["attempt"].replace("⏎", "\n"), row["reference"].replace("⏎", "\n"), row["verdict"] == "right")
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]


def verdict(attempt: str, answer: str | None) -> Verdict:
    prompt = Prompt(id="", domain="", messages=(), answer=answer, verifier="math")
    return asyncio.run(Math().verify(attempt, prompt))


def test_the_table_is_whole() -> None:
    assert len(RESPONSES) > 200
    assert {wanted for _, _, wanted in RESPONSES} == {True, False}


@pytest.mark.parametrize(("attempt", "answer", "wanted"), RESPONSES)
def test_responses(attempt: str, answer: str, wanted: bool) -> None:
    assert verdict(attempt, answer).correct is wanted


@pytest.mark.parametrize("answer", [None, "", "  "])
def test_without_a_reference_nothing_can_be_told(answer: str | None) -> None:
    assert verdict("5", answer).correct is None


def test_a_reference_may_be_a_whole_solution() -> None:
    assert verdict("5", r"First 2 + 3 = 5, so \boxed{5}.").correct is True
    assert verdict(r"\boxed{2}, \boxed{3}", r"\boxed{2} or \boxed{3}").correct is True
    assert verdict("5", "2 + 4 = 6\n#### 6").correct is False


def test_the_verdict_shows_the_answer_and_a_reason() -> None:
    found = verdict("So the total is $1,234.50.", "1234")
    assert found == Verdict(False, "$1,234.50.", "a different value")


def test_too_large_is_undecided() -> None:
    found = verdict(r"The answer is \boxed{9^{9^9}}.", "5")
    assert found.correct is None
    assert found.reason.startswith("could not tell")


def test_from_many_threads() -> None:
    found: list[bool | None] = []
    work = [("So x = 3.", "3"), (r"\boxed{\sum_{k=1}^{4} k}", "10"), (r"\boxed{\frac{2}{4}}", "0.5")]

    def run() -> None:
        found.extend(verdict(attempt, answer).correct for attempt, answer in work)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 24


@pytest.mark.parametrize(
    "gold",
    [
        "{1,2}",
        r"\{1,2\}",
        "(1,2)",
        "[1,2)",
        r"(-\infty,3]",
        "x+1",
        "yes",
        "(B)",
        "B",
        r"\frac{1}{2}",
        r"\text{Monday}",
        "5 cm",
        "x=5",
        "50%",
        "2:3",
        "3:30",
        r"\begin{pmatrix}1\\2\end{pmatrix}",
        "x>2",
        r"90^\circ",
        "no solution",
        r"\emptyset",
        "1, 2",
        "y=2x+1",
        "101_2",
        r"2\pi",
        r"A \cup B",
        r"6\text{ units}",
        r"\mathbb{R}",
        r"\pm 2",
        "5!",
        "$5",
        "[[1,2],[3,4]]",
    ],
)
def test_it_accepts_gold_and_not_gold_with_a_letter_more(gold: str) -> None:
    assert verdict(f"Answer: {gold}", gold).correct is True
    assert verdict(f"Answer: {gold}q", gold).correct is False


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        ("Half of it.\nAnswer: 1/2", "1/2"),
        (r"so \boxed{3}", "3"),
        (r"\boxed{3} and \boxed{4}", "3, 4"),
        (r"\boxed{}", None),
        ("<think>5", None),
    ],
)
def test_without_a_reference_the_answer_is_still_extracted_for_votes(attempt: str, answer: str | None) -> None:
    verdict = Math().verdict(attempt, Prompt("", "", (), None))
    assert (verdict.correct, verdict.answer) == (None, answer)


def test_many_boxes_take_no_longer_than_one() -> None:
    slow = [rf"\boxed{{\sum_{{k=1}}^{{10^9}} \frac{{1}}{{k^2+k+x+{n}}}}}" for n in range(10)]
    begun = time.monotonic()
    for attempt in (" and ".join(slow), " and ".join(slow[:3])):
        assert Math(limit_s=1.0).verdict(attempt, Prompt("", "", (), "17")).correct is None
    assert time.monotonic() - begun < 2 * 1.2 + 6  # and the start of the process that works it out


def test_both_ways_in_say_the_same() -> None:
    async def awaited(attempt: str) -> Verdict:
        return await Math().verify(attempt, Prompt("", "", (), r"\sum_{k=1}^{4} k"))

    for attempt in ("10", r"\sum_{j=1}^{4} j", r"\boxed{10} \boxed{\sum_{j=1}^4 j}", "11"):
        assert asyncio.run(awaited(attempt)) == Math().verdict(attempt, Prompt("", "", (), r"\sum_{k=1}^{4} k"))
