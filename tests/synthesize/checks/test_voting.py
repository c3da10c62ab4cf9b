"""Votes on an answer: what counts as one, and whether the bar keeps what it promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from math import comb

import pytest

from teachable.engines.scripted import ScriptedEngine
from teachable.errors import TeachableError
from teachable.records import Completion, Request
from teachable.synthesize.asking import StepContext, Tools
from teachable.synthesize.checks.voting import (
    CLOSE,
    DISAGREE,
    LEAD,
    NO_ANSWERS,
    VoteOptions,
    Votes,
    lead_needed,
    voted,
)
from teachable.synthesize.config import WritingConfig
from teachable.synthesize.graph import Do, Workflow, options_of
from teachable.synthesize.items import Item, Output, Seed, user
from teachable.synthesize.templates import Templates


class Saying:
    """An engine whose samples are given, in order; a pair is a text and its finish reason."""

    name = "saying"

    def __init__(self, texts: Sequence[str | tuple[str, str]]) -> None:
        self.texts = texts

    async def sample(self, request: Request) -> list[Completion]:
        pairs = [(text, "stop") if isinstance(text, str) else text for text in self.texts[: request.n]]
        return [Completion(text, (), None, reason) for text, reason in pairs]

    def encode(self, prompt: object) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        raise NotImplementedError


def context(engine: object, temperature: float = 0.7, retries: int = 2) -> StepContext:
    writing = WritingConfig.model_validate({"temperature": temperature, "retries": retries})
    tools = Tools({"": engine}, Templates(), writing, VoteOptions.model_validate({}))  # type: ignore[dict-item]
    return StepContext(Item("s", Seed("s", "2+2?", "prompt")), "solve", "toy", tools)


def vote(texts: Sequence[str | tuple[str, str]], verifier: str = "math", **rest: object) -> Votes:
    return asyncio.run(voted(context(Saying(texts), retries=0), user("?"), len(texts), verifier, **rest))  # type: ignore[arg-type]


def options(**given: object) -> VoteOptions:
    return VoteOptions.model_validate(given)


def test_equivalent_answers_vote_together_and_shares_are_of_all_samples() -> None:
    votes = vote(["Answer: 1/2", "So \\boxed{0.5}", "Answer: 0.50", "Answer: 3", ("Answer: 3", "length"), ""])
    assert (votes.agreement, votes.margin) == (3 / 6, 2 / 6)
    assert (votes.n, votes.n_without, votes.lead) == (4, 2, 2)
    assert [sample.text for sample in votes.for_answer] == ["Answer: 1/2", "So \\boxed{0.5}", "Answer: 0.50"]
    assert sum(votes.counts.values()) == 4
    assert list(votes.counts.values()) == [3, 1]


def test_others_are_drawn_for_samples_that_say_nothing_and_counted() -> None:
    asked: list[int] = []

    class Sometimes(Saying):
        async def sample(self, request: Request) -> list[Completion]:
            asked.append(request.n)
            texts = (["", "Answer: 4"] if len(asked) < 3 else ["Answer: 5", "Answer: 4"]) * 4
            return [Completion(text, (), None, "stop") for text in texts[: request.n]]

    ctx = context(Sometimes([]), retries=2)
    votes = asyncio.run(voted(ctx, user("?"), 8, "exact"))
    assert asked == [8, 4, 2]
    assert dict(ctx.tools.counted("solve").retried) == {"empty": 6}
    assert (votes.counts, votes.n_without) == ({"4": 7, "5": 1}, 0)
    assert len(votes.samples) == 8
    assert len(votes.for_answer) == 7


def test_one_answer_and_seven_silences_are_no_agreement() -> None:
    votes = vote(["Answer: 4"] + [("Let me", "length")] * 7)
    assert votes.answer == "4"
    assert votes.agreement == 1 / 8
    assert votes.fault(options()) == DISAGREE


def test_no_answer_at_all_is_a_fault_of_its_own() -> None:
    votes = vote([""] * 8)
    assert (votes.answer, votes.n, votes.groups) == (None, 0, ())
    assert votes.fault(options()) == NO_ANSWERS


def test_an_essay_is_no_answer() -> None:
    votes = vote(["word " * 100] * 8, "exact")
    assert votes.answer is None


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [(8, "", ""), (6, "11", ""), (5, "123", ""), (5, "111", CLOSE), (4, "1236", CLOSE), (3, "12367", DISAGREE)],
)
def test_the_lead_decides(right: int, wrong: str, fault: str) -> None:
    votes = vote([f"Answer: {answer}" for answer in "4" * right + wrong])
    assert votes.answer == "4"
    assert votes.fault(options()) == fault


def test_labels_and_texts_of_choices_vote_together() -> None:
    votes = vote(["Answer: B", "Answer: Paris", "Answer: A"], "choice", choices={"A": "Rome", "B": "Paris"})
    assert votes.agreement == 2 / 3


def test_a_verifier_without_a_vote_is_refused_by_name() -> None:
    with pytest.raises(TeachableError, match="no vote by 'judge'"):
        vote(["Answer: 4"], "judge")


def test_samples_that_are_all_the_same_prove_nothing() -> None:
    with pytest.raises(TeachableError, match="at temperature 0"):
        asyncio.run(voted(context(Saying(["4"] * 8), temperature=0), user("?"), 8, "math"))


def test_the_bar_is_the_one_that_the_teacher_needs() -> None:
    assert lead_needed() == LEAD
    assert lead_needed(0.9) == 2
    assert 3**LEAD / (3**LEAD + 1) >= 0.98 > 3 ** (LEAD - 1) / (3 ** (LEAD - 1) + 1)


@pytest.mark.parametrize("k", [4, 8, 9, 16])
def test_in_the_worst_case_what_is_accepted_is_98_percent_right(k: int) -> None:
    """Exactly, over all outcomes: a teacher that is right with 0.75, and one and the same wrong answer."""
    right = wrong = 0.0
    for n_right in range(k + 1):
        chance = comb(k, n_right) * 0.75**n_right * 0.25 ** (k - n_right)
        first = max(n_right, k - n_right)
        margin = (2 * first - k) / k
        votes = Votes("4", first / k, margin, k, 0, (Completion("", (), None, "stop"),) * k)
        if not votes.fault(options(k=k)):
            right, wrong = right + chance * (2 * n_right > k), wrong + chance * (2 * n_right < k)
    assert right / (right + wrong) >= 0.98


def test_a_scripted_teacher_meets_the_bar_through_the_engine() -> None:
    def answer(text: str, index: int, rng: random.Random) -> str:
        return f"Answer: {4 if rng.random() < 0.75 else 5}"

    async def many() -> list[Votes]:
        engine, found = ScriptedEngine(answer), []
        for number in range(400):
            found.append(await voted(context(engine), user(f"{number}?"), 8, "exact"))
        return found

    accepted = [votes for votes in asyncio.run(many()) if not votes.fault(options())]
    assert 220 < len(accepted) < 320  # 68% of 400
    assert sum(votes.answer == "4" for votes in accepted) >= 0.98 * len(accepted)


def _output(item: Item, options: VoteOptions) -> Output:
    return Output(user("?"), "")


def _workflow() -> Workflow:
    async def nothing(item: Item, ctx: StepContext) -> None:
        return None

    return Workflow(
        "toy", "", ("prompt",), (Do("nothing", nothing),), lambda item, o: Output(user("?"), ""), VoteOptions
    )


def test_a_bar_that_k_samples_never_reach_is_refused() -> None:
    with pytest.raises(TeachableError, match="3 samples never lead by 4"):
        options_of(_workflow(), {"k": 3})
    assert options(k=3, min_margin=1.0).lead == 3
    assert options(k=16, min_margin=0.25).lead == 4
    assert options(k=16).lead == 4
