"""Benchmarks that a language model judges: SimpleQA (`graded`), and Arena-Hard against a baseline (`duel`)."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.spec import Question

# The baseline of each category, as the benchmark's own judge settings have it.
BASELINES: Mapping[str, str] = {
    "arena-hard-v0.1": "gpt-4-0314",
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}


def simpleqa(cells: Cells) -> Question:
    """`problem`, `answer`, and `metadata` (a Python or JSON object), of which `topic` is the subject."""
    return Question(
        {"question": cells.text("problem").strip()},
        cells.text("answer").strip(),
        subject=_topic(cells.value("metadata")),
    )


def _topic(metadata: Any) -> str:
    if isinstance(metadata, str):
        for read in (json.loads, ast.literal_eval):
            try:
                metadata = read(metadata)
                break
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return str(metadata.get("topic") or "") if isinstance(metadata, Mapping) else ""


def arena_hard(cells: Cells) -> Question:
    """`uid` or `question_id`, `prompt` or one of `turns`, `category`.

    The baseline's response is looked up in the files beside the questions, by the model of the category, or in the only
    file that there is.
    """
    key = cells.text("uid", "question_id")
    category = cells.optional("category")
    model = next(iter(cells.beside)) if len(cells.beside) == 1 else BASELINES.get(category, "")
    if model not in cells.beside:
        cells.refuse(
            "category",
            f"is {category!r}, whose baseline {model or 'is not known and'} is not among {', '.join(cells.beside)}",
            mend="Leave the baseline's file alone in the folder model_answer",
        )
    response = next(
        (_response(row) for row in cells.beside[model] if key in (row.get("uid"), row.get("question_id"))), ""
    )
    if not response:
        cells.refuse("uid", f"is {key!r}, for which {model} has no response", mend="Add it to the baseline's file")
    # The clusters of v0.1 are too many to divide scores by, and its one category is the benchmark's own name.
    return Question({"question": _asked(cells)}, response, subject="" if cells.has("cluster") else category)


def _asked(cells: Cells) -> str:
    if cells.has("prompt"):
        return cells.text("prompt")
    turns = cells.value("turns")
    if not isinstance(turns, Sequence) or isinstance(turns, str) or len(turns) != 1:
        cells.refuse("turns", "is no list of one turn")
    turn = turns[0]
    text = turn.get("content") if isinstance(turn, Mapping) else turn
    if not isinstance(text, str) or not text.strip():
        cells.refuse("turns", "has a turn without content")
    return text


def _response(row: Mapping[str, Any]) -> str:
    """A response as both versions of the benchmark store it; empty where it is stored otherwise."""
    if isinstance(row.get("choices"), Sequence) and row["choices"]:  # v0.1: choices[0].turns[-1].content
        turns = row["choices"][0].get("turns") or [{}]
        found = turns[-1].get("content")
    else:  # v2: messages[-1].content, which is {"answer": ...}
        messages = row.get("messages") or [{}]
        found = messages[-1].get("content")
        found = found.get("answer") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) else ""
