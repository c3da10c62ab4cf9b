"""How diverse a set of texts is, and whether one set is less diverse than another beyond chance.

Each measure is higher for a more diverse set:

- `distinct_1`, `distinct_2`, `distinct_3`: different runs of n words as a share of all of them (Li et al. 2016,
  arXiv:1510.03055, distinct-n).
- `incompressible`: bytes after compression as a share of those before: one over the compression ratio of Shaib et al.
  2024, arXiv:2403.00553.
- `novelty`: 1 less the mean, over texts, of the Jaccard similarity with the nearest other text, on character 5-grams
  (the shingles of `overlap.near`). One sentence with small edits has almost none.
- `topics`: the effective number of topics, exp(entropy) of how the texts spread over clusters that are fitted to both
  sets together (`diversity_topics.py`; Hill's number of order 1).
- `embedding_spread`: the mean cosine distance between two texts' embeddings; only where an embedding model is given.

All of them depend on how much text there is: a larger set repeats more of its words, whoever wrote it. So two sets are
compared at equal size, in halves: a sample of each, cut to the size of the smaller one, is halved at random again and
again, and each round measures a half of one set against a half of the other, runs of words and bytes cut to the same
total. The spread of a half drawn without repeats is that of the bootstrap (Efron 1979) of the whole for a mean, while
the bootstrap's own repeats would pass for a lack of diversity. The ratio's interval is the rounds' percentiles.

What it does not tell: whether texts are right or good, whether a narrow set is what was wanted, and what is the same in
other words (only embeddings see that). Texts of another length have another Jaccard similarity, so `novelty` compares
texts by their first `MAX_CHARS` characters and says nothing about sets of very unlike lengths. With fewer than about a
hundred texts a side, `topics` sees only the grossest collapse: there are too few texts to find topics in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from teachable.overlap.near import SHINGLE_CHARS, normalise
from teachable.overlap.ngram import words
from teachable.synthesize.mixing.diversity_topics import topics_of

NGRAMS = (1, 2, 3)
MAX_CHARS = 1000  # of a text that are looked at
MIN_TEXTS = 20  # in the smaller set; fewer say nothing
TEXTS_PER_TOPIC = 25  # of both sets together, for a cluster
COLUMNS_AT_ONCE = 4096  # shingles whose common occurrences are counted together
LEVEL = 0.95  # of the intervals
EMBEDDING = "embedding_spread"
MEASURES: Mapping[str, str] = {
    **{f"distinct_{n}": f"different runs of {n} word{'s' * (n > 1)} as a share of all" for n in NGRAMS},
    "incompressible": "bytes after compression as a share of those before",
    "novelty": "1 less the mean similarity with the nearest other text",
    "topics": "effective number of topics",
    EMBEDDING: "mean cosine distance between two embeddings",
}

_Ids = NDArray[np.int64]
_Hashes = NDArray[np.uint64]
_Floats = NDArray[np.float64]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits spread (splitmix64's)


@dataclass(frozen=True)
class Comparison:
    """One measure of two sets at equal size: its value in each, and their ratio with its interval.

    `ratio` is second to first, None where the first has nothing of the measure. `collapsed` says that the whole
    interval of the ratio lies below the bar.
    """

    measure: str
    first: float
    second: float
    ratio: float | None
    low: float | None
    high: float | None
    collapsed: bool


@dataclass(frozen=True)
class Diversity:
    """What two sets have of every measure, and how much of the first's topics the second reaches.

    Attributes:
        n_texts: how many texts of each set a value rests on; 0 where there are too few to compare.
        coverage: share of the first set's texts, in [0, 1], whose topic the second has in at least a tenth of the
            share that an even spread would give it; None where there are too few texts.
        also: measure -> value of a further set at the same size.
    """

    n_texts: int
    comparisons: tuple[Comparison, ...] = ()
    coverage: float | None = None
    also: Mapping[str, float] | None = None

    @property
    def collapsed(self) -> tuple[Comparison, ...]:
        """The measures by which the second set has collapsed."""
        return tuple(one for one in self.comparisons if one.collapsed)


def compared(
    first: Sequence[str],
    second: Sequence[str],
    also: Sequence[str] = (),
    *,
    bar: float = 0.8,
    max_texts: int = 600,
    rounds: int = 100,
    n_topics: int = 20,
    seed: int = 0,
    embeddings: Mapping[str, _Floats] | None = None,
) -> Diversity:
    """The diversity of the second set beside that of the first, at equal size.

    Args:
        first, second: texts; which of them are looked at, where there are more than `max_texts`, hangs on their
            content and the seed, not on their order.
        also: a further set, measured at the same size without a comparison.
        bar: ratio below which the whole interval has to lie for a collapse, in (0, 1].
        max_texts: of each set.
        rounds: halvings.
        n_topics: clusters that the topics are counted in; fewer where there are few texts.
        embeddings: text -> its embedding, for all texts that are `looked_at`; None leaves the measure out.
    """
    sets = looked_at(first, second, also, max_texts=max_texts, seed=seed)
    n_half = len(sets[0]) // 2
    if not n_half:
        return Diversity(0)
    # Clusters of few texts split what belongs together, most of all where texts lie close.
    k = min(n_topics, max(2, 4 * n_half // TEXTS_PER_TOPIC))
    topics = topics_of([text[:MAX_CHARS] for one in sets for text in one], n_fitted=4 * n_half, k=k, seed=seed)
    pools, begin = [], 0
    for one in sets:
        own = None if embeddings is None or not one else np.stack([embeddings[text] for text in one])
        pools.append(_Pool(one, topics[begin : begin + len(one)], own))
        begin += len(one)
    values = _rounds(pools, n_half, rounds, seed)
    comparisons = tuple(_comparison(name, values[0][name], values[1][name], bar) for name in values[0])
    further = {name: float(found.mean()) for name, found in values[2].items()} if values[2] else None
    return Diversity(n_half, comparisons, _coverage(pools[0].topics, pools[1].topics, k), further)


def looked_at(
    first: Sequence[str], second: Sequence[str], also: Sequence[str] = (), *, max_texts: int = 600, seed: int = 0
) -> list[list[str]]:
    """The texts of each set that `compared` measures: of the first two the same even number, of the third no more.

    All are empty where a set of the first two has fewer than `MIN_TEXTS`, and the third is where it has less than half
    of that number.
    """
    n = min(len(first), len(second), max_texts) // 2 * 2
    if n < MIN_TEXTS:
        return [[], [], []]
    return [_sampled(texts, n, seed) if 2 * len(texts) >= n else [] for texts in (first, second, also)]


def _sampled(texts: Sequence[str], n: int, seed: int) -> list[str]:
    """n of the texts, or all of them, in an order that hangs on their content and the seed; repeats stay."""
    ranked = sorted(texts, key=lambda text: hashlib.sha256(f"{seed}\x1f{text}".encode("utf-8", "replace")).digest())
    if len(ranked) <= n:
        return ranked
    # Equal texts are neighbours here, so every k-th is taken, not the first n: repeats keep their share.
    places = (np.arange(n) * (len(ranked) / n)).astype(int)
    return [ranked[place] for place in places]


def _rounds(pools: Sequence[_Pool], n_half: int, rounds: int, seed: int) -> list[dict[str, _Floats]]:
    """Measure -> its value in every round, for each set; nothing for an empty one."""
    generator = np.random.default_rng(seed)
    found: list[list[dict[str, float]]] = [[] for _ in pools]
    for _ in range(rounds):
        halves = [
            generator.permutation(pool.n)[:n_half] if pool.n >= n_half else np.empty(0, np.int64) for pool in pools
        ]
        n_words = min(int(pool.n_words[half].sum()) for pool, half in zip(pools[:2], halves[:2], strict=True))
        n_bytes = min(sum(len(pool.data[i]) for i in half) for pool, half in zip(pools[:2], halves[:2], strict=True))
        for place, (pool, half) in enumerate(zip(pools, halves, strict=True)):
            if half.size:
                found[place].append(pool.measured(half, n_words, n_bytes))
    return [{name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {} for rows in found]


def _comparison(name: str, first: _Floats, second: _Floats, bar: float) -> Comparison:
    means = float(first.mean()), float(second.mean())
    if not np.all(first > 0):
        return Comparison(name, *means, None, None, None, collapsed=False)
    low, high = np.quantile(second / first, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Comparison(name, *means, means[1] / means[0], float(low), float(high), collapsed=bool(high < bar))


def _coverage(first: _Ids, second: _Ids, k: int) -> float:
    """The share of the first set's texts whose topic the second has enough of."""
    counts = np.bincount(second, minlength=k)
    enough = counts >= max(1.0, 0.1 * second.size / k)
    return float(enough[first].mean())


class _Pool:
    """A set, with all that a round needs of it.

    Args:
        texts: in an order that says nothing.
        topics: the cluster of each.
        embeddings: [text, dimension], or None.
    """

    def __init__(self, texts: Sequence[str], topics: _Ids, embeddings: _Floats | None) -> None:
        self.n = len(texts)
        cut = [text[:MAX_CHARS] for text in texts]
        tokens = [words(text) for text in cut]
        self.n_words = np.array([len(one) for one in tokens], np.int64)
        self.data = [f"{text}\n".encode("utf-8", "replace") for text in cut]
        self.topics = topics
        self._runs = {n: _runs(tokens, n) for n in NGRAMS}
        self._nearness = nearness([_shingles(text) for text in cut])
        self._units = None if embeddings is None else _units(embeddings)
        self._codec = pa.Codec("zstd", compression_level=3)

    def measured(self, half: _Ids, n_words: int, n_bytes: int) -> dict[str, float]:
        """Every measure of some of the texts, the runs cut to a number of words and the bytes to a number of bytes."""
        found = {f"distinct_{n}": _distinct([self._runs[n][i] for i in half], n_words) for n in NGRAMS}
        data = b"".join(self.data[i] for i in half)[:n_bytes]
        packed = self._codec.compress(data, asbytes=True)
        found["incompressible"] = len(packed) / max(1, len(data))
        found["novelty"] = 1.0 - float(self._nearness[np.ix_(half, half)].max(axis=1).mean())
        shares = np.bincount(self.topics[half]) / half.size
        shares = shares[shares > 0]
        found["topics"] = float(np.exp(-(shares * np.log(shares)).sum()))
        if self._units is not None:
            n = half.size
            # The mean over pairs of different texts, from the length of the sum of all.
            total = float((self._units[half].sum(axis=0) ** 2).sum())
            found[EMBEDDING] = 1.0 - (total - n) / (n * (n - 1))
        return found


def _units(vectors: _Floats) -> _Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float64)


def _runs(tokens: Sequence[Sequence[str]], n: int) -> list[_Ids]:
    """The runs of n words of each text as numbers from 0 on, equal runs by equal numbers."""
    number: dict[tuple[str, ...], int] = {}
    return [
        np.array(
            [number.setdefault(tuple(one[i : i + n]), len(number)) for i in range(len(one) - n + 1)], dtype=np.int64
        )
        for one in tokens
    ]


def _distinct(runs: Sequence[_Ids], n_words: int) -> float:
    """Different runs as a share of all, among the first `n_words` of them; 0 where there is none."""
    joined = np.concatenate(runs)[:n_words]
    if not joined.size:
        return 0.0
    seen = np.zeros(int(joined.max()) + 1, bool)
    seen[joined] = True
    return float(seen.sum() / joined.size)


def _shingles(text: str) -> _Hashes:
    """The hashes of a text's different character 5-grams, sorted."""
    points = np.frombuffer(normalise(text).encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    n = max(1, points.size - SHINGLE_CHARS + 1)
    hashes = np.zeros(n, np.uint64)
    for place in range(min(SHINGLE_CHARS, points.size)):
        hashes = (hashes ^ points[place : place + n]) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def nearness(sets: Sequence[_Hashes]) -> NDArray[np.float32]:
    """The Jaccard similarity of every two sets, [n, n]; 0 of a set with itself."""
    n = len(sets)
    sizes = np.array([one.size for one in sets], np.float32)
    shared = np.zeros((n, n), np.float32)
    if n > 1:
        texts = np.repeat(np.arange(n), sizes.astype(np.int64))
        _, columns, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
        common = counts[columns] > 1  # what stands in one text alone is shared with none
        texts, columns = texts[common], columns[common]
        order = np.argsort(columns, kind="stable")
        texts, columns = texts[order], np.unique(columns[order], return_inverse=True)[1]
        for begin in range(0, int(columns[-1]) + 1 if columns.size else 0, COLUMNS_AT_ONCE):
            low, high = np.searchsorted(columns, [begin, begin + COLUMNS_AT_ONCE])
            has = np.zeros((n, COLUMNS_AT_ONCE), np.float32)
            has[texts[low:high], columns[low:high] - begin] = 1.0
            shared += has @ has.T
    similar = shared / np.maximum(sizes[:, None] + sizes[None, :] - shared, 1.0)
    np.fill_diagonal(similar, 0.0)
    return np.asarray(similar, np.float32)
