"""The plain loop learns, keeps its promises about rates and losses, and resumes to the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.train.toy import PAD, STEPS, Killed, killed_in

from teachable.errors import TeachableError
from teachable.train import loop
from teachable.train.loop import CurvePoint, Optimisation, TokenSequence, batch_loss, collate, rate_at, train

CONSTANT = Optimisation(1e-3, "constant", 0.1, 0.0, 1.0)


def rates(n_steps: int, how: Optimisation) -> list[float]:
    return [rate_at(step, n_steps, how) for step in range(n_steps)]


def test_the_rate_rises_from_nought_and_stays() -> None:
    assert rates(20, CONSTANT) == [0.0, 5e-4] + [1e-3] * 18


def test_without_warm_up_the_first_step_has_the_peak_rate() -> None:
    assert rates(3, replace(CONSTANT, warmup_frac=0)) == [1e-3] * 3


def test_the_linear_rate_falls_evenly_to_nought_after_the_last_step() -> None:
    how = replace(CONSTANT, schedule="linear", warmup_frac=0.2)
    assert rates(10, how) == pytest.approx([0, 5e-4, *(1e-3 * (8 - i) / 8 for i in range(8))])
    assert rate_at(10, 10, how) == 0.0


def test_the_cosine_rate_falls_to_a_tenth() -> None:
    how = replace(CONSTANT, schedule="cosine", warmup_frac=0)
    assert rate_at(0, 100, how) == pytest.approx(1e-3)
    assert rate_at(50, 100, how) == pytest.approx(0.55e-3)
    assert rate_at(100, 100, how) == pytest.approx(1e-4)


@given(
    st.integers(1, 200),
    st.sampled_from(["constant", "linear", "cosine"]),
    st.floats(0, 1),
)
def test_the_rate_rises_then_never_rises_again_and_stays_within_its_bounds(
    n: int, schedule: Any, warmup: float
) -> None:
    how = replace(CONSTANT, schedule=schedule, warmup_frac=warmup)
    found = rates(n, how)
    assert all(0 <= rate <= how.learning_rate for rate in found)
    top = found.index(max(found))
    assert top <= math.ceil(warmup * n)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


def test_a_batch_is_padded_on_the_right_and_labelled_where_the_loss_is() -> None:
    batch = collate([TokenSequence((5, 6, 7), (False, True, True)), TokenSequence((8, 9), (False, True))], PAD)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, PAD]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [-100, 9, -100]]


def test_the_loss_is_the_mean_over_the_response_tokens_of_the_whole_batch(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence]
) -> None:
    """Against the definition: each sequence alone, without padding, its response tokens one by one."""
    model = tiny_llama()
    nats = []
    for s in sequences[:5]:
        log_probs = model(torch.tensor([s.ids])).logits[0].double().log_softmax(-1)
        nats += [-log_probs[i - 1, s.ids[i]].item() for i in range(1, len(s.ids)) if s.mask[i]]
    assert len(nats) < sum(len(s.ids) for s in sequences[:5])
    assert batch_loss(model, collate(sequences[:5], PAD)).item() == pytest.approx(sum(nats) / len(nats), rel=1e-6)


def test_the_loss_falls_on_what_can_be_learnt_by_heart(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    model = tiny_llama()
    few = sequences[:4]
    curve = train(model, few, [[0, 1, 2, 3]] * 60, replace(how, max_grad_norm=1.0), pad_id=PAD)
    assert curve[0].loss == pytest.approx(math.log(64), rel=0.1)  # a random model knows nothing of 64 tokens
    assert curve[-1].loss < 0.5
    assert batch_loss(model, collate(few, PAD)).item() < 0.5
    assert not model.training


def test_muon_moves_the_matrices_inside_the_layers_and_adamw_the_rest(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    model = tiny_llama()
    adamw, muon = loop.make_optimizers(model, replace(how, muon_rate=4e-3))
    names = {id(p): name for name, p in model.named_parameters()}
    moved = [{names[id(p)] for group in o.param_groups for p in group["params"]} for o in (adamw, muon)]
    assert moved[1] == {name for name in names.values() if ".layers." in name and "norm" not in name}
    assert moved[0] == set(names.values()) - moved[1]
    curve = train(model, sequences[:4], [[0, 1, 2, 3]] * 60, replace(how, muon_rate=4e-3), pad_id=PAD)
    assert curve[-1].loss < 0.25 * curve[0].loss


def test_the_curve_counts_steps_tokens_and_rates(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    seen: list[CurvePoint] = []
    curve = train(tiny_llama(), sequences, STEPS, how, pad_id=PAD, on_step=seen.append)
    assert seen == curve
    assert [p.step for p in curve] == list(range(len(STEPS)))
    assert [p.lr for p in curve] == rates(len(STEPS), how)
    tokens = [sum(len(sequences[i].ids) for i in step) for step in STEPS]
    assert [p.tokens for p in curve] == [sum(tokens[: n + 1]) for n in range(len(STEPS))]


@pytest.mark.parametrize("muon_rate", [0.0, 4e-3])
@pytest.mark.parametrize("last_step", [0, 4])
def test_a_killed_run_resumes_to_the_same_weights(
    tiny_llama: Callable[[], Any],
    sequences: list[TokenSequence],
    how: Optimisation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last_step: int,
    muon_rate: float,
) -> None:
    how = replace(how, schedule="linear", muon_rate=muon_rate)  # linear: a rate not taken up again shows
    undisturbed, checkpoint = tiny_llama(), tmp_path / "deep" / "run.pt"
    expected = train(undisturbed, sequences, STEPS, how, pad_id=PAD)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)  # after every step
    with pytest.raises(Killed):
        train(tiny_llama(), sequences, STEPS, how, pad_id=PAD, checkpoint=checkpoint, on_step=killed_in(last_step))
    again: list[CurvePoint] = []
    resumed = tiny_llama()
    curve = train(resumed, sequences, STEPS, how, pad_id=PAD, checkpoint=checkpoint, on_step=again.append)
    assert curve == expected
    assert len(again) == len(STEPS) - last_step  # the step in which it was killed had not been saved
    for left, right in zip(resumed.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(left, right)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["run.pt"]


def test_a_loss_that_is_not_finite_is_one_sentence(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    model = tiny_llama()

    def spoil(point: CurvePoint) -> None:
        if point.step == 1:
            model.model.embed_tokens.weight.data.fill_(math.nan)

    with pytest.raises(TeachableError) as caught:
        train(model, sequences, STEPS, how, pad_id=PAD, on_step=spoil)
    assert str(caught.value) == "the loss became nan at step 2. Lower the learning rate or look at the data."
