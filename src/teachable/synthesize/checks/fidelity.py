"""How much of a text another one keeps: character n-grams, and the numbers, formulas and names that must survive.

`chrf` is the character n-gram F-score (Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"):
precision and recall averaged over n-grams of 1 to 6 characters without white space, put together with recall counting
`BETA` times as much. Orders for which either text is too short are left out of the average. It is for one sentence or
one passage, so nothing is summed over a corpus.

`kept` compares what a translation or a retelling may not change. Two writings of one number are one number (`1,000`,
`1.000`, `1 000`; `0.5`, `0,5`; digits of any script). Names are words with a capital inside a sentence, which tells
names from other words in few languages only: it is meant for English sources, and a candidate in another script writes
them otherwise. Months, weekdays and languages are no names here, since translations rightly change them.

What neither sees: a denial, an order, or a relation that was turned round. Texts that say the opposite of each other
may have a chrF of 0.95.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MAX_N = 6
BETA = 2.0

_SPACE = re.compile(r"\s+")
_NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+[.,]\d+|\d+")
_GROUPS = re.compile(r"\d{1,3}(?:([.,'’\u00a0\u202f ])\d{3})(?:\1\d{3})*")
_FORMULA = re.compile(
    r"```.{0,4000}?```|`[^`\n]+`|\$\$.{1,2000}?\$\$|\\\[.{1,2000}?\\\]|\\\(.{1,2000}?\\\)|\$(?!\s)[^$\n]+(?<!\s)\$(?!\d)"
    r"|\\begin\{(\w+\*?)\}.{0,4000}?\\end\{\1\}",
    re.DOTALL,
)
_LETTER = r"[^\W\d_]"
_WORD = re.compile(rf"{_LETTER}[\w'’-]*")
_SENTENCE_END = re.compile(r"(?:[.!?:;…。！？][\"'”’)\]]*\s+|\n\s*|^\s*)[-*#>\"'“‘(\[\d.]*\s*$")
_COMMON_WORDS = """
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
october november december english french german spanish italian portuguese russian chinese japanese korean arabic dutch
polish turkish greek latin hindi i i'm i'll i've i'd mr mrs ms dr prof
"""
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True)
class Part:
    """What became of one kind of things: those of the source that the candidate lacks, and those that it has beyond."""

    n: int
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def frac(self) -> float:
        """Share of the source's that the candidate has, in [0, 1]; 1 where the source has none."""
        return 1.0 - len(self.missing) / self.n if self.n else 1.0

    @property
    def same(self) -> bool:
        """Nothing is missing, and nothing was added."""
        return not (self.missing or self.added)


@dataclass(frozen=True)
class Kept:
    """What a candidate keeps of a source: numbers and formulas with their counts, names by whether they are there."""

    numbers: Part
    formulas: Part
    names: Part

    @property
    def ok(self) -> bool:
        """Numbers and formulas are the same ones, and no name is missing."""
        return self.numbers.same and self.formulas.same and not self.names.missing

    def why_not(self) -> str:
        """The first thing that is not kept, in words; "" where all is."""
        for kind, part in (("number", self.numbers), ("formula", self.formulas), ("name", self.names)):
            if part.missing:
                return f"the {kind} {part.missing[0][:80]!r} is missing"
            if part.added and kind != "name":
                return f"the {kind} {part.added[0][:80]!r} was added"
        return ""


def chrf(candidate: str, reference: str, *, max_n: int = MAX_N, beta: float = BETA) -> float:
    """The character n-gram F-score of a candidate against one reference, in [0, 1]; 0 where either is empty.

    Args:
        max_n: the longest n-grams, in characters.
        beta: how many times as much recall counts as precision.
    """
    found, wanted = (_SPACE.sub("", unicodedata.normalize("NFC", text)) for text in (candidate, reference))
    n_orders = min(max_n, len(found), len(wanted))
    if not n_orders:
        return 0.0
    precision = recall = 0.0
    for n in range(1, n_orders + 1):
        ours, theirs = _ngrams(found, n), _ngrams(wanted, n)
        n_shared = sum(min(count, theirs[gram]) for gram, count in ours.items() if gram in theirs)
        precision += n_shared / (len(found) - n + 1)
        recall += n_shared / (len(wanted) - n + 1)
    precision, recall = precision / n_orders, recall / n_orders
    if precision + recall == 0.0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter([text[i : i + n] for i in range(len(text) - n + 1)])


def kept(source: str, candidate: str) -> Kept:
    """What a candidate keeps of a source's numbers, formulas and names."""
    return Kept(
        numbers=_numbers_kept(numbers_in(source), numbers_in(candidate)),
        formulas=_counted(formulas_in(source), formulas_in(candidate)),
        names=_names_kept(names_in(source), candidate),
    )


def numbers_in(text: str) -> list[str]:
    """The numbers of a text as they are written, with plain digits; a sign does not belong to them."""
    return _NUMBER.findall(_plain_digits(text))


def formulas_in(text: str) -> list[str]:
    """What is set as code or as LaTeX, without white space: `...`, $...$, \\(...\\), \\[...\\], environments."""
    return [_SPACE.sub("", found.group()) for found in _FORMULA.finditer(text)]


def names_in(text: str) -> list[str]:
    """Words that look like names, each once, in order: a capital inside a sentence, or one after a small letter."""
    outside = _without_headings(_FORMULA.sub(lambda found: " " * len(found.group()), text))
    names: dict[str, None] = {}
    for found in _WORD.finditer(outside):
        word = found.group().rstrip("'’-")
        word = re.sub(r"['’]s$", "", word)
        if len(word) < 2 or word.lower() in _COMMON or not any(letter.isupper() for letter in word):
            continue
        inner = any(letter.isupper() for letter in word[1:])
        begins = _SENTENCE_END.search(outside[max(0, found.start() - 40) : found.start()]) is not None
        if inner or (word[0].isupper() and not begins):
            names[word] = None
    return list(names)


def _without_headings(text: str) -> str:
    """The text with blanks for lines of several words without a small letter, where capitals tell nothing."""
    return "\n".join(
        " " * len(line) if line.upper() == line and " " in line.strip() else line for line in text.split("\n")
    )


def _plain_digits(text: str) -> str:
    """Decimal digits of every script as 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def _readings(number: str) -> frozenset[str]:
    """What a number may mean: `1.000` is 1000 to some, and 1 to others."""
    read = set()
    if _GROUPS.fullmatch(number):
        read.add(_value(re.sub(r"\D", "", number)))
    head, point, tail = number.rpartition(max(".", ",", key=number.rfind))
    if not point:
        read.add(_value(number))
    elif not re.search(r"[.,]", head) or _GROUPS.fullmatch(head):
        read.add(_value(re.sub(r"\D", "", head) + "." + tail))
    return frozenset(read or {re.sub(r"\s", "", number)})


def _value(digits: str) -> str:
    whole, point, tail = digits.partition(".")
    tail = tail.rstrip("0")
    return (whole.lstrip("0") or "0") + ("." + tail if point and tail else "")


def _numbers_kept(wanted: Sequence[str], found: Sequence[str]) -> Part:
    """Pair numbers off: first those with the same readings, then those of the rest that have one in common."""
    ours, theirs = ([(number, _readings(number)) for number in numbers] for numbers in (wanted, found))
    ours, theirs = _unpaired(ours, theirs), _unpaired(theirs, ours)
    missing = []
    for number, readings in ours:
        pair = next((i for i, (_, others) in enumerate(theirs) if readings & others), None)
        if pair is None:
            missing.append(number)
        else:
            theirs.pop(pair)
    return Part(len(wanted), tuple(missing), tuple(number for number, _ in theirs))


def _unpaired(
    ours: Sequence[tuple[str, frozenset[str]]], theirs: Sequence[tuple[str, frozenset[str]]]
) -> list[tuple[str, frozenset[str]]]:
    """Those of ours that remain when each is paired with one of theirs with the same readings."""
    n_theirs = Counter(readings for _, readings in theirs)
    left = []
    for number, readings in ours:
        if n_theirs[readings]:
            n_theirs[readings] -= 1
        else:
            left.append((number, readings))
    return left


def _counted(wanted: Sequence[str], found: Sequence[str]) -> Part:
    ours, theirs = Counter(wanted), Counter(found)
    return Part(len(wanted), tuple((ours - theirs).elements()), tuple((theirs - ours).elements()))


def _names_kept(wanted: Sequence[str], candidate: str) -> Part:
    """A name is kept where its letters stand, whatever ending a language puts behind them."""
    missing = [name for name in wanted if not re.search(rf"(?<!\w){re.escape(name)}", candidate)]
    there = set(wanted)
    return Part(len(wanted), tuple(missing), tuple(name for name in names_in(candidate) if name not in there))
