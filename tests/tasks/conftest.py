"""A file of prompts in a temporary folder, as a user would write it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from teachable.store.files import write_rows

WriteFile = Callable[..., Path]
TOPICS = ("rivers of Africa", "the moons of Jupiter", "how bread rises", "chess openings", "the tides", "copper wire")
VERBS = ("Describe", "Explain", "Summarise", "Question", "Defend", "Compare")
# Thirty-six prompts that have little in common but their writer.
MANY = [
    {"prompt": f"{verb} {topic}, item {i * 977 % 613}", "answer": str(i)}
    for i, (verb, topic) in enumerate((verb, topic) for verb in VERBS for topic in TOPICS)
]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Write rows (or bytes as they are) to `prompts.jsonl`, or to a file of another ending."""

    def write(content: bytes | Sequence[Mapping[str, Any]], suffix: str = ".jsonl") -> Path:
        path = tmp_path / f"prompts{suffix}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        else:
            write_rows(path, content)
        return path

    return write
