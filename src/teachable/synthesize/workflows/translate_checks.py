"""What a translation has to keep, checked without asking anybody: language, numbers, formulas, names, options, answer.

`fidelity.kept` compares numbers, LaTeX, code and names. Here stand formulas in plain text ("3x + 2 = 11", "-5"),
addresses and placeholders, which must be written exactly as they were; the labels of options; and whether anything was
left in the language it came in: told by detection, by a run of words that both texts share, and, of a short text, by
its being the same.

What it does not protect against: a word that was wrongly translated. The way back is for that, as far as it goes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from teachable.synthesize.checks.fidelity import kept, names_in, numbers_in
from teachable.synthesize.checks.language import differs
from teachable.verify.options import options_in
from teachable.verify.strings import canonical

LEFT, WRONG_LANGUAGE, NOT_KEPT, OPTIONS = (
    "left untranslated",
    "not in the language asked for",
    "a number, formula or name was not kept",
    "the options were not kept",
)
LENGTHS = (0.12, 5.0)  # least and greatest length in characters, as a share of the original's
MIN_LENGTH_CHARS = 20  # of an original whose translation's length says anything
RUN_WORDS = 5  # words in a row that no two languages share
LONG_OFF = "much longer or shorter"

_SPACELESS = "\u0e00"  # Thai; before it are the scripts with spaces

_ATOM = (
    r"(?:\d[\d.,]*[A-Za-z]?(?![A-Za-z])|[A-Za-z]\([^()\n]{1,20}\)|[A-Za-z](?:_?\d+)?(?![A-Za-z])|\((?:[\d\s.,+*/^−-]|[A-Za-z](?![A-Za-z])){1,40}\))"
    r"(?:\^\{?[-\w]{1,9}\}?|[²³])?"
)
_VERBATIM = re.compile(
    rf"https?://[^\s<>\"')]+|[\w.+-]+@[\w-]+\.[\w.]+|\{{\{{?\w+\}}\}}?|</?[A-Za-z][^<>\n]{{0,80}}>"
    rf"|(?<![\w)\]])[-−+]?{_ATOM}(?:\s?(?:<=|>=|!=|==|[-+−*/=<>≤≥≠×÷·^])\s?{_ATOM})+(?![-\w])"
    r"|(?<![\w)\].,])[-−]\d[\d.,]*"
)
_AND_OR = ("y/o", "e/o", "a/o", "o/y")  # "and/or" in Spanish and Italian, which look like fractions
_QUOTED = re.compile(r"\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|`[^`\n]{1,400}`|```.*?```", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")
_TEX = re.compile(r"\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\[A-Za-z]+", re.DOTALL)
_UNIT_WORDS = "mm cm dm km mg kg ml cl dl ha kb mb gb tb hz kw pi ln sin cos"
_UNITS = frozenset(_UNIT_WORDS.split())
# Capitalised at the beginning of an answer they look like names, and are none.
_NAMELESS_WORDS = "yes no true false none both neither all never always even odd"
_NAMELESS = frozenset(_NAMELESS_WORDS.split())


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a translation: a label that is counted, and the particulars."""

    label: str
    detail: str


def flaw(original: str, translated: str, language: str, *, names: bool = True) -> Flaw | None:
    """What a translation lacks, or None.

    Args:
        language: ISO 639-1 code of the one it should be in.
        names: names have to be kept; they can be told from other words in an English original only.
    """
    return (
        _language(original, translated, language)
        or _kept(original, translated, names)
        or _options(original, translated)
        or _length(original, translated)
    )


def _language(original: str, translated: str, language: str) -> Flaw | None:
    found = next((other for part in [translated, *translated.split("\n")] if (other := differs(part, language))), None)
    if found:
        return Flaw(WRONG_LANGUAGE, f"it is in {found!r}, not in {language!r}")
    if worded(original) and canonical(original) == canonical(translated):
        return Flaw(LEFT, "it is the same text")
    shared = shared_run(original, translated)
    return Flaw(LEFT, f"both have {shared!r}") if shared else None


def _kept(original: str, translated: str, names: bool) -> Flaw | None:
    found = kept(original, translated)
    if not (found.numbers.same and found.formulas.same) or (names and found.names.missing):
        return Flaw(NOT_KEPT, found.why_not())
    ours, theirs = verbatim(original), verbatim(translated)
    if ours != theirs:
        missing, added = sorted((ours - theirs).elements()), sorted((theirs - ours).elements())
        return Flaw(NOT_KEPT, f"{missing[0]!r} is missing" if missing else f"{added[0]!r} was added")
    return None


def _options(original: str, translated: str) -> Flaw | None:
    ours, theirs = list(options_in(original)), list(options_in(translated))
    return Flaw(OPTIONS, f"they were {', '.join(ours)}, and are {', '.join(theirs)}") if ours != theirs else None


def _length(original: str, translated: str) -> Flaw | None:
    share = len(translated) / max(1, len(original))
    if len(original) >= MIN_LENGTH_CHARS and not LENGTHS[0] <= share <= LENGTHS[1]:
        return Flaw(LONG_OFF, f"it has {len(translated)} characters, the original {len(original)}")
    return None


def back_flaw(original: str, back: str, *, names: bool = True) -> str:
    """What a text that was translated there and back lacks, in words; "" where it has all.

    Numbers and names have to come in the same order too: two that changed places make another question, of which chrF
    sees next to nothing.
    """
    found = kept(original, back)
    if not (found.numbers.same and found.formulas.same):
        return found.why_not()
    for kind, ours, theirs in (
        ("numbers", _digits(original), _digits(back)),
        ("names", _calls(original, original), _calls(original, back)),
    ):
        if ours != theirs and (names or kind != "names"):
            return f"the {kind} come as {', '.join(theirs)}, not as {', '.join(ours)}"
    return ""


def _digits(text: str) -> list[str]:
    return [re.sub(r"\D", "", number) for number in numbers_in(text)]


def _calls(original: str, text: str) -> list[str]:
    """The original's names as a text calls them, one after the other."""
    names = sorted(names_in(original), key=len, reverse=True)
    return re.findall("|".join(rf"(?<!\w){re.escape(name)}" for name in names), text) if names else []


def verbatim(text: str) -> Counter[str]:
    """What is written the same in every language, without white space: plain formulas, addresses, placeholders."""
    found = ("".join(one[0].split()).rstrip(".,") for one in _VERBATIM.finditer(_TEX.sub(" ", text)))
    return Counter(one for one in found if one not in _AND_OR)


def shared_run(original: str, translated: str) -> str:
    """The first `RUN_WORDS` words in a row that both texts have outside of quotes, most of them no names; else ""."""
    ours = [found[0] for found in _WORD.finditer(_QUOTED.sub(" . ", _TEX.sub(" . ", original)))]
    theirs = [found[0].lower() for found in _WORD.finditer(_TEX.sub(" . ", translated))]
    there = {tuple(theirs[i : i + RUN_WORDS]) for i in range(len(theirs) - RUN_WORDS + 1)}
    for i in range(len(ours) - RUN_WORDS + 1):
        run = ours[i : i + RUN_WORDS]
        small = sum(word[0].islower() and len(word) > 1 for word in run)
        if small >= RUN_WORDS - 1 and tuple(word.lower() for word in run) in there:
            return " ".join(run)
    return ""


def worded(text: str) -> bool:
    """Does a text hold a word, so that it may be another one in another language? Units and LaTeX are no words."""
    words = (found[0].lower() for found in _WORD.finditer(_TEX.sub(" ", text)))
    return any(len(word) > 1 and word not in _UNITS for word in words)


def stands_in(answer: str, question: str) -> bool:
    """Does an answer stand in a question, as whole words? (Scripts that set no space between words have no edges.)"""
    words = canonical(answer)
    if not words:
        return False
    before, after = (
        edge if sign < _SPACELESS else "" for edge, sign in (("(?<!\\w)", words[0]), ("(?!\\w)", words[-1]))
    )
    return re.search(f"{before}{re.escape(words)}{after}", canonical(question)) is not None


def answer_flaw(question: str, answer: str, translated_question: str, translated_answer: str) -> str:
    """Why a translated answer does not fit, in words; "" where it does.

    Where the answer stands in the question (alternatives, a text that is asked about), the translated one must stand in
    the translated question, and nowhere else may it. An answer that stays as it is must be a name.
    """
    found = kept(answer, translated_answer)
    if not (found.numbers.same and found.formulas.same):
        return found.why_not()
    ours, theirs = stands_in(answer, question), stands_in(translated_answer, translated_question)
    if ours and not theirs:
        return "it stands in the question, and not in its translation"
    if theirs and not ours:
        return "it stands in the translation, and not in the question"
    if not theirs and canonical(answer) == canonical(translated_answer) and not _is_name(answer):
        return "it was left as it is"
    return ""


def _is_name(answer: str) -> bool:
    words = [word for word in _WORD.findall(answer) if len(word) > 1]
    return all(word[0].isupper() for word in words) and not any(word.lower() in _NAMELESS for word in words)
