"""Code and texts with a planted truth, and a model that writes instructions for them and follows instructions.

Code `i` is a right program of `planted_code`, with tests of its own where `i` is even. Text `i` is a note about an
invented person. What the model writes again is right in most samples; which ones follows from number and sample.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence

from tests.synthesize.workflows import planted_code as code

from teachable.records import Document, Message

_FIRST = ("Mara", "Jonas", "Ilse", "Pavel", "Odile", "Tomas", "Wanda")
_LAST = ("Quist", "Abelard", "Norling", "Veld", "Sorrento", "Ibarra")
_CITY = ("Tarnow", "Bruges", "Uppsala", "Girona", "Lucca")


def file_of(i: int, tests: bool | None = None) -> str:
    """The code of seed i, with tests at its end where `tests` says so (None: where i is even)."""
    planted = code.of(i)
    own = "".join(f"    {test}\n" for test in planted.tests)
    program = f'"""A tool of the clerk\'s."""\n\n{planted.right[0]}'
    return f"{program}\n\ndef test_all():\n{own}" if (i % 2 == 0 if tests is None else tests) else program


def document(i: int) -> Document:
    """Code i as a document."""
    return Document(id=f"code{i}", text=file_of(i), source="tools.py", meta={"code": "python"})


def _facts(i: int) -> tuple[str, str, int, int]:
    luck = random.Random(f"note {i}")
    name = f"{luck.choice(_FIRST)} {luck.choice(_LAST)}"
    return name, luck.choice(_CITY), 1700 + i, 12 + i * 3


def note(i: int) -> str:
    """Text i."""
    name, city, year, n = _facts(i)
    return (
        f"Entry {i}. In the year {year} a clockmaker called {name} opened a workshop in the old town of {city}. With "
        f"{n} apprentices the workshop repaired church clocks and ship chronometers, and it was known for never asking "
        f"to be paid before a clock had kept good time for a whole month."
    )


def text_document(i: int, more: str = "") -> Document:
    """Text i as a document."""
    return Document(id=f"text{i}", text=note(i) + more, source="notes.txt", language="en")


def request(i: int) -> str:
    """The instruction for text i."""
    name, city, year, n = _facts(i)
    return (
        f"Write entry {i} of a chronicle, two sentences: the clockmaker {name}, {city}, {year}; how many learned the "
        f"trade there ({n}), what was mended, and on which terms customers paid."
    )


def note_again(i: int, sample: int, frac_wrong: float = 0.25) -> str:
    """Text i, written again: near the original, or in some samples something else."""
    name, city, year, n = _facts(i)
    if random.Random(f"again {i} {sample}").random() < frac_wrong:
        return "There once was a person who liked tools. It is not known when or where that was, and nobody has asked."
    return (
        f"Entry {i}. In the year {year} the clockmaker {name} opened a workshop in the town of {city}. Its {n} "
        f"apprentices repaired church clocks and chronometers of ships, and nobody was asked to pay before a clock had "
        f"kept good time for a month."
    )


def answer(messages: Sequence[Message], sample: int) -> str:
    """The honest model of the workflow `reverse`."""
    text = messages[-1]["content"]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    entry = re.search(r"[Ee]ntry (\d+)", text)
    if "says the same as the text" in system:
        assert entry is not None
        return json.dumps({"instruction": request(int(entry[1]))})
    if "does what the code below does" in system:
        return json.dumps({"instruction": code.of(code.number_in(text)).statement})
    if "write tests" in system:
        return code.suite(code.number_in(text), sample)
    return note_again(int(entry[1]), sample) if entry is not None else code.solution(code.number_in(text), sample)
