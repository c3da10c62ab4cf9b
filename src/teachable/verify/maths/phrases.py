r"""The last expression in a line of prose: "So we get x = 42." -> "x = 42"; "the total is $1,234.50 dollars." -> the price.

A line that is nothing but an answer is left whole, so that "5 or 6" is never taken for 6 (`is_prose` tells the two apart).
"""

from __future__ import annotations

import re

_SPANS = re.compile(
    r"\\\((.{1,1500}?)\\\)|\\\[(.{1,1500}?)\\\]|\$\$([^$]{1,1500})\$\$|(?<![\\$\d])\$([^$\n]{1,1500})\$(?!\d)",
    re.DOTALL,
)
_LISTED = re.compile(r"\s{0,9}(?:[,;]|,?\s{0,9}(?:and|or))\s{0,9}", re.IGNORECASE)
_BOLD = re.compile(r"\*\*([^*\n]{1,300})\*\*")
_VERB = re.compile(
    r"\b(?:is|are|was|be|equals?|gets?|gives?|yields?|obtain|have|has|find|becomes?|makes?|find|means|so|thus|therefore|"
    r"hence|about|approximately|exactly|to|that|of|at|in|by|for|with|total|needs?|costs?|takes?|leaves?|earns?|there)\b:?"
    r"|[:→⇒]\s|=>|\\(?:implies|Rightarrow|to)\b",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"\b(?:is|are|was|were|the|we|so|get|gives?|thus|therefore|hence|have|has|that|this|will|be|it|i|our|there|must|total|"
    r"should|of|equals?|answer|which|since|because|then|from|for|to|if|by|can|has|had|they|he|she|her|his|as|costs?|"
    r"would|value|find|found|obtain|final|need|needs|let|when|where|with|at|in)\b(?!\s?[=(^_])",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"-?[$€£¥]?\s?-?(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d+)(?:\.\d+)?(?:\s?/\s?\d+(?![\d.]))?(?:\s?(?:%|percent\b|°))?"
    r"(?:\s[A-Za-z]{1,15}(?=\W*\Z))?"
)
_TAIL = re.compile(r"[\s.,;:!*_`)\]]*\Z")
_HIDE = re.compile(r"\\[A-Za-z]+\s?\{[^{}]*\}|\\[A-Za-z]+|\$[^$]*\$")


def without_tex(text: str) -> str:
    """A text without TeX's commands, braces and dollar signs."""
    return re.sub(r"\\[A-Za-z]+|[{}$\\*]", " ", text)


def is_prose(text: str) -> bool:
    """Whether a line holds words that no bare answer has."""
    return _PROSE.search(_HIDE.sub(" ", text[:4_000])) is not None


def candidates(line: str) -> list[str]:
    """What may be the answer of a line of prose, the likeliest first."""
    line = line[-3_000:].strip()
    found: list[str] = []
    spans = [m for m in _SPANS.finditer(line)]
    if spans:
        last = spans[-1]
        content = next(group for group in last.groups() if group is not None).strip()
        first = len(spans) - 1
        while first and _LISTED.fullmatch(line, spans[first - 1].end(), spans[first].start()):
            first -= 1
        if first < len(spans) - 1:
            found.append(line[spans[first].start() : last.end()])
        after = line[last.end() :].strip(" .,;:!*")
        if after and len(after.split()) <= 3 and not is_prose(after):
            found.append(f"{content} {after}")
        found.append(content)
        return found
    bold = [m[1] for m in _BOLD.finditer(line)]
    if bold:
        found.append(bold[-1].strip())
    end = 0
    for verb in _VERB.finditer(line):
        end = verb.end()
        tail = line[end:].strip()
        if tail:
            found.append(tail)
    found.reverse()
    if bold:
        found.insert(0, bold[-1].strip())
    equals = line.rpartition("=")[2].strip()
    if equals != line and equals:
        found.append(equals)
    numbers = [m[0].strip() for m in _NUMBER.finditer(line)]
    if numbers:
        found.append(numbers[-1])
    return list(dict.fromkeys(found))
