"""The additivity score: known values, its limits, and how often its intervals cover planted truths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.evaluate.planted_additions import Answered, chances, flat, rows_of, scores_of

from teachable.evaluate.additivity import NO_GAIN, NO_QUESTION, additivity, ratio_interval
from teachable.evaluate.matrix import Addition, DomainScores
from teachable.stats import paired_difference

NAMES = ("sums", "words")
BOTH = Addition("both", NAMES)
ALONE = {name: f"only-{name}" for name in NAMES}


def exact(tables: Mapping[str, Mapping[str, Any]]) -> DomainScores:
    """Scores as they are named, in quarters: arm -> domain -> [questions, seeds]."""
    return scores_of(
        [
            {
                "arm": arm,
                "seed": seed,
                "prompt_id": f"{domain}-{question}",
                "domain": domain,
                "n_correct": round(4 * value),
            }
            for arm, domains in tables.items()
            for domain, table in domains.items()
            for question, values in enumerate(np.asarray(table))
            for seed, value in enumerate(values)
        ]
    )


def constant(value: float, n_questions: int = 40, n_seeds: int = 2) -> np.ndarray[Any, Any]:
    return np.full((n_questions, n_seeds), value)


def test_gains_are_added_over_all_models_and_own_gains_apart() -> None:
    """sums: joint 0.25 of own 0.5 and 0.25 from words; words: joint 0.75 of own 0.75 and nothing from sums."""
    scores = exact(
        {
            "base": {"sums": constant(0.25, n_seeds=1), "words": constant(0.0, 20, 1)},
            "only-sums": {"sums": constant(0.75), "words": constant(0.0, 20)},
            "only-words": {"sums": constant(0.5), "words": constant(0.75, 20)},
            "both": {"sums": constant(0.5), "words": constant(0.75, 20)},
        }
    )
    whole, sums, words = additivity(scores, BOTH, ALONE)
    assert (sums.domain, sums.joint_gain, sums.separate_gain, sums.own_gain) == ("sums", 0.25, 0.75, 0.5)
    assert (sums.ratio.value, sums.own_ratio.value) == (pytest.approx(1 / 3), pytest.approx(0.5))
    assert (words.ratio.value, words.own_ratio.value) == (pytest.approx(1.0), pytest.approx(1.0))
    # Every domain counts the same, whatever its number of questions.
    assert (whole.domain, whole.joint_gain, whole.separate_gain, whole.own_gain) == (None, 1.0, 1.5, 1.25)
    assert (whole.ratio.value, whole.own_ratio.value) == (pytest.approx(2 / 3), pytest.approx(0.8))
    assert (whole.n_questions, sums.n_questions, words.n_questions) == (60, 40, 20)
    row = sums.row()
    assert (row["ratio"], row["own_ratio"], row["reason"], row["n_domains"]) == (
        sums.ratio.value,
        sums.own_ratio.value,
        "",
        2,
    )


def test_no_variance_is_not_no_doubt() -> None:
    tables = {"base": constant(0.25), "only-sums": constant(0.75), "both": constant(0.75)}
    scores = exact({arm: {"sums": table} for arm, table in tables.items()})
    (_, found) = additivity(scores, Addition("both", ("sums",)), {"sums": "only-sums"})
    assert found.ratio.low is not None and found.ratio.high is not None
    assert found.ratio.low < 0.9 and found.ratio.high > 1.1


def test_where_nothing_was_gained_there_is_no_score_but_a_reason() -> None:
    luck = np.random.default_rng(0)
    easy = flat(NAMES, 30, luck)
    tables = {"base": {name: easy[name][:, None] for name in NAMES}}
    for arm in (*ALONE.values(), "both"):
        tables[arm] = {name: chances(luck, easy[name], 0.3 * (name == "sums"), 3) for name in NAMES}
    scores = scores_of([one for arm, table in tables.items() for one in rows_of(arm, table, luck)])
    whole, sums, words = additivity(scores, BOTH, ALONE)
    assert whole.ratio.reason == sums.ratio.reason == ""
    assert (words.ratio.value, words.ratio.low, words.ratio.reason) == (None, None, NO_GAIN)
    assert words.own_ratio.reason == NO_GAIN and words.joint_gain is not None
    assert words.row()["reason"] == NO_GAIN


def test_questions_that_a_model_has_no_score_on_are_left_out_of_all() -> None:
    rows = {
        arm: [{"arm": arm, "seed": 0, "prompt_id": f"q{q}", "domain": "sums", "n": 4, "n_correct": n}
              for q in range(20)]
        for arm, n in (("base", 0), ("only-sums", 4), ("both", 2))
    }  # fmt: skip
    rows["only-sums"][3]["n"] = rows["only-sums"][3]["n_correct"] = 0
    (_, found) = additivity(
        scores_of([one for each in rows.values() for one in each]), Addition("both", ("sums",)), {"sums": "only-sums"}
    )
    assert (found.n_questions, found.ratio.value) == (19, 0.5)
    for one in rows["both"]:
        one["n"] = one["n_correct"] = 0
    whole, found = additivity(
        scores_of([one for each in rows.values() for one in each]), Addition("both", ("sums",)), {"sums": "only-sums"}
    )
    assert found.ratio.reason == whole.ratio.reason == NO_QUESTION
    assert (whole.joint_gain, whole.n_questions) == (None, 0)


def test_seeds_that_do_not_pair_are_refused() -> None:
    tables = {"base": constant(0.0, 5, 1), "only-sums": constant(0.5, 5, 2), "both": constant(0.5, 5, 3)}
    scores = exact({arm: {"sums": table} for arm, table in tables.items()})
    with pytest.raises(ValueError, match="2 and 3 seeds can't be paired"):
        additivity(scores, Addition("both", ("sums",)), {"sums": "only-sums"})


def test_one_question_is_not_enough_and_a_loss_is_no_gain() -> None:
    assert ratio_interval([constant(0.5)], [constant(-0.5)]).reason == NO_GAIN
    assert ratio_interval([constant(1.0, 1)], [constant(1.0, 1)]).reason == NO_GAIN


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3]), st.floats(0.05, 20.0), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_what_holds_of_every_ratio(seed: int, n_seeds: int, factor: float, n_groups: int) -> None:
    luck = np.random.default_rng(seed)
    shapes = [(int(luck.integers(6, 25)), n_seeds) for _ in range(n_groups)]
    below = [luck.uniform(0.1, 1.0, shape) for shape in shapes]
    above = [luck.uniform(-0.5, 1.0, shape) for shape in shapes]
    found = ratio_interval(above, below)
    assume(found.value is not None)
    assert found.value is not None and found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    # The interval's ends are the ratios at which above - ratio below is just about told from 0.
    if n_groups == 1:
        for end, sign in ((found.low, 1), (found.high, -1)):
            size = 1 + abs(end)
            told = paired_difference(above[0] / size / 2 + 0.5, end * below[0] / size / 2 + 0.5)
            assert (told.low if sign > 0 else told.high) == pytest.approx(0.0, abs=1e-6) or not told.n
    # More confidence is a wider interval; another unit of the divisor is another unit of the ratio.
    wider = ratio_interval(above, below, confidence=0.99)
    if wider.low is not None and wider.high is not None:
        assert wider.low <= found.low + 1e-6 and found.high <= wider.high + 1e-6
    scaled = ratio_interval(above, [factor * table for table in below], most=max(1.0, factor))
    assert scaled.value == pytest.approx(found.value / factor)
    assert scaled.low is not None and scaled.low == pytest.approx(found.low / factor, rel=1e-4, abs=1e-6)


def simulated(luck: np.random.Generator, n_domains: int, seed_sd: float) -> tuple[Answered, float]:
    """Domains whose own model gains 0.35 and each other 0.05, where the joint model gains 0.3; and the true score."""
    names = [f"d{i}" for i in range(n_domains)]
    easy = {name: values * 0.5 for name, values in flat(names, 30, luck).items()}
    tables: dict[str, dict[str, Any]] = {"base": {name: easy[name][:, None] for name in names}}
    for own in names:
        tables[f"only-{own}"] = {
            name: chances(luck, easy[name], 0.35 if name == own else 0.05, 3, seed_sd=seed_sd * (name == own))
            for name in names
        }
    tables["both"] = {name: chances(luck, easy[name], 0.3, 3, seed_sd=seed_sd) for name in names}
    return Answered(tables, luck), 0.3 / (0.35 + 0.05 * (n_domains - 1))


N_WORLDS = 60


@pytest.mark.parametrize(("n_domains", "seed_sd"), [(2, 0.0), (3, 0.06)])
def test_intervals_cover_the_planted_score(n_domains: int, seed_sd: float) -> None:
    """As often as they say, less three standard deviations of that many worlds."""
    luck = np.random.default_rng(n_domains)
    names = tuple(f"d{i}" for i in range(n_domains))
    held: dict[str, list[bool]] = {"all": [], "first": [], "own": []}
    widths = []
    for _ in range(N_WORLDS):
        scores, truth = simulated(luck, n_domains, seed_sd)
        whole, first, *_ = additivity(scores, Addition("both", names), {name: f"only-{name}" for name in names})
        for name, ratio, true in (
            ("all", whole.ratio, truth),
            ("first", first.ratio, truth),
            ("own", first.own_ratio, 0.3 / 0.35),
        ):
            if ratio.low is not None and ratio.high is not None:
                widths += [ratio.high - ratio.low] * (name == "all")
                held[name].append(ratio.low <= true <= ratio.high)
    for name, covered in held.items():
        assert len(covered) > N_WORLDS / 2, name
        least = 0.95 - 3 * math.sqrt(0.05 * 0.95 / len(covered))
        assert sum(covered) / len(covered) >= least, (name, sum(covered), len(covered))
    assert np.median(widths) < 1.0  # what covers everything says nothing
