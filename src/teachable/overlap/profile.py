"""How alike two sets of texts are in their wording, told from counts of short runs of words.

A set's profile is how large a share each run of two words is of all its runs; numbers count as one word, so that a
template with other numbers is the same wording. Two profiles p and q are compared in two ways, both 1 for equal ones
and 0 for sets that have no run in common:

- `cosine`: of the two lists of shares; frequent runs decide it.
- `shared`: the sum over runs of min(p, q), the share of either set's wording that the other can match run for run.

What it is not: a measure of meaning. Two domains may teach the same skill in other words, or opposite answers in the
same. Two small samples of one domain are not fully alike either, since rare runs stand in one of them only: compare
sets of about one size, and see `halves`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from teachable.overlap.ngram import words

N_WORDS = 2
NUMBER = "0"  # what every number counts as
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Likeness:
    """How alike two profiles are, each in [0, 1]; None where one of them is empty."""

    cosine: float | None
    shared: float | None


def profile(texts: Sequence[str], n_words: int = N_WORDS) -> dict[str, float]:
    """Run of words -> its share of all runs of the texts; a text shorter than a run is one run. Empty without words.

    Raises:
        ValueError: n_words is below 1.
    """
    if n_words < 1:
        raise ValueError(f"a run of {n_words} words is none")
    counts: Counter[str] = Counter()
    for text in texts:
        said = [NUMBER if _NUMBER.fullmatch(word) else word for word in words(text)]
        starts = range(max(1, len(said) - n_words + 1)) if said else ()
        counts.update(" ".join(said[start : start + n_words]) for start in starts)
    total = counts.total()
    return {run: count / total for run, count in counts.items()}


def likeness(first: Mapping[str, float], second: Mapping[str, float]) -> Likeness:
    """Compare two profiles (see the module)."""
    if not first or not second:
        return Likeness(None, None)
    both = first.keys() & second.keys()
    dot = math.fsum(first[run] * second[run] for run in both)
    norms = [math.sqrt(math.fsum(share * share for share in one.values())) for one in (first, second)]
    shared = math.fsum(min(first[run], second[run]) for run in both)
    return Likeness(min(1.0, dot / (norms[0] * norms[1])), min(1.0, shared))


def halves(texts: Sequence[str], n_words: int = N_WORDS) -> Likeness:
    """How alike every other text is to the rest: what the same domain drawn twice would have, at half the size."""
    return likeness(profile(texts[::2], n_words), profile(texts[1::2], n_words))
