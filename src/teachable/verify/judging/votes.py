"""Votes of a judge, counted: replies to a verdict, and pairs of replies to a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from teachable.records import Verdict
from teachable.verify.judging.replies import GradeReply, PairReply, PointReply, Read, Reply

Winner: TypeAlias = Literal["first", "second", "tie"]
Vote = TypeVar("Vote")

MAX_REASON_CHARS = 160
CORRECT, INCORRECT, NOT_ATTEMPTED = "correct", "incorrect", "not attempted"
_PLACES = {"A": 1, "B": -1}
_FORWARD: dict[str, Winner] = {"A": "first", "B": "second", "tie": "tie"}
_BACKWARD: dict[str, Winner] = {"A": "second", "B": "first", "tie": "tie"}


@dataclass(frozen=True)
class Comparison:
    """Which of two answers is better. `winner` None means "could not tell".

    `votes` has one entry for each pair of replies (one an order), None where they differ or one says nothing.
    `n_flipped` counts the pairs that differ, and `n_unreadable` the replies, of twice as many as there are votes, that
    held no verdict. `position_bias` is how far the judge leans to the answer shown first, in [-1, 1]: over the pairs
    in which both replies say something, the mean of +1 for a reply that names the first place, -1 for the second and
    0 for a tie, so that a true preference cancels out; None where there is no such pair.
    """

    winner: Winner | None
    reason: str
    votes: tuple[Winner | None, ...] = ()
    n_flipped: int = 0
    n_unreadable: int = 0
    position_bias: float | None = None


def verdict_of(reads: Sequence[Read[PointReply]], answer: str | None) -> Verdict:
    """The verdict of all replies to one question; `answer` is the attempt's."""
    votes = [None if read.said is None else read.said.correct for read in reads]
    winner = _majority(votes)
    counted = _counted(votes, {True: "right", False: "wrong"}, reads)
    return Verdict(winner, answer, counted + _because(votes, winner, reads))


def grade_of(reads: Sequence[Read[GradeReply]], answer: str | None) -> Verdict:
    """The verdict of all grades of one short answer; the reason begins with the grade, where one has the majority.

    An answer that is not attempted is no answer: False, and without an `answer`.
    """
    votes: list[str | None] = [None if read.said is None else read.said.grade for read in reads]
    grade = _majority(votes)
    counted = _counted(votes, {word: word for word in (CORRECT, INCORRECT, NOT_ATTEMPTED)}, reads)
    if grade is None:
        return Verdict(None, answer, counted)
    reason = f"{grade}, by {counted}" + _because(votes, grade, reads)
    return Verdict(grade == CORRECT, None if grade == NOT_ATTEMPTED else answer, reason)


def comparison_of(forward: Sequence[Read[PairReply]], backward: Sequence[Read[PairReply]]) -> Comparison:
    """The comparison of all pairs of replies; in `backward` the second attempt was shown first."""
    votes: list[Winner | None] = []
    leanings: list[int] = []
    n_flipped = 0
    for one, other in zip(forward, backward, strict=True):
        if one.said is None or other.said is None or one.said.better is None or other.said.better is None:
            votes.append(None)
            continue
        named = _FORWARD[one.said.better]
        agreed = named == _BACKWARD[other.said.better]
        votes.append(named if agreed else None)
        n_flipped += not agreed
        leanings += [_PLACES.get(one.said.better, 0), _PLACES.get(other.said.better, 0)]
    winner: Winner | None = _majority(votes)
    counted = _counted(votes, {"first": "for the first", "second": "for the second", "tie": "tied"}, forward, backward)
    flipped = f"; {n_flipped} changed with the order" if n_flipped else ""
    return Comparison(
        winner=winner,
        reason=counted + flipped + _because(votes, winner, forward),
        votes=tuple(votes),
        n_flipped=n_flipped,
        n_unreadable=sum(read.said is None for read in (*forward, *backward)),
        position_bias=sum(leanings) / len(leanings) if leanings else None,
    )


def one_line(text: str) -> str:
    """The text on one line, without signs that a terminal would act on, cut to `MAX_REASON_CHARS` characters."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * MAX_REASON_CHARS]).split())
    return plain if len(plain) <= MAX_REASON_CHARS else f"{plain[: MAX_REASON_CHARS - 1]}…"


def _majority(votes: Sequence[Vote | None]) -> Vote | None:
    """What more than half of all votes say, those that say nothing included in the half."""
    said = Counter(vote for vote in votes if vote is not None).most_common(1)
    return said[0][0] if said and 2 * said[0][1] > len(votes) else None


def _counted(votes: Sequence[Vote | None], words: Mapping[Vote, str], *replies: Sequence[Read[Reply]]) -> str:
    """The count in words, such as "3 votes: 2 right, 1 undecided (1 reply: no sealed verdict)"."""
    counts = Counter(votes)
    parts = [f"{counts[vote]} {word}" for vote, word in words.items() if counts[vote]]
    parts += [f"{counts[None]} undecided"] if counts[None] else []
    faults = Counter(read.fault for reads in replies for read in reads if read.said is None)
    shown = "; ".join(f"{n} {'reply' if n == 1 else 'replies'}: {fault}" for fault, n in faults.items())
    said = f"{len(votes)} {'vote' if len(votes) == 1 else 'votes'}: {', '.join(parts)}"
    return f"{said} ({shown})" if shown else said


def _because(votes: Sequence[Vote | None], winner: Vote | None, reads: Sequence[Read[Reply]]) -> str:
    """The reason of the first reply that voted for the winner, in quotes; empty where nothing won."""
    for vote, read in zip(votes, reads, strict=True):
        if winner is not None and vote == winner and read.said is not None and read.said.reason.strip():
            return f'; "{one_line(read.said.reason)}"'
    return ""
