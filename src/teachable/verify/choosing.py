"""Which of its options does the answer to a multiple-choice question choose?

A letter counts where it can only be a label: alone, in brackets, with a delimiter, after "option", or before the text
of its option. What is joined to it by "or", "and" or a comma counts as well; what comes after "because", "not" or
"which" does not. See `choices` for what is promised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from teachable.verify.boxes import unwrapped
from teachable.verify.options import LABELS, Options
from teachable.verify.strings import canonical

_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NAMED = r"(?:option|choice|letter|alternative)"
_VERBS = r"(?:and|or|is|was|because|since|but|seems|would|must|should|being|with|as)\b"
_SPACE = r"\s{0,3}"
_END = r"(?![A-Za-z0-9]|['’][A-Za-z])"  # of a letter that stands alone
_INTRODUCTION = (
    r"(?:so|thus|both|either|it(?:['’]s| is)|i(?:['’]d| would)? (?:choose|pick|select|say|think|go with)|"
    r"the|my|correct|right|best|final|answer(?: is)?:?)"
)
_LEAD = re.compile(
    rf"(?:{_INTRODUCTION}{_SPACE}\b{_SPACE}){{0,6}}(?P<named>{_NAMED}s?(?:\s(?:is|number))?:?{_SPACE})?"
    rf"(?P<open>[(\[{{*\"'“$`]{{0,3}}(?:\\text\{{)?)(?P<label>[A-Za-z]|[1-9]){_END}(?P<close>[)\]}}*\"'”$`.:]{{0,5}})",
    re.IGNORECASE,
)
# A letter that is a label wherever it stands: "option b", "(B)", a capital with nothing but its delimiter behind it.
_INSIDE = re.compile(
    rf"\b{_NAMED}\s{{0,3}}[(\[*]{{0,3}}(?P<named>[A-Za-z]){_END}|[(\[](?P<bracketed>[A-Z])[)\]](?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9'’.])(?P<plain>[A-Z])(?![*)\].:]{1,3}[A-Za-z0-9])(?=[*)\]]{0,3}(?:[).:,]|\W{0,3}\Z|\s(?:is|are)\s))"
)
_JOINT = rf"(?:\b(?:or|and|and/or|as well as|plus)\b|[/&+,;]){_SPACE}"
_MAYBE = r"(?:(?:maybe|perhaps|possibly|also|even|both|or|and|the|it (?:could|may|might) (?:also )?be)\s){0,3}"
_SECOND = re.compile(
    rf"{_JOINT}{_MAYBE}(?P<named>{_NAMED}s?\s)?(?P<open>[(\[*]{{0,3}})(?P<label>[A-Za-z]){_END}"
    r"(?P<close>[)\]*.:]{0,3})(?P<after>.{0,12})",
    re.IGNORECASE | re.DOTALL,
)
# Labels in a row ("B C", "(B)(C)"), and further ones with a delimiter ("A. Paris B. London") that nothing is said of.
_TALK = r"(?!\s{1,3}(?:is|are|was|isn|can|does|would|has|says|fails)\b)"
_NEXT = re.compile(rf"[\s?,;./|()\[\]*}}$-]{{0,9}}(?P<label>[A-J])(?!\+){_END}{_TALK}(?!\s{{1,3}}[a-z])")
_FURTHER = re.compile(rf"(?<![A-Za-z0-9'’.-])[(\[]?(?P<label>[A-Z])[)\].:](?=\s|\Z|[(\[]){_TALK}")
_PLACE = re.compile(
    rf"\b(?:(?P<place>{'|'.join(_PLACES)}|last|1st|2nd|3rd|[4-9]th|10th)\b"
    rf"(?={_SPACE}(?:one|{_NAMED}|answer|of th|\W{{0,3}}(?:\Z|and\b|or\b)))"
    rf"|(?:{_NAMED}|number)\s(?:number\s)?(?P<count>{'|'.join(_COUNTS)}|10|[1-9])\b(?![.]\d))",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"[\s,;(–-]{1,9}(?:because|since|not|rather than|instead of|as opposed to|whereas|while|unlike|which|than)\b",
    re.IGNORECASE,
)
_SWEEPING = re.compile(
    r"\W*(?:all|none|any|both|each|every one|neither|either)\b.{0,30}\b(?:above|these|those|them|options?)\b", re.I
)
_NEGATED = re.compile(r"\W*(?:not|neither|never|none)\b", re.IGNORECASE)
_SPACING = re.compile(r"\\(?:left|right)(?![A-Za-z])|\\[,;!: ]|[\s~]")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac(\d)(\d)")
_OPERATOR = re.compile(r"\s?[=<>≤≥≠+^_|#∈]|[-–'’]\w|\s?[*/]\s?\w(?!\s?(?:[,/]|\Z))")
_OPENING = " \n*$"
_ANOTHER = "another"  # what "B or .." leaves open
_MAX_CHARS = 2000
_FEW_WORDS = 8


@dataclass(frozen=True)
class Chosen:
    """The one option that an answer names: its label, or None and why it names none or several.

    `n_named` is how many options it names. `how` says by what: the answer is an option's "text", begins with its
    "label", or mentions it anywhere.
    """

    label: str | None
    reason: str = ""
    n_named: int = 0
    how: Literal["text", "label", "mention"] = "mention"


def chosen(answer: str, options: Options) -> Chosen:
    """The option that an answer commits to.

    Args:
        answer: the text of an answer, without the talk around it; of a long one only the start is read.
        options: label -> text, in order; empty where they are not known: then any letter A to Z is a label.
    """
    whole = unwrapped(answer)[:_MAX_CHARS]
    labels, how = _labels(whole, options)
    if not labels:
        return Chosen(None, "names none of the options")
    if len(labels) > 1:
        names = sorted(labels, key=lambda label: (label == _ANOTHER, label))
        return Chosen(None, "chooses several options: " + " or ".join(names), len(labels))
    label = min(labels)
    if options and label not in options:
        return Chosen(None, f"there is no option {label}", 1)
    return Chosen(label, n_named=1, how=how)


def text_after_label(answer: str) -> str:
    """The text that follows the label at the start of an answer ("B) Paris"); empty where there is no such text."""
    text = unwrapped(answer).lstrip(_OPENING)
    lead = _LEAD.match(text)
    return text[lead.end() :].strip() if lead and _is_label(lead, text[lead.end() :]) else ""


def _labels(whole: str, options: Options) -> tuple[set[str], Literal["text", "label", "mention"]]:
    """The labels of all options that a text commits to, and by what it does."""
    equal = _by_equal_text(whole, options)
    if equal:
        return equal, "text"
    if _SWEEPING.match(whole) and not re.match(r"\W*(?:both|either)\W", whole, re.IGNORECASE):
        return set(), "mention"
    aside = _ASIDE.search(whole)
    text = whole[: aside.start()] if aside and aside.start() > 0 else whole
    if _NEGATED.match(text):
        return set(), "mention"
    led = _by_lead(text, options)
    return (led, "label") if led else (_by_mention(text, options), "mention")


def _by_equal_text(text: str, options: Options) -> set[str]:
    """The options whose whole text this is; a lone letter that is a label is never taken for a text."""
    folded = form(text)
    if len(folded) == 1 and folded.upper() in options:
        return {folded.upper()} if len(text.strip()) == 1 else set()
    equal = {label for label, option in options.items() if form(option) == folded}
    return {label for label in equal if options[label].strip() == text.strip()} or equal if len(equal) > 1 else equal


def _by_lead(text: str, options: Options) -> set[str]:
    """The label that the text begins with, and those that "or", "and" or a comma joins to it."""
    text = text.lstrip(_OPENING)
    lead = _LEAD.match(text)
    if lead is None:
        return set()
    label, rest = lead["label"].upper(), text[lead.end() :]
    if label.isdigit() and label not in options:
        return set()
    own = bool(options) and form(rest) == form(options.get(label, ""))
    if not own and not _is_label(lead, rest):
        return set()
    if own:
        return {label}
    text, after = form(options.get(label, "")), form(rest)
    if text and after.startswith(text) and after[len(text)].isalnum():
        return {label, _ANOTHER}  # "B) 42" where B is 4
    return {label} | _joined(rest, label, options) | _texts_joined(rest, label, options)


def _is_label(found: re.Match[str], rest: str) -> bool:
    """Is this letter a label? "A dog", "a dog" and "I think" begin with words."""
    closed = any(sign in ")].:}" for sign in found["close"])
    if rest[:1].isalnum() or _OPERATOR.match(rest):
        return False
    after = rest.lstrip(" ,-–—*$(")
    if closed or not after or re.match(_VERBS, after) or not after[0].isalnum():
        return True
    is_word = found["label"] in "aAI" or found["label"].islower()
    return (found["named"] is not None and found["label"] not in "a") or not is_word or rest[:1] in ",-–—("


def _joined(rest: str, label: str, options: Options) -> set[str]:
    """Other labels that the text after a label joins to it."""
    found: set[str] = set()
    for second in _SECOND.finditer(rest[:_MAX_CHARS]):
        other, after = second["label"].upper(), second["after"]
        marked = second["named"] or second["open"] or second["close"]
        if options and other not in options:
            continue
        if second["label"].islower() and not (marked or not after.strip()):
            continue
        at_comma = second[0].lstrip()[0] in ",;"
        ends = re.match(r"\s*(?:[,);./&]|and\b|or\b|are\b|\Z)", after) is not None
        word = second["label"] in "AI" and re.match(r"\s+[a-z]", after) is not None and not ends
        if (marked or ends or not at_comma) and not (word and not marked):
            found.add(other)
    for further in [*filter(None, [_NEXT.match(rest)]), *_FURTHER.finditer(rest[:_MAX_CHARS])]:
        if further["label"] in (options or LABELS[:10]):
            found.add(further["label"])
    if re.match(r"\W*or\b(?!\s+(?:so|equivalently)\b)", rest) and not found - {label}:
        found.add(_ANOTHER)
    return found - {label}


def _texts_joined(rest: str, label: str, options: Options) -> set[str]:
    """Options whose text stands after a label: right behind it ("B) Paris"), or joined to that by "or" or "and"."""
    found: set[str] = set()
    own, after = form(options.get(label, "")), form(rest)
    if own and after.startswith(own):
        after = after[len(own) :]
    for other, option in options.items():
        text = form(option)
        if other == label or not text or (own and text in own):
            continue
        if re.search(rf"(?:\A\W*|\b(?:or|and) ){re.escape(text)}(?!\w)", after):
            found.add(other)
    return found


def _by_mention(text: str, options: Options) -> set[str]:
    """The options that a text names anywhere: by their text, or by a marked letter, or by their place."""
    named = _by_text(text, options)
    marked = {
        (m["named"] or m["bracketed"] or m["plain"]).upper()
        for m in _INSIDE.finditer(text)
        if m["plain"] is None or _stands_alone(m, text)
    }
    marked = {label for label in marked if not options or label in options}
    if named:
        brackets = {m["bracketed"] for m in _INSIDE.finditer(text) if m["bracketed"]} & set(options)
        return named | brackets
    if marked:
        return marked
    return _by_place(text, options)


def _stands_alone(found: re.Match[str], text: str) -> bool:
    return len(text.split()) <= _FEW_WORDS and not (found["plain"] == "I" and len(text.strip()) > 1)


def _by_text(text: str, options: Options) -> set[str]:
    """The options whose text stands in this one as words, without those that stand only inside a longer one."""
    rest = form(text)
    found: set[str] = set()
    for label, option in sorted(options.items(), key=lambda item: -len(item[1])):
        wanted = form(option)
        if wanted and (pattern := re.compile(rf"(?<![\w.-]){re.escape(wanted)}(?!\w|[.,]\d)")).search(rest):
            found.add(label)
            rest = pattern.sub("\x00", rest)
    return found | ({_ANOTHER} if re.search(r"\x00\W{0,3}or\b", rest) else set())


def _by_place(text: str, options: Options) -> set[str]:
    """The options that a text names by their place: "the second", "2nd", "option two", "the last one"."""
    labels = list(options) or list(LABELS)
    found: set[str] = set()
    for match in _PLACE.finditer(text):
        word = (match["place"] or match["count"]).lower()
        if word == "last":
            index = len(options) - 1
        elif word in _PLACES:
            index = _PLACES.index(word)
        elif word in _COUNTS:
            index = _COUNTS.index(word)
        else:
            index = int(re.sub(r"\D", "", word)) - 1
        if 0 <= index < len(labels):
            found.add(labels[index])
    return found


def form(text: str) -> str:
    """The form in which two texts of the same option are the same string, LaTeX's spacing and \\dfrac12 among it."""
    plain = unwrapped(text)
    if "\\" in plain:
        plain = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", _SPACING.sub("", plain)).replace(r"\dfrac", r"\frac")
    return canonical(plain.replace(r"\tfrac", r"\frac"), fold_articles=True)
