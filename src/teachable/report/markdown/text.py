"""Markdown from Python: what keeps text from becoming markup, and the few blocks that reports and cards are made of.

Whatever a model or a user's file said is text by assumption. Long text goes into a fence that is longer than any run of
backticks in it; short text is escaped, and so written that a forge neither calls anyone (`@name`), nor links anything
(`#12`, `www.`, `://`), since a report may be pasted into a pull request. What is escaped reads well without a renderer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

# Control characters, lone surrogates, and the marks that make text run backwards; line breaks and tabs stay.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_MARKUP = re.compile(r"([\\`*\[\]|~$])|((?<![^\W_])_|_(?![^\W_]))")
_STARTS = re.compile(r"^([#+=>-]|\d+(?=[.)]))")
_LINKS = re.compile(r"((?<!\w)@(?=\w)|#(?=\d)|://|\bwww\.|\bGH-(?=\d))", re.IGNORECASE)
_BREAK = "\u200b"  # of no width
_FULL = 20  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉"


def printable(value: object) -> str:
    """The value as text, what nobody can see or what turns text round replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\r", "\n"))


def one_line(value: object) -> str:
    """The same on one line, runs of white space made one space."""
    return " ".join(printable(value).split())


def text(value: object) -> str:
    """The value as inline text that is no markup, also in a table's cell."""
    found = _MARKUP.sub(r"\\\g<0>", one_line(value))
    found = found.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    found = _STARTS.sub(lambda start: _escaped_start(start[0]), found)
    return _LINKS.sub(lambda link: f"{link[0][0]}{_BREAK}{link[0][1:]}", found)


def _escaped_start(start: str) -> str:
    return f"{start}{_BREAK}" if start[0].isdigit() else f"\\{start}"


def code(value: object) -> str:
    """The value as a code span. One that holds a bar is written as text: in a table's cell no span can hold it."""
    found = one_line(value)
    if not found or "|" in found:
        return text(found)
    edge = "`" * (_longest_run(found) + 1)
    space = " " if found[0] == "`" or found[-1] == "`" else ""
    return f"{edge}{space}{found}{space}{edge}"


def fence(value: object, language: str = "") -> str:
    """The value as a fenced block, to the letter but for what cannot be printed."""
    found = printable(value).rstrip("\n")
    edge = "`" * max(3, _longest_run(found) + 1)
    return f"{edge}{language}\n{found}\n{edge}"


def _longest_run(value: str) -> int:
    return max((len(run) for run in re.findall("`+", value)), default=0)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1, tail: int = 0) -> str:
    """A table whose first `left` and last `tail` columns are aligned left, the others right; cells are Markdown."""
    rules = ["---" if i < left or i >= len(head) - tail else "---:" for i in range(len(head))]
    lines = [head, rules, *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell: object) -> str:
    return "" if cell is None else str(cell).replace("\u00a0", " ").replace("\n", " ")


def bar(value: float | None, most: float) -> str:
    """A bar of block characters, `most` being the longest; something that is not nothing is at least a sliver."""
    if not value or most <= 0:
        return ""
    eighths = max(1, round(8 * _FULL * min(1.0, value / most)))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text with their columns below one another, numbers to the right, the last column as it is."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:-1], widths[1:], strict=True))]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def blocks(parts: Iterable[str | None]) -> str:
    """Blocks with a blank line between them; what is empty is left out."""
    return "\n\n".join(part for part in parts if part)


def front_matter(values: Mapping[str, Any]) -> str:
    """The YAML block at the head of a card. None and empty values are left out, every text is one printable line."""
    document = yaml.safe_dump(_bare(values), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{document}---"


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {one_line(key): _bare(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return [_bare(inner) for inner in value]
    return one_line(value) if isinstance(value, str) else value
