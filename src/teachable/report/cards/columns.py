"""The columns of the tables that data cards describe: their types, read from the files, and what they mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError

COLUMNS = {
    "prompt_id": "the prompt's id",
    "messages": "the chat; the last message is the assistant's, the response to learn",
    "domain": "the kind of question",
    "level": "its difficulty within the domain, 1 the easiest; 0: nobody said",
    "zone": "mastered, teachable, beyond or ambiguous",
    "why": "why it is in",
    "n_tokens": "tokens of the training example; 0 if it has none",
    "decision": "in or out of the pool",
    "reason": "why, in a sentence",
    "arms": "the sets that hold it",
    "confidence": "posterior probability of its zone, in [0, 1]",
    "prompt": "what is continued: text, or messages",
    "chosen": "the preferred continuation",
    "rejected": "the other one",
    "prompt_token_ids": "the prompt as token ids of the model that was searched",
    "chosen_token_ids": "the preferred continuation as token ids",
    "rejected_token_ids": "the other one as token ids",
    "kind": "pivotal or judged",
    "delta": "change of the success probability, in [-1, 1]",
    "delta_low": "lower end of its interval",
    "delta_high": "upper end of its interval",
    "position": "place of the token in its solution, counted from 0",
    "chosen_probability": "next-token probability of the preferred token",
    "rejected_probability": "next-token probability of the other one",
    "chosen_p_success": "success probability after the preferred token",
    "rejected_p_success": "success probability after the other one",
    "n_samples": "completions behind these numbers",
    "token_id": "the token's id",
    "token": "the token's text",
    "token_ids": "the solution as token ids",
    "tokens": "the text of each token",
    "text": "the whole text",
    "correct": "the verifier's word; null: it could not tell",
    "probability": "next-token probability",
    "probabilities": "next-token probability of each token",
    "values": "success probability after each prefix, from none of the tokens to all",
    "value_sds": "standard deviations of these",
    "p_before": "success probability without the token",
    "p_after": "success probability with it",
    "p_success": "success probability",
    "solution_token_ids": "the whole solution as token ids",
    "alternatives": "what the model chose there instead, and how often that ended well",
    "note": "what is worth saying of it",
    "outcome": "what became of the prompt",
    "n": "decided samples",
    "successes": "how many of them were right",
    "margin": "by how much the judge prefers it",
    "judge": "the engine that judged",
    **{
        f"{name}{side}": f"the judge's {name} from 1 to 10{of}"
        for name in ("accuracy", "style", "detail")
        for side, of in (("", ""), ("_chosen", " of the preferred response"), ("_rejected", " of the other one"))
    },
    "spread": "spread of the votes",
    "n_won": "comparisons that it won",
    "n_tied": "comparisons without a winner",
    "n_lost": "comparisons that it lost",
    "engine": "the engine that answered",
    "response": "the answer",
    "score": "the judge's score",
    "score_chosen": "the judge's score of the preferred response",
    "score_rejected": "the judge's score of the other one",
    "response_chosen": "id of the preferred response",
    "response_rejected": "id of the other one",
    "engine_chosen": "who wrote the preferred response",
    "engine_rejected": "who wrote the other one",
    "correct_chosen": "the verifier's word on the preferred response",
    "correct_rejected": "the verifier's word on the other one",
    "id": "the response's id",
    "sample": "which of its engine's answers",
    "seed": "of the request",
    "finish_reason": "stop, length, or error",
    "answer": "the final answer that was extracted",
    "checked": "what the verifier said",
    "like": "id of an earlier response that says the same",
    "fault": "why it took no part",
    "first": "id of the response that was shown first",
    "second": "id of the other one",
    "winner": "id of the better one; null: neither",
    "votes": "replies of the judge that count",
    "n_flipped": "votes that followed a place, not a response",
    "n_unreadable": "replies that nobody could read",
    "position_bias": "preference for the first place",
}


@dataclass(frozen=True)
class Shape:
    """Rows of a file, and its columns as (name, type)."""

    n_rows: int
    columns: tuple[tuple[str, str], ...]


def shape_of(path: Path) -> Shape:
    """The shape of a `.parquet` or `.jsonl` file; a JSONL file's columns are those of its first row.

    Raises:
        TeachableError: the file is broken.
    """
    try:
        return _of_parquet(path) if path.suffix == ".parquet" else _of_lines(path)
    except (OSError, ValueError) as error:
        raise TeachableError(
            f"this file of the run cannot be read ({error})",
            where=str(path),
            mend="Run the stage that wrote it again, or restore the file",
        ) from error


def _of_parquet(path: Path) -> Shape:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:  # what pyarrow raises for a broken file is a ValueError
        schema = file.schema_arrow
        return Shape(file.metadata.num_rows, tuple((field.name, _type(str(field.type))) for field in schema))


def _type(name: str) -> str:
    """An Arrow type in the words that a card's reader knows."""
    return (
        name.replace("element: ", "")
        .replace("item: ", "")
        .replace("double", "float64")
        .replace("large_string", "string")
    )


def _of_lines(path: Path) -> Shape:
    n_rows, first = 0, b""
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                first = first or line
                n_rows += 1
    row = json.loads(first) if first else {}
    return Shape(n_rows, tuple((name, _json_type(value)) for name, value in row.items()))


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return f"list<{_json_type(value[0])}>" if value else "list"
    if isinstance(value, dict):
        return "struct<" + ", ".join(f"{name}: {_json_type(inner)}" for name, inner in value.items()) + ">"
    return {int: "int64", float: "float64", str: "string"}.get(type(value), "null")
