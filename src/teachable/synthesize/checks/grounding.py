"""Does an answer stand in a passage? Checked word by word, not asked for.

A model that writes a question of a passage also quotes the words that answer it. An answer is grounded when

1. the quote stands in the passage word for word, up to white space, case, typographic signs, the marks of emphasis and
   code in Markdown, and what punctuation is at its ends; it begins and ends with whole words, has at least
   `MIN_QUOTE_WORDS` and at most `MAX_QUOTE_WORDS`;
2. it stands outside of sentences that address a model (`injection.py`);
3. every number of the answer is in the quote, in digits or in words, and every formula is, up to white space;
4. the answer's telling words are in the quote, up to their endings, and it says "not" only where the quote does.

An answer without a number and without a telling word ("yes", "it is") has nothing that could be checked, and is not
grounded. A deduction chain is grounded when premises, steps and conclusion are such quotes, the premises before the
conclusion, and no premise says the conclusion already.

What it does not protect against: a quote that is taken out of its context, words of the quote put together to another
meaning ("A beats B" for "B beats A"), an answer that leaves out a "not" of its quote, an answer to another question
than the one that was asked. Independent solvers who see the passage have to give the same answer for that reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from teachable.synthesize.checks.injection import instructions_in
from teachable.verify.strings import as_number

MIN_QUOTE_WORDS = 4
MAX_QUOTE_WORDS = 80
FEW_WORDS = 4  # up to so many telling words all have to be in the quote, and `MOST` of more
MOST = 0.8

NO_QUOTE, NOT_VERBATIM = "no quote", "the quote is not in the passage"
SHORT_QUOTE, LONG_QUOTE = "the quote is too short", "the quote is too long"
INJECTED = "the quote is an instruction to a model"
NO_NUMBER, NO_FORMULA = "a number of the answer is not in the quote", "a formula of the answer is not in the quote"
NO_WORDS, NEGATED = "words of the answer are not in the quote", "the answer negates what the quote does not"
NOTHING = "nothing in the answer can be checked"
ORDER, CIRCULAR = "the conclusion comes before a premise", "a premise says the conclusion already"

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "\u00ad": "",
        "\u200b": "",
        "\ufeff": "",
        "…": "...",
    }
)
_ENDS = " \t\n\"'.,;:!?()[]*_-"
_MARKS = frozenset("*`")
_NUMBER = re.compile(r"(?:(?<![\w)\-])-)?(?<![\d.,])\d+(?:,\d{3})*(?:\.\d+)?|(?<=[.,])\d+")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_FORMULA = re.compile(r"[=^\\<>≤≥√∑∫±×÷]|(?<=[\w)])\s*[+*/]\s*(?=[\w(])|(?<=[A-Za-z0-9)])\s-\s(?=[A-Za-z0-9(])")
_NEGATIONS = """not no never none neither nor cannot without nobody nothing nowhere isn't aren't wasn't weren't don't
doesn't didn't can't couldn't won't wouldn't shouldn't hasn't haven't hadn't"""
_EMPTY = """a an the this that these those it its they them their he him his she her we us our you your i me my who whom
whose which what when where why how is are was were be been being am do does did done has have had having will would
shall should can could may might must of in on at to from by for with as into onto about than then there here and or but
if so because while also just only very more most some any all each every both such same other another one's s t yes"""
_NEGATING = frozenset(_NEGATIONS.split())
_STOP = frozenset(_EMPTY.split()) | _NEGATING
_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: value for value, word in enumerate(_ONES.split())}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
_ENDINGS = ("'s", "ying", "ing", "edly", "ied", "ies", "ed", "es", "ly", "s", "e", "y")


@dataclass(frozen=True)
class Grounding:
    """Whether an answer is grounded, why not (a label that can be counted), and the share of its words in the quote."""

    ok: bool
    reason: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Quote:
    """Where a quote stands in a passage (offsets into its normal form C), or why it is none."""

    begin: int = -1
    end: int = -1
    fault: str = ""


def grounded(answer: str, evidence: str, passage: str) -> Grounding:
    """Whether an answer stands in a quote of the passage; see the module for what that takes.

    Args:
        answer: as it was stated; short.
        evidence: the quote that is said to answer the question.
        passage: what it is said to be a quote of.
    """
    quote = quote_in(evidence, passage)
    return Grounding(False, quote.fault) if quote.fault else stands_in(answer, evidence)


def quote_in(evidence: str, passage: str) -> Quote:
    """Where a quote stands in a passage, the first time that it does outside of instructions to a model."""
    words = evidence.split()
    if not words:
        return Quote(fault=NO_QUOTE)
    unspaced = sum(len(run) for run in _UNSPACED.findall(evidence))
    if len(words) + unspaced // 2 < min(MIN_QUOTE_WORDS, len(passage.split())):
        return Quote(fault=SHORT_QUOTE)
    if len(words) + unspaced // 2 > MAX_QUOTE_WORDS:
        return Quote(fault=LONG_QUOTE)
    sought = _unmarked(evidence)[0].strip(_ENDS)
    text, places = _unmarked(passage)
    commands = [(span.start, span.end) for span in instructions_in(unicodedata.normalize("NFC", passage))]
    fault, at = NOT_VERBATIM, text.find(sought) if sought else -1
    while at >= 0:
        end = at + len(sought)
        if _whole(text, at, end):
            begin, stop = places[at], places[end - 1] + 1
            if not any(begin < last and first < stop for first, last in commands):
                return Quote(begin, stop)
            fault = INJECTED
        at = text.find(sought, at + 1)
    return Quote(fault=fault)


def stands_in(answer: str, text: str) -> Grounding:
    """Whether an answer's numbers, formulas and telling words are in a text."""
    plain, there = _folded(answer)[0], _folded(text)[0]
    if _FORMULA.search(plain):
        held = _bare(plain) in _bare(there)
        return Grounding(held, "" if held else NO_FORMULA, float(held))
    numbers, words = numbers_of(plain), telling(plain)
    runs = _UNSPACED.findall(plain)
    if not numbers and not words and not runs:
        return Grounding(False, NOTHING)
    if not numbers <= numbers_of(there) or not all(run in there for run in runs):
        return Grounding(False, NO_NUMBER if not numbers <= numbers_of(there) else NO_WORDS)
    score = len(words & telling(there)) / len(words) if words else 1.0
    if score < (1.0 if len(words) <= FEW_WORDS else MOST):
        return Grounding(False, NO_WORDS, score)
    if _negates(plain) and not _negates(there):
        return Grounding(False, NEGATED, score)
    return Grounding(True, "", score)


def chain_fault(premises: Sequence[str], steps: Sequence[str], conclusion: str, passage: str) -> str:
    """Why quotes of a passage are no deduction chain, as a label; "" where they can be one.

    Args:
        premises, steps: quotes; a step stands after the first premise and not after the conclusion.
        conclusion: a quote that comes after every premise.
    """
    quotes = [quote_in(one, passage) for one in (*premises, *steps, conclusion)]
    fault = next((one.fault for one in quotes if one.fault), "")
    if fault or not premises:
        return fault or NO_QUOTE
    first, last, end = quotes[: len(premises)], quotes[len(premises) : -1], quotes[-1]
    if any(one.begin < end.end and end.begin < one.end for one in first):
        return CIRCULAR
    if any(one.begin > end.begin for one in (*first, *last)) or any(one.begin < first[0].begin for one in last):
        return ORDER
    said = telling(conclusion) | numbers_of(conclusion)
    return CIRCULAR if any(said and said <= telling(one) | numbers_of(one) for one in premises) else ""


def numbers_of(text: str) -> set[str]:
    """The numbers of a text in their one written form, small ones also where they stand in words."""
    plain = _folded(text)[0]
    found = {as_number(number) or number for number in _NUMBER.findall(plain)}
    tens = 0
    for word in _WORD.findall(plain):
        value = _VALUES.get(word)
        if tens and value is not None and 0 < value < 10:  # twenty-five
            found.discard(str(tens))
            found.add(str(tens + value))
        elif value is not None:
            found.add(str(value))
        tens = value if value is not None and value >= 20 else 0
    return found


def telling(text: str) -> set[str]:
    """The words of a text that say something, without their endings; numbers in words are not among them."""
    words = _WORD.findall(_UNSPACED.sub(" ", _folded(text)[0]))
    return {_stem(word) for word in words if word not in _STOP and word not in _VALUES}


def _negates(plain: str) -> bool:
    return any(word in _NEGATING for word in _WORD.findall(plain))


def _stem(word: str) -> str:
    """A word without one ending; a stem keeps at least three letters."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _bare(formula: str) -> str:
    """A formula without white space and the signs around it."""
    kept = re.sub(r"\s+|\\[,;! ]|\$|\\[()\[\]]|\\(?:left|right)(?![a-z])", "", formula)
    return kept.strip("\"'.,;:")


def _whole(text: str, begin: int, end: int) -> bool:
    """Whether a part of a text begins and ends where words do."""
    before = begin > 0 and text[begin - 1].isalnum() and text[begin].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    spaced = not (_UNSPACED.match(text[begin]) or _UNSPACED.match(text[end - 1]))
    return not (spaced and (before or after))


@lru_cache(maxsize=512)
def _unmarked(text: str) -> tuple[str, tuple[int, ...]]:
    """As `_folded`, without the signs that Markdown marks emphasis and code with."""
    signs: list[str] = []
    places: list[int] = []
    for sign, place in zip(*_folded(text), strict=True):
        if sign not in _MARKS and not (sign == " " and signs and signs[-1] == " "):
            signs.append(sign)
            places.append(place)
    return "".join(signs), tuple(places)


@lru_cache(maxsize=512)
def _folded(text: str) -> tuple[str, tuple[int, ...]]:
    """The text with white space, case and typographic signs evened out, and where each sign of it came from.

    Offsets are into the text's normal form C.
    """
    signs: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(unicodedata.normalize("NFC", text)):
        plain = sign
        if sign.isspace():
            plain = " " if signs and signs[-1] != " " else ""
        elif sign.isascii():
            plain = sign.lower()
        else:
            plain = unicodedata.normalize("NFKC", sign.translate(_SIGNS)).casefold().translate(_SIGNS)
        signs += plain
        places += [place] * len(plain)
    return "".join(signs), tuple(places)
