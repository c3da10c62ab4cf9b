"""Preference pairs from pivotal tokens: two single tokens after one exact prefix, of which one helps and one hurts.

One side of a pair is the pivotal token itself, the other an alternative that the model chose at the same place in the
completions that the search has drawn. Which one is chosen and which rejected follows from the sign of the token's
`delta`. So both tokens are the model's own, and a pair costs no further sample.

Which alternative. Let t be the pivotal token, with next-token probability pi and the success probabilities p_before
and p_after. The prefix's value is the mean of its children's, so the others' mean is m = (p_before - pi p_after) /
(1 - pi), which lies on the other side of p_before. An alternative with s right answers among n completions has the
posterior Beta(s + K m, n - s + K (1 - m)): without evidence it stands where the others stand on average. It must

1. have been seen `MIN_SAMPLES` times,
2. have its posterior mean on the other side of p_before than p_after is, and at least `MIN_DISTANCE` of its standard
   deviations away from p_after. The pair's difference is then at least the pivotal token's own |delta|, hence at least
   the gap,
3. be no less probable than `min_probability`, which the pivotal token must be too,
4. leave text that can be seen, which the pivotal token must too.

Of those left, the one is taken whose difference from the pivotal token is most reliable: (p_after - mean) / sd, in the
right direction, with the mean and standard deviation of its posterior; of equals the more probable one. What is
reported as the alternative's success probability is that mean: the extreme of several noisy shares would promise too
much.

Text. A token's text is what it adds to the text of the prefix, since some tokenizers drop a space where decoding
begins. Text is for people and for trainers that know nothing else; the token ids beside it say exactly what was
sampled, with the special tokens that decoding leaves out, and are not to be made from the text again.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from teachable.pivot.config import PivotConfig
from teachable.pivot.found import Alternative, Pivot, Row, Searched

MIN_SAMPLES = 3  # completions that an alternative must have had; below that nearly all of its posterior is the others'
MIN_DISTANCE = 2.0  # standard deviations: at most about one pair in forty is the wrong way round
PRIOR_WEIGHT = 2.0  # K: how many samples the others' mean counts for

UNSEEN = "no alternative with enough samples"
ONE_SIDED = "no alternative surely on the other side"
IMPROBABLE = "improbable"
INVISIBLE = "nothing visible"
REPEATED = "the same pair again"
REASONS = (UNSEEN, ONE_SIDED, IMPROBABLE, INVISIBLE, REPEATED)

Decode = Callable[[list[int]], str]
REPLACEMENT = "\ufffd"
# Letters and symbols by their category that leave nothing on the page: fillers of Hangul, the blank of Braille.
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@dataclass(frozen=True)
class PivotalPair(Row):
    """Two tokens after the same prefix, in TRL's columns, with the ids that they stand for.

    `chosen_token_ids` and `rejected_token_ids` hold one id each, `prompt_token_ids` the prompt's and the solution's up
    to `position`. `delta` is `chosen_p_success` - `rejected_p_success`, at least the gap; the probabilities are
    next-token probabilities under the sampling really used. `n_samples` are the completions that went on with the
    token that the solution did not take; what speaks for the other one is in the pivotal token's own row.
    """

    prompt: str
    chosen: str
    rejected: str
    prompt_token_ids: tuple[int, ...]
    chosen_token_ids: tuple[int, ...]
    rejected_token_ids: tuple[int, ...]
    prompt_id: str
    kind: str
    delta: float
    position: int
    chosen_probability: float
    rejected_probability: float
    chosen_p_success: float
    rejected_p_success: float
    n_samples: int


@dataclass(frozen=True)
class PivotalPairs:
    """The pairs, in the order of their pivotal tokens, and how many tokens gave none, by reason (see `REASONS`)."""

    pairs: tuple[PivotalPair, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class _Side:
    """A token that may stand in a pair: its next-token probability, success probability, and what it adds to the text.

    `distance` is how far its success probability lies from the pivotal token's, in its own standard deviations.
    """

    token_id: int
    text: str
    probability: float
    p_success: float
    distance: float = 0.0
    n_samples: int = 0


def preferences(
    pivots: Sequence[Pivot], solutions: Sequence[Searched], *, decode: Decode, config: PivotConfig
) -> PivotalPairs:
    """A pair for every pivotal token that has a usable alternative.

    Args:
        pivots: pivotal tokens with their alternatives.
        solutions: the solutions that they stand in, which know the prompts' token ids.
        decode: token ids to text, special tokens left out (an engine's `decode`).
        config: `min_probability` is the least next-token probability of either token.

    Raises:
        KeyError: a pivotal token's solution is not among `solutions`.
    """
    prompts = {(one.prompt_id, one.token_ids): one.prompt_token_ids for one in solutions}
    left_out: Counter[str] = Counter()
    found: dict[tuple[object, ...], PivotalPair] = {}
    for pivot in pivots:
        before = pivot.solution_token_ids[: pivot.position]
        prefix = [*prompts[pivot.prompt_id, pivot.solution_token_ids], *before]
        pair = _pair(pivot, prefix, decode, config.min_probability)
        if isinstance(pair, str):
            left_out[pair] += 1
            continue
        # Two solutions of a prompt may share their beginning, and the pivotal token in it.
        same = (pair.prompt_token_ids, pair.chosen_token_ids, pair.rejected_token_ids)
        left_out[REPEATED] += same in found
        found.setdefault(same, pair)
    return PivotalPairs(tuple(found.values()), {reason: left_out[reason] for reason in REASONS if left_out[reason]})


def _pair(pivot: Pivot, prefix: list[int], decode: Decode, min_probability: float) -> PivotalPair | str:
    """The pair of one pivotal token, or the reason why there is none."""
    sign = 1.0 if pivot.delta > 0 else -1.0
    prompt = decode(prefix)

    def text_of(token_id: int) -> str:
        return added_text(decode, prefix, token_id, prompt)

    own = _Side(pivot.token_id, text_of(pivot.token_id), pivot.probability, pivot.p_after)
    others = [one for one in pivot.alternatives if one.token_id != pivot.token_id and one.n_samples >= MIN_SAMPLES]
    if not others:
        return UNSEEN
    sides = [_side(one, pivot, sign, text_of) for one in others]
    sides = [one for one in sides if sign * (pivot.p_before - one.p_success) > 0 and one.distance >= MIN_DISTANCE]
    if not sides:
        return ONE_SIDED
    sides = [one for one in sides if min(one.probability, own.probability) >= min_probability]
    if not sides:
        return IMPROBABLE
    sides = [one for one in sides if is_visible(one.text) and is_visible(own.text)]
    if not sides:
        return INVISIBLE
    other = max(sides, key=lambda one: (one.distance, one.probability, -one.token_id))
    chosen, rejected = (own, other) if sign > 0 else (other, own)
    return PivotalPair(
        prompt=prompt,
        chosen=chosen.text,
        rejected=rejected.text,
        prompt_token_ids=tuple(prefix),
        chosen_token_ids=(chosen.token_id,),
        rejected_token_ids=(rejected.token_id,),
        prompt_id=pivot.prompt_id,
        kind="pivotal",
        delta=chosen.p_success - rejected.p_success,
        position=pivot.position,
        chosen_probability=chosen.probability,
        rejected_probability=rejected.probability,
        chosen_p_success=chosen.p_success,
        rejected_p_success=rejected.p_success,
        n_samples=other.n_samples,
    )


def _side(one: Alternative, pivot: Pivot, sign: float, text_of: Callable[[int], str]) -> _Side:
    mean, sd = posterior(one.successes, one.n_samples, others_mean(pivot))
    distance = sign * (pivot.p_after - mean) / sd if sd > 0 else math.inf
    return _Side(one.token_id, text_of(one.token_id), one.probability, mean, distance, one.n_samples)


def others_mean(pivot: Pivot) -> float:
    """The mean success probability of all tokens but the pivotal one, weighted by their probability, in [0, 1]."""
    rest = 1.0 - pivot.probability
    mean = (pivot.p_before - pivot.probability * pivot.p_after) / rest if rest > 0 else pivot.p_before
    return min(1.0, max(0.0, mean))


def posterior(successes: int, n: int, prior_mean: float) -> tuple[float, float]:
    """Mean and standard deviation of an alternative's success probability (see the module)."""
    total = n + PRIOR_WEIGHT
    mean = (successes + PRIOR_WEIGHT * prior_mean) / total
    return mean, math.sqrt(mean * (1.0 - mean) / (total + 1.0))


def added_text(decode: Decode, prefix: Sequence[int], token_id: int, before: str | None = None) -> str:
    """What a token adds to the text of its prefix.

    A token that completes a character changes the text before it as well; such a one, and any other after which the
    prefix's text is not the beginning, is decoded alone, which leaves a replacement character for half a character.

    Args:
        before: the prefix's text, where it is known.
    """
    before = decode(list(prefix)) if before is None else before
    after = decode([*prefix, token_id])
    return after[len(before) :] if after.startswith(before) else decode([token_id])


def is_visible(text: str) -> bool:
    """Whether a text leaves something on the page, and no half of a character.

    White space, control and format characters (of zero width, or for direction), private and unassigned ones, and
    fillers leave nothing; a replacement character stands for bytes that are no text.
    """
    if REPLACEMENT in text:
        return False
    return any(unicodedata.category(one)[0] not in "CZ" and one not in BLANKS for one in text)
