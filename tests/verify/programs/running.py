"""What the tests of the verifier `code` share: tables of programs and tests, and a way to a verdict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict
from teachable.verify.programs import Bounds, Code, find_sandbox

try:
    find_sandbox()
    WHY_NOT = ""
except TeachableError as error:
    WHY_NOT = str(error)
needs_sandbox = pytest.mark.skipif(bool(WHY_NOT), reason=f"NO SANDBOX: no program was run. {WHY_NOT}")

BOUNDS = Bounds(cpu_s=4.0, wall_s=6.0)


def table(file: str) -> dict[str, dict[str, str]]:
    """The entries of a text file by name: `=== NAME`, then parts `--- PART` (`--- PART of OTHER`: another's)."""
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = {}
    for entry in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = entry.partition("\n")
        parts: dict[str, str] = {}
        for part in re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]:
            title, _, body = part.partition("\n")
            kind, _, other = title.partition(" of ")
            parts[kind] = found[other][kind] if other else body.strip()
        assert name not in found
        found[name] = parts
    return found


def verdict(program: str, tests: str | Sequence[Any], bounds: Bounds = BOUNDS, **meta: Any) -> Verdict:
    """The verdict on a program in a fenced block."""
    prompt = Prompt(id="", domain="", messages=(), verifier="code", meta={**meta, "tests": tests})
    return Code(bounds=bounds).verdict(f"Here it is:\n```python\n{program}\n```\n", prompt)
