"""A curve of probabilities as a few lines of braille dots, two columns and four rows of dots a character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

N_ROWS = 5
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a braille character: by column, from the top
_LABELS = {0: "1.0", N_ROWS // 2: "0.5", N_ROWS - 1: "0.0"}


def curve_lines(values: Sequence[float | None], width: int, marks: Mapping[int, str], *, stretch: int = 1) -> list[str]:
    """The lines of the drawing, with an axis at the left and the marks below.

    Args:
        values: in [0, 1]; None leaves a gap. More values than dots are averaged a dot.
        width: characters for the curve at most.
        marks: index into `values` -> one character that is written below it.
        stretch: dots a value, where there is room.
    """
    stretch = max(1, min(stretch, 2 * width // len(values)))
    values = [value for value in values for _ in range(stretch)]
    n_columns = max(1, min(2 * width, len(values)))
    edges = [round(i * len(values) / n_columns) for i in range(n_columns + 1)]
    stretches = [[value for value in values[a:b] if value is not None] for a, b in pairwise(edges)]
    top = 4 * N_ROWS - 1
    heights = [round(top * min(1.0, max(0.0, sum(s) / len(s)))) if s else None for s in stretches]
    cells = [[0] * ((n_columns + 1) // 2) for _ in range(N_ROWS)]
    for column, (before, height) in enumerate(pairwise([None, *heights])):
        for dot in _between(before, height):
            row, place = divmod(top - dot, 4)
            cells[row][column // 2] |= _DOTS[column % 2][place]
    lines = [f"{_LABELS.get(i, ''):>3} \u2502" + "".join(chr(0x2800 + c) for c in row) for i, row in enumerate(cells)]
    below = [" "] * len(cells[0])
    for place, mark in marks.items():
        below[next(i for i in range(n_columns) if place * stretch < edges[i + 1]) // 2] = mark
    return [*lines, "     " + "".join(below).rstrip()] if marks else lines


def _between(before: int | None, height: int | None) -> range:
    """The dots of one column: its own, and those that join it to the column before."""
    if height is None:
        return range(0)
    if before is None or before == height:
        return range(height, height + 1)
    return range(before + 1, height + 1) if before < height else range(height, before)
