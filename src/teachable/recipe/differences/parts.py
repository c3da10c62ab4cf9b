"""What a comparison is made of for people, and its two forms: aligned lines for a terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Cells: TypeAlias = Sequence[str]


@dataclass(frozen=True)
class Heading:
    """The beginning of a part; level 1 is a comparison, 2 one of its parts."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """One or more sentences; a warning is marked."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a header; the first `n_text` columns stand to the left, the others to the right."""

    header: Cells
    rows: Sequence[Cells]
    n_text: int = 1


Part: TypeAlias = Heading | Paragraph | Table


def as_text(parts: Iterable[Part]) -> str:
    """Lines for a terminal."""
    return "\n\n".join(_plain(part) for part in parts) + "\n"


def as_markdown(parts: Iterable[Part]) -> str:
    """Markdown; headings begin at the second level."""
    return "\n\n".join(_marked(part) for part in parts) + "\n"


def _plain(part: Part) -> str:
    if isinstance(part, Heading):
        return f"{part.text}\n{('=' if part.level == 1 else '-') * len(part.text)}"
    if isinstance(part, Paragraph):
        return f"! {part.text}" if part.is_warning else part.text
    rows = [[_one_line(cell) for cell in row] for row in (part.header, *part.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(part.header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < part.n_text else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _marked(part: Part) -> str:
    if isinstance(part, Heading):
        return f"{'#' * (part.level + 1)} {_escaped(part.text)}"
    if isinstance(part, Paragraph):
        return f"> **Note:** {_escaped(part.text)}" if part.is_warning else _escaped(part.text)
    marks = ["---" if i < part.n_text else "---:" for i in range(len(part.header))]
    header, *rows = ([_escaped(cell) for cell in row] for row in (part.header, *part.rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, marks, *rows))


def _one_line(text: str) -> str:
    """The text on one line, without signs that a terminal would act on."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: prompts, reasons and paths may hold its signs."""
    return "".join(f"\\{sign}" if sign in "\\`*_<>[]|#$" else sign for sign in _one_line(text))
