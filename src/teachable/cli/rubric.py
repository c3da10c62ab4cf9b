"""A judge's rubric, from the file that `--rubric` names."""

from __future__ import annotations

from pathlib import Path

from teachable.errors import TeachableError


def read_rubric(path: Path | None) -> str:
    """The text of a rubric's file; empty for the judge's own.

    Raises:
        TeachableError: the file can't be read, or holds nothing.
    """
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TeachableError(
            f"this rubric can't be read ({error})", where=str(path), mend="Name a text file"
        ) from error
    if not text.strip():
        raise TeachableError("this rubric is empty", where=str(path), mend="Write how to judge")
    return text
