"""The probe as a whole, on planted pass rates: zones, the guarantee, who is asked, and what may go wrong."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from tests.probe.planted import Planted, Said, mixture, prompt, run, zone_of

from teachable.engines.scripted import ScriptedEngine
from teachable.errors import TeachableError
from teachable.probe import ProbeConfig, probe, probe_stats
from teachable.records import Progress, Prompt, Verdict
from teachable.stats import zone_masses


def test_planted_zones_are_found_again() -> None:
    rates = mixture(800, seed=3)
    prompts = [prompt(name) for name in rates]
    engine = Planted(rates)
    result = run(prompts, engine)
    assert [one.prompt_id for one in result.estimates] == [one.id for one in prompts]
    wrong = [one.zone != zone_of(rates[one.prompt_id]) for one in result.estimates]
    # The optimal rule errs on 3.6% here; 800 prompts fix a share of that size to 0.7%.
    assert np.mean(wrong) < 0.036 + 4 * 0.007
    assert 10 < engine.n_given / 800 < 20
    assert result.completions == len(result.attempts) == engine.n_given
    assert result.tokens == 2 * engine.n_given
    assert [one.n for one in result.estimates] == [engine.n_of[one.id] for one in prompts]
    order = [(one.prompt_id, one.sample) for one in result.attempts]
    assert order == [(one.id, i) for one in prompts for i in range(engine.n_of[one.id])]
    assert len({one.id for one in result.attempts}) == len(result.attempts)
    assert {one.stopped for one in result.estimates} <= {"decided", "close", "max"}
    assert run(prompts, Planted(rates)) == result
    assert result.stopped is None and len(result.priors) == 1


@pytest.mark.parametrize("price", [None, 0.0])
def test_decided_prompts_are_wrong_at_most_as_often_as_promised(price: float | None) -> None:
    rates = mixture(1500, seed=11)
    result = run([prompt(name) for name in rates], Planted(rates), ProbeConfig(price=price))
    decided = [one for one in result.estimates if one.stopped == "decided"]
    assert len(decided) > 1200
    assert min(one.zone_mass for one in decided) >= 0.9
    wrong = np.mean([one.zone != zone_of(rates[one.prompt_id]) for one in decided])
    assert wrong <= 0.1 + 3 * (0.1 * 0.9 / len(decided)) ** 0.5
    # The masses are honest, too: they add up to as many errors as there are.
    doubt = np.array([1 - one.zone_mass for one in decided])
    assert abs(wrong - doubt.mean()) < 4 * (doubt * (1 - doubt)).sum() ** 0.5 / len(decided)
    assert wrong > 0.005  # or nothing would have been tested


def test_a_hopeless_domain_costs_few_samples_and_is_found_hopeless() -> None:
    rates = {f"hopeless {i}": 0.0 for i in range(300)} | {f"open {i}": 0.05 + 0.3 * (i % 4) for i in range(300)}
    engine = Planted(rates)
    result = run([prompt(name, domain=name.split()[0]) for name in rates], engine)
    spent = {kind: sum(n for name, n in engine.n_of.items() if kind in name) / 300 for kind in ("hopeless", "open")}
    # Four wrong answers leave the flat prior in doubt; those asked later, when the domain is known, need fewer.
    assert spent["hopeless"] < 4.5 < 8 < spent["open"]
    assert min(engine.n_of.values()) >= 1
    assert {one.zone for one in result.estimates if one.domain == "hopeless"} == {"beyond"}


@pytest.mark.parametrize("price", [None, 0.0])
def test_a_file_sorted_by_difficulty_is_no_trap(price: float | None) -> None:
    """Those asked first say something of the others only if they were drawn from all."""
    rates = {f"q{i}": 0.0 if i < 400 else 0.5 for i in range(800)}
    result = run([prompt(name) for name in rates], Planted(rates), ProbeConfig(price=price))
    zones = [one.zone for one in result.estimates]
    assert set(zones[:400]) == {"beyond"}
    # A fair coin that falls on one side four times (1 in 8) may be taken for a sure thing.
    assert zones[400:].count("teachable") > (1 - 1 / 8) * 400 - 3 * (400 * 7 / 64) ** 0.5
    assert min(one.n for one in result.estimates) >= 1


def test_the_same_number_of_attempts_at_each_when_that_is_asked_for() -> None:
    rates = mixture(100, seed=5)
    engine = Planted(rates)
    result = run([prompt(name) for name in rates], engine, ProbeConfig(n_samples=8, prior="fixed"))
    assert set(engine.n_of.values()) == {8}
    for one in result.estimates:
        assert (one.n, one.stopped) == (8, "fixed")
        assert (one.posterior_a, one.posterior_b) == pytest.approx((one.successes + 0.5, 8.5 - one.successes))
        masses = zone_masses(one.successes + 0.5, 8.5 - one.successes, 0.1, 0.9)
        assert (one.p_beyond, one.p_teachable, one.p_mastered) == pytest.approx(tuple(masses))
    learnt = run([prompt(name) for name in rates], Planted(rates), ProbeConfig(n_samples=8))
    assert [one.successes for one in learnt.estimates] == [one.successes for one in result.estimates]
    assert [one.p_beyond for one in learnt.estimates] != [one.p_beyond for one in result.estimates]


@pytest.mark.parametrize("budget", [0.5, 3, 7.3, 1000])
def test_a_budget_is_never_exceeded_and_spent_where_it_is_short(budget: float) -> None:
    rates = mixture(300, seed=8)
    engine = Planted(rates)
    result = run([prompt(name) for name in rates], engine, ProbeConfig(samples_per_prompt=budget))
    unlimited = run([prompt(name) for name in rates], Planted(rates))
    if budget == 1000:
        assert result == unlimited
        return
    assert engine.n_given == int(budget * 300) < unlimited.completions
    stops = probe_stats(result.estimates)["stopped"]
    assert stops["budget"] > 0 and set(stops) <= {"budget", "decided", "close", "max"}
    for one in result.estimates:
        assert one.n > 0 or one.stopped == "budget"
        assert one.zone_mass < 0.9 or one.stopped == "decided"


def test_a_budget_goes_where_a_sample_tells_most() -> None:
    rates = mixture(600, seed=9)
    prompts = [prompt(name) for name in rates]
    adaptive = run(prompts, Planted(rates), ProbeConfig(samples_per_prompt=8))
    even = run(prompts, Planted(rates), ProbeConfig(n_samples=8))
    assert adaptive.completions == even.completions
    right = [sum(one.zone == zone_of(rates[one.prompt_id]) for one in found.estimates) for found in (adaptive, even)]
    assert right[0] > right[1] + 0.01 * 600


def test_failures_make_a_prompt_ambiguous_not_hard() -> None:
    rates = {f"q{i}": 1.0 if i % 3 else -1.0 for i in range(60)}
    result = run([prompt(name) for name in rates], Planted(rates))
    failed = [one for one in result.estimates if one.stopped == "failed"]
    assert [one.prompt_id for one in failed] == [name for name, rate in rates.items() if rate < 0]
    assert {one.zone for one in failed} == {"ambiguous"}
    assert "could not be decided: the engine failed: RuntimeError: told to fail" in failed[0].reason
    assert {one.zone for one in result.estimates if one.stopped != "failed"} == {"mastered"}
    assert result.completions == sum(one.finish_reason != "error" for one in result.attempts)
    assert probe_stats(result.estimates)["n_undecided"] == len(result.attempts) - result.completions > 0


def test_an_engine_that_always_fails_is_a_mistake_to_mend() -> None:
    with pytest.raises(TeachableError, match=r"probe: not one of 4 attempts succeeded; .*told to fail"):
        run([prompt("q")], Planted({"q": -1.0}))


def test_a_prompt_that_no_verifier_can_judge_is_given_up_soon() -> None:
    rates = dict.fromkeys(["blind", "seen"], 0.5)
    engine = Planted(rates)
    result = run([prompt(name) for name in rates], engine, blind=["blind"])
    blind, seen = result.estimates
    assert (seen.zone, seen.n_undecided) == ("teachable", 0)
    assert (blind.zone, blind.stopped, blind.n) == ("ambiguous", "undecidable", 0)
    assert blind.reason.endswith("nobody can tell")
    assert blind.n_undecided == engine.n_of["blind"] <= 8


def test_attempts_without_a_verdict_count_towards_the_most() -> None:
    class Half(Said):
        n = 0

        async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
            self.n += 1
            return Verdict(None, None, "a bad moment") if self.n % 2 == 0 else await super().verify(attempt, prompt)

    engine = Planted({"q": 0.5})
    config = ProbeConfig(low=0.5, max_samples=24, price=0.0)  # at the threshold, where nothing is ever decided
    (found,) = asyncio.run(probe([prompt("q")], engine=engine, verifier=Half(), config=config)).estimates
    assert engine.n_of["q"] == found.n + found.n_undecided == 24
    assert found.stopped == "max"


def test_no_two_prompts_share_an_id() -> None:
    with pytest.raises(TeachableError, match="two prompts have the id 'q'"):
        run([prompt("q"), prompt("q")], Planted({"q": 0.5}))


def test_no_prompts_no_samples() -> None:
    result = run([], Planted({}))
    assert (result.estimates, result.attempts, result.priors) == ((), (), ())


def test_without_key_and_teacher_the_models_own_agreement_decides() -> None:
    table = {
        "always": "Answer: 6",
        "often": {"Answer: 6": 3.0, "Answer: 7": 1.0},
        "never": {f"Answer: {i}": 1.0 for i in range(2000)},
        "known": ["Answer: 6", "Answer: 7"],
    }
    prompts = [*(prompt(name, None) for name in ("always", "often", "never")), prompt("known", "6")]
    result = asyncio.run(probe(prompts, engine=ScriptedEngine(table), config=ProbeConfig(agreement_samples=12)))
    found = {one.prompt_id: one for one in result.estimates}
    assert [found[name].zone for name in table] == ["mastered", "teachable", "ambiguous", "teachable"]
    assert [found[name].stopped for name in table] == ["fixed"] * 3 + ["decided"]
    assert [found[name].n_undecided for name in table] == [12, 12, 12, 0]
    assert (found["always"].key, found["always"].key_source, found["always"].key_agreement) == ("6", "majority", 1.0)
    assert found["known"].key_source == "organic" and found["known"].n > 0
    assert probe_stats(result.estimates)["keys"] == {"majority": 3, "organic": 1}


def test_a_verifier_of_ones_own_needs_no_key() -> None:
    rates = {"always": 1.0, "half": 0.5}
    result = run([prompt(name, answer=None) for name in rates], Planted(rates))
    assert [one.zone for one in result.estimates] == ["mastered", "teachable"]
    assert [one.key_source for one in result.estimates] == ["", ""]
    assert probe_stats(result.estimates)["keys"] == {"verifier": 2}


def test_progress_is_told_to_the_end() -> None:
    rates = mixture(60, seed=2) | {"open": 0.5, "dead": -1.0}
    seen: list[Progress] = []
    prompts = [prompt(name, None if name == "open" else "right") for name in rates]
    work = probe(prompts, engine=Planted(rates), verifier=Said(), on_progress=seen.append)
    result = asyncio.run(work)
    assert all(0 <= one.done <= one.total == 62 for one in seen)
    assert (seen[-1].done, seen[-1].tokens) == (62, result.tokens)
    assert seen[-1].note == f"settled, {len(result.attempts):,} samples"
    assert all(before.tokens <= after.tokens for before, after in pairwise(seen))
