"""The old place of what `extract` and `strings` hold."""

from __future__ import annotations

from teachable.verify.extract import NO_ANSWER, extract_answer
from teachable.verify.strings import Exact, as_number, canonical

__all__ = ["NO_ANSWER", "Exact", "as_number", "canonical", "extract_answer"]
