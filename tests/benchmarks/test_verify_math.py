"""The labelled pairs are whole and fairly split, and the benchmark over them does not give the held-out half away."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FIELDS = {"id": str, "kind": str, "reference": str, "attempt": str, "label": bool, "half": str, "note": str}
HALVES = ("dev", "held_out")


@pytest.fixture(scope="module")
def pairs() -> list[dict[str, Any]]:
    text = (BENCHMARKS / "verify_math" / "pairs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def baselines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import math_baselines

    return math_baselines


def run(*options: str) -> str:
    command = [sys.executable, str(BENCHMARKS / "verify_math.py"), "--generated", "0", "--tools", "plain,normalised"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_pair_is_whole(pairs: list[dict[str, Any]]) -> None:
    wrong = [pair for pair in pairs if {name: type(value) for name, value in pair.items()} != FIELDS]
    assert wrong == []
    assert all(pair["reference"].strip() and pair["attempt"].strip() and pair["half"] in HALVES for pair in pairs)
    assert len(pairs) >= 520


def test_no_pair_is_there_twice(pairs: list[dict[str, Any]]) -> None:
    assert len({pair["id"] for pair in pairs}) == len(pairs)
    assert len({(pair["reference"], pair["attempt"]) for pair in pairs}) == len(pairs)


def test_right_and_wrong_are_about_as_many_and_gaming_is_never_right(pairs: list[dict[str, Any]]) -> None:
    gaming = [pair["label"] for pair in pairs if pair["kind"] == "gaming"]
    assert len(gaming) >= 40 and not any(gaming)
    assert 0.45 < sum(pair["label"] for pair in pairs) / len(pairs) < 0.55
    labels = {(pair["kind"], pair["label"]) for pair in pairs}
    assert {kind for kind, _ in labels if len([one for one in labels if one[0] == kind]) < 2} == {"gaming"}


def test_halves_follow_the_hash_and_are_balanced(pairs: list[dict[str, Any]]) -> None:
    expected = {}
    for kind in dict.fromkeys(pair["kind"] for pair in pairs):
        for label in (True, False):
            ids = [pair["id"] for pair in pairs if (pair["kind"], pair["label"]) == (kind, label)]
            for name in sorted(ids, key=lambda one: hashlib.sha256(one.encode()).hexdigest()):
                expected[name] = HALVES[len(expected) % 2]
    assert {pair["id"]: pair["half"] for pair in pairs} == expected
    for kind in {pair["kind"] for pair in pairs}:
        n = Counter(pair["half"] for pair in pairs if pair["kind"] == kind)
        assert abs(n["dev"] - n["held_out"]) <= 2, kind


def test_wrong_pairs_of_the_held_out_half_are_shown_only_when_asked_for(
    pairs: list[dict[str, Any]], tmp_path: Path
) -> None:
    ids = {half: {pair["id"] for pair in pairs if pair["half"] == half} for half in HALVES}
    shown = {half: run("--half", half, "--show", "plain") for half in HALVES}
    assert any(f"\n{name} (dev)" in shown["dev"] for name in ids["dev"])
    assert not any(name in shown["held_out"] for name in ids["held_out"])
    revealed = run("--half", "all", "--show", "plain", "--reveal", "--json", str(tmp_path / "facts.json"))
    assert any(f"\n{name} (held_out)" in revealed for name in ids["held_out"])
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert {facts[half]["n_pairs"] for half in HALVES} == {len(ids["dev"]), len(ids["held_out"])}
    for half in HALVES:
        of = facts[half]["tools"]["plain"]
        n_wrong = of["false_positives"] + of["false_negatives"] + of["none"]
        assert of["n"] - n_wrong == pytest.approx(of["accuracy"] * of["n"], abs=0.01)
        assert 0.4 < of["accuracy"] < 0.7


def test_baselines_decide_what_they_can(baselines: ModuleType) -> None:
    assert baselines.final_text("so $\\boxed{\\frac{1}{2}}$, not 3") == "\\frac{1}{2}"
    assert baselines.final_text("9 * 2 = 18\n#### 18") == "18"
    assert baselines.plain("7", "The answer is $7$") and not baselines.plain("7", "8")
    assert baselines.normalised("\\frac{1}{2}", "$\\dfrac12$.") and not baselines.normalised("-7", "7")
    asked = [("\\frac{1}{2}", "0.5"), ("x^2+2x+1", "(x+1)^2"), ("5", "6"), ("5", "((")]
    assert baselines.sympy_verdicts(asked) == [True, True, False, None]
    for bare, expected in (("as given", False), ("in dollars", True)):
        assert baselines.MathVerify(bare)("x^{2}+\\sqrt{8}", "2\\sqrt{2}+x^{2}") is expected
