"""What changed between two versions of a text."""

from __future__ import annotations

import difflib


def difference(before: str, after: str) -> str:
    """What changed, as the lines of a unified diff without its head; "" where nothing did."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])
