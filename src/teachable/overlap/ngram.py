"""Contamination: which texts share a long run of words with a reference text?

A text is contaminated when any n consecutive words of it (13 by default, as in Brown et al. 2020, appendix C)
stand in a reference text. Words are compared after normalisation, punctuation apart. A reference that is
shorter than n words is looked for as a whole, and a text shorter than n words counts when the whole of it
stands in a reference; single words are too common to tell anything and never match inside a longer text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.overlap.near import normalise

_WORD = re.compile(r"\w+(?:[.,]\d+)*|[+\-*/=<>^%]")
MIN_WORDS_INSIDE = 5


@dataclass(frozen=True)
class Overlap:
    """One contaminated text: its index, the index of the reference, and the words that they share."""

    text: int
    reference: int
    shared: str


def words(text: str) -> tuple[str, ...]:
    """The words, numbers and arithmetic signs of a text, in order."""
    return tuple(_WORD.findall(normalise(text)))


def contaminated(texts: Sequence[str], references: Sequence[str], *, n_words: int = 13) -> list[Overlap]:
    """The texts that overlap a reference, at most one overlap a text (the first run of words that is shared).

    Args:
        texts: what is to be trained on.
        references: what must not be seen: the held-out questions.
        n_words: length of a telling run, in words, at least 1.

    Raises:
        ValueError: n_words is below 1.
    """
    if n_words < 1:
        raise ValueError(f"a run of {n_words} words tells nothing")
    text_words = [words(text) for text in texts]
    reference_words = [words(reference) for reference in references]
    runs_of_length: dict[int, dict[tuple[str, ...], int]] = {}
    shortest = min(MIN_WORDS_INSIDE, n_words)
    lengths = {n_words} | {len(w) for w in (*text_words, *reference_words) if shortest <= len(w) < n_words}
    for length in lengths:
        runs = runs_of_length[length] = {}
        for index, reference in enumerate(reference_words):
            for start in range(len(reference) - length + 1):
                runs.setdefault(reference[start : start + length], index)
    whole = {reference: index for index, reference in reversed(list(enumerate(reference_words))) if reference}
    short_references = {len(r) for r in reference_words if shortest <= len(r) < n_words}
    found: list[Overlap] = []
    for index, text in enumerate(text_words):
        shared = _first_shared(text, n_words, runs_of_length, whole, short_references)
        if shared is not None:
            found.append(Overlap(index, shared[1], " ".join(shared[0])))
    return found


def _first_shared(
    text: tuple[str, ...],
    n_words: int,
    runs_of_length: dict[int, dict[tuple[str, ...], int]],
    whole: dict[tuple[str, ...], int],
    short_references: set[int],
) -> tuple[tuple[str, ...], int] | None:
    """The first run of words that the text shares with a reference, and the reference's index."""
    if text in whole:
        return text, whole[text]
    if len(text) < n_words:
        hit = runs_of_length.get(len(text), {}).get(text)
        if hit is not None:
            return text, hit
    else:
        for start in range(len(text) - n_words + 1):
            run = text[start : start + n_words]
            if run in runs_of_length[n_words]:
                return run, runs_of_length[n_words][run]
    for length in sorted(short_references, reverse=True):
        for start in range(len(text) - length + 1):
            run = text[start : start + length]
            if run in whole:
                return run, whole[run]
    return None
