"""Which examples share a row: best-fit decreasing, so that rows of one width are nearly full (Johnson 1973).

Examples are never cut. That no example in a row sees another is the attention's work: a row's positions begin anew with
each example (`tune_trainer.py`), from which transformers builds a mask of blocks, and flash attention its borders.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def pack(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Rows of indices into `lengths`, each row's lengths adding up to `width` at most.

    The longest example is placed first, each in the row that it leaves fullest; of rows that are equally full, in the
    one that was begun first. At most 11/9 of the fewest rows possible, and 6/9 of one more (Dosa 2007).

    Raises:
        ValueError: an example is longer than a row.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > width:
            raise ValueError(f"an example of {length} tokens does not fit into a row of {width}")
        at = bisect_left(room, (length, -1))
        left, row = room.pop(at) if at < len(room) else (width, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(index)
        insort(room, (left - length, row))
    return rows
