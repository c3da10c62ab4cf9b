"""From attempts and a posterior to a zone and its reason; agreement where there is no key; the counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.probe import ProbeConfig, probe_stats
from teachable.probe.estimate import Belief, estimate, estimate_by_agreement
from teachable.probe.keys import Key, own_key
from teachable.records import Attempt, Estimate, Message, Prompt, Zone
from teachable.stats import zone_masses

PROMPT = Prompt("p", "sums", (Message(role="user", content="3+3?"),), "6", "program", level=2)
KEYLESS = Prompt("p", "sums", PROMPT.messages, level=2)


def attempts(*verdicts: bool | None, answers: list[str | None] | None = None) -> list[Attempt]:
    said = answers or ["6" if verdict else "7" for verdict in verdicts]
    return [
        Attempt("p", i, "e", 0, "", (), "stop", verdict, answer, "a reason")
        for i, (verdict, answer) in enumerate(zip(verdicts, said, strict=True))
    ]


def belief_of(a: float, b: float) -> Belief:
    below, between, above = (float(mass) for mass in zone_masses(a, b, 0.1, 0.9))
    return Belief((below, between, above), a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1)))


def judged(n: int, successes: int, stopped: str = "decided", key: Key | None = None) -> Estimate:
    tried = attempts(*[True] * successes, *[False] * (n - successes))
    belief = belief_of(0.5 + successes, 0.5 + n - successes)
    return estimate(PROMPT, tried, belief, key or own_key(PROMPT), stopped, ProbeConfig())


@pytest.mark.parametrize(
    ("successes", "zone", "reason"),
    [
        (0, "beyond", "0 of 8 attempts right: the pass rate lies below 0.1 with probability 0.81"),
        (3, "teachable", "3 of 8 attempts right: the pass rate lies in 0.1 to 0.9 with probability 0.99"),
        (8, "mastered", "8 of 8 attempts right: the pass rate lies above 0.9 with probability 0.81"),
    ],
)
def test_the_zone_is_where_most_of_the_posterior_lies(successes: int, zone: str, reason: str) -> None:
    found = judged(8, successes)
    assert (found.zone, found.reason, found.stopped) == (zone, reason, "decided")
    assert (found.prompt_id, found.domain, found.level) == ("p", "sums", 2)
    assert (found.n, found.successes, found.n_undecided) == (8, successes, 0)
    assert (found.posterior_a, found.posterior_b) == pytest.approx((successes + 0.5, 8.5 - successes))
    masses = {"beyond": found.p_beyond, "teachable": found.p_teachable, "mastered": found.p_mastered}
    assert sum(masses.values()) == pytest.approx(1.0)
    assert found.zone_mass == max(masses.values()) == masses[zone]
    assert (found.key, found.key_source, found.suspect) == ("6", "program", False)


def test_a_close_call_says_so() -> None:
    assert judged(30, 3, "close").reason.endswith(", and more attempts would hardly tell")


@given(st.floats(0.01, 50), st.floats(0.01, 50))
def test_a_beta_belief_gives_its_own_parameters_back(a: float, b: float) -> None:
    assert belief_of(a, b).beta() == pytest.approx((a, b), rel=1e-6)


def test_undecided_attempts_count_neither_way() -> None:
    tried = attempts(True, None, True, None)
    found = estimate(PROMPT, tried, belief_of(2.5, 0.5), own_key(PROMPT), "close", ProbeConfig())
    assert (found.n, found.successes, found.n_undecided, found.zone) == (2, 2, 2, "mastered")
    assert found.reason.startswith("2 of 2 attempts right (2 more undecided): ")


@pytest.mark.parametrize(
    ("tried", "stopped", "reason"),
    [
        (attempts(True, None, None, None), "undecidable", "3 of 4 attempts could not be decided: a reason"),
        ([], "interrupted", "there was no attempt before the run was stopped"),
        ([], "budget", "there was no attempt"),
    ],
)
def test_what_nobody_could_judge_is_ambiguous(tried: list[Attempt], stopped: str, reason: str) -> None:
    found = estimate(PROMPT, tried, belief_of(1.5, 0.5), own_key(PROMPT), stopped, ProbeConfig())
    assert (found.zone, found.reason, found.zone_mass, found.stopped) == ("ambiguous", reason, 0.0, stopped)
    assert math.isclose(found.p_beyond + found.p_teachable + found.p_mastered, 1.0)


def test_a_suspect_prompt_keeps_its_zone_and_tells_the_clash() -> None:
    found = judged(8, 0, key=Key("6", "organic", 0.0, True, "4 of 5 of the teacher's answers are '7', its own is '6'"))
    assert (found.zone, found.suspect, found.key_agreement) == ("beyond", True, 0.0)
    assert found.reason.startswith("suspect, 4 of 5 of the teacher's answers are '7', its own is '6'; 0 of 8 attempts")


def test_agreement_is_of_equal_answers() -> None:
    tried = attempts(False, False, True, False, answers=["1,000", "1000.", "six", None])
    found = estimate(PROMPT, tried, belief_of(1.5, 3.5), own_key(PROMPT), "decided", ProbeConfig())
    assert found.plurality == "1,000"  # as its first voter writes it
    assert found.agreement == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("answers", "zone", "key", "share", "reason"),
    [
        (["5", "5", "5.0", "5"], "mastered", "5", 1.0, "no key: all 4 attempts agree, too easy"),
        (["5", "6", "7", "8"], "ambiguous", None, 0.25, "no key: no two of 4 attempts agree, too hard or ambiguous"),
        (["5", "6", "5", "8"], "teachable", "5", 0.5, "no key: 2 of 4 attempts agree"),
        (["5", "5", "5", None], "teachable", "5", 0.75, "no key: 3 of 4 attempts agree"),
        (
            ["5", None, None, None],
            "ambiguous",
            None,
            0.25,
            "1 of 4 attempts gave an answer that can be read, and there is no key",
        ),
    ],
)
def test_agreement_stands_in_for_a_key(
    answers: list[str | None], zone: str, key: str | None, share: float, reason: str
) -> None:
    found = estimate_by_agreement(KEYLESS, attempts(*[None] * 4, answers=answers), "fixed")
    assert (found.zone, found.key, found.key_agreement, found.reason) == (zone, key, share, reason)
    assert (found.n, found.n_undecided, found.key_source, found.stopped) == (0, 4, "majority", "fixed")
    assert found.zone_mass == found.p_teachable == 0.0  # a model may agree with itself and be wrong


def test_agreement_without_attempts_is_ambiguous() -> None:
    assert estimate_by_agreement(KEYLESS, [], "interrupted").zone == "ambiguous"


def test_the_counts_are_those_of_the_estimates() -> None:
    undecided = estimate(
        PROMPT, attempts(True, None, None), belief_of(1.5, 0.5), own_key(PROMPT), "close", ProbeConfig()
    )
    guessed = estimate_by_agreement(KEYLESS, attempts(None, None, answers=["5", "5"]), "fixed")
    suspect = judged(3, 1, key=Key("6", "organic", 0.0, True, "no"))
    stats = probe_stats([judged(8, 0), judged(9, 9), suspect, undecided, guessed])
    zones: dict[Zone, int] = {"mastered": 2, "teachable": 1, "beyond": 1, "ambiguous": 1}
    assert stats == {
        "n_prompts": 5,
        "n_attempts": 25,
        "samples_per_prompt": 5.0,
        "n_undecided": 4,
        "n_suspect": 1,
        "zones": zones,
        "zones_by_domain": {"sums": zones},
        "stopped": {"close": 1, "decided": 3, "fixed": 1},
        "keys": {"majority": 1, "organic": 1, "program": 3},
    }
    assert probe_stats([])["samples_per_prompt"] == 0.0
