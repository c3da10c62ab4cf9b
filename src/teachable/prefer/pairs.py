"""From judged responses to one prompt to pairs, and why each other pair of them is none.

Every two usable responses are looked at once: they make a pair, or one reason is counted. So the pairs and the reasons
of a prompt with k usable responses add up to k (k - 1) / 2.

A pair needs a winner and a margin. Pointwise the winner is the one with the higher score. Pairwise it is the one that
the judge names in both orders, and besides it must have won more of all its comparisons: where the verdicts run in a
circle (A beats B, B beats C, C beats A) nobody has, and no pair is made of it. A verifier's word goes before the
judge's: a response that it found wrong is never chosen over one that it found right, however well that was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from teachable.prefer.config import JudgePairsConfig
from teachable.prefer.found import Compared, Judged, Pair
from teachable.records import Prompt
from teachable.verify.judging import Comparison

ALIKE = "both say the same"
NO_SCORE = "the judge could not score one of them"
NO_DIFFERENCE = "both have the same score"
TIE = "the judge finds neither better"
ORDER = "the judge's verdict changed with the order"
NO_VERDICT = "the judge could not tell which is better"
CIRCLE = "the winner has won no more of its comparisons than the loser"
MARGIN = "the margin is below min_margin"
CONTRADICTED = "the verifier finds the preferred one wrong and the other right"
SURPLUS = "the prompt has max_pairs already"


def pairs_of(
    prompt: Prompt, judged: Sequence[Judged], compared: Sequence[Compared], config: JudgePairsConfig
) -> tuple[list[Pair], Counter[str]]:
    """The pairs of one prompt, widest margin first, and the count of other twosomes by reason.

    Args:
        judged: every response; those with a fault are passed over.
        compared: the judge's comparisons of responses that are not alike (pairwise).
        config: mode, least margin, and how many pairs a prompt may have.
    """
    usable = [one for one in judged if not one.response.fault]
    distinct = [one for one in usable if not one.like]
    found = {(one.first, one.second): one.comparison for one in compared}
    left_out: Counter[str] = Counter()
    n_alike = _two_of(len(usable)) - _two_of(len(distinct))
    if n_alike:
        left_out[ALIKE] = n_alike
    kept: list[Pair] = []
    for first, second in combinations(distinct, 2):
        pair = _pair(prompt, first, second, found, config)
        if isinstance(pair, Pair):
            kept.append(pair)
        else:
            left_out[pair] += 1
    kept.sort(key=lambda pair: -pair.margin)  # stable: equal margins stay in the order of the responses
    if config.max_pairs is not None and len(kept) > config.max_pairs:
        left_out[SURPLUS] = len(kept) - config.max_pairs
        kept = kept[: config.max_pairs]
    return kept, left_out


def _two_of(n: int) -> int:
    return n * (n - 1) // 2


def _pair(
    prompt: Prompt,
    first: Judged,
    second: Judged,
    found: Mapping[tuple[str, str], Comparison],
    config: JudgePairsConfig,
) -> Pair | str:
    """The pair of two responses, or the reason why they are none."""
    if config.mode == "pairwise":
        comparison = found.get((first.response.id, second.response.id), Comparison(None, "not compared"))
        fault = _undecided(comparison)
        if fault:
            return fault
        chosen, rejected = (first, second) if comparison.winner == "first" else (second, first)
        reason = comparison.reason
    else:
        higher = (second.score or 0.0) > (first.score or 0.0)
        chosen, rejected = (second, first) if higher else (first, second)
        reason = chosen.reason
    if chosen.score is None or rejected.score is None:
        return NO_SCORE
    margin = chosen.score - rejected.score
    if margin <= 0:
        return CIRCLE if config.mode == "pairwise" else NO_DIFFERENCE
    if margin < config.margin:
        return MARGIN
    if config.verify and chosen.response.correct is False and rejected.response.correct is True:
        return CONTRADICTED
    return Pair(prompt, chosen, rejected, margin, reason)


def _undecided(comparison: Comparison) -> str:
    """Why a comparison names no winner; empty where it does."""
    if comparison.winner == "tie":
        return TIE
    if comparison.winner is not None:
        return ""
    return ORDER if 2 * comparison.n_flipped >= max(1, len(comparison.votes)) else NO_VERDICT
