"""Are two answers equal? The cheap ways first, then ours, then math-verify in a process that can be killed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from teachable.verify.maths import compare, letters, workers
from teachable.verify.maths.algebra import Arithmetic
from teachable.verify.maths.cleaning import cleaned
from teachable.verify.maths.glyphs import to_latex
from teachable.verify.maths.limits import MAX_CHARACTERS, MAX_DEPTH, TooLarge
from teachable.verify.maths.parser import SIDE_BY_SIDE
from teachable.verify.maths.reader import read
from teachable.verify.maths.values import Named, Relation, Scalar, Sequence, Unknown, Value, Words

LIMIT_S = 5.0

_BLANK = re.compile(r"\\(?:[,;:! ]|quad|qquad|left|right|displaystyle)(?![A-Za-z])|[\s~]+")
_INDEX_I = re.compile(r"\\(?:sum|prod)(?:\\limits)?\s?_\s?\{?\s?i(?![A-Za-z])")
_LONE_I = re.compile(r"(?<![\\A-Za-z])i(?![A-Za-z])")
_DOTS = re.compile(r"\\[lc]?dots[bcimo]?(?![A-Za-z])|\.{2,}")
_NEEDLESS = re.compile(r"\s+(?!\w)|(?<!\w)\s+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}")
_TEXT = re.compile(r"\\(?:text|mathrm|operatorname|mbox|textbf|begin|end|mathbf|mathbb|left|right)\s?\*?\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What could be decided without a computer algebra system; `ask` says that one may know more."""

    equal: bool | None
    reason: str
    ask: bool = False


def equal(reference: str, attempt: str, limit_s: float = LIMIT_S) -> tuple[bool | None, str]:
    """Whether two answers are equal, and why; None where that could not be told. Nothing is extracted from either.

    Args:
        reference: the right answer.
        attempt: the answer to compare with it.
        limit_s: how long math-verify may take over a pair that is not decided here, in seconds.

    Returns:
        The verdict and a clause in plain English. It never raises for anything that the answers say.
    """
    decision = decide(reference, attempt)
    if not decision.ask:
        return decision.equal, decision.reason
    return settled(workers.compare(for_algebra(reference), for_algebra(attempt), limit_s))


def for_algebra(answer: str) -> str:
    """An answer as math-verify is asked about it: cleaned, and a sum's index i renamed, which it takes for the unit."""
    clean = cleaned(answer)
    if _INDEX_I.search(clean):
        free = next(
            (letter for letter in "kjmpqr" if not re.search(rf"(?<![\\A-Za-z]){letter}(?![A-Za-z])", clean)), "i"
        )
        clean = _LONE_I.sub(free, clean)
    return clean


def settled(reply: workers.Reply) -> tuple[bool | None, str]:
    """math-verify's reply as a verdict."""
    return reply.equal, f"math-verify: {reply.reason}" if reply.reason else "decided by math-verify"


def decide(reference: str, attempt: str) -> Decision:
    """What can be decided here, in milliseconds at most."""
    reference, attempt = reference.strip(), attempt.strip()
    if not attempt:
        return Decision(False, "the answer is empty")
    if reference == attempt:
        return Decision(True, "the same text")
    letter = letters.letter_of(reference)
    if letter is not None:
        return _choice(letter, attempt)
    if _squeezed(reference) == _squeezed(attempt):
        return Decision(True, "the same text")
    try:
        return _decide(reference, attempt)
    except TooLarge as error:
        return Decision(None, f"could not tell: {error}")
    except RecursionError:
        return Decision(None, "could not tell: it is nested too deeply")
    except Exception as error:  # whatever goes wrong here is a fault of ours, never a wrong answer
        return Decision(None, f"the checker failed: {type(error).__name__}: {error}")


def _squeezed(text: str) -> str:
    """The text without what TeX does not show."""
    if len(text) > 200_000:
        return text
    return _NEEDLESS.sub("", _BLANK.sub(" ", text))


def _ungrouped(text: str) -> str:
    bare = _squeezed(_DOTS.sub("...", cleaned(text))).replace("{", " ").replace("}", " ")
    return re.sub(r"\s+(?!\d)|(?<!\d)\s+", "", bare)


def _choice(letter: str, attempt: str) -> Decision:
    found = letters.chosen(attempt)
    if len(found) > 1:
        return Decision(False, "two letters are no choice")
    if found == {letter}:
        return Decision(True, "the same letter")
    if not found:
        return Decision(False, "no letter is chosen")
    return Decision(False, "another letter")


def _decide(reference: str, attempt: str) -> Decision:
    labelled = letters.labelled(reference)
    if labelled is not None:
        return _labelled(labelled, attempt)
    right, given = read(reference), read(attempt)
    if isinstance(given, Relation) and given.stated is not None and isinstance(right, Scalar):
        given = given.stated
    answer = compare.same(right, given, Arithmetic())
    if answer is False and _listed(reference, right, given) + _listed(attempt, given, right):
        wide = _listed(reference, right, given) or reference, _listed(attempt, given, right) or attempt
        answer = compare.same(read(wide[0]), read(wide[1]), Arithmetic())
    if answer is not True and (label := letters.labelled(attempt)) is not None:
        return decide(reference, label[1])
    if answer is not None:
        return Decision(answer, "equal" if answer else _difference(right, given))
    return _undecided(reference, attempt, right, given)


def _listed(text: str, value: Value, other: Value) -> str:
    """The text "1,234" with a wide comma, where the other side shows that a list was meant; else nothing."""
    if isinstance(value, Scalar) and isinstance(other, Sequence) and _THOUSANDS.fullmatch(text):
        return text.replace(",", ", ")
    return ""


def _labelled(labelled: tuple[str, str], attempt: str) -> Decision:
    letter, text = labelled
    own = letters.labelled(attempt)
    if own is not None:
        return Decision(own[0] == letter, "the same letter" if own[0] == letter else "another letter")
    if letters.letter_of(attempt) is not None:
        return _choice(letter, attempt)
    return decide(text, attempt)


def _undecided(reference: str, attempt: str, right: Value, given: Value) -> Decision:
    """What our reader did not understand, or our arithmetic could not tell: guards, then the worker's question."""
    if isinstance(right, Unknown) or isinstance(given, Unknown):
        if isinstance(right, Unknown) and isinstance(given, Unknown) and _ungrouped(reference) == _ungrouped(attempt):
            return Decision(True, "the same text")
        if isinstance(given, Unknown) and not any(char.isalnum() for char in attempt):
            return Decision(False, "marks are no answer")
        if _goes_on(_squeezed(reference), _squeezed(attempt)):
            return Decision(False, "one answer goes on where the other ends")
        if any(isinstance(value, Words) for value in (right, given)):
            return Decision(False, "words against mathematics")
        if any(isinstance(value, Unknown) and value.why == SIDE_BY_SIDE for value in (right, given)):
            return Decision(False, "two numbers side by side")
        if _is_prose(reference) or _is_prose(attempt):
            return Decision(False, "different text")
    if _depth(reference) > MAX_DEPTH or _depth(attempt) > MAX_DEPTH:
        return Decision(None, "could not tell: it is nested too deeply")
    if max(len(reference), len(attempt)) > MAX_CHARACTERS:
        return Decision(None, "could not tell: it is too long")
    return Decision(None, "could not tell", ask=True)


def _goes_on(a: str, b: str) -> bool:
    """Whether one text is the other with letters or digits more behind it."""
    short, long = sorted((a, b), key=len)
    return long.startswith(short) and long[len(short) :].isalnum()


def _is_prose(text: str) -> bool:
    return len(_WORD.findall(_TEXT.sub(" ", to_latex(text)))) > 1


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest


def _difference(right: Value, given: Value) -> str:
    """In a clause, why two values are unequal."""
    if isinstance(right, Scalar) and isinstance(given, Scalar):
        if right.unit is not None and given.unit is not None and right.unit.dimensions != given.unit.dimensions:
            return "a different unit"
        return "a different value"
    if type(right) is type(given):
        if isinstance(right, Sequence) and isinstance(given, Sequence) and right.brackets != given.brackets:
            return "another kind of answer"
        return "a different value" if not isinstance(right, Words) else "different text"
    if isinstance(right, Named) or isinstance(given, Named):
        return "a different value"
    return "another kind of answer"
