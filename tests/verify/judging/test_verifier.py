"""The judge's votes, its refusals, and everything that must never become a pass."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from tests.verify.judging.planted import Fixed, Recording, names, question, sealed, shown_in, votes_of

from teachable.engines.refusals import EngineFailure
from teachable.errors import TeachableError
from teachable.records import Completion, Message, Prompt, Verdict, Verifier
from teachable.verify import check
from teachable.verify.judging import Comparison, Judge

ANSWER = "Two and three make five.\nAnswer: 5"


def verify(judge: Judge, attempt: str = ANSWER, prompt: Prompt | None = None) -> Verdict:
    return asyncio.run(judge.verify(attempt, prompt or question()))


def compare(judge: Judge, first: str = "one", second: str = "two") -> Comparison:
    return asyncio.run(judge.compare(first, second, question()))


@pytest.mark.parametrize(
    ("votes", "correct", "reason"),
    [
        ([True, True, True], True, '3 votes: 3 right; "because"'),
        ([False, False, True], False, '3 votes: 1 right, 2 wrong; "because"'),
        ([True, True, None], True, '3 votes: 2 right, 1 undecided; "because"'),
        ([True, None, None], None, "3 votes: 1 right, 2 undecided"),
        ([True, False], None, "2 votes: 1 right, 1 wrong"),
        ([True, True, False, False], None, "4 votes: 2 right, 2 wrong"),
        ([True, None], None, "2 votes: 1 right, 1 undecided"),
        ([True, True, "It is fine."], True, '3 votes: 2 right, 1 undecided (1 reply: no sealed verdict); "because"'),
        ([True, "I can't help with that.", ""], None, "3 votes: 1 right, 2 undecided (2 replies: no sealed verdict)"),
        ([False], False, '1 vote: 1 wrong; "because"'),
        ([None], None, "1 vote: 1 undecided"),
    ],
)
def test_a_verdict_takes_more_than_half_of_all_votes(votes: list[Any], correct: bool | None, reason: str) -> None:
    verdict = verify(Judge(Recording(votes_of(*votes)), votes=len(votes)))
    assert verdict == Verdict(correct, "5", reason)


def test_what_the_judge_is_shown_and_asked() -> None:
    engine = Recording(votes_of(True, True, True))
    attempt = f"<think>the secret plan</think>{ANSWER}"
    assert verify(Judge(engine, seed=4, max_tokens=99, temperature=0.5), attempt).correct is True
    [request] = engine.requests
    assert (request.n, request.max_tokens, request.temperature, request.first) == (3, 99, 0.5, 0)
    parts = {"task": "What is 2 + 3?", "reference answer": "5", "candidate's answer": ANSWER}
    assert shown_in(engine.messages[0]) == parts
    assert "the secret plan" not in engine.messages[0]
    assert "final result is right and complete" in engine.messages[0]


def test_the_reference_and_the_rubric_can_be_left_out_and_replaced() -> None:
    engine = Recording(votes_of(True))
    judge = Judge(engine, votes=1, temperature=0, reference=False, rubric="Costs $5: be kind.")
    assert verify(judge).correct is True
    assert list(shown_in(engine.messages[0])) == ["task", "candidate's answer"]
    assert "Costs $5: be kind." in engine.messages[0] and "right and complete" not in engine.messages[0]
    without = question(answer=None)
    assert verify(Judge(engine, votes=1), prompt=without).correct is True
    assert list(shown_in(engine.messages[1])) == ["task", "candidate's answer"]


def test_a_whole_chat_is_shown_with_its_roles() -> None:
    engine = Recording(votes_of(True))
    turns = [("system", "Be brief."), ("user", "2+2?"), ("assistant", "4"), ("user", "and one more?")]
    chat = tuple(Message(role=role, content=content) for role, content in turns)
    verify(Judge(engine, votes=1), prompt=Prompt("p", "d", chat, "5"))
    task = shown_in(engine.messages[0])["task"]
    assert task == "system: Be brief.\n\nuser: 2+2?\n\nassistant: 4\n\nuser: and one more?"


def test_seeds_are_the_prompts_and_the_orders() -> None:
    engine = Recording(votes_of(True))
    for prompt_id in ("a", "b", "a"):
        verify(Judge(engine, votes=1), prompt=question(prompt_id=prompt_id))
    verify(Judge(engine, votes=1, seed=1), prompt=question(prompt_id="a"))
    first, second, again, other = (request.seed for request in engine.requests)
    assert first == again and len({first, second, other}) == 3
    pairs = Recording(names(["A"], ["B"]))
    compare(Judge(pairs, votes=1))
    assert len({request.seed for request in pairs.requests}) == 2


def test_without_a_question_the_reference_is_enough_and_without_both_nothing_is() -> None:
    engine = Recording(votes_of(True))
    assert check(ANSWER, "5", Judge(engine, votes=1)).correct is True
    assert list(shown_in(engine.messages[0])) == ["reference answer", "candidate's answer"]
    verdict = check(ANSWER, None, Judge(engine, votes=1))
    assert (verdict.correct, verdict.reason) == (None, "there is neither a question nor a reference answer to judge by")
    assert len(engine.requests) == 1


@pytest.mark.parametrize("attempt", ["", " \n", "<think>Answer: 5</think>", "<think>Answer: 5"])
def test_no_answer_is_wrong_and_costs_nothing(attempt: str) -> None:
    engine = Recording(votes_of(True))
    assert verify(Judge(engine, votes=1), attempt) == Verdict(False, None, "no answer found")
    assert engine.requests == []


def test_a_long_answer_is_undecided_not_cut() -> None:
    engine = Recording(votes_of(True))
    judge = Judge(engine, votes=1, max_chars=50)
    assert verify(judge, "x" * 50).correct is True
    verdict = verify(judge, "x" * 51)
    assert verdict.correct is None
    assert verdict.reason == "an answer of 51 characters is longer than the 50 that the judge reads"
    assert compare(judge, "x" * 51, "y").winner is None
    assert len(engine.requests) == 1


def test_without_an_engine_the_user_is_told_how_to_name_one() -> None:
    assert isinstance(Judge(), Verifier) and Judge().name == "judge"
    for work in (Judge().verify("", question()), Judge().compare("a", "b", question())):
        with pytest.raises(TeachableError, match=r"no engine to ask.*engine="):
            asyncio.run(work)


@pytest.mark.parametrize(
    "wrong", [{"votes": 0}, {"max_tokens": 0}, {"temperature": -1}, {"temperature": math.nan}, {"temperature": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TeachableError, match="judge: "):
        Judge(**wrong)


# ---- failures are never a pass ----


@pytest.mark.parametrize(
    ("faults", "word"),
    [
        ({"frac_failing": 1.0}, "3 replies: lost to the engine's failure (ScriptedFailure: told to fail)"),
        ({"frac_truncated": 1.0}, "3 replies: cut off at the token limit"),
        ({"frac_garbage": 1.0}, "3 replies: no sealed verdict"),
    ],
)
def test_an_engine_at_fault_decides_nothing(faults: dict[str, float], word: str) -> None:
    verdict = verify(Judge(Recording(votes_of(True, True, True), **faults)))
    assert verdict == Verdict(None, "5", f"3 votes: 3 undecided ({word})")
    pairs = compare(Judge(Recording(names("AAA", "BBB"), **faults)))
    assert (pairs.winner, pairs.n_unreadable, pairs.position_bias) == (None, 6, None)


class Sealing(Fixed):
    """An engine with `n` good votes, all of the same finish reason, and then perhaps an error that carries them."""

    def __init__(self, n: int, finish_reason: str = "stop", error: type[Exception] | None = None) -> None:
        super().__init__()
        self._n, self._reason, self._kind = n, finish_reason, error

    async def sample(self, request: Any) -> list[Completion]:
        text = sealed(request.prompt[0]["content"], correct=True)
        good = [Completion(text, (), None, self._reason)] * self._n
        if self._kind is None:
            return good
        raise self._kind("gone", good)


def test_a_truncated_reply_is_no_vote_whatever_it_holds() -> None:
    assert verify(Judge(Sealing(3))).correct is True
    assert verify(Judge(Sealing(3, "length"))).correct is None


def test_votes_that_never_came_count_against_a_majority() -> None:
    assert verify(Judge(Sealing(2))).reason == (
        '3 votes: 2 right, 1 undecided (1 reply: missing from what the engine returned); "because"'
    )
    assert verify(Judge(Sealing(1))).correct is None
    assert verify(Judge(Sealing(5), votes=3)).reason.startswith("3 votes: 3 right")


def test_what_an_engine_brought_before_it_failed_counts() -> None:
    verdict = verify(Judge(Sealing(2, error=EngineFailure)))
    assert verdict.correct is True
    assert "1 reply: lost to the engine's failure (EngineFailure: gone)" in verdict.reason
    assert verify(Judge(Sealing(1, error=EngineFailure))).correct is None


def test_a_users_mistake_passes_through() -> None:
    judge = Judge(Fixed(error=TeachableError("no such model")))
    for work in (judge.verify(ANSWER, question()), judge.compare("one", "two", question())):
        with pytest.raises(TeachableError, match="no such model"):
            asyncio.run(work)


def test_the_reason_is_one_plain_line() -> None:
    def reply(message: str, index: int, luck: object) -> str:
        return sealed(message, correct=True, reason="good\n\x1b[31m" + "very " * 200)

    reason = verify(Judge(Recording(reply))).reason
    assert reason.isprintable() and len(reason) < 250 and reason.endswith('…"')


# ---- pairs ----


@pytest.mark.parametrize(
    ("forward", "backward", "winner", "votes", "n_flipped", "bias"),
    [
        ("AAA", "BBB", "first", ("first", "first", "first"), 0, 0.0),
        ("BBB", "AAA", "second", ("second", "second", "second"), 0, 0.0),
        ("AAA", "AAA", None, (None, None, None), 3, 1.0),
        ("BBB", "BBB", None, (None, None, None), 3, -1.0),
        (["tie", "tie", "A"], ["tie", "tie", "B"], "tie", ("tie", "tie", "first"), 0, 0.0),
        (["A", "A", "tie"], ["B", "B", "A"], "first", ("first", "first", None), 1, 1 / 6),
        (["A", "B"], ["B", "A"], None, ("first", "second"), 0, 0.0),
        (["A", None, "A"], ["B", "B", "B"], "first", ("first", None, "first"), 0, 0.0),
        (["A", None, None], ["B", "B", None], None, ("first", None, None), 0, 0.0),
    ],
)
def test_both_orders_have_to_agree(
    forward: Any, backward: Any, winner: str | None, votes: tuple[Any, ...], n_flipped: int, bias: float
) -> None:
    found = compare(Judge(Recording(names(forward, backward)), votes=len(forward)))
    assert (found.winner, found.votes, found.n_flipped) == (winner, votes, n_flipped)
    assert found.position_bias == pytest.approx(bias)
    assert found.n_unreadable == 0


def test_an_unread_reply_leaves_its_pair_undecided() -> None:
    found = compare(Judge(Recording(names(["A", "A", "No comment."], "BBB"))))
    assert (found.winner, found.votes, found.n_unreadable) == ("first", ("first", "first", None), 1)
    assert found.reason == '3 votes: 2 for the first, 1 undecided (1 reply: no sealed verdict); "because"'
    found = compare(Judge(Recording(names(["A", "No.....", "No comment."], "BBA"))))
    assert (found.winner, found.n_unreadable, found.position_bias) == (None, 2, 0.0)


def test_the_reason_counts_what_changed_with_the_order() -> None:
    found = compare(Judge(Recording(names("AAA", "BBA"))))
    assert found.reason == '3 votes: 2 for the first, 1 undecided; 1 changed with the order; "because"'


def test_both_orders_show_the_same_two_answers() -> None:
    engine = Recording(names("A", "B"))
    compare(Judge(engine, votes=1), "<think>hm</think>one", "two")
    shown = [shown_in(message) for message in engine.messages]
    assert [(parts["answer A"], parts["answer B"]) for parts in shown] == [("one", "two"), ("two", "one")]
    assert [parts["reference answer"] for parts in shown] == ["5", "5"]


def test_the_same_text_is_a_tie_without_asking() -> None:
    engine = Recording(names("A", "B"))
    assert compare(Judge(engine, votes=1), "one", "<think>other thoughts</think>one").winner == "tie"
    assert engine.requests == []


def test_a_point_reply_is_no_pair_reply() -> None:
    def reply(message: str, index: int, luck: object) -> str:
        return json.dumps({"seal": "x"}) + sealed(message, correct=True)

    found = compare(Judge(Recording(reply), votes=1))
    assert (found.winner, found.n_unreadable) == (None, 2)
    assert "2 replies: a verdict that breaks the schema" in found.reason
