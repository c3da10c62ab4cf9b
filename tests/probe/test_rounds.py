"""Rounds: the order of answers, of files and of stops changes nothing; what is stopped early is the best so far."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.probe.planted import Planted, Said, mixture, prompt, run, zone_of

from teachable.engines.ledgered import Ledgered
from teachable.errors import EXIT_LIMIT_REACHED
from teachable.probe import ProbeConfig, ProbeResult, probe
from teachable.probe import rounds as rounds_module
from teachable.records import Prompt
from teachable.store.ledger import Ledger

RATES = mixture(90, seed=21)
PROMPTS = [prompt(name, domain=f"d{i % 3}", level=i % 2) for i, name in enumerate(RATES)]


@pytest.fixture(autouse=True)
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of part of the prompts, as a large pool has them."""
    monkeypatch.setattr(rounds_module, "LEAST_ROUND", 16)


def kept(engine: Planted, ledger: Path, config: ProbeConfig | None = None) -> ProbeResult:
    """The probe of `PROMPTS`, with what was paid for in a ledger."""
    with Ledger(ledger) as paid:
        asked = Ledgered(engine, paid, stage="probe")
        return asyncio.run(probe(PROMPTS, engine=asked, verifier=Said(), config=config))


def test_the_order_in_which_answers_arrive_changes_nothing() -> None:
    undisturbed = run(PROMPTS, Planted(RATES))
    for shuffle in (1, 2):
        assert run(PROMPTS, Planted(RATES, shuffle=shuffle)) == undisturbed


def test_the_order_of_the_file_changes_nothing() -> None:
    forwards, backwards = run(PROMPTS, Planted(RATES)), run(PROMPTS[::-1], Planted(RATES))
    assert backwards.estimates[::-1] == forwards.estimates
    assert backwards.priors == forwards.priors


@pytest.mark.parametrize("config", [ProbeConfig(), ProbeConfig(samples_per_prompt=9)], ids=["free", "budget"])
def test_stopped_at_any_moment_and_run_again_it_ends_the_same(config: ProbeConfig, tmp_path: Path) -> None:
    whole = Planted(RATES)
    undisturbed = kept(whole, tmp_path / "whole.sqlite", config)
    assert undisturbed == run(PROMPTS, Planted(RATES), config)
    for stop_after in (0, 150, 500, whole.n_given - 1):
        ledger = tmp_path / f"{stop_after}.sqlite"
        cut = Planted(RATES, shuffle=stop_after, stop_after=stop_after)
        stopped = kept(cut, ledger, config)
        assert stopped.stopped is not None and stopped.stopped.exit_code == EXIT_LIMIT_REACHED
        assert any(one.stopped == "interrupted" for one in stopped.estimates)
        rest = Planted(RATES)
        assert kept(rest, ledger, config) == undisturbed
        assert cut.n_given + rest.n_given == whole.n_given


def test_a_stopped_probe_has_the_estimates_of_what_it_got() -> None:
    engine = Planted(RATES, stop_after=400)
    result = run(PROMPTS, engine)
    assert 350 < engine.n_given == result.completions <= 400
    assert [one.n for one in result.estimates] == [engine.n_of[one.id] for one in PROMPTS]
    for one in result.estimates:
        if one.n == 0:
            assert (one.zone, one.stopped) == ("ambiguous", "interrupted")
            assert one.reason == "there was no attempt before the run was stopped"
        else:
            assert (one.stopped == "decided") == (one.zone_mass >= 0.9)
    tried = [one for one in result.estimates if one.n]
    assert sum(one.zone == zone_of(RATES[one.prompt_id]) for one in tried) > 0.8 * len(tried)


def test_fixed_numbers_and_agreement_can_be_stopped_too() -> None:
    fixed = run(PROMPTS, Planted(RATES, stop_after=80), ProbeConfig(n_samples=8))
    assert [one.stopped for one in fixed.estimates].count("fixed") == 10
    assert {one.stopped for one in fixed.estimates} == {"fixed", "interrupted"}
    keyless = [Prompt(one.id, one.domain, one.messages) for one in PROMPTS]
    apart = asyncio.run(probe(keyless, engine=Planted(RATES, stop_after=80), config=ProbeConfig(agreement_samples=8)))
    assert [one.stopped for one in apart.estimates].count("fixed") == 10
    assert [one.zone for one in apart.estimates if one.stopped == "interrupted"] == ["ambiguous"] * 80


def test_those_who_tell_most_are_asked_first() -> None:
    """Where the known are sure and the open ones open, the next samples go to the open ones."""
    rates = {f"sure {i}": 1.0 for i in range(60)} | {f"open {i}": 0.12 for i in range(20)}
    prompts = [prompt(name, domain=name.split()[0]) for name in rates]
    engine = Planted(rates, stop_after=80 * 4 + 120)
    run(prompts, engine)
    spent = {kind: sum(n for name, n in engine.n_of.items() if kind in name) for kind in ("sure", "open")}
    assert spent["open"] / 20 > 1.5 * spent["sure"] / 60
