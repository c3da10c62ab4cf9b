"""Is a variant in form? What can be told of a question with a short answer without asking anybody."""

from __future__ import annotations

import re

from teachable.synthesize.checks.leaks import leak
from teachable.verify import canonical, final, maths
from teachable.verify.options import options_in

MAX_ANSWER_CHARS, MAX_ANSWER_WORDS = 60, 8
MIN_WORDS = 4  # of what is left of a question without its condition
_PROOF = re.compile(
    r"\b(?:prove|proof|disprove|show (?:that|why|how)|demonstrate (?:that|why)|justify|verify that|derive (?:the|a|an)"
    r"|explain (?:why|how|your|the)|discuss|describe|argue)\b",
    re.IGNORECASE,
)
_STATES = r"(?:answer|solution|result|hint)\s*(?:is|was|equals|[:=])+\s*[(\"'$\\]*"
_IN_WORDS = "~words"  # how the key of an answer begins that mathematics can't read
_WORDS = re.compile(r"\w+")


def fault_in_form(question: str, answer: str, hypothesis: str, conclusion: str, verifier: str, original: str) -> str:
    """Why a question can't be used, as a label that can be counted; "" where nothing is wrong with its form.

    Args:
        hypothesis: the part of the question that is to decide.
        conclusion: what is to follow from that part.
        verifier: of the answer: "math", "choice" or "exact".
        original: the problem that it was made of.
    """
    if canonical(question) == canonical(original):
        return "repeats its seed"
    if _PROOF.search(question):
        return "asks for a proof"
    if len(answer) > MAX_ANSWER_CHARS or "\n" in answer or len(answer.split()) > MAX_ANSWER_WORDS:
        return "its answer is not short"
    said = final(f"Answer: {answer}")
    if said.hedged or said.refused or len(said.answers) > 1:
        return "its answer is not one"
    if verifier == "math" and (maths.key(answer) or _IN_WORDS).startswith(_IN_WORDS):
        return "its answer is no number or formula"
    if verifier == "choice" and not _lists(question, answer):
        return "its answer is none of its options"
    if span_of(question, hypothesis) is None:
        return "its condition is not in it"
    if len(_WORDS.findall(without_hypothesis(question, hypothesis))) < MIN_WORDS:
        return "its condition is all of it"
    if verifier != "choice" and re.search(rf"(?<!\w){re.escape(answer)}(?!\w|\.\d)", conclusion, re.IGNORECASE):
        return "its conclusion states the answer"
    if canonical(conclusion) in canonical(question):
        return "its conclusion stands in it"
    stated = re.search(_STATES + re.escape(answer) + r"(?!\w)", question, re.IGNORECASE)
    return "its answer stands in it" if stated or leak(question, answer, verifier) else ""


def span_of(question: str, hypothesis: str) -> tuple[int, int] | None:
    """Where the condition stands in the question, up to white space and case; None where it does not."""
    words = [re.escape(word) for word in hypothesis.strip().rstrip(".,;:").split()]
    found = re.search(r"\s+".join(words), question, re.IGNORECASE) if words else None
    return found.span() if found else None


def without_hypothesis(question: str, hypothesis: str) -> str:
    """The question without its condition; as it is where it has none."""
    span = span_of(question, hypothesis)
    return " ".join(f"{question[: span[0]]} {question[span[1] :]}".split()) if span else question


def _lists(question: str, answer: str) -> bool:
    """Is the answer the label or the text of one of the options that the question lists?"""
    options = options_in(question)
    return bool(options) and canonical(answer) in {canonical(one) for pair in options.items() for one in pair}
