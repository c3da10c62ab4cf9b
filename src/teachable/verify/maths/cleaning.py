"""What stands around an answer and is no part of it: dollar signs of TeX, emphasis, quotes, a box, a full stop."""

from __future__ import annotations

import re

from teachable.verify.maths.glyphs import to_latex

_HALF_DAY = re.compile(r"\b([AaPp])\.\s?[mM]\.?(?!\w)")
_DOTS = r"(?:\.{3,4}|\\[lc]?dots(?![A-Za-z]))"
# 0.33..., 0.1212..., but after other digits three times: 1.644... and 2.718281828... only go on.
_REPEATING = (
    re.compile(rf"(\d+\.)(\d{{1,6}}?)\2{{1,20}}{_DOTS}"),
    re.compile(rf"(\d+\.\d{{1,20}}?)(\d{{1,6}}?)\2{{2,20}}{_DOTS}"),
)
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_BOXED = re.compile(r"\A\s*\\(?:boxed|fbox)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\s*\Z")


def cleaned(text: str) -> str:
    """The text without what stands around an answer: dollar signs of TeX, emphasis, quotes, a full stop. Linear."""
    text = _HALF_DAY.sub(r"\1m", to_latex(text))
    if "..." in text or "dots" in text:
        for repeating in _REPEATING:
            text = repeating.sub(r"\1\\overline{\2}", text)
    text = _without_dollars(text)
    while True:
        before = text
        text = _BOXED.sub(r"\1", text)
        text = _without_trailing(text).lstrip(" \t\n\r`=:").removeprefix("**")
        for opening, closing in _WRAPS:
            inside = text[len(opening) : -len(closing)]
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                if opening not in inside and closing not in inside:
                    text = inside
                break
        if text == before:
            return text


def _without_trailing(text: str) -> str:
    """Without white space, marks that end a sentence, and line breaks of TeX at the end; a factorial's mark stays."""
    text = text.rstrip(" \t\n\r.,;:`")
    while text.endswith(("**", "\\\\")):
        text = text[:-2].rstrip(" \t\n\r.,;:`")
    if text.endswith("!") and len(text) > 2 and text[-3:-1].isalpha():
        text = text.rstrip("!")
    return text[:-1] if text.endswith("\\") else text


def _without_dollars(text: str) -> str:
    """Without the dollar signs that delimit mathematics; those that are currency stay."""
    places = [m.start() for m in re.finditer(r"(?<!\\)\$", text)]
    if len(places) < 2:
        return text
    if any(text[at + 1 : at + 2].isdigit() for at in places[1::2]) or len(places) % 2:
        if len(places) % 2 and text.startswith("$") and text[1:2] == "$":
            return text
        return text if not (len(places) == 3 and text.startswith("$") and text.endswith("$")) else text[1:-1]
    return text.replace("\\$", "\0").replace("$", " ").replace("\0", "\\$")
