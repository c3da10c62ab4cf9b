"""Answers in words: folded, and numbers written out. Ordinals are no numbers."""

from __future__ import annotations

import re
from fractions import Fraction

from teachable.verify.maths.algebra import Rational

_ONES_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS_TEXT = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS_TEXT = "third fourth fifth sixth seventh eighth ninth tenth"
NUMBER_WORDS: dict[str, int] = {
    **{word: n for n, word in enumerate(_ONES_TEXT.split())},
    **{word: 10 * n for n, word in enumerate(_TENS_TEXT.split(), start=2)},
    "hundred": 100,
    "thousand": 1_000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
}
_PARTS = {
    **{"tenths": 10, "hundredths": 100, "thousandths": 1000, "hundredth": 100, "thousandth": 1000},
    **{"half": 2, "halves": 2, "quarter": 4, "quarters": 4},
    **{f"{word}{end}": n for n, word in enumerate(_ORDINALS_TEXT.split(), start=3) for end in ("", "s")},
}
_SAME = {
    "dne": "does not exist",
    "doesnt exist": "does not exist",
    "do not exist": "does not exist",
    "limit does not exist": "does not exist",
    "no solutions": "no solution",
    "no real solution": "no solution",
    "no real solutions": "no solution",
    "there is no solution": "no solution",
    "there are no solutions": "no solution",
    "no such number": "no solution",
    "empty set": "no solution",
    "null set": "no solution",
    "emptyset": "no solution",
    "all real numbers": "all reals",
    "all real": "all reals",
    "real numbers": "all reals",
    "reals": "all reals",
    "set of all real numbers": "all reals",
    "undef": "undefined",
    "not defined": "undefined",
    "t": "true",
    "f": "false",
}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = re.compile(r"[^\w\s%/+\-]|_")
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_NEGATIONS = frozenset(("not", "no", "never", "neither", "nor", "non", "isnt", "cannot", "without"))


def folded(text: str) -> str:
    """An answer in words without case, articles and punctuation; ways to say the same become one."""
    if len(text.strip()) == 1:
        return text.strip()
    plain = _PUNCTUATION.sub(" ", _APOSTROPHE.sub("", text.casefold())).replace("-", " ")
    words = plain.split()
    kept = [word for word in words if word not in _ARTICLES] or words
    joined = " ".join(kept)
    return _SAME.get(joined, joined)


def part_of_one(word: str) -> Fraction | None:
    """What "thirds" or "hundredths" after a number are, as in 3 hundredths; None for other words."""
    return Fraction(1, _PARTS[word]) if word in _PARTS else None


def is_negation(word: str) -> bool:
    """Whether a word turns what follows it round."""
    return word.casefold().replace("'", "") in _NEGATIONS


def number_in_words(words: list[str]) -> Rational | None:
    """The number that the words spell ("twenty-five", "one hundred and six", "two thirds"), or None."""
    if len(words) > 1 and words[-1] in _PARTS:
        over = _whole_number(words[:-1])
        is_plural = words[-1].endswith("s") or words[-1] == "halves"
        return None if over is None or is_plural is (over == 1) else Fraction(over, _PARTS[words[-1]])
    if len(words) == 2 and words[0] in _ARTICLES and words[1] in ("half", "third", "quarter"):
        return Fraction(1, _PARTS[words[1]])
    return _whole_number(words)


def _whole_number(words: list[str]) -> int | None:
    total = group = 0
    last = 10**12
    if not words or words[0] == "and":
        return None
    for word in words:
        if word == "and":
            continue
        n = NUMBER_WORDS.get(word)
        if n is None:
            return None
        if n >= 1_000:
            total, group, last = total + max(group, 1) * n, 0, n
        elif n == 100:
            if group > 9:
                return None
            group = max(group, 1) * 100
            last = 100
        else:
            if last < 20 or (last < 100 and n >= 10) or (last == 0):
                return None
            group += n
            last = n if n >= 20 else 1
    return total + group
