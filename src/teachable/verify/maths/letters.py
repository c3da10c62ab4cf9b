r"""Multiple choice within mathematics: where the reference is a single capital letter from A to J, the attempt may say
"(B)", "B.", "option b", "(B) 42". Two different letters are no choice.
"""

from __future__ import annotations

import re

_WRAPPED = r"(?:\\(?:text|textbf|mathrm|mathbf|textrm|boxed)\s?\{|[\s*_$`({\[\"'])*"
_UNWRAPPED = r"(?:\}|\\\s|[\s*_$`)\]\"'.,:;])*"
_REFERENCE = re.compile(rf"{_WRAPPED}([A-J]){_UNWRAPPED}")
_REFERENCE_WITH_TEXT = re.compile(
    rf"{_WRAPPED}\(([A-J])\)(?:[\s~:}}*]|\\ |\\quad)+{_WRAPPED}(?P<rest>[\w$\\].*)", re.DOTALL
)
_NAMED = re.compile(
    r"\b(?:option|choice|answer|alternative|part|letter|case)s?(?:\s(?:is|was))?:?\s{0,3}\W{0,4}([A-Ja-j])\b(?!')",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\(\s?(?:\\(?:text|textbf|mathrm|mathbf)\s?\{\s?)?([A-Ja-j])\s?\}?\s?\)(?!\w)")
_LEADING = re.compile(rf"{_WRAPPED}([A-J])\s?(?:[.):]|\}})\s?\)?(?:\s|\Z|\*)")
_ALONE = re.compile(r"(?<![\w\\^_'])([A-J])(?![\w'^_]|\s?[=+*/(-]|\)\w)")
_ARTICLE = re.compile(r"\A\s[a-z]")


def letter_of(reference: str) -> str | None:
    """The letter that a reference is, or None where it is something else."""
    found = _REFERENCE.fullmatch(reference) if len(reference) < 60 else None
    return found[1] if found else None


def labelled(reference: str) -> tuple[str, str] | None:
    """A reference "(B) 42" as its letter and its text."""
    found = _REFERENCE_WITH_TEXT.fullmatch(reference) if len(reference) < 400 else None
    return (found[1], found["rest"]) if found else None


def chosen(attempt: str) -> set[str]:
    """The letters that an attempt chooses, in capitals: those after "option" or in brackets, else those that stand
    alone.
    """
    text = attempt[-2_000:]
    plain = _REFERENCE.fullmatch(text)
    if plain:
        return {plain[1]}
    for pattern in (_NAMED, _BRACKETED, _LEADING):
        found = {m[1].upper() for m in pattern.finditer(text)}
        if pattern is _LEADING:
            leading = _LEADING.match(text)
            found = {leading[1]} if leading else set()
        if found:
            return found | ({m[1] for m in _alone(text)} if pattern is not _LEADING else set())
    return {m[1] for m in _alone(text)}


def _alone(text: str) -> list[re.Match[str]]:
    return [m for m in _ALONE.finditer(text) if not (m[1] in "AI" and _ARTICLE.match(text[m.end() :]))]
