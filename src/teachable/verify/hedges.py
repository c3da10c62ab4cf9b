r"""Answers that keep a way out: "5 or 6", "any of 1..100", "5. Or it could be 7".

The word "or" alone says little ("more or less", "either way", "we add 3 or 4 terms"), so that outside of the answer's
own text it counts only where a *value* follows it: a digit, mathematics, a single letter, a number word at the end. A
value that is denied ("it is not 5"), doubted ("is it 5?") or only bounded ("at most 5") is no commitment to it either.
Time is linear in the text's length: every repetition is bounded.

What it does not protect against: alternatives in words that are not foreseen here ("its neighbour 7 is as good").
"""

from __future__ import annotations

import re

_MATHS = r"(?:\\[a-zA-Z(\[]|[-+−±]?[$€£]?[-+−]?\.?\d|[-+−]?[√π∞∅½⅓⅔¼¾]|[$({\[*]{1,3}\s?[-+−\\]?\w|\\?\{)"  # not prose
_LETTER = r"(?:(?!a\b|I\b|A\s{1,3}[a-z])[A-Za-z]\b(?![’']))"  # neither the article nor the pronoun
_NUMBER_WORD = (
    r"(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred)"
    r"\b(?=\W{0,9}(?:\n|$)))"
)
_VALUE = rf"(?:{_MATHS}|{_LETTER}|{_NUMBER_WORD})"
_COULD_BE = r"(?:could|might|may)\s{1,3}(?:(?:also|well|even|just|possibly|as well|equally|instead)\s{1,3}){0,2}be"
_MAYBE = (
    r"(?:,?\s{0,3}(?:maybe|perhaps|possibly|potentially|probably|even|else|also|alternatively|equivalently|rather|just|"
    rf"simply|as|it(?:['’]s| is)|is it|the answer is|(?:it|that|the answer) {_COULD_BE})\b,?\s{{0,3}}){{0,3}}"
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_OR_VALUE = re.compile(rf"\bor\b\s{{0,3}}{_MAYBE}\s{{0,3}}{_VALUE}", re.IGNORECASE)
_IDIOM = re.compile(r"\b(?:more or less|one way or (?:another|the other)|sooner or later)\b", re.IGNORECASE)
_TRAILING_OR = re.compile(r"\bor\b[\s.,…}$]{0,20}\Z", re.IGNORECASE)
# LaTeX's own ways to write the word.
_TEXT_OR = re.compile(r"\\(?:text|textrm|mathrm|mbox|textbf)\s?\{\s{0,3}(or|,)\s{0,3}\}|\\(?:lor|vee)(?![A-Za-z])")
_TEXT = re.compile(r"\\(?:text|textrm|mathrm|mbox|textbf)\s?\{([^{}]{0,200})\}")

# After an answer come closing signs and, at most, two words of its unit.
_UNIT = r"[\s$*_`,.)\]\\}]{0,12}(?:[A-Za-z°%²³/]{1,14}[\s,]{1,3}){0,2}[\s,(\[$]{0,6}"
_JOINED = re.compile(rf"{_UNIT}or\b", re.IGNORECASE)
_CONTINUES = re.compile(rf"{_UNIT}(?P<more>or\b\s{{0,3}}{_MAYBE}\s{{0,3}}{_VALUE}[^\n]{{0,200}})", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)")

_OFFERS = (
    rf"(?:it|answer|that|this|value|result|solution)\s{{1,3}}{_COULD_BE}",
    r"(?:or\s{1,3})?(?:maybe|perhaps|possibly|else|otherwise|alternatively|potentially|if not|"
    r"if (?:that|this|it)(?:['’]s| is) (?:wrong|not right|incorrect))"
    r",?(?:\s(?:then|(?:the answer|it)\s(?:is|(?:may|might|could) be))|\sit['’]s)?",
    r"or\s{1,3}(?:even|it['’]s|it is|probably),?",
    r"unless\s(?:it|that)(?:['’]s|\sis)",
    r"(?:another|other|second|alternative)\s{1,3}(?:(?:possible|valid|acceptable|correct)\s{1,3})?"
    r"(?:answer|solution|value)s?\s{1,3}(?:is|are|(?:could|may|would) be)",
)
_ALSO_RIGHT = re.compile(
    rf"(?<![\w.])(?P<other>(?={_VALUE})\S{{1,40}})\s(?:is|are|would be)\s(?:also|equally|just as)\s"
    r"(?:possible|correct|valid|right|acceptable|good|fine)",
    re.IGNORECASE,
)
_OR_AGAIN = re.compile(
    rf"\A[\s.!?;]{{0,9}}or\s{{1,3}}(?P<other>(?={_VALUE})\S{{1,40}}?)\s?(?=[.!?](?:\s|$)|\n|$)", re.IGNORECASE
)
_BETWEEN = re.compile(r"\bbetween\b.{1,40}\band\b|\A\W{0,5}[-+−]?\d\S{0,20}\s(?:to|through)\s\S{1,20}\Z", re.IGNORECASE)
# Numbers in a row ("4 5 6", "5 | 6") that are no thousands (1 000 000) and no mixed number (1 1/2); "1, 2, .., 9".
_SEPARATORS = re.compile(r"\\\\|\\q?quad(?![A-Za-z])")
_NUMBER = r"[-+−]?\d[\d./]{0,99}(?:,\d{3}){0,9}"
_ROW = re.compile(rf"(?<![\w.,/^\\(\[{{]){_NUMBER}(?:[\s|;?]{{1,5}}{_NUMBER}){{1,99}}\W{{0,3}}\Z")
_ONE_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:\s\d{3}){1,9}(?:[.,]\d{1,99})?|\d{1,99}\s\d{1,99}/\d{1,99})\W{0,3}")
_RANGE = re.compile(r"\d\s?,?\s?(?:\.{2,3}|…|\\[lc]?dots)\s?,?\s?\d|\bfrom\s\S{1,20}\sto\s\S{1,20}\Z", re.IGNORECASE)
# A value that is denied, doubted, or only bounded, at the end of what is said.
_LAST_VALUE = rf"(?={_VALUE})\S{{1,40}}(?:\s[A-Za-z%°]{{1,12}})?\W{{0,3}}\Z"
_ASIDE = re.compile(rf",\s(?:and\s|but\s)?(?:not|rather than|instead of)\s{_LAST_VALUE}", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|never|(?:anything|all|everything) but|cannot be|can['’]t be|at (?:most|least)|"
    r"(?:no )?(?:more|less|fewer|greater|smaller|larger) than)|n['’]t(?:\s(?:be|equal))?)"
    rf"\s{{1,3}}(?:equal to\s)?{_LAST_VALUE}"
    rf"|(?:(?<=\s)|\A)(?={_VALUE})\S{{1,40}}\s(?:is|would be)\s(?:wrong|incorrect|false|impossible|not\b)",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"\b(?:unsure|not sure|(?:can['’]t|cannot) (?:tell|say)|don['’]t know|"
    r"(?:sure|tell|know|say|wonder) (?:if|whether))\b",
    re.IGNORECASE,
)
# A value and no more: "it could be 6 only if .." argues, "it could be 6." offers.
_OFFERED = re.compile(
    rf"\b(?:{'|'.join(_OFFERS)})\s{{1,3}}(?={_VALUE})"
    r"(?P<other>\S{1,40}?(?:\s{0,2}[=+*/<>-]\s{0,2}\S{1,40}?){0,3}(?:\s(?!as\b|too\b|also\b|instead\b)[A-Za-z%°]{1,12})?)"
    r"(?:\s{1,3}(?:as well|too|also|instead))?\s{0,3}(?=[.;!?)](?:\s|$)|\n|$)",
    re.IGNORECASE,
)
_ANY_OF = re.compile(
    r"\b(?:any(?:thing|[ ](?:one|number|value|integer|answer|element))?|every(?:thing|[ ](?:number|integer))?|one)"
    r"\s{1,3}(?:of|from|among|between)\s{1,3}(?:the (?:numbers?|values?|integers?|following)?:?\s?)?"
    r"(?:\\?[{$(\[]{1,3}|between |from )?\s{0,2}[-+−]?\d",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"\A\W{0,9}(?:(?:either|it|the answer|answer|is|could|may|might|can|be|maybe|perhaps|possibly|equivalently|also|"
    r"even|else|just|simply|alternatively|as a (?:decimal|fraction|percentage))\b[\s,:]{0,9}){1,9}",
    re.IGNORECASE,
)
_SHORT_WORDS = 8
_READ_CHARS = 2000


def open_range(answer: str) -> str:
    """Why this answer is no commitment at all ("any of 1, 2, 3"); empty where it may be one."""
    found = _ANY_OF.search(_TEXT.sub(r"\1", answer[:_READ_CHARS]))
    return f"'{found[0].strip()}..' is no single answer" if found else ""


def without_aside(answer: str) -> str:
    """The answer without what it says that it is not: "6, not 5" is 6."""
    aside = _ASIDE.search(answer[-_READ_CHARS:])
    return answer[: len(answer) - len(aside[0])].strip() or answer if aside else answer


def offers_several(answer: str, prose: bool) -> bool:
    """Does the text of an answer offer alternatives, or deny or doubt the value that it names?

    Args:
        answer: the text that was extracted.
        prose: it is a whole line that nothing marks as the answer: then the alternatives must stand at its end.
    """
    text = _IDIOM.sub("", _TEXT_OR.sub(" or ", answer[-_READ_CHARS:]))
    if _RANGE.search(text) or _DENIED.search(text) or _is_row(text):
        return True
    if not prose and (_BETWEEN.search(text) or _OFFERED.search(text) or _ALSO_RIGHT.search(text)):
        return True
    if prose and (_DOUBTED.search(text) or (text.endswith("?") and len(text.split()) > 2)):
        return True
    if not _OR.search(text):
        return False
    if _TRAILING_OR.search(text) or (not prose and len(text.split()) <= _SHORT_WORDS):
        return True
    ends = [found.end() for found in _OR_VALUE.finditer(text)]
    return bool(ends) and (not prose or len(text[ends[-1] :].split()) <= 2)


def _is_row(text: str) -> bool:
    row = _ROW.search(_SEPARATORS.sub(";", text))
    return row is not None and _ONE_NUMBER.fullmatch(row[0]) is None


def joins_with_or(after: str) -> bool:
    """Does the text after a box go on with "or", before the next box?"""
    return _JOINED.match(_TEXT_OR.sub(" or ", after)) is not None


def continuation(rest: str) -> str:
    """The "or .." that follows an answer at once, as text to the end of its sentence; empty where there is none."""
    found = _CONTINUES.match(_TEXT_OR.sub(" or ", rest[:400]))
    if found is None:
        return ""
    more = _SENTENCE_END.split(found["more"], maxsplit=1)[0].rstrip(" )$*")
    more = " ".join(more.split())
    return more.replace("$", "") if more.count("$") % 2 else more


def taken_back(answer: str, rest: str) -> str | None:
    """The other answer that is offered after an answer ("or it could be 7"), empty where it breaks off; else None."""
    if len(rest) < 40 and _TRAILING_OR.match(rest.lstrip(" $.*)}")):
        return ""
    core = _signs(answer)
    again = _OR_AGAIN.match(rest)
    for found in (*((again,) if again else ()), *_OFFERED.finditer(rest), *_ALSO_RIGHT.finditer(rest)):
        if _signs(found["other"]) not in ("", core):
            return found["other"].strip(" $*")
    return None


def alternatives(answer: str) -> tuple[str, ...]:
    """The parts of a hedged answer: "could be 5, 6 or maybe 7" gives ("5", "6", "7"), and "5 or" gives ("5", "").

    An answer that is not hedged is one part; commas in brackets, and in 1,000, part nothing.
    """
    pieces = _OR.split(_TEXT_OR.sub(" or ", answer))
    if len(pieces) > 1:
        pieces = [part for piece in pieces[:-1] for part in _at_commas(piece)] + pieces[-1:]
    parts = [_LEAD.sub("", piece).strip().strip(",;?").strip() for piece in pieces]
    parts = [part.removesuffix(")").strip() if part.count(")") > part.count("(") else part for part in parts]
    return (*(part for part in parts[:-1] if part), parts[-1])


def _at_commas(text: str) -> list[str]:
    """The text split at commas that are followed by space and stand in no bracket; a last open bracket is dropped."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth <= 0 and text[place + 1 : place + 2] in (" ", "\n", ""):
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:].rstrip().removesuffix("(")]


def _signs(text: str) -> str:
    """The bare signs of an answer, by which one that is only said again is known."""
    return re.sub(r"[\s$*_`{}().,\\]|boxed|text", "", text).casefold()
