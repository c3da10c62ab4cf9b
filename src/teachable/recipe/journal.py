"""Verdicts as they are reached, one line of JSONL each, so that a process killed at any moment keeps them.

A line is written and handed to the system before the next row is taken: `kill -9` loses what was in flight, a power
cut perhaps the last lines. A line that was cut off is passed over. Verdicts are kept by what they depend on
(`verdict_key`), not by row, so a file that has grown or was put in another order finds its verdicts again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from teachable.records import Prompt, Verdict
from teachable.store.files import mending


def options_of(verifier: object) -> dict[str, Any]:
    """The flags that a verifier's verdicts depend on: its fields, where it is a dataclass."""
    if not is_dataclass(verifier) or isinstance(verifier, type):
        return {}
    return {one.name: getattr(verifier, one.name) for one in fields(verifier)}


def verdict_key(verifier: str, options: str, attempt: str, prompt: Prompt) -> str:
    """What a verdict depends on, as 32 hexadecimal digits.

    Args:
        verifier: its name.
        options: its flags and version as text.
    """
    parts = [verifier, options, attempt, prompt.answer, list(prompt.messages), dict(prompt.meta)]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Journal:
    """The verdicts in the file at `path`, which need not be there; a context in which more can be written.

    Raises:
        TeachableError: the disk is full, or the folder can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._kept: dict[str, tuple[Verdict, float]] = {}
        with mending(self.path):
            self._handle = self.path.open("a+b")
            self._read()

    def _read(self) -> None:
        """Take in every whole line, and cut off one that has no end."""
        self._handle.seek(0)
        end = 0
        for line in self._handle:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            found = _verdict(line)
            if found is not None:
                self._kept[found[0]] = found[1:]
        self._handle.truncate(end)
        self._handle.seek(end)

    def get(self, key: str) -> tuple[Verdict, float] | None:
        """The verdict of that key and the seconds that it took, or None."""
        return self._kept.get(key)

    def put(self, key: str, verdict: Verdict, seconds: float) -> None:
        """Keep a verdict."""
        self._kept[key] = verdict, seconds
        row = {
            "key": key,
            "correct": verdict.correct,
            "answer": verdict.answer,
            "reason": verdict.reason,
            "frac_passed": verdict.frac_passed,
            "seconds": round(seconds, 6),
        }
        with mending(self.path):
            self._handle.write(json.dumps(row).encode() + b"\n")
            self._handle.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()


def _verdict(line: bytes) -> tuple[str, Verdict, float] | None:
    """Key, verdict and seconds of a line; None for one that holds no verdict."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, Mapping) or not {"key", "correct", "answer", "reason"} <= row.keys():
        return None
    verdict = Verdict(row["correct"], row["answer"], row["reason"], row.get("frac_passed"))
    return str(row["key"]), verdict, float(row.get("seconds", 0.0))
