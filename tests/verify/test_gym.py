"""reasoning-gym's scorers as a verifier, on rows that reasoning-gym itself made."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import time

import pytest

from teachable.errors import TeachableError
from teachable.records import Message, Prompt
from teachable.verify import Gym, prove_on_gold
from teachable.verify.gym import MAX_ANSWER_CHARS, RUNS_THE_ANSWER

reasoning_gym = pytest.importorskip("reasoning_gym")
FAMILIES = ("basic_arithmetic", "gcd", "letter_counting", "word_sorting", "syllogism", "palindrome_generation")


def rows_of(family: str, size: int = 10) -> list[Prompt]:
    """Prompts of a family as they come back from a file: their entries have been through JSON."""
    rows = []
    for index, entry in enumerate(reasoning_gym.create_dataset(family, size=size, seed=5)):
        meta = json.loads(json.dumps({"family": family, "entry": entry}, default=str))
        question = Message(role="user", content=entry["question"])
        rows.append(Prompt(f"{family}-{index}", family, (question,), entry["answer"], "program", "gym", meta=meta))
    return rows


@pytest.mark.parametrize("family", FAMILIES)
def test_gold_is_accepted_and_near_misses_are_not(family: str) -> None:
    assert prove_on_gold(rows_of(family)) == []


def test_another_right_answer_is_right() -> None:
    """A palindrome of the same letters is as good as the one that the row holds."""
    for prompt in rows_of("palindrome_generation", size=40):
        gold = prompt.answer or ""
        half, middle = gold[: len(gold) // 2], gold[len(gold) // 2 : (len(gold) + 1) // 2]
        other = half[::-1] + middle + half
        if other != gold:
            verdict = asyncio.run(Gym().verify(f"Answer: {other}", prompt))
            assert (verdict.correct, verdict.reason) == (True, "reasoning-gym's scorer gives 1 of 1")
            return
    pytest.fail("no palindrome of these rows has a second form")


def test_partial_credit_is_no_success() -> None:
    prompt = rows_of("word_sorting", size=1)[0]
    words = [word.strip() for word in (prompt.answer or "").split(",")]
    verdict = asyncio.run(Gym().verify("Answer: " + ", ".join(words[:1] + words[:0:-1]), prompt))
    assert verdict.correct is False
    assert 0 < float(verdict.reason.split()[3]) < 1


def test_a_row_without_an_entry_cannot_be_told() -> None:
    verdict = asyncio.run(Gym().verify("Answer: 6", Prompt("p", "d", (), "6", verifier="gym")))
    assert (verdict.correct, verdict.answer) == (None, "6")


def test_an_endless_answer_is_wrong() -> None:
    verdict = asyncio.run(Gym().verify("Answer: " + "9" * (MAX_ANSWER_CHARS + 1), rows_of("gcd", 1)[0]))
    assert verdict.correct is False
    assert "longer than" in verdict.reason


def test_an_unknown_family_is_the_users_to_mend() -> None:
    prompt = Prompt("p", "d", (), "6", verifier="gym", meta={"family": "sudokku", "entry": {}})
    with pytest.raises(TeachableError, match="sudokku"):
        asyncio.run(Gym().verify("Answer: 6", prompt))


def test_every_scorer_that_runs_the_answer_is_refused() -> None:
    """Read the scorers' sources: whatever evaluates text is on the list, unless it only evaluates the gold."""
    from reasoning_gym.factory import DATASETS

    running = {
        family
        for family, (kind, _) in DATASETS.items()
        if re.search(r'\b(eval|exec|parse_expr|sympify)\((?!entry\["answer"\])', inspect.getsource(kind.score_answer))
    }
    assert running == RUNS_THE_ANSWER
    row = Prompt("p", "d", (), "6", verifier="gym", meta={"family": "countdown", "entry": {"answer": "1"}})
    with pytest.raises(TeachableError, match="runs the answer as code"):
        prove_on_gold([row])


def test_verifying_is_cheap() -> None:
    """100,000 attempts must not cost minutes; the bound is loose, as machines differ, and still 5 s a 100,000."""
    prompt, verifier = rows_of("gcd", size=1)[0], Gym()

    async def many(times: int) -> None:
        for _ in range(times):
            await verifier.verify("So it is 12.\nAnswer: 12", prompt)

    asyncio.run(many(10))
    start = time.process_time()
    asyncio.run(many(2000))
    assert time.process_time() - start < 0.5 + 2000 * 50e-6
