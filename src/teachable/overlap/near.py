"""Groups of near-duplicate texts.

Texts that are the same after normalisation are duplicates. Beyond that, two texts are near-duplicates when the
Jaccard similarity of their telling shingles reaches the threshold: MinHash signatures with banding (rensa's
R-MinHash and LSH) only propose pairs, and every pair is checked on the true sets, so there is no false merge.
A group is a connected component of pairs.

Shingles are character 5-grams, which serve short questions better than word n-grams. Procedural and templated
questions share most of their words and differ in what matters, so shingles that belong to a domain's template
(in more than a tenth of its texts, and in at least 20) tell nothing and are left out; a text with too few
telling shingles left is only ever the duplicate of an equal text.

What it does not protect against: paraphrases, and a true pair that no band proposes (at similarity 0.8 with the
32 bands of 4 rows used here, about one in ten million; at 0.5, one in eight).
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from teachable.errors import TeachableError

SHINGLE_CHARS = 5
MIN_TELLING = 8
TEMPLATE_SHARE = 0.1
TEMPLATE_TEXTS = 20
_N_PERM, _N_BANDS, _SEED = 128, 32, 1


def normalise(text: str) -> str:
    """Text with Unicode forms, case and white space evened out."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shingles(text: str, n_chars: int = SHINGLE_CHARS) -> frozenset[str]:
    """The character n-grams of a normalised text; a shorter text is its own only shingle."""
    plain = normalise(text)
    return frozenset(plain[i : i + n_chars] for i in range(max(1, len(plain) - n_chars + 1)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared elements as a share of all elements, in [0, 1]; 1 for two empty sets."""
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def near_duplicate_groups(
    texts: Sequence[str], *, threshold: float = 0.8, domains: Sequence[str] | None = None
) -> list[int]:
    """The group of every text, named by the index of the group's first text.

    Args:
        texts: any order; the grouping does not depend on it, only the groups' names do.
        threshold: least Jaccard similarity of a pair, in (0, 1]; 1 leaves only equal sets of shingles.
        domains: the domain of every text; templates are told by domain. None: all texts are of one domain.

    Raises:
        TeachableError: the threshold is out of range.
        ValueError: `domains` has another length than `texts`.
    """
    if not 0.0 < threshold <= 1.0:
        raise TeachableError(f"a near-duplicate threshold lies above 0 and up to 1, not at {threshold:g}")
    if domains is not None and len(domains) != len(texts):
        raise ValueError(f"{len(domains)} domains for {len(texts)} texts")
    groups = _Groups(len(texts))
    first_of: dict[str, int] = {}
    for index, text in enumerate(texts):
        groups.join(first_of.setdefault(normalise(text), index), index)
    distinct = list(first_of.values())
    telling = _telling([texts[i] for i in distinct], [domains[i] if domains else "" for i in distinct])
    comparable = [i for i, kept in enumerate(telling) if len(kept) >= MIN_TELLING]
    for one, other in _candidates([sorted(telling[i]) for i in comparable]):
        a, b = comparable[one], comparable[other]
        if not groups.joined(distinct[a], distinct[b]) and jaccard(telling[a], telling[b]) >= threshold:
            groups.join(distinct[a], distinct[b])
    return [groups.root(i) for i in range(len(texts))]


def joined(groups: Sequence[int], keys: Sequence[str]) -> list[int]:
    """The groups, those that share a key joined; an empty key joins nothing.

    Args:
        groups: as `near_duplicate_groups` gives them, each named by the index of its first member.
        keys: one for each, in the same order.
    """
    together = _Groups(len(groups))
    first_of: dict[str, int] = {}
    for index, (group, key) in enumerate(zip(groups, keys, strict=True)):
        together.join(group, index)
        if key:
            together.join(first_of.setdefault(key, index), index)
    return [together.root(index) for index in range(len(groups))]


def _telling(texts: Sequence[str], domains: Sequence[str]) -> list[frozenset[str]]:
    """The shingles of each text that are not part of its domain's template."""
    sets = [shingles(text) for text in texts]
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sizes = Counter(domains)
    for domain, found in zip(domains, sets, strict=True):
        counts[domain].update(found)
    common: dict[str, frozenset[str]] = {}
    for domain, counter in counts.items():
        bar = max(TEMPLATE_TEXTS, TEMPLATE_SHARE * sizes[domain])
        common[domain] = frozenset(shingle for shingle, count in counter.items() if count >= bar)
    return [found - common[domain] for domain, found in zip(domains, sets, strict=True)]


def _candidates(sets: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Pairs that share a band of their MinHash signatures, each once, in order."""
    if len(sets) < 2:
        return
    import rensa

    sketches = rensa.RMinHash.from_token_sets([list(tokens) for tokens in sets], num_perm=_N_PERM, seed=_SEED)
    index = rensa.RMinHashLSH(0.5, _N_PERM, _N_BANDS)
    for key, sketch in enumerate(sketches):
        # Asking before inserting gives every pair once, and no row as its own candidate.
        for other in sorted(set(index.query(sketch))):
            yield other, key
        index.insert(key, sketch)


class _Groups:
    """Union-find over 0..n-1; the root of a group is its smallest member."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def joined(self, i: int, j: int) -> bool:
        return self.root(i) == self.root(j)

    def join(self, i: int, j: int) -> None:
        low, high = sorted((self.root(i), self.root(j)))
        self._parent[high] = low
