"""Contamination: which texts share a long run of words with a reference text?

A text is contaminated when any n consecutive words of it (13 by default, as in Brown et al. 2020, appendix C)
stand in a reference text. Words are compared after normalisation, punctuation apart; a character of a script that is
written without spaces counts as a word. A reference that is shorter than n words is looked for as a whole, and a text
shorter than n words counts when the whole of it stands in a reference; single words are too common to tell anything
and never match inside a longer text.

`WordRuns` is the index behind it: windows of words are hashed by the million (numpy) and every hit is checked on the
words themselves, so a hundred thousand texts against ten thousand references take seconds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from teachable.overlap.near import normalise

_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Thai, kana, Chinese characters
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:[.,]\d+)*|[+\-*/=<>^%]")
MIN_WORDS_INSIDE = 5
_CHUNK_WORDS = 2_000_000
_MULTIPLIER, _MIXER = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9  # odd, their bits spread (splitmix64's)

Words = Sequence[str]
_Hashes = NDArray[np.uint64]
_Places = NDArray[np.int64]  # rows of (text, start)
_Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Overlap:
    """One contaminated text: its index, the index of the reference, and the words that they share."""

    text: int
    reference: int
    shared: str


@dataclass(frozen=True)
class Run:
    """Words that a text shares with a reference: from `start` in the text, `length` of them.

    `whole` is "text" or "reference" where the run is all of that (a short one), "both", or "" for a run of n words.
    """

    text: int
    reference: int
    start: int
    length: int
    whole: str = ""


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
    text_words = [words(text) for text in texts]
    first: dict[int, Run] = {}
    for run in WordRuns([words(reference) for reference in references], n_words).find(text_words):
        first.setdefault(run.text, run)
    return [
        Overlap(index, run.reference, " ".join(text_words[index][run.start : run.start + run.length]))
        for index, run in sorted(first.items())
    ]


class WordRuns:
    """References, indexed by the runs of words that a text may share with them.

    Args:
        references: the words of each.
        n_words: length of a telling run, at least 1.
        untold: for each reference, the places of words that tell nothing (a template's); None: all words tell.
        min_telling: how many words of a run must tell something.

    Raises:
        ValueError: n_words is below 1.
    """

    def __init__(
        self,
        references: Sequence[Words],
        n_words: int = 13,
        *,
        untold: Sequence[Collection[int]] | None = None,
        min_telling: int = 0,
    ) -> None:
        if n_words < 1:
            raise ValueError(f"a run of {n_words} words tells nothing")
        self._references = [tuple(reference) for reference in references]
        self._n = n_words
        self._least = min(MIN_WORDS_INSIDE, n_words)
        self._min_telling = min_telling
        self._vocabulary = {word: i for i, word in enumerate(dict.fromkeys(chain.from_iterable(self._references)), 1)}
        self._lines = _Lines(self._references, self._vocabulary)
        self._n_told = self._lines.counted(untold) if untold is not None else None
        self._windows: dict[int, _Windows] = {}
        self._equal: dict[tuple[str, ...], int] = {}
        for index, reference in reversed(list(enumerate(self._references))):
            self._equal[reference] = index
        self._anchors = self._anchored()
        anchors = [list(anchor) for anchor in self._anchors]
        self._anchor_windows = _Windows.of(_Lines(anchors, self._vocabulary), self._least)

    def find(self, texts: Sequence[Words]) -> Iterator[Run]:
        """Every run that a text shares with a reference, text by text; of equal runs in several references the first's.

        Of a text: that it equals a reference, then runs of n words in their order, then whole short texts, and whole
        short references, the longest first.
        """
        begin = 0
        while begin < len(texts):
            end, n = begin, 0
            while end < len(texts) and n < _CHUNK_WORDS:
                n += len(texts[end])
                end += 1
            found: defaultdict[int, list[Run]] = defaultdict(list)
            for run in self._chunk([tuple(text) for text in texts[begin:end]]):
                found[run.text].append(run)
            for index in sorted(found):
                for run in found[index]:
                    yield replace(run, text=begin + index)
            begin = end

    def _chunk(self, texts: Sequence[tuple[str, ...]]) -> Iterator[Run]:
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for index, text in enumerate(texts):
            if text and (equal := self._equal.get(text)) is not None:
                yield Run(index, equal, 0, len(text), "both")
            if self._least <= len(text) < self._n:
                by_length[len(text)].append(index)
        lines = _Lines(texts, self._vocabulary)
        yield from self._runs(lines, range(len(texts)), texts, self._n, "")
        for length, some in by_length.items():
            short = [texts[index] for index in some]
            yield from self._runs(_Lines(short, self._vocabulary), some, short, length, "text")
        wholes = list(self._whole_references(lines, texts))
        yield from sorted(wholes, key=lambda run: (-run.length, run.start))

    def _runs(
        self, lines: _Lines, indices: Sequence[int], texts: Sequence[tuple[str, ...]], length: int, whole: str
    ) -> Iterator[Run]:
        """The windows of a length that texts share with references; `indices` are the texts' own."""
        if length not in self._windows:
            self._windows[length] = _Windows.of(self._lines, length, self._n_told, min(self._min_telling, length))
        windows = self._windows[length]
        for line, start, slot in lines.hits(windows):
            reference, at = windows.places[slot]
            if texts[line][start : start + length] == self._references[reference][at : at + length]:
                yield Run(indices[line], int(reference), start, length, whole)

    def _anchored(self) -> dict[tuple[str, ...], list[tuple[int, int]]]:
        """The rarest few words of every short reference -> the references that have these, and where."""
        short = [i for i, words_ in enumerate(self._references) if self._least <= len(words_) < self._n]
        short = [i for i in short if self._equal[self._references[i]] == i]

        def grams(reference: tuple[str, ...]) -> list[tuple[str, ...]]:
            return [reference[at : at + self._least] for at in range(len(reference) - self._least + 1)]

        counts = Counter(gram for i in short for gram in set(grams(self._references[i])))
        anchors: defaultdict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
        for i in short:
            at, gram = min(enumerate(grams(self._references[i])), key=lambda pair: counts[pair[1]])
            anchors[gram].append((i, at))
        return dict(anchors)

    def _whole_references(self, lines: _Lines, texts: Sequence[tuple[str, ...]]) -> Iterator[Run]:
        """The short references that stand in a text as a whole."""
        for line, start, _ in lines.hits(self._anchor_windows):
            text = texts[line]
            for index, at in self._anchors.get(text[start : start + self._least], ()):
                reference, begin = self._references[index], start - at
                if begin >= 0 and text[begin : begin + len(reference)] == reference:
                    yield Run(line, index, begin, len(reference), "reference")


class _Lines:
    """Texts end to end, as numbers of words: 0 stands for a word that no reference has."""

    def __init__(self, texts: Sequence[Words], vocabulary: Mapping[str, int]) -> None:
        lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        n = int(self.ends[-1]) if len(texts) else 0
        number = vocabulary.get
        self.ids = np.fromiter((number(word, 0) for text in texts for word in text), np.uint64, n)

    def hashes(self, length: int) -> tuple[_Hashes, _Places]:
        """The hash of every window of known words, and its (text, start)."""
        n = len(self.ids) - length + 1
        if n <= 0:
            return np.empty(0, np.uint64), np.empty((0, 2), np.int64)
        hashed: _Hashes = np.zeros(n, np.uint64)
        known = np.ones(n, bool)
        for offset in range(length):
            ids = self.ids[offset : offset + n]
            hashed *= np.uint64(_MULTIPLIER)
            hashed += (ids ^ (ids >> np.uint64(7))) * np.uint64(_MIXER)
            known &= ids != 0
        starts = np.flatnonzero(known)
        line = np.searchsorted(self.ends, starts, side="right")
        inside = starts + length <= self.ends[line]
        starts, line = starts[inside], line[inside]
        return hashed[starts], np.stack([line, starts - self.begins[line]], axis=1)

    def counted(self, untold: Sequence[Collection[int]]) -> _Counts:
        """How many words before each word (and before the end) tell something."""
        told = np.ones(len(self.ids) + 1, np.int64)
        for begin, places in zip(self.begins.tolist(), untold, strict=True):
            told[[begin + place for place in places]] = 0
        return np.cumsum(told) - told

    def hits(self, windows: _Windows) -> Iterator[tuple[int, int, int]]:
        """Where windows of these texts seem to be among those: (text, start, slot), in order."""
        if not len(windows.hashes):
            return
        hashed, places = self.hashes(windows.length)
        slots = np.minimum(np.searchsorted(windows.hashes, hashed), len(windows.hashes) - 1)
        hit = np.flatnonzero(windows.hashes[slots] == hashed)
        for (line, start), slot in zip(places[hit].tolist(), slots[hit].tolist(), strict=True):
            yield line, start, slot


@dataclass(frozen=True)
class _Windows:
    """The windows of a length over some texts: distinct hashes, ascending, and the first (text, start) of each."""

    length: int
    hashes: _Hashes
    places: _Places

    @classmethod
    def of(cls, lines: _Lines, length: int, n_told: _Counts | None = None, least: int = 0) -> _Windows:
        """The windows; of those that tell by `n_told`, only such as tell with `least` words."""
        hashed, places = lines.hashes(length)
        if n_told is not None:
            starts = lines.begins[places[:, 0]] + places[:, 1]
            told = n_told[starts + length] - n_told[starts] >= least
            hashed, places = hashed[told], places[told]
        distinct, first = np.unique(hashed, return_index=True)
        return cls(length, distinct, places[first])
