"""Hostile answers: a share of the benchmark's, and whatever Hypothesis makes of pieces of mathematics.

Whatever the texts say, `check` gives a verdict in time, raises nothing and runs nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teachable.verify import check
from teachable.verify.maths import Math
from teachable.verify.maths.workers import compare

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LIMIT_S = 2.5
WRITTEN = r"""
\frac \sqrt \sum_{k=1} \int_0 \prod \lim_{x\to0} \binom \left( \right) \begin{pmatrix} \end{pmatrix} \\ & \{ \} \text{
\boxed{ \cdot \pm \infty \cup \in \log \ln \sin \pi ^ ^{ _{ _ { } ( ) [ ] | ! % $ = < > \le , ; : / * + - dx inf nan mod
0 1 2 9 10 99999 0.5 1e9 1e999 .5 1,000 x y n k C e i pi ½ √ ² − × ° € or and is answer #### <think> </think> cm
9^{9^9} ((3!)!)! __import__('os').system('id')
"""
PIECES = (*WRITTEN.split(), " ", "\n", "\x00", "\ud800")
TEXTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=200)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import verify_hostile

    return verify_hostile


def test_the_set_is_large_and_fixed(bench: ModuleType) -> None:
    cases = bench.cases()
    assert len(cases) >= 500 and cases == bench.cases()
    assert len({(case.attempt, case.answer) for case in cases}) == len(cases)
    assert len({case.family for case in cases}) >= 15


def test_a_share_of_the_hostile_set(bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth case, eight at once: in the limit and 20%, never "yes" for another value, no exception, no file."""
    monkeypatch.chdir(tmp_path)
    cases, decide = bench.cases()[::5], bench.through_check(LIMIT_S)
    outcomes = bench.run(cases, decide, LIMIT_S, n_threads=8)
    if faulty := [case for case, outcome in zip(cases, outcomes, strict=True) if outcome.fault]:
        # What other tests on this machine held up is faultless when it is tried again.
        again = dict(zip(faulty, bench.run(faulty, decide, LIMIT_S, n_threads=8), strict=True))
        outcomes = [again.get(case, outcome) for case, outcome in zip(cases, outcomes, strict=True)]
    assert [(outcome.fault, outcome.attempt[:80], outcome.answer[:80]) for outcome in outcomes if outcome.fault] == []
    assert sum(outcome.equal is None for outcome in outcomes) > len(outcomes) / 3
    assert all(outcome.reason for outcome in outcomes)
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_finds_faults(bench: ModuleType) -> None:
    """A verifier that says yes, raises, or dawdles is told apart."""
    case = next(case for case in bench.cases() if not case.same)

    def raises(_: object) -> tuple[bool | None, str]:
        raise RuntimeError("planted")

    def dawdles(_: object) -> tuple[bool | None, str]:
        time.sleep(0.2)
        return None, ""

    faults = [bench.run([case], how, 0.1, 1)[0].fault for how in (lambda _: (True, ""), raises, dawdles)]
    assert faults[:2] == ["called equal", "raised RuntimeError: planted"] and faults[2].startswith("took 0.2")
    assert not bench.report([bench.run([case], raises, 0.1, 1)[0]], 0.1, 100.0, [])
    assert not bench.report([bench.run([case], lambda _: (None, ""), 0.1, 1)[0]], 0.1, 600.0, [])


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory in /proc")
def test_the_benchmark_measures_memory_and_leftovers() -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "verify_hostile.py"),
        "--family",
        "factorials",
        "--limit-s",
        str(LIMIT_S),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MiB at most" in done.stdout and "nothing wrong" in done.stdout


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(attempt=TEXTS, answer=TEXTS, boxed=st.booleans())
def test_any_text_gets_a_verdict_in_time(attempt: str, answer: str, boxed: bool) -> None:
    compare("x + 1", "1 + x")  # the start of the workers is nobody's time
    response, seconds = rf"So \boxed{{{attempt}}}" if boxed else attempt, []
    while not seconds or (seconds[-1] >= 1.0 * 1.2 and len(seconds) < 3):  # again, if others held the machine up
        started = time.monotonic()
        verdict = check(response, answer, Math(limit_s=1.0))
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 1.0 * 1.2
    assert verdict.correct in (True, False, None) and verdict.reason
    assert verdict.correct is not True or verdict.answer
