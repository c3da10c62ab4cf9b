r"""Benchmarks with a mathematical answer: GSM8K, MATH, MGSM, AIME, Omni-MATH. The verifier `math` decides.

A reference stands in a column of its own, or at the end of a worked solution: after `####` in GSM8K, in the last
\boxed{} in MATH.
"""

from __future__ import annotations

import re

from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.spec import Question
from teachable.tasks.values import AFTER_HASHES, IN_BOX, final_answer

LANGUAGES = ("bn", "de", "en", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
NO_ANSWER = "no reference answer"
_LEVEL = re.compile(r"\s*(?:level\s*)?(\d+)\s*", re.IGNORECASE)


def gsm8k(cells: Cells) -> Question:
    """`question`, and `answer`: a worked solution that ends with `#### n`."""
    found = final_answer(cells.text("answer"))
    if found is None or found[1] != AFTER_HASHES:
        cells.refuse("answer", "does not end with a line `#### ` and the answer")
    return Question({"question": cells.text("question").strip()}, found[0])


def competition(cells: Cells) -> Question:
    r"""`problem`, `level` ("Level 3", or 3), `type` or `subject`; `answer`, or the last \boxed{} of `solution`."""
    answer = cells.optional("answer").strip()
    if not answer:
        found = final_answer(cells.text("solution"))
        if found is None or found[1] != IN_BOX:
            cells.refuse("solution", r"has no \boxed{...} with the answer")
        answer = found[0]
    level = _LEVEL.fullmatch(cells.optional("level"))
    return Question(
        {"question": cells.text("problem", "question").strip()},
        answer,
        subject=cells.optional("subject", "type"),
        level=int(level[1]) if level else 0,
    )


def mgsm(cells: Cells) -> Question:
    """`question` and `answer` (a number), or `answer_number` where `answer` is a worked solution or empty.

    The language, which becomes the subject, is the folder's, the file's or the config's: `mgsm_de.tsv`, `de/test...`.
    """
    words = {word.lower() for part in cells.place.parts for word in re.findall(r"[A-Za-z]+", part.partition(".")[0])}
    language = cells.optional("language", "lang") or next((one for one in LANGUAGES if one in words), "")
    answer = cells.text("answer_number", "answer").strip().replace(",", "")
    if not re.fullmatch(r"-?\d+(?:\.\d+)?", answer):
        cells.refuse("answer", f"is {answer[:40]!r}, where a number is needed")
    return Question({"question": cells.text("question").strip()}, answer, subject=language)


def aime(cells: Cells) -> Question:
    """`problem` (or `question`) and `answer`, a whole number from 0 to 999; capitals in names make no difference."""
    return Question({"question": cells.text("problem", "question").strip()}, cells.text("answer").strip())


def omni_math(cells: Cells) -> Question | str:
    """`problem`, `answer`, `domain` (a list of paths), `difficulty` (1 to 10, in halves: its whole part is the level).

    A problem without an answer (a proof) is no question that a rule can decide.
    """
    if not cells.has("answer"):
        return NO_ANSWER
    domain = cells.value("domain")
    first = str(domain[0]) if isinstance(domain, list | tuple) and domain else str(domain or "")
    path = [part.strip(" []'\"") for part in first.split("->")]
    difficulty = cells.value("difficulty")
    try:
        level = max(1, int(float(difficulty))) if difficulty is not None else 0
    except (TypeError, ValueError):
        cells.refuse("difficulty", f"is {str(difficulty)[:40]!r}, where a number is needed")
    return Question(
        {"question": cells.text("problem").strip()},
        cells.text("answer").strip(),
        subject=path[1] if len(path) > 1 else path[0],
        level=level,
    )
