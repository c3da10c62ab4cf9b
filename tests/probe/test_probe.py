"""Probing: zones from attempts, and planted pass rates found again."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from teachable.engines.scripted import ScriptedEngine
from teachable.probe import ProbeConfig, estimate, probe, probe_stats
from teachable.records import Attempt, Message, Prompt, Verdict


def prompt(name: str, answer: str | None = "6", domain: str = "sums") -> Prompt:
    return Prompt(name, domain, (Message(role="user", content=name),), answer, level=2)


def attempts(*verdicts: bool | None, answers: list[str | None] | None = None) -> list[Attempt]:
    given_answers = answers or ["6" if verdict else "7" for verdict in verdicts]
    return [
        Attempt("p", i, "e", 0, "", (), "stop", verdict, answer, "a reason")
        for i, (verdict, answer) in enumerate(zip(verdicts, given_answers, strict=True))
    ]


@pytest.mark.parametrize(
    ("successes", "zone", "reason"),
    [
        (0, "beyond", "0 of 8 attempts right: the pass rate lies below 0.1 with probability 0.81"),
        (3, "teachable", "3 of 8 attempts right: the pass rate lies in 0.1 to 0.9 with probability 0.99"),
        (8, "mastered", "8 of 8 attempts right: the pass rate lies above 0.9 with probability 0.81"),
    ],
)
def test_zones_of_eight_attempts(successes: int, zone: str, reason: str) -> None:
    found = estimate(prompt("p"), attempts(*[True] * successes, *[False] * (8 - successes)), ProbeConfig())
    assert (found.zone, found.reason) == (zone, reason)
    assert (found.n, found.successes, found.posterior_a, found.posterior_b) == (
        8,
        successes,
        successes + 0.5,
        8.5 - successes,
    )
    assert (found.prompt_id, found.domain, found.level) == ("p", "sums", 2)


def test_undecided_attempts_count_neither_way() -> None:
    found = estimate(prompt("p"), attempts(True, None, True, None), ProbeConfig())
    assert (found.n, found.successes, found.n_undecided, found.zone) == (2, 2, 2, "mastered")
    assert found.reason.startswith("2 of 2 attempts right (2 more undecided): ")


def test_mostly_undecided_is_ambiguous() -> None:
    found = estimate(prompt("p"), attempts(True, None, None, None), ProbeConfig())
    assert (found.zone, found.reason) == ("ambiguous", "3 of 4 attempts could not be decided: a reason")
    assert estimate(prompt("p"), [], ProbeConfig()).zone == "ambiguous"


def test_agreement_is_of_equal_answers() -> None:
    found = estimate(
        prompt("p"), attempts(False, False, True, False, answers=["1,000", "1000.", "six", None]), ProbeConfig()
    )
    assert found.plurality == "1000"
    assert found.agreement == pytest.approx(2 / 3)


@given(st.integers(0, 64), st.integers(0, 64))
@settings(deadline=None)
def test_more_successes_never_move_a_prompt_down(first: int, second: int) -> None:
    order = ["beyond", "teachable", "mastered"]
    low, high = sorted((first, second))
    zones = [estimate(prompt("p"), attempts(*[True] * s, *[False] * (64 - s)), ProbeConfig()).zone for s in (low, high)]
    assert order.index(zones[0]) <= order.index(zones[1])


def test_thresholds_must_leave_room() -> None:
    with pytest.raises(ValidationError, match=r"low \(0\.9\) must be below high \(0\.5\)"):
        ProbeConfig(low=0.9, high=0.5)


RATES = {"never": 0.0, "half": 0.5, "always": 1.0}


def answer(text: str, index: int, generator: random.Random) -> str:
    return f"Answer: {6 if generator.random() < RATES[text.split()[0]] else 7}"


def test_planted_pass_rates_are_found_again() -> None:
    prompts = [prompt(f"{name} {i}", domain=name) for i in range(40) for name in RATES]
    result = asyncio.run(probe(prompts, engine=ScriptedEngine(answer), seed=1))
    assert [e.prompt_id for e in result.estimates] == [p.id for p in prompts]
    zones = {name: [e.zone for e in result.estimates if e.domain == name] for name in RATES}
    assert set(zones["never"]) == {"beyond"}
    assert set(zones["always"]) == {"mastered"}
    # Eight fair coins come up all the same once in 128: of 40, five or more is one in 200,000.
    assert zones["half"].count("teachable") > 35
    assert (result.completions, len(result.attempts)) == (960, 960)
    assert result.tokens == sum(len(a.token_ids) for a in result.attempts)
    assert asyncio.run(probe(prompts, engine=ScriptedEngine(answer), seed=1)) == result


def test_failures_make_a_prompt_ambiguous_not_hard() -> None:
    prompts = [prompt(f"always {i}") for i in range(30)]
    result = asyncio.run(probe(prompts, engine=ScriptedEngine(answer, frac_failing=0.5)))
    stats = probe_stats(result.estimates, 8)
    assert stats["zones"]["beyond"] == stats["zones"]["teachable"] == 0
    assert 0 < stats["zones"]["ambiguous"] < 30
    assert stats["n_undecided"] == 8 * stats["zones"]["ambiguous"] == 240 - result.completions
    assert stats["zones_by_domain"] == {"sums": stats["zones"]}
    failed = next(e for e in result.estimates if e.zone == "ambiguous")
    assert "told to fail" in failed.reason


def test_without_a_reference_a_prompt_is_ambiguous() -> None:
    result = asyncio.run(probe([prompt("always", answer=None)], engine=ScriptedEngine(answer)))
    assert result.estimates[0].zone == "ambiguous"
    assert result.estimates[0].reason.endswith("there is no reference answer")
    assert (result.estimates[0].plurality, result.estimates[0].agreement) == ("6", 1.0)


class Generous:
    """Accepts everything."""

    name = "generous"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        return Verdict(True, attempt, "fine")


def test_a_verifier_of_ones_own_decides_for_all() -> None:
    prompts = [prompt("never"), prompt("half", answer=None)]
    result = asyncio.run(probe(prompts, engine=ScriptedEngine(answer), verifier=Generous()))
    assert [e.zone for e in result.estimates] == ["mastered", "mastered"]
