"""Has a text been seen before? An index that grows as texts are accepted, so that what comes first is kept.

A text repeats another when both have one normal form (`near.normalise`), or when the Jaccard similarity of their
character 5-grams reaches the threshold and they name the same numbers as often: two exercises that differ only in a
number are two exercises. A sum counts as one number ("3 + 4 * 5" is not "3 * 4 + 5"), and number words count as their
digits. Between two procedural texts their content keys alone decide. A text of fewer than 8 5-grams only ever repeats
an equal one.

The search is exact: no pair at or above the threshold is missed, and none below it is taken. Texts of the same numbers
stand in one bucket. In a large bucket texts are indexed by their rarest 5-grams (32-bit hashes): a text that is similar
enough lacks so few that the two must have some of those in common (prefix filtering; Chaudhuri et al. 2006, Bayardo et
al. 2007). So what all texts of one template share costs next to nothing. Memory is 4 bytes a 5-gram, in a large bucket
another 2 or so, and some 500 bytes a text.

What costs more: thousands of texts that all resemble each other nearly as much as the threshold, without repeating one
another, must be compared with each other (some milliseconds a text at 10,000 of them).

What it does not protect against: paraphrases and translations; and it takes two texts for one that differ in a telling
word of a long template, where that is no number ("the largest" for "the smallest"). Unlike `near`, it does not know a
template, as it would have to know the texts that are yet to come.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teachable.errors import TeachableError
from teachable.overlap.near import MIN_TELLING, SHINGLE_CHARS, normalise

_Grams = NDArray[np.uint32]  # the hashes of a text's 5-grams, ascending, each once
_Places = NDArray[np.int32]

_VALUE = r"\d+(?:[.,]\d+)*"
_FROM_TWO = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
_FROM_TWO += "eighteen nineteen twenty"
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_FROM_TWO.split(), 2)}
_NUMBER_WORDS |= {word: str(10 * value) for value, word in enumerate(_TENS.split(), 3)}
_SUMS = re.compile(rf"{_VALUE}(?:\s?[-+*/^%=<>×÷]\s?{_VALUE})*")
_POWERS = np.array([0x9E3779B97F4A7C15**power % 2**64 for power in range(SHINGLE_CHARS)], dtype=np.uint64)
_MIXER = np.uint64(0xBF58476D1CE4E5B9)
_FEW = 8  # texts of a bucket that are compared one by one
_HALF = np.uint32(0xFFFF)
_RECENT = 16_384  # 5-grams of texts that are looked through one by one before they are sorted
_SHARE = 16  # beyond what a similar text may lack, it is looked up by this part of its 5-grams
_COUNTED = 5000  # texts by which it is told how rare a 5-gram is


@dataclass(frozen=True)
class Repeat:
    """What a text repeats: the id that it was added under, how (as in `guard`), and the similarity in [0, 1]."""

    id: str
    how: str
    similarity: float = 1.0


@dataclass(frozen=True)
class _Sketch:
    """What is compared of a text: its normal form's digest, the numbers that it names, its 5-grams."""

    equal: bytes
    numbers: str
    grams: _Grams


class Seen:
    """The texts that were accepted so far.

    Args:
        threshold: least Jaccard similarity of a repeat, in (0, 1]; at 1 only equal texts are repeats.

    Raises:
        TeachableError: the threshold is out of range.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0.0 < threshold <= 1.0:
            raise TeachableError(f"a near-duplicate threshold lies above 0 and up to 1, not at {threshold:g}")
        self._threshold = threshold
        self._ids: list[str] = []
        self._keys: list[str] = []
        self._grams: list[_Grams] = []
        self._equal: defaultdict[bytes, list[int]] = defaultdict(list)
        self._of_key: dict[str, int] = {}
        self._digests: list[bytes] = []
        # By the numbers that the texts name, and whether they have a key: keyed ones are not compared with each other.
        self._buckets: dict[tuple[str, bool], list[int]] = {}
        self._indexes: dict[tuple[str, bool], _Index] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def take(self, text_id: str, text: str, key: str = "", allowed: Collection[str] = ()) -> Repeat | None:
        """What a text repeats; None where it repeats nothing, and from now on it is among those seen.

        Args:
            text_id: what it is called when another repeats it.
            key: what identifies a procedural text, whatever its phrasing; "" for any other.
            allowed: texts that it may repeat.
        """
        sketch = self._sketch(text)
        found = self._repeated(sketch, key, allowed)
        if found is None:
            self._add(text_id, sketch, key)
        return found

    def add(self, text_id: str, text: str, key: str = "") -> None:
        """Have a text among those seen, whatever it repeats."""
        self._add(text_id, self._sketch(text), key)

    def repeats(self, text: str, key: str = "", allowed: Collection[str] = ()) -> Repeat | None:
        """What a text repeats of those seen; the arguments are those of `take`."""
        return self._repeated(self._sketch(text), key, allowed)

    def similarity(self, first: str, second: str) -> float | None:
        """How similar two texts are, where the one repeats the other; whether they were seen is of no matter."""
        one, other = self._sketch(first), self._sketch(second)
        if one.equal == other.equal:
            return 1.0
        if one.numbers != other.numbers or not self._comparable(one):
            return None
        similarity = _jaccard(one.grams, other.grams)
        return similarity if similarity >= self._threshold else None

    def _sketch(self, text: str) -> _Sketch:
        plain = normalise(text)
        digest = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if self._threshold == 1.0:
            return _Sketch(digest, "", _grams(""))
        return _Sketch(digest, _numbers(plain), _grams(plain))

    def _comparable(self, sketch: _Sketch) -> bool:
        return len(sketch.grams) >= MIN_TELLING

    def _repeated(self, sketch: _Sketch, key: str, allowed: Collection[str]) -> Repeat | None:
        if key and (same := self._of_key.get(key)) is not None:
            return Repeat(self._ids[same], "same content")
        left_out = {self._sketch(text).equal for text in allowed}
        if sketch.equal not in left_out:
            for index in self._equal.get(sketch.equal, ()):
                if not (key and self._keys[index]):
                    return Repeat(self._ids[index], "equal")
        return self._nearest(sketch, key, left_out) if self._comparable(sketch) else None

    def _nearest(self, sketch: _Sketch, key: str, left_out: Collection[bytes]) -> Repeat | None:
        """The most similar text at or above the threshold, the first of several."""
        n = len(sketch.grams)
        places = [
            place
            for bucket in ((sketch.numbers, False), (sketch.numbers, True))[: 1 if key else 2]
            for place in self._candidates(bucket, sketch.grams)
            if self._threshold * n <= len(self._grams[place]) <= n / self._threshold
            and not (left_out and self._digests[place] in left_out)
        ]
        if len(places) > _FEW:
            places = self._possible(sketch.grams, places)
        best: tuple[float, int] | None = None
        for place in places:
            similarity = _jaccard(sketch.grams, self._grams[place])
            if similarity >= self._threshold and (best is None or (similarity, -place) > (best[0], -best[1])):
                best = similarity, place
        return Repeat(self._ids[best[1]], "near-duplicate", best[0]) if best is not None else None

    def _possible(self, grams: _Grams, places: Sequence[int]) -> list[int]:
        """The places of texts that are similar enough by the lower halves of the hashes, which never look less so."""
        sizes = np.array([len(self._grams[place]) for place in places])
        held = _halves(grams)[np.concatenate([self._grams[place] for place in places]) & _HALF]
        shared = np.minimum(np.add.reduceat(held, np.cumsum(sizes) - sizes, dtype=np.int64), len(grams))
        possible = shared >= self._threshold * (sizes + len(grams) - shared)
        return [place for place, is_possible in zip(places, possible.tolist(), strict=True) if is_possible]

    def _candidates(self, bucket: tuple[str, bool], grams: _Grams) -> Sequence[int]:
        """Places of a bucket's texts that may be similar enough, ascending: all those that are, and few others."""
        index = self._indexes.get(bucket)
        return self._buckets.get(bucket, ()) if index is None else index.sharing(grams)

    def _add(self, text_id: str, sketch: _Sketch, key: str) -> None:
        place = len(self._ids)
        self._ids.append(text_id)
        self._keys.append(key)
        self._grams.append(sketch.grams)
        self._digests.append(sketch.equal)
        self._equal[sketch.equal].append(place)
        if key:
            self._of_key.setdefault(key, place)
        if not self._comparable(sketch):
            return
        bucket = sketch.numbers, bool(key)
        if (index := self._indexes.get(bucket)) is not None:
            index.add(place, sketch.grams)
            return
        places = self._buckets.setdefault(bucket, [])
        places.append(place)
        if len(places) > _FEW:
            index = self._indexes[bucket] = _Index(self._threshold)
            for one in self._buckets.pop(bucket):
                index.add(one, self._grams[one])


class _Index:
    """Which texts hold a 5-gram among their rarest ones.

    How rare a 5-gram is is counted anew whenever there are eight times as many texts, and all are indexed again by the
    new counts: any order serves, as long as all texts are indexed by one. Recent texts stand as they come, all
    others in sorted arrays; an array is merged with the one before it as soon as that is not twice as large.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._texts: list[tuple[int, _Grams]] = []
        self._n_counted = 0
        self._common, self._counts = np.empty(0, np.uint32), np.empty(0, np.int64)
        self._last: tuple[_Grams, _Grams] | None = None  # a text is added after it was looked for
        self._clear()

    def _clear(self) -> None:
        self._recent, self._recent_places = np.empty(1024, np.uint32), np.empty(1024, np.int32)
        self._n_recent = 0
        self._sorted: list[tuple[_Grams, _Places]] = []

    def add(self, place: int, grams: _Grams) -> None:
        self._texts.append((place, grams))
        if len(self._texts) >= 8 * self._n_counted:
            self._count()
        else:
            self._insert(place, grams)

    def sharing(self, grams: _Grams) -> list[int]:
        """The places, ascending, of texts that share as many of the rarest 5-grams as a similar text must."""
        rarest = np.sort(self._rarest(grams))
        least = max(1, int(self._threshold * len(grams)) // _SHARE)
        found = [self._recent_places[: self._n_recent][self._recent_among(rarest)]]
        for held, places in self._sorted:
            begins, ends = held.searchsorted(rarest), held.searchsorted(rarest, "right")
            counts = ends - begins
            # Runs of places, one behind the other: each is as far from its number in the row as its run is.
            found.append(places[np.repeat(ends - counts.cumsum(), counts) + np.arange(counts.sum())])
        sharing, shared = np.unique(np.concatenate(found), return_counts=True)
        kept: list[int] = sharing[shared >= least].tolist()
        return kept

    def _recent_among(self, rarest: _Grams) -> NDArray[np.int64]:
        """Where the recent texts' 5-grams are among these (ascending); most are told by half of the hash."""
        hits = _halves(rarest)[self._recent[: self._n_recent] & _HALF].nonzero()[0]
        held = self._recent[hits]
        places = rarest.searchsorted(held)
        places[places == len(rarest)] = 0
        kept: NDArray[np.int64] = hits[rarest[places] == held]
        return kept

    def _rarest(self, grams: _Grams) -> _Grams:
        """The 5-grams that a text is found by.

        A text as similar as the threshold lacks at most a share of `1 - threshold` of them. So of that many and m more,
        by one order, two such texts have m in common.
        """
        if self._last is not None and self._last[0] is grams:
            return self._last[1]
        n = len(grams)
        n_rare = n - math.ceil(self._threshold * n - 1e-9) + max(1, n // _SHARE)
        if n_rare >= n or not len(self._common):
            return grams[:n_rare]
        places = self._common.searchsorted(grams)
        places[places == len(self._common)] = 0
        counts = np.where(self._common[places] == grams, self._counts[places], 0)
        # Of equally rare ones the hash decides, as `grams` ascends and the sort is stable.
        rarest = grams[counts.argsort(kind="stable")[:n_rare]]
        self._last = grams, rarest
        return rarest

    def _insert(self, place: int, grams: _Grams) -> None:
        rarest = self._rarest(grams)
        begin, end = self._n_recent, self._n_recent + len(rarest)
        if end > len(self._recent):
            size = 2 * max(len(rarest), len(self._recent))
            self._recent, self._recent_places = np.resize(self._recent, size), np.resize(self._recent_places, size)
        self._recent[begin:end], self._recent_places[begin:end] = rarest, place
        self._n_recent = end
        if end >= _RECENT:
            self._sort()

    def _count(self) -> None:
        step = max(1, len(self._texts) // _COUNTED)
        held, counts = np.unique(np.concatenate([grams for _, grams in self._texts[::step]]), return_counts=True)
        self._common, self._counts = held[counts > 1], counts[counts > 1]
        self._n_counted = len(self._texts)
        self._last = None
        self._clear()
        for place, grams in self._texts:
            self._insert(place, grams)

    def _sort(self) -> None:
        grams, places = self._recent[: self._n_recent], self._recent_places[: self._n_recent]
        while self._sorted and len(self._sorted[-1][0]) <= 2 * len(grams):
            before = self._sorted.pop()
            grams, places = np.concatenate([before[0], grams]), np.concatenate([before[1], places])
        order = grams.argsort(kind="stable")
        self._sorted.append((grams[order], places[order]))
        self._n_recent = 0


def _grams(plain: str) -> _Grams:
    """The 5-grams of a normalised text, hashed: a polynomial of the characters, mixed, its upper half."""
    chars = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    n = len(chars) - SHINGLE_CHARS + 1
    if n < 1:
        return np.empty(0, dtype=np.uint32)
    mixed = chars[:n] * _POWERS[0]
    for place in range(1, SHINGLE_CHARS):
        mixed += chars[place : place + n] * _POWERS[place]
    mixed ^= mixed >> np.uint64(31)
    mixed *= _MIXER
    grams = (mixed >> np.uint64(32)).astype(np.uint32)
    grams.sort()
    first = np.ones(n, dtype=np.bool_)
    np.not_equal(grams[1:], grams[:-1], out=first[1:])
    return grams[first]


def _halves(grams: _Grams) -> NDArray[np.bool_]:
    """Which lower halves of a hash there are among these."""
    halves = np.zeros(int(_HALF) + 1, dtype=np.bool_)
    halves[grams & _HALF] = True
    return halves


def _numbers(plain: str) -> str:
    """The numbers and sums that a normalised text names, sorted, as one string."""
    found = [one.replace(",", "").replace(" ", "") for one in _SUMS.findall(plain)]
    words = (word.strip("().,;:!?\"'") for word in plain.replace("-", " ").split())
    found += [_NUMBER_WORDS[word] for word in words if word in _NUMBER_WORDS]
    return " ".join(sorted(found))


def _jaccard(first: _Grams, second: _Grams) -> float:
    """Shared 5-grams as a share of all, in [0, 1]; 0 where one text has none."""
    if not len(first) or not len(second):
        return 0.0
    places = second.searchsorted(first)
    places[places == len(second)] = 0
    shared = int(np.count_nonzero(second[places] == first))
    return shared / (len(first) + len(second) - shared)
