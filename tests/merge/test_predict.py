"""Signals of interference on planted deltas, whose every number is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tests.merge.folders import random_arrays, write_model

from teachable.errors import TeachableError
from teachable.merge import Interference, Prediction, predict
from teachable.store.files import plain


def plant(folder: Path, n: int, deltas: dict[str, list[float]]) -> Prediction:
    """A base of ones and models that differ from it by these numbers, compared with half of the numbers large."""
    base = write_model(folder / "base", {"x": np.ones(n, np.float32)})
    models = [write_model(folder / name, {"x": 1 + np.float32(delta)}) for name, delta in deltas.items()]
    return predict(models, base=base, density=0.5)


def test_every_signal_of_an_example_by_hand(tmp_path: Path) -> None:
    found = plant(tmp_path, 4, {"one": [4, 3, 1, 0], "two": [-4, 0, 0, 3]})
    (pair,) = found.pairs
    assert pair.cosine == pytest.approx(-16 / math.sqrt(26 * 25))
    assert pair.cosine_by_group == {"rest": pair.cosine}
    assert (pair.sign_conflicts, pair.shared) == (1.0, 1 / 3)  # large: 0 and 1 of one, 0 and 3 of two
    assert pair.norm_ratio == pytest.approx(math.sqrt(26 / 25))
    assert pair.cancelled == pytest.approx(1 - 7 / 15)
    assert found.norms == pytest.approx({"one": math.sqrt(26), "two": 5}) and found.base_norm == 2
    assert (found.n_parameters, found.chance, found.density) == (4, 0.5, 0.5)


def test_the_most_opposed_pair_comes_first(tmp_path: Path) -> None:
    deltas = {"one": [1.0, 2, -1, 0], "same": [2.0, 4, -2, 0], "other": [-1.0, -2, 1, 1], "still": [0.0, 0, 0, 0]}
    pairs = plant(tmp_path, 4, deltas).pairs
    assert {pairs[0].one, pairs[0].two} == {"one", "other"} or {pairs[0].one, pairs[0].two} == {"same", "other"}
    cosines = [pair.cosine for pair in pairs]
    assert cosines == sorted(cosines[:3]) + [None] * 3
    by_pair = {(pair.one, pair.two): pair for pair in pairs}
    same = by_pair["one", "same"]
    assert (same.cosine, same.sign_conflicts, same.shared, same.cancelled) == pytest.approx((1, 0, 1, 0))
    assert same.norm_ratio == pytest.approx(2)
    still: Interference = by_pair["one", "still"]
    assert (still.cosine, still.norm_ratio, still.sign_conflicts) == (None, None, None)  # no change says nothing
    assert (still.shared, still.cancelled) == (0, 0)


def test_independent_deltas_are_at_chance(tmp_path: Path) -> None:
    """Within five standard errors: of the cosine, and of a coin's share of heads."""
    n = 40_000
    rng = np.random.default_rng(0)
    found = plant(tmp_path, n, {name: rng.normal(size=n).tolist() for name in ("one", "two")})
    (pair,) = found.pairs
    assert found.chance == 1 / math.sqrt(n)
    assert abs(pair.cosine or 1) < 5 * found.chance
    n_both = n * 0.25
    assert pair.sign_conflicts == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(n_both))
    assert pair.shared == pytest.approx(1 / 3, abs=5 / math.sqrt(n_both))


def test_pieces_add_up_and_groups_are_compared_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = random_arrays(0)
    one, two = random_arrays(1), random_arrays(2)
    two["model.layers.1.mlp.weight"] = -one["model.layers.1.mlp.weight"]
    two["model.layers.1.attention.weight"] = -one["model.layers.1.attention.weight"]
    write_model(tmp_path / "base", base)
    for name, delta in (("one", one), ("two", two)):
        write_model(tmp_path / name, {key: base[key] + delta[key] for key in base}, shards=2)
    models = [tmp_path / "one", tmp_path / "two"]
    whole = predict(models, base=tmp_path / "base")
    monkeypatch.setattr("teachable.merge.tensors.CHUNK", 6)
    cut = predict(models, base=tmp_path / "base")
    flat, other = (np.concatenate([delta[key].ravel() for key in base]) for delta in (one, two))
    cosine = flat @ other / np.linalg.norm(flat) / np.linalg.norm(other)
    for found in (whole, cut):
        assert found.pairs[0].cosine == pytest.approx(cosine, abs=1e-6)
        assert found.pairs[0].cosine_by_group["middle layers"] == pytest.approx(-1, abs=1e-6)
        assert list(found.pairs[0].cosine_by_group) == ["embedding", "early layers", "middle layers", "rest"]
    assert whole.pairs[0].sign_conflicts == cut.pairs[0].sign_conflicts
    assert plain(whole)["pairs"][0]["one"] == "one"


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", random_arrays(0))
    folders = [write_model(tmp_path / run / "model", random_arrays(i)) for i, run in enumerate("ab", start=1)]
    assert list(predict(folders, base=base).norms) == [str(folder) for folder in folders]
    assert len(predict([folders[0], folders[0]], base=base).norms) == 2


def test_what_can_not_be_compared_is_one_sentence(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", random_arrays(0))
    with pytest.raises(TeachableError, match=r"interference is between models\. Name two or more\.$"):
        predict([base], base=base)
    with pytest.raises(TeachableError, match=r"the density 0 is not above 0 and at most 1\. "):
        predict([base, base], base=base, density=0)
    with pytest.raises(TeachableError, match=r"nowhere: there is no such folder\."):
        predict([base, tmp_path / "nowhere"], base=base)
