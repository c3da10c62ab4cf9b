"""Each method against what defines it, on small arrays; and piece by piece against all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from teachable.merge import tensors
from teachable.merge.config import METHODS, NEED_BASE, merge_config
from teachable.merge.methods import PARALLEL, Tensor, merged, n_kept

NUMBERS = st.integers(-64, 64).map(lambda i: i / 8)  # exact in float32, and equal magnitudes are common
WEIGHTS = st.integers(1, 16).map(lambda i: i / 8)


def stacks(least: int = 1, most: int = 4) -> st.SearchStrategy[np.ndarray]:
    """A base in the first row, and a model in every further one."""
    shape = st.tuples(st.integers(least + 1, most + 1), st.integers(1, 30))
    return hnp.arrays(np.float32, shape, elements=NUMBERS)


def merge_arrays(rows: np.ndarray, method: str, name: str = "x", **settings: object) -> np.ndarray:
    """The merge of rows 1.. over row 0."""
    parts = [lambda start, stop, row=row: row[start:stop] for row in rows]
    tensor = Tensor(name, rows.shape[1], tuple(parts[1:]), parts[0] if method in NEED_BASE else None)
    return np.concatenate(list(merged(tensor, merge_config(method=method, **settings))))


def slow_ties(rows: np.ndarray, weights: Sequence[float], density: float, scale: float) -> list[float]:
    """The paper's three steps, one coordinate after the other, in Python's own floats."""
    deltas = [[float(x) - float(b) for x, b in zip(row, rows[0], strict=True)] for row in rows[1:]]
    for delta in deltas:
        floor = sorted((abs(number) for number in delta), reverse=True)[n_kept(len(delta), density) - 1]
        delta[:] = [number if abs(number) >= floor else 0.0 for number in delta]
    made = []
    for place in range(rows.shape[1]):
        numbers = [delta[place] for delta in deltas]
        total = math.fsum(weight * number for weight, number in zip(weights, numbers, strict=True))
        agreeing = [(w, n) for w, n in zip(weights, numbers, strict=True) if n * total > 0]
        mean = math.fsum(w * n for w, n in agreeing) / math.fsum(w for w, _ in agreeing) if agreeing else 0.0
        made.append(float(rows[0][place]) + scale * mean)
    return made


@given(stacks(), st.data())
def test_linear_is_the_weighted_mean(rows: np.ndarray, data: st.DataObject) -> None:
    weights = data.draw(st.lists(WEIGHTS, min_size=len(rows) - 1, max_size=len(rows) - 1))
    made = merge_arrays(rows, "linear", weights=weights)
    assert made == pytest.approx(np.average(rows[1:].astype(float), axis=0, weights=weights), abs=1e-5)
    same = merge_arrays(np.stack([rows[0], *[rows[1]] * 2]), "linear", weights=[1, 3])
    assert np.array_equal(same, rows[1])
    assert np.array_equal(made, merge_arrays(rows, "linear", weights=[2 * weight for weight in weights]))


@given(stacks(), st.data())
def test_task_arithmetic_adds_the_deltas(rows: np.ndarray, data: st.DataObject) -> None:
    weights = data.draw(st.lists(NUMBERS, min_size=len(rows) - 1, max_size=len(rows) - 1))
    made = merge_arrays(rows, "task_arithmetic", weights=weights, scale=0.5)
    wide = rows.astype(float)
    assert made == pytest.approx(wide[0] + 0.5 * np.array(weights) @ (wide[1:] - wide[0]), abs=1e-4)
    assert np.array_equal(merge_arrays(rows[:2], "task_arithmetic"), rows[1])  # these numbers have exact differences


# Weights whose ratios are exact in float32: a sum of exactly 0 must be one there too.
EXACT = {1: ([1], [3]), 2: ([1, 1], [1, 4]), 3: ([1, 1, 1], [2, 1, 4]), 4: ([1, 1, 1, 1], [1, 2, 0, 8])}


@given(stacks(), st.sampled_from([0.1, 0.2, 0.35, 0.5, 1.0]), st.sampled_from([0.5, 1.0]), st.data())
def test_ties_is_the_slow_reference(rows: np.ndarray, density: float, scale: float, data: st.DataObject) -> None:
    weights = data.draw(st.sampled_from(EXACT[len(rows) - 1]))
    made = merge_arrays(rows, "ties", weights=weights, density=density, scale=scale)
    assert made == pytest.approx(slow_ties(rows, weights, density, scale), abs=1e-5)


def test_ties_of_an_example_by_hand() -> None:
    """Ten numbers, of which four stay: 5 against -4 takes the greater side, and who is alone decides alone."""
    base = np.ones(10, np.float32)
    one = base + np.float32([5, 3, 4, 2, 0.1, 0.1, 0, 0, 0, 0])
    two = base + np.float32([-4, 0, 2, -2, 0.1, 0, 3, 0, 0, 0])
    made = merge_arrays(np.stack([base, one, two]), "ties", density=0.4)
    assert made == pytest.approx(1 + np.array([5, 3, 3, 0, 0, 0, 3, 0, 0, 0]))


@given(stacks(2, 2))
def test_slerp_ends_at_the_models(rows: np.ndarray) -> None:
    assert merge_arrays(rows, "slerp", weights=[1, 0]) == pytest.approx(rows[1], abs=1e-5)
    assert merge_arrays(rows, "slerp", weights=[0, 1]) == pytest.approx(rows[2], abs=1e-5)


@given(st.floats(2e-4, math.pi - 2e-3), st.floats(0, 1), st.integers(2, 50), st.integers(0, 2**32 - 1))
def test_slerp_keeps_the_norm_and_divides_the_angle(angle: float, t: float, size: int, seed: int) -> None:
    one, other = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, 2)))[0].T
    two = math.cos(angle) * one + math.sin(angle) * other
    made = merge_arrays(np.float32([one, one, two]), "slerp", weights=[1 - t, t]).astype(float)
    close = 1e-5 / math.sin(angle)  # an error of float32 in the angle counts the more the nearer it is to 0 or pi
    assert np.linalg.norm(made) == pytest.approx(1, abs=close)
    assert made @ one == pytest.approx(math.cos(t * angle), abs=close)
    assert made @ two == pytest.approx(math.cos((1 - t) * angle), abs=close)


@pytest.mark.parametrize(
    "two",
    [
        pytest.param([3.0, 4.0 + 3e-5, 0.0], id="nearly parallel"),
        pytest.param([-3.0, -4.0, 0.0], id="opposite"),
        pytest.param([0.0, 0.0, 0.0], id="zero"),
    ],
)
def test_slerp_is_linear_where_no_circle_is_told(two: list[float]) -> None:
    rows = np.float32([[0, 0, 0], [3, 4, 0], two])
    made = merge_arrays(rows, "slerp", weights=[0.25, 0.75])
    assert np.array_equal(made, merge_arrays(rows, "linear", weights=[0.25, 0.75]))


def test_slerp_has_no_step_where_it_becomes_linear() -> None:
    def at(angle: float) -> np.ndarray:
        return merge_arrays(np.float32([[0, 0], [1, 0], [math.cos(angle), math.sin(angle)]]), "slerp", weights=[1, 2])

    assert at(PARALLEL * 1.1) == pytest.approx(at(PARALLEL * 0.9), abs=PARALLEL)
    assert np.linalg.norm(at(PARALLEL * 1.1)) == pytest.approx(np.linalg.norm(at(PARALLEL * 0.9)), abs=2e-7)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_dare_drops_as_many_as_it_says_and_is_unbiased(density: float) -> None:
    """Of n numbers of delta 1, n*p stay, each as 1/p. The tolerances are five standard errors of the binomial."""
    n = 200_000
    rows = np.stack([np.full(n, 3, np.float32), np.full(n, 4, np.float32)])
    delta = merge_arrays(rows, "dare", density=density, seed=1) - 3
    stayed = delta != 0
    error = 5 * math.sqrt(density * (1 - density) / n)
    assert stayed.mean() == pytest.approx(density, abs=error)
    assert delta[stayed] == pytest.approx(1 / density, rel=1e-5)
    assert delta.mean() == pytest.approx(1, abs=error / density)
    assert np.corrcoef(stayed[:-1], stayed[1:])[0, 1] == pytest.approx(0, abs=5 / math.sqrt(n))


def test_dares_choice_depends_on_seed_name_and_place_alone() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 1000)).astype(np.float32)

    def chosen(**settings: object) -> bytes:
        return merge_arrays(rows, "dare", density=0.5, **settings).tobytes()

    assert chosen() == chosen(seed=0) != chosen(seed=1)
    assert chosen(name="x") != chosen(name="y")
    twice = merge_arrays(np.stack([np.zeros(1000), np.ones(1000), -np.ones(1000)]).astype(np.float32), "dare")
    assert set(np.unique(twice)) == {-2.0, 0.0, 2.0}  # two models are not masked alike, or all would be 0


@given(stacks())
def test_without_dropping_dare_is_task_arithmetic_and_dare_ties_is_ties(rows: np.ndarray) -> None:
    kept = {"density": 1.0}
    assert np.array_equal(merge_arrays(rows, "dare", **kept), merge_arrays(rows, "task_arithmetic"))
    assert np.array_equal(merge_arrays(rows, "dare_ties", **kept), merge_arrays(rows, "ties", **kept))


@pytest.mark.parametrize("method", METHODS)
def test_piece_by_piece_is_all_at_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(5).normal(size=(3, 1001)).astype(np.float32)
    whole = merge_arrays(rows, method)
    monkeypatch.setattr(tensors, "CHUNK", 64)
    pieces = merge_arrays(rows, method)
    # slerp's norms are sums in float64, whose order differs.
    assert np.array_equal(whole, pieces) if method != "slerp" else whole == pytest.approx(pieces, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_without_numbers_stays_one(method: str) -> None:
    parts = [lambda start, stop: np.zeros(stop - start, np.float32)] * 3
    assert list(merged(Tensor("none", 0, tuple(parts[:2]), parts[2]), merge_config(method=method))) == []
