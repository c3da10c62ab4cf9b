"""The verifier `exact`: is the text of the final answer the reference answer?

Two answers are equal when they are the same after Unicode compatibility folding, with white space, case, wrapping
quotes and trailing punctuation evened out, or when both are numbers of the same value (06 and 6, 1,000 and 1000.0).
Flags: keep case apart, leave out articles, let numbers differ by a tolerance. How the final answer is found is said in
`extract`.

What it does not protect against: an answer that is right in another form (1/2 for 0.5, "six" for 6), and a last line
that happens to be the answer. An answer in several parts must be given in the reference's order.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict
from teachable.verify.extract import NO_ANSWER, Final, answer_line, final, unwrapped

__all__ = ["NO_ANSWER", "Exact", "as_number", "canonical"]

_NUMBER = re.compile(r"([+-]?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.([0-9]*))?")
_ARTICLE = re.compile(r"(?<!\S)(?:a|an|the)(?!\S)", re.IGNORECASE)
# Compatibility folding would turn 10² into 102.
_RAISED = {ord(raised): f"^{plain}" for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True)}
_WRAPPERS = "\"'`*_$“”‘’"
_TRAILING = ".,;:!?"


def as_number(text: str) -> str | None:
    """A decimal number in its one written form ("-12.5", "1000"), or None when the text is no such number.

    Works on the digits, so that numbers of any length compare exactly.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction = found.groups()
    if not whole and not fraction:
        return None
    digits = (whole or "0").replace(",", "").lstrip("0") or "0"
    decimals = (fraction or "").rstrip("0")
    value = f"{digits}.{decimals}" if decimals else digits
    return f"-{value}" if sign == "-" and value != "0" else value


def canonical(answer: str, *, fold_case: bool = True, fold_articles: bool = False) -> str:
    """The form in which two equal answers are the same string.

    Args:
        answer: the answer as it was extracted, or the reference.
        fold_case: "Paris" and "paris" are equal (Unicode case folding).
        fold_articles: "the cat" and "cat" are equal: the English articles are left out, wherever they stand.
    """
    text = unicodedata.normalize("NFKC", answer.translate(_RAISED)).replace("\N{MINUS SIGN}", "-")
    # Folding case may undo the normal form, which must be a fixed point for what is canonical to stay so.
    text = " ".join((unicodedata.normalize("NFKC", text.casefold()) if fold_case else text).split())
    bare = text.rstrip(_TRAILING + _WRAPPERS + " ").lstrip(_WRAPPERS + " ")
    if fold_articles:
        bare = " ".join(_ARTICLE.sub(" ", bare).split()) or bare
        bare = bare.rstrip(_TRAILING + _WRAPPERS + " ").lstrip(_WRAPPERS + " ")
    bare = bare or text  # an answer that is nothing but punctuation stays itself
    number = as_number(bare)
    return bare if number is None else number


def _reference(text: str) -> str:
    """A reference answer as plain text, where it is given in its box."""
    boxed = final(text) if "boxed{" in text else None
    return unwrapped(boxed.answers[-1] if boxed and boxed.answers else text)


@dataclass(frozen=True)
class Exact:
    """Right when the final answer's text equals the prompt's reference answer; see the module for "equals".

    Attributes:
        fold_case: capitals do not matter.
        fold_articles: a, an and the do not matter.
        tolerance: how far two numbers may lie apart and still be equal, in their own unit (absolute); 0 is off.

    Raises:
        TeachableError: the tolerance is negative, infinite or not a number.
    """

    fold_case: bool = True
    fold_articles: bool = False
    tolerance: float = 0.0

    name = "exact"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise TeachableError(
                f"a tolerance of {self.tolerance} is none that two numbers could keep",
                where="Exact",
                mend="Give a finite number from 0",
            )

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Compare the final answer of `attempt` with `prompt.answer`; without a reference it can't be told."""
        n_lines = prompt.answer.strip().count("\n") + 1 if prompt.answer else 1
        found = final(attempt, n_lines)
        answer = unwrapped(found.answers[-1]) if found.answers else None
        if prompt.answer is None:
            return Verdict(None, answer, "there is no reference answer")
        if answer is None:
            return Verdict(False, None, found.refused or NO_ANSWER)
        if found.refused:
            return Verdict(False, answer, found.refused)
        if len({self._form(unwrapped(each)) for each in found.answers}) > 1:
            return Verdict(False, " | ".join(found.answers), "gives several different answers")
        reference = _reference(prompt.answer)
        if self._equal(answer, reference):
            return Verdict(True, answer, "equals the reference answer")
        line = answer_line(attempt, n_lines, whole=True) if found.how == "marker" else None
        if line is not None and self._form(line) == self._form(reference):
            return Verdict(True, line, "equals the reference answer")  # which itself reads like an answer and a reason
        return Verdict(False, answer, self._difference(found))

    def _difference(self, found: Final) -> str:
        return "offers alternatives instead of one answer" if found.hedged else "differs from the reference answer"

    def _form(self, text: str) -> str:
        return canonical(text, fold_case=self.fold_case, fold_articles=self.fold_articles)

    def _equal(self, answer: str, reference: str) -> bool:
        given, wanted = self._form(answer), self._form(reference)
        if given == wanted or not self.tolerance:
            return given == wanted
        if as_number(given) is None or as_number(wanted) is None:
            return False
        exact = Context(prec=len(given) + len(wanted) + 2, Emax=MAX_EMAX, Emin=MIN_EMIN)
        difference = exact.abs(exact.subtract(Decimal(given), Decimal(wanted)))
        return difference <= Decimal(repr(float(self.tolerance)))
