"""docs/guard.md names the rule as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

from teachable.overlap import guard, telling
from teachable.overlap.ngram import MIN_WORDS_INSIDE

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "guard.md").read_text(encoding="utf-8")


def test_the_table_has_every_way_of_overlapping() -> None:
    rows = dict(re.findall(r"^\| `([\w -]+)` \| (.*?) \|", TEXT, flags=re.MULTILINE))
    assert set(rows) >= set(guard._SAYING)
    numbers = {
        "near-duplicate": (5, telling.NEAR_DUPLICATE),
        "contains": (MIN_WORDS_INSIDE, guard.RUN_WORDS - 1, guard.QUESTION_TELLING),
        "part": (guard.PART_WORDS, guard.RUN_WORDS - 1, guard.RUN_TELLING),
        "shared run": (guard.RUN_WORDS, guard.RUN_TELLING),
    }
    for how, expected in numbers.items():
        assert tuple(float(n) for n in re.findall(r"\d+(?:\.\d+)?", rows[how])) == expected
