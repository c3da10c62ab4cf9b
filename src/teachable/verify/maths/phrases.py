r"""The last expression in a line of prose: "So we get x = 42." -> "x = 42"; "the total is $1,234.50 dollars." -> the
price.

`candidates` gives what may be the answer, the likeliest first; the caller takes the first that it can read. A line
that is nothing but an answer is not for this module (`is_prose` tells the two apart), so that "5 or 6" is never taken
for 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_MAX_LINE = 2_000
_MAX_STARTS = 24

_SPANS = re.compile(
    r"\\\((.{1,1500}?)\\\)|\\\[(.{1,1500}?)\\\]|\$\$([^$]{1,1500})\$\$|(?<![\\$\d])\$([^$\n]{1,1500})\$(?!\d)",
    re.DOTALL,
)
_LISTED = re.compile(r"\s{0,9}(?:[,;]|,?\s{0,9}(?:and|or))\s{0,9}", re.IGNORECASE)
_BOLD = re.compile(r"\*\*([^*\n]{1,300})\*\*")
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|equals?|gets?|gives?|yields?|obtain|obtained|have|has|find|found|becomes?|makes?|means|so|"
    r"thus|therefore|hence|finally|conclude|total|needs?|costs?|takes?|took|leaves?|earns?|pays?|that|choose|answer|result|value)"
    r"\b(?!\s?[=(^_])|[:→⇒]\s|=>|\\(?:implies|Rightarrow|to)(?![A-Za-z])",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r",?\s(?:when|if|because|since|as|where|while|after|assuming|given|which|who|but|not|rather|whenever|on|per its)\s"
    r"|\.\s(?=[A-Z])|\s[-–—]\s(?=[A-Za-z]{2})",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"\b(?:is|are|was|were|the|we|so|get|gives?|thus|therefore|hence|have|has|that|this|will|be|it|i|our|there|must|total|"
    r"should|of|equals?|answer|which|since|because|then|from|for|to|if|by|can|has|had|they|he|she|her|his|as|costs?|"
    r"would|value|find|found|obtain|final|need|needs|let|when|where|with|at|in|not|between|took|takes|pays?)\b"
    r"(?!\s?[=(^_])",
    re.IGNORECASE,
)
_START = re.compile(r"(?<![\w.,^_{(\[\\])(?:-?[$€£¥]?\.?\d|[-(\[{√π±]|\\(?:frac|dfrac|sqrt|pi|left|\{|\$))")
_LAST_NUMBER = re.compile(r"-?[$€£¥]?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+(?![\d.]))?(?:\s?(?:%|percent\b|°))?")
_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|without|than|instead of|except)|n['’]t)"
    r"(?:\s(?:equal to|equal|be|a|an|the))?\W*\Z",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\s\((?=[^()]*[A-Za-z]{3})[^()]{3,300}\)[\s.,;:!*]*\Z")
_HIDE = re.compile(r"\\[A-Za-z]+\s?\{[^{}]*\}|\\[A-Za-z]+|\$[^$]*\$")
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}(?![A-Za-z])")
_TEXT = re.compile(r"\\text(?:bf|rm|it)?\s?\{([^{}]{0,300})\}")
_TEX = re.compile(r"\\[A-Za-z]+|[{}$\\*]")


def without_tex(text: str) -> str:
    """A text without TeX's commands, braces and dollar signs."""
    return _TEX.sub(" ", text)


def is_prose(text: str) -> bool:
    """Whether a line holds words that no bare answer has."""
    return _PROSE.search(_HIDE.sub(" ", text[:_MAX_LINE])) is not None


def unwrapped(text: str) -> str:
    r"""A text with the words of \text{..} as plain words."""
    return _TEXT.sub(r" \1 ", text)


def has_words(text: str) -> bool:
    """Whether two words or more stand in a line outside of its formulas."""
    return len(_PLAIN_WORD.findall(_HIDE.sub(" ", text[:_MAX_LINE]))) > 1


def without_aside(text: str) -> str:
    """Without words in brackets at the end: "12 (twelve)" -> "12"."""
    return _ASIDE.sub("", text) if len(text) <= _MAX_LINE else text


def candidates(line: str) -> list[str]:
    """What may be the answer of a line of prose, the likeliest first. What the line denies ("not 5") is left out."""
    line = without_aside(line[-_MAX_LINE:].strip())
    found: dict[str, None] = {}
    for start, text in _places(line):
        text = text.strip(" \t,:;*")
        if text and not _DENIED.search(line, max(0, start - 30), start):
            found.setdefault(text)
    return list(found)


def _places(line: str) -> Iterator[tuple[int, str]]:
    """Candidates and where they start."""
    spans = list(_SPANS.finditer(line))
    if spans and not re.search(r"\d", line[spans[-1].end() :]):
        yield from _of_spans(line, spans)
    bold = list(_BOLD.finditer(line))
    if bold:
        yield bold[-1].start(), bold[-1][1]
    for verb in reversed(list(_VERB.finditer(line))[-_MAX_STARTS:]):
        tail = line[verb.end() :]
        yield verb.end(), tail
        broken = _BREAK.search(tail)
        if broken:
            yield verb.end(), tail[: broken.start()]
    equals = line.rfind("=")
    if equals >= 0:
        yield equals, line[equals + 1 :]
    outside = [start for start in _starts(line)]
    for start in outside[-_MAX_STARTS:]:
        yield start, line[start:]
    numbers = [m for m in _LAST_NUMBER.finditer(line) if m.start() in outside]
    if numbers:
        yield numbers[-1].start(), numbers[-1][0]


def _of_spans(line: str, spans: list[re.Match[str]]) -> Iterator[tuple[int, str]]:
    """The last formula, with its unit; where several are joined by commas, "and" or "or", all of them."""
    last = spans[-1]
    content = next(group for group in last.groups() if group is not None).strip()
    first = len(spans) - 1
    while first and _LISTED.fullmatch(line, spans[first - 1].end(), spans[first].start()):
        first -= 1
    if first < len(spans) - 1:
        yield spans[first].start(), line[spans[first].start() : last.end()]
    after = line[last.end() :].strip(" .,;:!*")
    if after and len(after.split()) <= 3 and not is_prose(after):
        yield last.start(), f"{content} {after}"
    yield last.start(), content


def _starts(line: str) -> Iterator[int]:
    """Where a number, a bracket or a formula starts that is not within brackets."""
    depth = 0
    places = {m.start() for m in _START.finditer(line)}
    for at, char in enumerate(line):
        if at in places and depth == 0:
            yield at
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth = max(0, depth - 1)
