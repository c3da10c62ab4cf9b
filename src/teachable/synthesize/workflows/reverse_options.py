"""Settings of the workflow `reverse`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from teachable.synthesize.graph import Options


class ReverseOptions(Options):
    """Settings of `reverse`."""

    k: int = Field(3, ge=1, description="how often the code or the text is written again from the instruction alone")
    min_agreement: float = Field(0.5, gt=0, le=1, description="least share of the k that must lead back")
    response: Literal["original", "again"] = Field(
        "original", description="what the example answers with: the original, or the best of what was written again"
    )
    k_suites: int = Field(3, ge=1, description="suites of tests that are written for code that came without any")
    min_tests: int = Field(3, ge=1, description="fewest generated tests that must remain")
    max_tests: int = Field(12, ge=1, description="most generated tests that are kept")
    suite_tests: int = Field(8, ge=1, description="most tests that are taken from one suite")
    mutants: int = Field(12, ge=1, description="most mutants of the code that generated tests are tried on")
    min_killed: float = Field(0.5, ge=0, le=1, description="least share of the mutants that some test must refute")
    min_similarity: float = Field(0.4, ge=0, le=1, description="least chrF of a text that was written again")
    min_kept: float = Field(0.5, ge=0, le=1, description="least share of a text's numbers, and of its names, kept")
