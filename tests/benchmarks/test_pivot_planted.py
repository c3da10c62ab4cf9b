"""The benchmark of pivotal token search runs from end to end with the real search, and what it says adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def quickstart(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pivot_quickstart

    return pivot_quickstart


@pytest.fixture
def plot(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pivot_plot

    return pivot_plot


def test_search_and_bisection_on_two_worlds(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "pivot_planted.py"), "--families", "main", "--quick", "--workers", "1"]
    command += ["--sequences", "2", "--first", "20000", "--set", "max_samples=120", "--keep", str(tmp_path / "kept")]
    command += ["--json", str(tmp_path / "facts.json"), "--svg", str(tmp_path / "curve.svg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    search, *baselines = facts["rows"]
    assert [row["name"] for row in facts["rows"]] == ["search", "bisection, n = 10", "bisection, n = 64"]
    assert search["settings"] == {"max_samples": 120} and 0 < search["completions"] <= 2 * (12 + 120 + 6)
    for row in baselines:  # one completion for each solution, and whole prefixes of n
        assert (row["completions"] - row["n_solutions"]) % row["n_bisection"] == 0
        assert (row["n_true"], row["n_solutions"]) == (search["n_true"], search["n_solutions"])
    assert all(f"| main | {row['name']} |" in done.stdout for row in facts["rows"])
    assert ElementTree.parse(tmp_path / "curve.svg").getroot().tag.endswith("svg")
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_a_curve_has_a_mark_for_each_setting(plot: ModuleType) -> None:
    line = [plot.Point(100, 0.9, "a & b"), plot.Point(50, 0.5, "c", precise=False)]
    root = ElementTree.fromstring(plot.curves_svg({"main": {"search": line, "bisection": []}}))
    marks = [one for one in root.iter() if one.tag.endswith("circle")]
    assert len(marks) == 2 and sum(one.get("fill") == "#ffffff" for one in marks) == 1
    places = [(float(one.get("cx") or 0), float(one.get("cy") or 0)) for one in marks]
    assert places[0][0] < places[1][0] and places[0][1] > places[1][1]  # cheaper to the left, fuller further up


def test_what_is_close_to_the_gap_is_on_neither_side(quickstart: ModuleType) -> None:
    import pivot_truth

    def token(position: int, delta: float) -> object:
        return pivot_truth.Token(position, 0.5, 0.5, 0.5 + delta, delta, 0.01, 2000, 2000, 1000)

    tokens = (token(1, 0.3), token(2, -0.185), token(3, 0.21), token(4, 0.1))
    truth = pivot_truth.Truth("p", tuple(range(9)), (0.5,) * 9, True, tokens, 0, 0)
    assert quickstart.ambiguous(truth) == {2, 3}
    reported = [quickstart.Reported(place, 0.3) for place in (1, 2, 6)]
    all_of, sure = (quickstart.marked(truth, reported, sure=which) for which in (False, True))
    assert set(all_of.truth) == {1, 2, 3, 4} and [one.position for one in all_of.reported] == [1, 2, 6]
    assert set(sure.truth) == {1, 4} and [one.position for one in sure.reported] == [1, 6]
