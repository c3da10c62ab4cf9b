"""The forgetting matrix: known cells, planted truths, and how often the rule for regressions is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.planted_additions import Answered, chances, flat, rows_of, scores_of

from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.matrix import Addition, Cell, DomainScores, forgetting_matrix
from teachable.evaluate.simultaneous import simultaneous_intervals
from teachable.stats import mean_interval, paired_difference

DOMAINS = ("dates", "sums", "words")


def row(arm: str, question: str, right: int, *, domain: str = "sums", seed: int = 0, **fields: Any) -> dict[str, Any]:
    """So many of four samples are right."""
    return {"arm": arm, "seed": seed, "prompt_id": question, "domain": domain, "n_correct": right, **fields}


def at(cells: list[Cell], stage: str, domain: str) -> Cell:
    (found,) = [cell for cell in cells if (cell.stage, cell.domain) == (stage, domain)]
    return found


def test_tables_are_by_question_and_seed_whatever_the_order_of_the_rows() -> None:
    rows = [row("a", f"q{q}", q, seed=s, n=4 + s) for q in (2, 0, 1) for s in (1, 0)]
    expected = np.array([[q / 4, q / 5] for q in range(3)])
    assert np.allclose(scores_of(rows).of("a", "sums"), expected)
    assert np.allclose(scores_of(rows[::-1]).of("a", "sums"), expected)
    missing = scores_of([one for one in rows if (one["prompt_id"], one["seed"]) != ("q1", 0)]).of("a", "sums")
    assert np.array_equal(np.isnan(missing), [[False, False], [True, False], [False, False]])
    for arm, domain in (("b", "sums"), ("a", "dates")):
        with pytest.raises(KeyError):
            scores_of(rows).of(arm, domain)


def test_where_nothing_was_sampled_the_greedy_answer_is_the_score() -> None:
    rows = [row("a", f"q{q}", 0, n=0, greedy=bool(q), task="heldout", level=1) for q in range(2)]
    scores = DomainScores(rows, EvaluateConfig(n_samples=0))
    assert scores.metric == "greedy" and scores.of("a", "sums").tolist() == [[0.0], [1.0]]


def test_cells_are_the_means_and_differences_of_the_house() -> None:
    luck = np.random.default_rng(0)
    easy = flat(DOMAINS, 30, luck)
    tables = {
        "base": {name: easy[name][:, None] for name in DOMAINS},
        "one": {name: chances(luck, easy[name], 0.3 * (name == "dates"), 3) for name in DOMAINS},
        "two": {name: chances(luck, easy[name], 0.3 * (name == "sums"), 3) for name in DOMAINS},
        "three": {name: chances(luck, easy[name], 0.3, 3) for name in DOMAINS},
    }
    scores = scores_of([one for arm, table in tables.items() for one in rows_of(arm, table, luck)])
    additions = [Addition(arm, DOMAINS[: n + 1]) for n, arm in enumerate(("one", "two", "three"))]
    cells = forgetting_matrix(scores, additions, DOMAINS)
    assert [(cell.stage, cell.domain) for cell in cells] == [(arm, name) for arm in tables for name in DOMAINS]
    assert [cell.added for cell in cells] == [False] * 3 + [n <= k for k in range(3) for n in range(3)]
    for cell in cells:
        mean = mean_interval(scores.of(cell.stage, cell.domain))
        assert (cell.mean, cell.low, cell.high, cell.n_questions) == (mean.mean, mean.low, mean.high, 30)
        assert cell.base == mean_interval(scores.of("base", cell.domain)).mean
    assert all(at(cells, "base", name).since_base is None for name in DOMAINS)
    gained = at(cells, "one", "dates").since_base
    assert gained is not None and gained.mean == pytest.approx(at(cells, "one", "dates").mean - cells[0].mean)
    # dates came first: it is compared alone after the second addition, and beside sums after the third.
    found = at(cells, "two", "dates").since_added
    told = paired_difference(scores.of("two", "dates"), scores.of("one", "dates"))
    assert found is not None and (found.mean, found.low, found.high) == (told.mean, told.low, told.high)
    tables = [scores.of("three", name) - scores.of(arm, name) for name, arm in (("dates", "one"), ("sums", "two"))]
    for name, numbers in zip(DOMAINS, simultaneous_intervals(tables), strict=False):
        found = at(cells, "three", name).since_added
        assert found is not None and (found.mean, found.low, found.high) == numbers
    assert [cell.domain for cell in cells if cell.stage == "three" and cell.since_added] == ["dates", "sums"]
    assert [(cell.stage, cell.domain) for cell in cells if cell.regression] == [("two", "dates")]
    flat_row = at(cells, "two", "dates").row()
    assert flat_row["since_added_high"] < 0 and flat_row["regression"] is True
    assert set(cells[0].row()) == set(flat_row) and cells[0].row()["since_base_mean"] is None


def test_a_domain_that_nobody_could_score_has_no_numbers() -> None:
    rows = [row(arm, "q", 0, n=0) for arm in ("base", "one", "two")]
    cells = forgetting_matrix(scores_of(rows), [Addition("one", ("sums",)), Addition("two", ("sums",))], ["sums"])
    assert [(cell.mean, cell.since_base, cell.regression, cell.n_questions) for cell in cells] == [
        (None, None, False, 0)
    ] * 3


def test_an_addition_takes_nothing_away() -> None:
    scores = scores_of([row(arm, "q", 1) for arm in ("base", "one", "two")])
    with pytest.raises(ValueError, match="two lacks 'sums', which one was taught"):
        forgetting_matrix(scores, [Addition("one", ("sums",)), Addition("two", ("dates",))], ["sums"])


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(2, 12))
@settings(max_examples=40, deadline=None)
def test_what_holds_of_every_matrix(seed: int, n_seeds: int, n_questions: int) -> None:
    luck = np.random.default_rng(seed)
    arms = {"base": 1, "one": n_seeds, "two": n_seeds, "three": n_seeds}
    rows = [
        one
        for arm, n in arms.items()
        for one in rows_of(arm, {name: luck.random((n_questions, n)) for name in DOMAINS}, luck)
    ]
    additions = [Addition(arm, DOMAINS[: n + 1]) for n, arm in enumerate(("one", "two", "three"))]
    cells = forgetting_matrix(scores_of(rows), additions, DOMAINS)
    luck.shuffle(rows)
    assert forgetting_matrix(scores_of(rows), additions, DOMAINS) == cells
    for cell in cells:
        assert cell.mean is not None and cell.low is not None and cell.high is not None
        assert 0 <= cell.low <= cell.mean + 1e-12 and cell.mean <= cell.high + 1e-12 and cell.high <= 1
        assert (cell.since_added is not None) == (
            cell.stage != "base" and cell.n_domains - 1 > DOMAINS.index(cell.domain)
        )
        assert cell.regression == (cell.since_added is not None and cell.since_added.high < 0)
        if cell.since_base is not None:
            assert cell.since_base.mean == pytest.approx(cell.mean - (cell.base or 0.0))
            assert -1 <= cell.since_base.low <= cell.since_base.high <= 1
    # A domain's intervals are wider where it is one of several that are looked at.
    alone = forgetting_matrix(scores_of(rows), additions, DOMAINS, confidence=1 - 0.05 / 2)
    together, single = (at(found, "three", "dates").since_added for found in (cells, alone))
    assert together is not None and single is not None and single.low <= together.low


def simulated(
    luck: np.random.Generator, lost: float, n_domains: int, seed_sd: float, *, n_questions: int = 20
) -> list[Cell]:
    """All domains but one are added, then the last; the first domain loses `lost` by it."""
    names = [f"d{i}" for i in range(n_domains)]
    easy = flat(names, n_questions, luck)
    tables: dict[str, dict[str, Any]] = {"base": {name: easy[name][:, None] for name in names}}
    tables["before"] = {name: chances(luck, easy[name], 0.3, 3, seed_sd=seed_sd) for name in names}
    tables["after"] = {
        name: chances(luck, easy[name], 0.3 - lost * (name == "d0"), 3, seed_sd=seed_sd) for name in names
    }
    additions = [Addition("before", tuple(names[:-1])), Addition("after", tuple(names))]
    return forgetting_matrix(Answered(tables, luck), additions, names)


N_WORLDS = 120


@pytest.mark.parametrize("n_domains", [2, 4])
def test_where_nothing_is_lost_regressions_are_as_rare_as_promised(n_domains: int) -> None:
    """At most 5% of worlds, and no more than three standard deviations of that many worlds above it."""
    luck = np.random.default_rng(n_domains)
    worlds = [simulated(luck, 0.0, n_domains, 0.03) for _ in range(N_WORLDS)]
    rate = sum(any(cell.regression for cell in cells) for cells in worlds) / N_WORLDS
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / N_WORLDS)
    # The interval of a gain over the base, 0.3 for every domain, covers it as often as it says.
    gains = [cell.since_base for cells in worlds for cell in cells if (cell.stage, cell.domain) == ("after", "d0")]
    covered = sum(gain is not None and gain.low <= 0.3 <= gain.high for gain in gains) / N_WORLDS
    assert covered >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / N_WORLDS)
    assert covered < 1


def test_a_real_loss_is_found_and_named() -> None:
    luck = np.random.default_rng(1)
    worlds = [simulated(luck, 0.3, 8, 0.0, n_questions=40) for _ in range(10)]
    for cells in worlds:
        assert at(cells, "after", "d0").regression
    # The six others have lost nothing; false alarms are about 2.5% / 7 of these cells.
    assert sum(at(cells, "after", f"d{i}").regression for cells in worlds for i in range(1, 7)) <= 2
