"""Every signal of a run's tuned domains, side by side, on real tiny models; and what can't be compared."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from tests.recipe.tuned_runs import DOMAINS, SEEDS, examples, tuned_run

from teachable.errors import TeachableError
from teachable.merge import predict
from teachable.overlap.profile import likeness, profile
from teachable.recipe.frozen import frozen_path
from teachable.recipe.predicting import RISING, SIGNALS, PairPrediction, RunPrediction, predict_run
from teachable.records import Progress
from teachable.stats import pair_correlation
from teachable.store.files import plain
from teachable.train.gradients import probe_gradients


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned_run(tmp_path_factory.mktemp("tuned") / "run")


@pytest.fixture(scope="module")
def found(run: Path) -> RunPrediction:
    return predict_run(run, n_probe=16)


def of(found: RunPrediction, one: str, two: str) -> PairPrediction:
    return next(pair for pair in found.pairs if {pair.one, pair.two} == {one, two})


def test_like_domains_are_told_from_unlike_ones_by_every_signal(found: RunPrediction) -> None:
    assert [one.domain for one in found.domains] == list(DOMAINS) and len(found.pairs) == 3
    like, unlike = of(found, "sums", "more sums"), of(found, "sums", "spelling")
    for name in ("gradient_aligned", "gradient_cosine", "delta_cosine", "prompts_shared", "responses_shared"):
        assert getattr(like, name) > getattr(unlike, name) + 0.1, name
    for name in ("gradient_opposed", "delta_sign_conflicts", "delta_cancelled"):
        assert getattr(like, name) < getattr(unlike, name) - 0.05, name
    aligned = [pair.gradient_aligned for pair in found.pairs if pair.gradient_aligned is not None]
    assert aligned == sorted(aligned) and like == found.pairs[len(aligned) - 1], "the least aligned comes first"
    assert like.gradient_aligned is not None and like.gradient_aligned > 0.9


def test_each_signal_is_that_of_its_own_room(run: Path, found: RunPrediction) -> None:
    taught = {domain: examples(domain) for domain in DOMAINS}
    gradients = probe_gradients(run / "models/base", taught, n_examples=16)
    models = [run / f"models/tune-{frozen_path(run, domain).stem}-{SEEDS[0]}" for domain in DOMAINS]
    deltas = predict(models, base=run / "models/base")
    pair, truth = (
        of(found, "sums", "spelling"),
        next(one for one in gradients.pairs if (one.one, one.two) == ("sums", "spelling")),
    )
    assert (pair.gradient_aligned, pair.gradient_low, pair.one_to_two) == (truth.aligned, truth.low, truth.one_to_two)
    delta = next(one for one in deltas.pairs if {one.one, one.two} == {"tune-sums-3", "tune-spelling-3"})
    assert (pair.delta_cosine, pair.delta_by_group) == (delta.cosine, dict(delta.cosine_by_group))
    asked = [profile([one.messages[0]["content"] for one in taught[domain]]) for domain in ("sums", "spelling")]
    assert pair.prompts_shared == likeness(*asked).shared
    assert [one.delta_norm for one in found.domains] == list(deltas.norms.values())


def test_what_is_known_of_each_domain(found: RunPrediction) -> None:
    sums, more, spelling = found.domains
    assert (sums.n_examples, sums.n_probed, sums.n_estimates) == (24, 16, 4)
    assert sums.zones["teachable"] == 0.75 and spelling.zones["mastered"] == 1.0 and more.zones == {}
    assert all(one.gradient_repeat is not None and 0 < one.gradient_repeat <= 1 for one in found.domains)
    assert sums.prompts_halves is not None and sums.prompts_halves > 0.9
    assert found.seed == SEEDS[0] and found.gradient_error == 0 and found.notes == ()


def test_it_is_json_and_its_columns_correlate(found: RunPrediction) -> None:
    assert json.loads(json.dumps(plain(found), allow_nan=False))["pairs"][0]["one"] == found.pairs[0].one
    assert set(SIGNALS) - {"transfer"} <= {field.name for field in fields(PairPrediction)} and set(RISING) < set(
        SIGNALS
    )
    aligned = found.column("gradient_aligned")
    for name in ("delta_cosine", "delta_sign_conflicts", "gradient_opposed", "transfer", "responses_shared"):
        rho = pair_correlation(aligned, found.column(name)).rho
        assert rho is not None and rho >= 0.5, f"{name} is turned so that more is more alike"
    pair = found.pairs[0]
    assert pair.one_to_two is not None and pair.two_to_one is not None
    assert found.column("transfer")[pair.one, pair.two] == (pair.one_to_two + pair.two_to_one) / 2
    both_ways = found.transfers()
    assert len(both_ways) == 6 and both_ways[pair.two, pair.one] == pair.two_to_one != both_ways[pair.one, pair.two]
    with pytest.raises(KeyError, match="there is no signal 'best'; there are gradient_aligned, "):
        found.column("best")


def test_another_seed_and_some_of_the_domains(run: Path, found: RunPrediction) -> None:
    told: list[Progress] = []
    other = predict_run(run, n_probe=16, seed=4, domains=["spelling", "sums"], on_progress=told.append)
    (pair,) = other.pairs
    assert other.seed == 4 and (pair.one, pair.two) == ("sums", "spelling")
    first = of(found, "sums", "spelling")
    assert pair.gradient_aligned == first.gradient_aligned and pair.delta_cosine != first.delta_cosine
    assert {each.unit for each in told} == {"examples", "parameters"}


def test_what_is_lacking_is_said(run: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(bare / "probe")
    found = predict_run(bare, n_probe=60)
    assert found.notes[:3] == tuple(
        f"{domain} has 24 examples that fit, fewer than the 60 asked for." for domain in DOMAINS
    )
    assert found.notes[-1] == "Nothing was probed in this run, so the teachable shares are not known."
    assert all(one.n_estimates == 0 for one in found.domains)


def test_what_can_not_be_compared_is_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"nowhere: there is no run folder here\. Name the run folder of `teach"):
        predict_run(tmp_path / "nowhere")
    with pytest.raises(TeachableError, match=r"tune: no model of this run has the seed 7\. There are 3, 4\.$"):
        predict_run(run, seed=7)
    with pytest.raises(TeachableError, match=r"the domain 'gcd' has not been tuned in this run\. There are sums, more"):
        predict_run(run, domains=["gcd", "sums"])
    with pytest.raises(TeachableError, match=r"only the domain 'sums' is there to compare, and interference is betw"):
        predict_run(run, domains=["sums"])
    changed = shutil.copytree(run, tmp_path / "changed")
    lines = frozen_path(changed, "sums").read_text().splitlines(keepends=True)
    frozen_path(changed, "sums").write_text("".join(lines[1:]))
    with pytest.raises(TeachableError, match=r"sums\.jsonl: this is not the frozen set of the domain 'sums' any more"):
        predict_run(changed)
    frozen_path(changed, "sums").with_suffix(".json").unlink()
    with pytest.raises(TeachableError, match=r"the domain 'sums' has no frozen set\. Tune it: `teachable tune sums`"):
        predict_run(changed)
    shutil.rmtree(changed / "models/base")
    with pytest.raises(TeachableError, match=r"the base of this run is gone: .*models/base\. Run it again, which"):
        predict_run(changed)


def test_a_run_that_has_not_tuned_is_told_so(tmp_path: Path) -> None:
    run = tuned_run(tmp_path / "run", ["sums"], finished=False)
    with pytest.raises(TeachableError, match=r"no domain of this run has been tuned to its end\. Run `teachable tune`"):
        predict_run(run)
