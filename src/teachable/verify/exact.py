"""The verifier `exact`: is the text of the final answer the reference answer?

Extraction, which the other verifiers share: text inside <think>..</think> never counts; the answer is what
follows the last "Answer:" (in any case); where nothing says "Answer:", it is the last line with anything on it.
Two answers are equal when they are the same after Unicode compatibility folding, with white space, case,
wrapping quotes and trailing punctuation evened out, or when both are numbers of the same value (06 and 6,
1,000 and 1000.0).

What it does not protect against: an answer that is right in another form (1/2 for 0.5, "six" for 6), and a
last line that happens to be the answer. An answer in several parts must be given in the reference's order.
"""

from __future__ import annotations

import re
import unicodedata

from teachable.records import Prompt, Verdict

NO_ANSWER = "no answer found"

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"\A.*</think>", re.DOTALL | re.IGNORECASE)
_MARKER = re.compile(r"\banswer[ \t]*(?:\*\*)?[ \t]*:[ \t]*(?:\*\*)?", re.IGNORECASE)
_NUMBER = re.compile(r"([+-]?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.([0-9]*))?")
_WRAPPERS = "\"'`*_$“”‘’"
_TRAILING = ".,;:!?"


def extract_answer(text: str, n_lines: int = 1) -> str | None:
    """The final answer that a response gives, or None when it gives none.

    Args:
        text: the whole response.
        n_lines: how many lines an answer may take (a grid takes several); the rest is talk that came after.
    """
    # A response may open in the middle of a thought: chat templates put the opening tag into the prompt.
    spoken = _THOUGHT_END.sub("", _THOUGHT.sub("", text))
    markers = list(_MARKER.finditer(spoken))
    if not markers:
        lines = [line.strip() for line in spoken.splitlines() if line.strip()]
        return "\n".join(lines[-n_lines:]) or None
    tail = spoken[markers[-1].end() :].strip()
    kept = [line.rstrip() for line in tail.splitlines() if line.strip()][:n_lines]
    return "\n".join(kept).removeprefix("**").removesuffix("**").strip() or None


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


def canonical(answer: str) -> str:
    """The form in which two equal answers are the same string."""
    text = " ".join(unicodedata.normalize("NFKC", answer).replace("\N{MINUS SIGN}", "-").casefold().split())
    bare = text
    while bare and (bare[-1] in _TRAILING or bare[0] in _WRAPPERS or bare[-1] in _WRAPPERS):
        shorter = bare.rstrip(_TRAILING).strip(_WRAPPERS).strip()
        if shorter == bare:
            break
        bare = shorter
    bare = bare or text  # an answer that is nothing but punctuation stays itself
    number = as_number(bare)
    return bare if number is None else number


class Exact:
    """Right when the extracted answer equals the prompt's reference answer; see the module for "equals"."""

    name = "exact"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Compare the final answer of `attempt` with `prompt.answer`; without a reference it can't be told."""
        n_lines = prompt.answer.strip().count("\n") + 1 if prompt.answer else 1
        answer = extract_answer(attempt, n_lines)
        if prompt.answer is None:
            return Verdict(None, answer, "there is no reference answer")
        if answer is None:
            return Verdict(False, None, NO_ANSWER)
        if canonical(answer) == canonical(prompt.answer):
            return Verdict(True, answer, "equals the reference answer")
        return Verdict(False, answer, "differs from the reference answer")
