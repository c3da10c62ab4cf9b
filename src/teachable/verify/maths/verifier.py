"""The verifier `math`: does the response's final answer equal the reference?

Extraction is `extract.final`'s. Where a response says nowhere what its answer is, the last line is its answer if it
is nothing else ("5 cm"), and else the last expression in it. Equality is `equality.equal`'s: exact arithmetic of our
own, then math-verify in a process that can be killed.

What it does not protect against: an answer that math-verify wrongly takes for equal where our own arithmetic could
not tell.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from teachable.records import Prompt, Verdict
from teachable.verify import extract
from teachable.verify.maths import equality, letters, phrases, words, workers
from teachable.verify.maths.limits import TooLarge
from teachable.verify.maths.reader import read
from teachable.verify.maths.values import Named, Region, Sequence, Unknown, Value, Words

MOST_ASKED = 3  # boxes that math-verify is asked about

_Outcome = TypeVar("_Outcome")
# A pair for math-verify with the time that it may take -> its reply.
Steps: TypeAlias = Generator[tuple[str, str, float], workers.Reply, _Outcome]


@dataclass(frozen=True)
class Math:
    """Equality of mathematical answers.

    Args:
        limit_s: how long math-verify may take over an attempt that our own arithmetic does not decide, in seconds.
    """

    limit_s: float = equality.LIMIT_S

    name = "math"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """True, False, or None where it could not be told in time or within the bounds (see `limits`)."""
        steps = _steps(attempt, prompt, _Clock(self.limit_s))
        try:
            question = next(steps)
            while True:
                question = steps.send(await workers.compare_async(*question))
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict

    def verdict(self, attempt: str, prompt: Prompt) -> Verdict:
        """The same, blocking; from any thread."""
        steps = _steps(attempt, prompt, _Clock(self.limit_s))
        try:
            question = next(steps)
            while True:
                question = steps.send(workers.compare(*question))
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict


class _Clock:
    """What is left of the time for one verdict; a later question has a tenth of it at least."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = self.left_s = limit_s

    def took(self, seconds: float) -> None:
        self.left_s = max(self.left_s - seconds, self.limit_s / 10)


def _steps(attempt: str, prompt: Prompt, clock: _Clock) -> Steps[Verdict]:
    """The verdict, and on the way to it the pairs that math-verify is asked about."""
    final = extract.final(attempt)
    if prompt.answer is None or not prompt.answer.strip():
        return Verdict(None, _committed(attempt, final), "there is no reference answer")
    references = _references(prompt.answer)
    if final.refused:
        return Verdict(False, final.answers[-1] if final.answers else None, final.refused)
    if not final.answers:
        return Verdict(False, None, extract.NO_ANSWER)
    reference = references[0] if len(references) == 1 else ", ".join(references)
    answer = ", ".join(final.answers)
    if len(final.answers) > 1:
        return (yield from _several(reference, final.answers, answer, clock))
    if final.hedged and not _has_several(reference):
        return Verdict(False, answer, "the answer offers alternatives")
    tried = _reading(attempt, final, reference)
    equal, reason = yield from _equal(reference, tried, clock)
    if equal is False and tried.endswith("!") and tried != final.answers[0]:  # a mark of joy, no factorial
        equal, reason = yield from _equal(reference, tried.rstrip("!"), clock)
    return Verdict(equal, tried, reason)


def _committed(attempt: str, final: extract.Final) -> str | None:
    """The answer of an attempt that there is nothing to compare with; None where it commits to none."""
    if final.refused or not final.answers:
        return None
    return ", ".join(final.answers) if len(final.answers) > 1 else _reading(attempt, final, "")


def _several(reference: str, answers: tuple[str, ...], shown: str, clock: _Clock) -> Steps[Verdict]:
    """Several boxes: equal to each other and the reference, or together the reference's several values.

    What can be decided without math-verify is decided first, and the first box that it does not find equal ends it, so
    that many boxes take no longer than one.
    """
    if _has_several(reference):
        equal, _ = yield from _equal(reference, ", ".join(answers), clock)
        if equal:
            return Verdict(True, shown, "the answers are the reference's values")
    decisions = [(answer, equality.decide(reference, answer)) for answer in answers]
    if any(decision.equal is False for _, decision in decisions):
        return Verdict(False, shown, "several different answers")
    left = [answer for answer, decision in decisions if decision.ask]
    if len(left) > MOST_ASKED or any(decision.equal is None and not decision.ask for _, decision in decisions):
        return Verdict(None, shown, "could not tell whether all answers given are equal")
    for answer in left:
        equal, _ = yield from _equal(reference, answer, clock)
        if not equal:
            reason = "several different answers" if equal is False else "could not tell whether all are equal"
            return Verdict(equal, shown, reason)
    return Verdict(True, shown, "all answers given are equal")


def _equal(reference: str, attempt: str, clock: _Clock) -> Steps[tuple[bool | None, str]]:
    decision = equality.decide(reference, attempt)
    if not decision.ask:
        return decision.equal, decision.reason
    begun = time.monotonic()
    reply = yield equality.for_algebra(reference), equality.for_algebra(attempt), clock.left_s
    clock.took(time.monotonic() - begun)
    return equality.settled(reply)


def _references(answer: str) -> tuple[str, ...]:
    """The reference itself, or what a whole solution gives as its answer."""
    if "\\boxed" in answer or "\\fbox" in answer or "####" in answer or "<answer>" in answer:
        found = extract.final(answer)
        if found.answers:
            return found.answers
    return (answer.strip(),)


def _reading(attempt: str, final: extract.Final, reference: str) -> str:
    """What to compare: the answer whole where it is one, else the likeliest expression in it."""
    answer = final.answers[0]
    if letters.letter_of(reference) is not None:
        return answer
    whole = attempt.strip()
    if final.how == "line" and len(whole) < 500 and whole != answer and not phrases.is_prose(whole) and _is_read(whole):
        return whole
    if not phrases.is_prose(answer) and _is_read(answer):
        return answer
    if _same_words(reference, answer):
        return reference
    plain = phrases.without_aside(answer)
    if plain != answer and _is_read(plain):
        return plain
    if final.how != "line" and _is_read(answer):
        return answer
    said = phrases.unwrapped(answer)
    if not (phrases.is_prose(said) or phrases.has_words(said)):
        return answer
    answer = said
    return next(filter(_is_read, phrases.candidates(answer)), answer)


_POLAR = frozenset(("yes", "no", "true", "false"))


def _same_words(reference: str, line: str) -> bool:
    """Whether a line of prose ends with the reference, where that is in words, and does not deny it."""
    try:
        value = read(reference)
    except TooLarge:
        return False
    if not isinstance(value, Words) or not value.text:
        return False
    from_line = words.folded(phrases.without_tex(line[-2_000:])).split()
    wanted = value.text.split()
    n = len(wanted)
    if not from_line:
        return False
    if wanted[0] in _POLAR and n == 1:
        return from_line[0] in wanted and len(_POLAR & set(from_line)) == 1
    ends = [len(from_line)] if n == 1 else range(len(from_line), n - 1, -1)
    at = next((end - n for end in ends if from_line[end - n : end] == wanted), None)
    if at is None:
        return False
    before = from_line[max(0, at - 2) : at]
    return not any(words.is_negation(word) for word in before)


def _is_read(text: str) -> bool:
    """Whether our reader makes something of a text other than words."""
    try:
        value = read(text)
    except TooLarge:
        return True
    return not isinstance(value, Unknown | Words) and not (isinstance(value, Sequence) and _has_words(value))


def _has_words(value: Sequence) -> bool:
    return value.brackets != "ratio" and any(isinstance(item, Words | Unknown) for item in value.items)


def _has_several(reference: str) -> bool:
    """Whether a reference has several values, so that an answer with "or" may be right."""
    try:
        value: Value = read(reference)
    except TooLarge:
        return False
    if isinstance(value, Named):
        value = value.value
    if isinstance(value, Sequence):
        return len(value.items) > 1
    return isinstance(value, Region | Words)
