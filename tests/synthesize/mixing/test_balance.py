"""The mix: shares that are kept exactly, strata, what is left out and why, and the sentences about it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesize.mixing.balance_texts import edited, honest, row, rows

from teachable.errors import TeachableError
from teachable.synthesize.mixing.balance import (
    ORGANIC,
    REPEATS_ORGANIC,
    REPEATS_SYNTHETIC,
    SYNTHETIC,
    TOO_MANY,
    Balanced,
    diversity_of,
    diversity_row,
    mixed,
    warnings_of,
)
from teachable.synthesize.mixing.balance_config import BalanceConfig
from teachable.synthesize.mixing.diversity import Diversity


def config(**fields: Any) -> BalanceConfig:
    return BalanceConfig.model_validate({"rounds": 20, "topics": 12, **fields})


def texts(n: int, prefix: str = "t") -> list[str]:
    return [f"{prefix} number {i}" for i in range(n)]


def counts(mix: Balanced) -> tuple[int, int]:
    found = Counter(side for side, _ in mix.rows)
    return found[ORGANIC], found[SYNTHETIC]


@pytest.mark.parametrize(
    ("fields", "n_organic", "n_synthetic", "expected"),
    [
        ({}, 100, 300, (100, 100)),
        ({"share": 0.25}, 90, 300, (90, 30)),
        ({"share": 0.75}, 100, 300, (100, 300)),
        ({"share": 0.75}, 1000, 300, (100, 300)),  # never more synthetic than there is: organic rows go
        ({"share": 0.75, "keep_organic": True}, 1000, 300, (1000, 300)),  # or the share
        ({"share": 0.5, "total": 50}, 100, 300, (25, 25)),
        ({"share": 0.5, "total": 5000}, 100, 300, (100, 100)),
        ({"share": 0.5, "total": 150, "keep_organic": True}, 100, 300, (100, 50)),
        ({"share": 0.0}, 100, 300, (100, 0)),
        ({"share": 1.0}, 100, 300, (0, 300)),
        ({"share": 0.0}, 100, 0, (100, 0)),
        ({"share": 1.0}, 0, 300, (0, 300)),
    ],
)
def test_shares(fields: dict[str, Any], n_organic: int, n_synthetic: int, expected: tuple[int, int]) -> None:
    organic, synthetic = rows(texts(n_organic, "o")), rows(texts(n_synthetic, "s"), workflow="w")
    mix = mixed(organic, synthetic, config(**fields))
    assert counts(mix) == expected
    left = {side: n - kept for side, n, kept in zip(mix.sizes, (n_organic, n_synthetic), expected, strict=True)}
    assert mix.left_out == {side: {TOO_MANY: n} if n else {} for side, n in left.items()}
    assert mix.share == pytest.approx(expected[1] / sum(expected))
    assert len({one.id for _, one in mix.rows}) == len(mix.rows)  # nothing is repeated


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.floats(0.05, 0.95),
    st.sampled_from(["proportional", "equal"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_any_share_is_kept_to_within_a_row(
    n_organic: int, n_synthetic: int, share: float, strata: str, domains: list[int], seed: int
) -> None:
    luck = random.Random(seed)
    organic = [row(text, f"d{luck.choice(domains)}") for text in texts(n_organic, "o")]
    synthetic = [row(text, f"d{luck.choice(domains)}", f"w{luck.choice(domains)}") for text in texts(n_synthetic, "s")]
    mix = mixed(organic, synthetic, config(share=share, strata=strata), seed=seed)
    largest = min(n_organic / (1 - share), n_synthetic / share)
    wanted = largest * (1 - share), largest * share
    for got, asked, there in zip(counts(mix), wanted, (n_organic, n_synthetic), strict=True):
        assert got <= there and abs(got - asked) <= 1
    for side, given_rows in ((ORGANIC, organic), (SYNTHETIC, synthetic)):
        kept = sum(one == side for one, _ in mix.rows)
        assert kept + mix.left_out[side].get(TOO_MANY, 0) == len(given_rows)
        assert sum(mix.strata[side].values()) == kept == mix.sizes[side]


def test_a_share_of_characters_is_one_of_characters() -> None:
    organic = rows([f"{i} {'long ' * (20 + i % 7)}" for i in range(100)])
    synthetic = rows([f"{i} {'brief ' * (2 + i % 3)}" for i in range(2000)], workflow="w")
    mix = mixed(organic, synthetic, config(unit="characters", share=0.3), size_of=lambda one: len(one.text))
    assert mix.share == pytest.approx(0.3, abs=0.001)
    assert sum(len(one.text) for side, one in mix.rows if side == SYNTHETIC) == mix.sizes[SYNTHETIC]
    assert counts(mix)[1] > 2 * counts(mix)[0]


def test_strata_share_as_they_stand_or_evenly() -> None:
    organic = rows(texts(60, "o"))
    parts = {("w1", "algebra"): 300, ("w1", "logic"): 90, ("w2", "algebra"): 10}
    synthetic = [row(f"{w} {d} {i}", d, w) for (w, d), n in parts.items() for i in range(n)]
    as_it_is = mixed(organic, synthetic, config())
    assert as_it_is.strata[SYNTHETIC] == {"w1/algebra": 45, "w1/logic": 14, "w2/algebra": 1}
    evenly = mixed(organic, synthetic, config(strata="equal"))
    assert evenly.strata[SYNTHETIC] == {"w1/algebra": 25, "w1/logic": 25, "w2/algebra": 10}


def test_the_choice_hangs_on_content_and_seed_alone() -> None:
    organic, synthetic = rows(texts(40, "o"), "a"), rows(texts(400, "s"), "a", "w")
    mix = mixed(organic, synthetic, config(), seed=1)
    assert mixed(organic[::-1], synthetic[::-1], config(), seed=1) == mix
    other = mixed(organic, synthetic, config(), seed=2)
    assert {one.id for _, one in other.rows} != {one.id for _, one in mix.rows}
    smaller = mixed(organic, synthetic, config(total=40), seed=1)
    assert {one.id for _, one in smaller.rows} < {one.id for _, one in mix.rows}
    sides = "".join(side[0] for side, _ in mix.rows)
    assert "o" * 20 not in sides and "s" * 20 not in sides  # the sides are shuffled


def test_repeats_are_left_out_with_their_reasons() -> None:
    organic = rows(["What is 2 + 2?", "What is 3 + 3?"])
    synthetic = rows(["what  is 2 + 2?", "New?", "NEW?", "Another?"], workflow="w")
    mix = mixed(organic, synthetic, config(share=0.5))
    assert mix.left_out == {ORGANIC: {}, SYNTHETIC: {REPEATS_ORGANIC: 1, REPEATS_SYNTHETIC: 1}}
    assert {one.text for side, one in mix.rows if side == SYNTHETIC} == {"New?", "Another?"}
    # The same question with another response says something else.
    answered = [row("Q", response="one way", workflow="w"), row("Q", response="another", workflow="w")]
    assert counts(mixed(organic, answered, config(share=0.5))) == (2, 2)


@pytest.mark.parametrize(
    ("organic", "synthetic", "share", "sentence"),
    [
        ([], ["a"], 0.5, "there are no organic rows"),
        (["a"], [], 0.5, "there are no synthetic rows. Name"),
        (["a"], ["A"], 0.5, "there are no synthetic rows that say something new"),
    ],
)
def test_a_side_that_is_needed_and_empty_is_refused(
    organic: list[str], synthetic: list[str], share: float, sentence: str
) -> None:
    with pytest.raises(TeachableError) as refused:
        mixed(rows(organic), rows(synthetic, workflow="w"), config(share=share))
    assert sentence in refused.value.sentence()


def test_a_collapse_is_said_with_its_figures() -> None:
    organic, synthetic = rows(honest(120, 1)), rows(edited(150, 2), workflow="w")
    settings_ = config()
    mix = mixed(organic, synthetic, settings_)
    found = diversity_of(organic, synthetic, mix, settings_)
    said = warnings_of(mix, found, settings_)
    assert {one.measure for one in found.collapsed} >= {"distinct_2", "novelty"}
    novelty = next(one for one in said if "collapsed by novelty" in one)
    assert "below 80%" in novelty and "% to " in novelty
    table = diversity_row(found, settings_.least_diversity)
    for one in table["measures"]:
        if one["collapsed"] and one["measure"] != "topics":
            assert one["synthetic"] < one["mixed"] < one["organic"], one


def test_one_set_cut_in_two_raises_no_warning() -> None:
    found = honest(300, 3)
    random.Random(3).shuffle(found)
    organic, synthetic = rows(found[:150]), rows(found[150:], workflow="w")
    mix = mixed(organic, synthetic, config())
    assert warnings_of(mix, diversity_of(organic, synthetic, mix, config()), config()) == []


def test_a_share_that_is_not_kept_and_too_few_texts_are_said() -> None:
    settings_ = config(share=0.75, keep_organic=True)
    mix = mixed(rows(texts(100, "o")), rows(texts(10, "s"), workflow="w"), settings_)
    said = warnings_of(mix, Diversity(0), settings_)
    assert said[0] == "9.1% of the mix are synthetic, not 75.0%"
    assert said[1] == "diversity was not compared: a side has fewer than 20 texts"


def test_embeddings_are_asked_for_once_and_for_what_is_looked_at() -> None:
    import numpy as np

    asked: list[list[str]] = []

    def embed(some: Any) -> Any:
        asked.append(list(some))
        return np.array([[len(text), *map(ord, text[-3:])] for text in some], float)

    organic, synthetic = rows(honest(60, 1)), rows(honest(300, 2), workflow="w")
    mix = mixed(organic, synthetic, config())
    found = diversity_of(organic, synthetic, mix, config(max_texts=40), embed=embed)
    assert found.comparisons[-1].measure == "embedding_spread"
    assert len(asked) == 1 and len(asked[0]) == len(set(asked[0])) <= 120
