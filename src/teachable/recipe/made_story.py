"""What became of a seed, or how a synthetic prompt came to be, read from the folders that `synthesize` has written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.store.files import read_rows
from teachable.store.manifest import StageEntry
from teachable.synthesize.tables import EXAMPLES, PROMPTS, REJECTS

KIND = "synthesize"


def folders_made(run: Path, entries: Mapping[str, StageEntry]) -> list[Path]:
    """Folders of a run, or of the command, in which synthetic prompts lie with what was dropped."""
    places = [run / name for name, entry in entries.items() if entry.kind == KIND]
    return [place for place in (*places, run) if (place / PROMPTS).is_file() and (place / REJECTS).is_file()]


def made_story(folders: Sequence[Path], prefix: str) -> dict[str, Any] | None:
    """The accepted prompts and the drops of an id, or of what begins like it; None where nobody knows it.

    Args:
        prefix: of a prompt's id, or of a seed's, at least three characters.
    """
    if len(prefix) < 3:
        return None
    accepted, dropped = [], []
    for folder in folders:
        responses = {row["prompt_id"]: row["messages"][-1]["content"] for row in read_rows(folder / EXAMPLES)}
        for row in read_rows(folder / PROMPTS):
            meta = json.loads(row["meta"])
            history = meta["synthesis"]
            if row["id"].startswith(prefix) or history["seed"].startswith(prefix):
                response = responses.get(row["id"], "")
                accepted.append({**row, "meta": meta, "response": response, "stage": folder.name})
        for row in read_rows(folder / REJECTS):
            if row["seed"].startswith(prefix):
                dropped.append({**row, "stage": folder.name})
    return {"id": prefix, "made": accepted, "dropped": dropped} if accepted or dropped else None


def made_text(told: Mapping[str, Any]) -> str:
    """The story for people."""
    parts = [_accepted(row) for row in told["made"]] + [_dropped(row) for row in told["dropped"]]
    return "\n\n".join(parts)


def _accepted(row: Mapping[str, Any]) -> str:
    history = row["meta"]["synthesis"]
    lines = [f"{row['id']}  accepted by {row['stage']} ({history['workflow']}), proof: {history['proof']}"]
    lines += [f"  {message['role']}: {_indented(message['content'])}" for message in row["messages"]]
    if row["response"]:
        lines.append(f"  response: {_indented(row['response'])}")
    if row["answer"] is not None:
        lines.append(f"  answer ({row['answer_source']}, decided by {row['verifier']}): {_indented(row['answer'])}")
    lines += [
        f"  came from {step['parent']} by {step['transform']} {step['params']}".rstrip() for step in row["lineage"]
    ]
    for name, values in (("scores", history["scores"]), ("templates", history["templates"])):
        if values:
            lines.append(f"  {name}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
    if history["engines"]:
        retried = f", {history['retries']} replies sent back" if history["retries"] else ""
        lines.append(f"  written by {', '.join(history['engines'])}{retried}")
    return "\n".join(lines)


def _dropped(row: Mapping[str, Any]) -> str:
    detail = f" ({_indented(row['detail'])})" if row["detail"] else ""
    text = f"\n  {_indented(row['text'])}" if row["text"] else ""
    return f"{row['item']}  dropped by {row['stage']} at {row['step']}: {row['reason']}{detail}{text}"


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n    ")
