"""Which question is a text nearest to, when what belongs to a template tells nothing?

The Jaccard similarity of character 5-grams, as in `near`, but of texts on one side with texts on the other. Pairs are
proposed by prefix filtering: a set of that similarity lacks so few of a question's shingles that it must hold some of
its rarest ones. Unlike bands of signatures, that misses no pair.

A template is what a tenth of a benchmark's questions share (at least 20 of them, or half of fewer, never fewer than 3),
and what so many of the training texts share, if it stands in more than one question.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from teachable.overlap.near import MIN_TELLING, TEMPLATE_SHARE, TEMPLATE_TEXTS, jaccard, shingles

NEAR_DUPLICATE = 0.8
TEMPLATE_LEAST = 3
CONTEXT_TEXTS = 5000  # of the training texts, as many are looked at for templates
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class NearestQuestions:
    """Questions by their telling shingles.

    Args:
        texts: the questions.
        domains: the benchmark of each; templates are told by benchmark.
        context: texts of the training side.
    """

    def __init__(self, texts: Sequence[str], domains: Sequence[str], context: Sequence[str]) -> None:
        sets = [shingles(text) for text in texts]
        counts = Counter(chain.from_iterable(sets))
        common = _common_on_both_sides(counts, context)
        self._templates = {domain: found | common for domain, found in templates(sets, domains).items()}
        self._domains = domains
        self._numbers = [_numbers(text) for text in texts]
        self._telling = [found - self._templates[domain] for found, domain in zip(sets, domains, strict=True)]
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        self._least = [0] * len(texts)
        for index, found in enumerate(self._telling):
            if len(found) < MIN_TELLING:
                continue
            # A set of that similarity lacks so few of these shingles that it must share some of the rarest ones.
            self._least[index] = max(1, len(found) // 8)
            n_rare = len(found) - math.ceil(NEAR_DUPLICATE * len(found)) + self._least[index]
            for shingle in sorted(found, key=counts.__getitem__)[:n_rare]:  # which of equals does not matter
                self._holding[shingle].append(index)

    def best(self, text: str, left_out: Collection[int]) -> tuple[int, float] | None:
        """The question that a text is nearest to, and the similarity; None where none is near."""
        found = shingles(text)
        shared = Counter(chain.from_iterable(self._holding[one] for one in found & self._holding.keys()))
        candidates = [i for i, count in shared.items() if count >= self._least[i] and i not in left_out]
        numbers = _numbers(text) if candidates else Counter()
        telling: dict[str, frozenset[str]] = {}
        best: tuple[int, float] | None = None
        for index in sorted(candidates):
            domain = self._domains[index]
            if domain not in telling:
                telling[domain] = found - self._templates[domain]
            similarity = jaccard(telling[domain], self._telling[index])
            if similarity >= NEAR_DUPLICATE and self._numbers[index] <= numbers:
                best = max(best or (index, similarity), (index, similarity), key=lambda pair: pair[1])
        return best


def templates(sets: Sequence[frozenset[str]], domains: Sequence[str]) -> dict[str, frozenset[str]]:
    """Domain -> what so many of its texts share that it tells nothing."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sizes = Counter(domains)
    for found, domain in zip(sets, domains, strict=True):
        counts[domain].update(found)
    made = {}
    for domain, counter in counts.items():
        n = sizes[domain]
        bar = max(TEMPLATE_SHARE * n, min(TEMPLATE_TEXTS, max(TEMPLATE_LEAST, n / 2)))
        made[domain] = frozenset(one for one, count in counter.items() if count >= bar)
    return made


def _common_on_both_sides(questions: Mapping[str, int], context: Sequence[str]) -> frozenset[str]:
    """Shingles of a template of the training side that stand in more than one question too; `questions` counts them."""
    repeated = {one for one, count in questions.items() if count > 1}
    step = max(1, len(context) // CONTEXT_TEXTS)
    counts: Counter[str] = Counter()
    seen = [shingles(text) & repeated for text in context[::step]]
    for found in seen:
        counts.update(found)
    bar = max(TEMPLATE_TEXTS, TEMPLATE_SHARE * len(seen))
    return frozenset(one for one, count in counts.items() if count >= bar)


def word_grams(text: Sequence[str]) -> list[str]:
    """The runs of three words of a text, in order."""
    return [" ".join(text[start : start + 3]) for start in range(len(text) - 2)]


def covered(text: Sequence[str], template: Collection[str]) -> frozenset[int]:
    """The places of words that belong to a template."""
    starts = (start for start, gram in enumerate(word_grams(text)) if gram in template)
    return frozenset(start + offset for start in starts for offset in range(3))


def _numbers(text: str) -> Counter[str]:
    return Counter(number.replace(",", "") for number in _NUMBER.findall(text))
