"""Topics of texts, told by their words alone: a plain clustering that gives the same answer for the same texts.

Words with letters are weighted by tf-idf, the rows reduced to their main directions (latent semantic analysis,
Deerwester et al. 1990, by a randomised range finder, Halko et al. 2011) and clustered by spherical k-means (Dhillon and
Modha 2001) from k-means++ starts (Arthur and Vassilvitskii 2007). Random numbers come from the seed.

A topic here is words that go together. Two languages, or two ways of writing, are topics too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from teachable.overlap.ngram import words

MAX_WORDS = 4096  # the most frequent ones that tell something
MAX_SHARE = 0.5  # words of more texts than that tell nothing
DIMENSIONS = 50
STARTS, STEPS = 4, 25  # of k-means

_Ids = NDArray[np.int64]
_Floats = NDArray[np.float32]


def topics_of(texts: Sequence[str], *, n_fitted: int, k: int, seed: int = 0) -> _Ids:
    """The topic of each text, 0 to k - 1.

    Args:
        texts: those that the topics are found in first, then others that only get theirs.
        n_fitted: how many the topics are found in.
        k: most topics.
    """
    if not texts:
        return np.empty(0, np.int64)
    generator = np.random.default_rng(seed)
    weights = _weights([Counter(_telling(text)) for text in texts], n_fitted)
    rows = _reduced(weights, n_fitted, generator)
    k = min(k, n_fitted)
    best: _Floats | None = None
    best_fit = -math.inf
    for _ in range(STARTS):
        centres = _means(rows[:n_fitted], _start(rows[:n_fitted], k, generator))
        fit = float((rows[:n_fitted] @ centres.T).max(axis=1).sum())
        if fit > best_fit:
            best, best_fit = centres, fit
    assert best is not None
    return np.asarray((rows @ best.T).argmax(axis=1), np.int64)


def _telling(text: str) -> list[str]:
    """The words that hold a letter; numbers and signs say little of a topic."""
    return [word for word in words(text) if len(word) > 1 and any(map(str.isalpha, word))]


def _weights(counts: Sequence[Counter[str]], n_fitted: int) -> _Floats:
    """tf-idf, [text, word], rows of length 1 or 0; frequencies among the fitted texts decide."""
    spread = Counter(word for one in counts[:n_fitted] for word in one)
    known = [word for word, n in spread.items() if 2 <= n <= max(2, MAX_SHARE * n_fitted)]
    known = sorted(known, key=lambda word: (-spread[word], word))[:MAX_WORDS]
    column = {word: i for i, word in enumerate(known)}
    found = np.zeros((len(counts), max(1, len(known))), np.float32)
    for row, one in enumerate(counts):
        for word, n in one.items():
            if word in column:
                found[row, column[word]] = (1 + math.log(n)) * math.log(n_fitted / spread[word])
    return _unit(found)


def _reduced(weights: _Floats, n_fitted: int, generator: np.random.Generator) -> _Floats:
    """The rows in their main directions, of length 1 or 0."""
    n_rows, n_columns = n_fitted, weights.shape[1]
    wide = min(DIMENSIONS + 10, n_rows, n_columns)
    fitted = weights[:n_fitted]
    span = fitted @ generator.standard_normal((n_columns, wide)).astype(np.float32)
    for _ in range(2):
        span = np.linalg.qr(span)[0]
        span = fitted @ (fitted.T @ span)
    basis = np.linalg.qr(span)[0]
    directions = np.linalg.svd(basis.T @ fitted, full_matrices=False)[2][:DIMENSIONS]
    return _unit(weights @ directions.T)


def _unit(rows: _Floats) -> _Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 1e-6, rows / np.maximum(lengths, 1e-6), 0.0), np.float32)


def _start(rows: _Floats, k: int, generator: np.random.Generator) -> _Floats:
    """k rows, each drawn by its distance from those drawn before it."""
    chosen = [int(generator.integers(len(rows)))]
    distance = np.ones(len(rows), np.float64)
    while len(chosen) < k:
        distance = np.minimum(distance, np.clip(1.0 - rows @ rows[chosen[-1]], 0.0, None))
        total = float(distance.sum())
        if total <= 1e-9:  # every row is one of those drawn
            break
        chosen.append(int(np.searchsorted(np.cumsum(distance), generator.random() * total).clip(0, len(rows) - 1)))
    return rows[chosen]


def _means(rows: _Floats, centres: _Floats) -> _Floats:
    """The centres after so many steps, or when nothing moves."""
    before: _Ids | None = None
    for _ in range(STEPS):
        nearest = np.asarray((rows @ centres.T).argmax(axis=1), np.int64)
        if before is not None and np.array_equal(nearest, before):
            break
        before = nearest
        belongs = np.zeros((len(centres), len(rows)), np.float32)
        belongs[nearest, np.arange(len(rows))] = 1.0
        moved = _unit(belongs @ rows)
        # A centre that nothing is near stays where it is.
        centres = np.where(np.linalg.norm(moved, axis=1, keepdims=True) > 0, moved, centres)
    return centres
