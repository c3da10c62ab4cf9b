"""Replies that score an answer for accuracy, style and detail, averaged to one scoring.

A vote counts when its reply can be read and gives all three; there is a scoring when more than half of all votes that
were asked for count. A reply that can't be read is no vote, and never a low score: what the judge did not say is no
fault of the answer's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.verify.judging.replies import Read, ScoreReply
from teachable.verify.judging.votes import one_line

NO_ANSWER = "there is no answer outside of thoughts"


@dataclass(frozen=True)
class Scoring:
    """Means over the votes that count, each in [1, 10]; all three are None where the judge could not tell.

    `n_votes` were asked for; of these `n_counted` gave all three scores, and `n_unreadable` held no sealed scores at
    all. `spread` is the greatest difference between two votes in any respect, 0 where one vote counts.
    """

    accuracy: float | None = None
    style: float | None = None
    detail: float | None = None
    reason: str = ""
    n_votes: int = 0
    n_counted: int = 0
    n_unreadable: int = 0
    spread: float | None = None

    def weighted(self, weights: tuple[float, float, float]) -> float | None:
        """The mean of accuracy, style and detail with these weights, which add up to 1; None without scores."""
        if self.accuracy is None or self.style is None or self.detail is None:
            return None
        return weights[0] * self.accuracy + weights[1] * self.style + weights[2] * self.detail


def scoring_of(reads: Sequence[Read[ScoreReply]]) -> Scoring:
    """The scoring of all replies to one question."""
    votes: list[tuple[float, float, float]] = []
    said = ""
    for read in reads:
        one = read.said
        if one is None or one.accuracy is None or one.style is None or one.detail is None:
            continue
        votes.append((one.accuracy, one.style, one.detail))
        said = said or one.reason.strip()
    n_unreadable = sum(read.said is None for read in reads)
    reason = _counted(reads, len(votes))
    counts = {"n_votes": len(reads), "n_counted": len(votes), "n_unreadable": n_unreadable}
    if 2 * len(votes) <= len(reads):
        return Scoring(reason=reason, **counts)
    accuracy, style, detail = (sum(column) / len(votes) for column in zip(*votes, strict=True))
    spread = max(max(column) - min(column) for column in zip(*votes, strict=True))
    quoted = f'; "{one_line(said)}"' if said else ""
    return Scoring(accuracy, style, detail, reason + quoted, spread=spread, **counts)


def _counted(reads: Sequence[Read[ScoreReply]], n_counted: int) -> str:
    """The votes in words, such as "3 votes: 2 scored, 1 could not tell (1 reply: no sealed verdict)"."""
    faults = Counter(read.fault for read in reads if read.said is None)
    shown = "; ".join(f"{n} {'reply' if n == 1 else 'replies'}: {fault}" for fault, n in faults.items())
    parts = [f"{n_counted} scored"] if n_counted else []
    parts += [f"{len(reads) - n_counted} could not tell"] if n_counted < len(reads) else []
    said = f"{len(reads)} {'vote' if len(reads) == 1 else 'votes'}: {', '.join(parts)}"
    return f"{said} ({shown})" if shown else said
