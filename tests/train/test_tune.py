"""Tuning: the loss that the examples have alone, the weights of the best evaluation, and the same end after any kill.

Everything here is on a CPU, in float32. The reference takes each example alone, unpadded, and sums; the trainer's
batches differ from it in the order of sums only, so losses agree within 1e-5 (seen: 1e-6), and weights within 2e-4, a
twenty-fifth of what one AdamW step of 5e-3 moves: where a gradient is all but zero its rounding decides AdamW's sign.
That this notices examples that see each other, and each setting left out, is itself tested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.tuning import (
    CONFIG,
    PlannedJudge,
    Tune,
    accuracies,
    furthest,
    logits_of,
    sums,
    weights_of,
    what_came_of,
    with_settings,
)

from teachable.chat import training_tokens
from teachable.errors import TeachableError
from teachable.train import steering
from teachable.train import tune as tune_module
from teachable.train.embedded import save_model
from teachable.train.loop import Optimisation, TokenSequence, make_optimizer
from teachable.train.sft import load_trainable
from teachable.train.tune import TuneResult
from teachable.train.tune_batches import packed, require_apart
from teachable.train.tune_config import TrainingConfig
from teachable.train.tune_plan import TunePlan, plan_tuning, rate_of

pytest.importorskip("trl")
pytestmark = [
    pytest.mark.usefixtures("little_garbage"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 2e-4


def plan_of(base: Path, config: TrainingConfig, seed: int = 0) -> tuple[Any, TunePlan]:
    model, tokenizer = load_trainable(base, "cpu")
    pairs = [training_tokens(tokenizer, example.messages) for example in sums()]
    return model, plan_tuning([TokenSequence(tuple(i), tuple(m)) for i, m in pairs], config, seed=seed)


def alone(model: Any, one: TokenSequence) -> torch.Tensor:
    """The sum of an example's losses, from one unpadded forward pass of its own."""
    logits_T_V = model(input_ids=torch.tensor([one.ids]), use_cache=False).logits[0]
    losses = torch.nn.functional.cross_entropy(logits_T_V[:-1], torch.tensor(one.ids[1:]), reduction="none")
    return losses[torch.tensor(one.mask[1:])].sum()


def by_hand(base: Path, config: TrainingConfig) -> tuple[Any, list[float]]:
    """The trained model and its losses, with every example alone."""
    model, plan = plan_of(base, config)
    how = Optimisation(config.learning_rate, "constant", 0.0, config.weight_decay, config.max_grad_norm)
    optimizer = make_optimizer(model, how)
    losses = []
    for number, step in enumerate(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_of(number, len(plan.steps), config)
        used = [plan.sequences[i] for row in step for i in plan.rows[row]]
        loss = torch.stack([alone(model, one) for one in used]).sum() / sum(sum(one.mask) for one in used)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return model, losses


# ---- the loss ----


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rows_at_once": 2},
        {"packing": True, "batch_size": 3},
        {"packing": True, "batch_size": 3, "rows_at_once": 1},
        {"gradient_checkpointing": True, "packing": True},
        {"max_epochs": 2, "max_steps": 99, "rows_at_once": 2},
    ],
    ids=lambda settings: " ".join(settings) or "padded",
)
def test_the_losses_are_those_of_the_examples_alone(base: Path, run: Tune, settings: dict[str, Any]) -> None:
    config = with_settings(**settings)
    model, losses = by_hand(base, config)
    result = run(config)
    assert [point.loss for point in result.curve] == pytest.approx(losses, abs=LOSS_TOLERANCE)
    written = weights_of(result.path)
    assert furthest(written, {name: model.state_dict()[name] for name in written}) < WEIGHT_TOLERANCE
    assert losses[0] - losses[-1] > 0.1  # the tolerances would notice a step that did nothing
    assert result.n_rows == len(plan_of(base, config)[1].rows)


@pytest.mark.parametrize(
    "change",
    [{"schedule": "constant"}, {"warmup_steps": 0}, {"weight_decay": 0.0}, {"max_grad_norm": 1e9}, {"batch_size": 6}],
    ids=lambda change: next(iter(change)),
)
def test_the_tolerance_would_notice_a_setting_left_out(base: Path, change: dict[str, Any]) -> None:
    with_it, without = (by_hand(base, config)[0].state_dict() for config in (CONFIG, with_settings(**change)))
    assert furthest(with_it, without) > 5 * WEIGHT_TOLERANCE


# ---- packing ----


def test_no_packed_example_sees_another(base: Path) -> None:
    """Other examples in the row change nothing, to the bit; the tolerance of the losses would notice if they did."""
    model, plan = plan_of(base, with_settings(packing=True))
    model.eval()
    one, other, last = plan.sequences[:3]
    at = -len(last.ids)

    def logits(rows: list[list[TokenSequence]], **changes: Any) -> torch.Tensor:
        batch = packed(model, rows, 0) | changes
        batch.pop("labels")
        found: torch.Tensor = model(**batch, use_cache=False).logits
        return found

    with torch.no_grad():
        beside, beside_another = (
            logits([[first, last]])[0, at:] for first in (one, TokenSequence(one.ids[::-1], one.mask))
        )
        assert torch.equal(beside, beside_another)
        assert torch.allclose(beside, logits([[last]])[0], atol=1e-5)
        # A shorter row above it is filled up behind its end.
        assert torch.allclose(beside, logits([[one], [other, last]])[1, at:], atol=1e-5) or len(one.ids) > len(
            other.ids
        )
        leaking = logits([[one, last]], position_ids=None)[0, at:]
        assert (leaking - beside).abs().max() > 1e-3


def test_packed_labels_leave_out_what_is_predicted_from_nothing(base: Path) -> None:
    model, _ = plan_of(base, CONFIG)
    batch = packed(model, [[TokenSequence((5, 6, 7), (True,) * 3), TokenSequence((8, 9), (True,) * 2)]], 0)
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert "attention_mask" not in batch


def test_a_model_that_heeds_no_positions_is_not_packed_for(base: Path) -> None:
    model, _ = plan_of(base, CONFIG)
    require_apart(model, 0)
    whole = model.forward
    model.forward = lambda position_ids=None, **given: whole(**given)
    with pytest.raises(TeachableError) as caught:
        require_apart(model, 0)
    assert str(caught.value) == (
        "examples packed into one row would see each other in this model (LlamaForCausalLM). Set packing to false."
    )


def test_packing_warns_of_nothing(base: Path, run: Tune, capfd: pytest.CaptureFixture[str]) -> None:
    run(with_settings(packing=True, max_steps=1))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "attention" not in captured.err


# ---- the judge ----


@pytest.mark.parametrize("r", [0, 4])
@pytest.mark.parametrize(("right", "best"), [((4, 10, 18, 12, 9), 4), ((12, 4, 3, 2, 1), 0), ((1, 2, 3, 4, 19), 8)])
def test_the_weights_of_the_best_evaluation_are_written(
    base: Path, run: Tune, right: tuple[int, ...], best: int, r: int
) -> None:
    judge = PlannedJudge(accuracies(*right))
    result = run(with_settings(patience=0, r=r), judge=judge)
    assert list(judge.said) == [0, 2, 4, 6, 8]
    assert result.best_step == best
    written = load_trainable(result.path, "cpu")
    assert torch.allclose(logits_of(*written), judge.said[best], atol=1e-5)
    others = [said for step, said in judge.said.items() if step != best]
    assert all((logits_of(*written) - said).abs().max() > 1e-3 for said in others)
    if best == 0:
        assert furthest(weights_of(base), weights_of(result.path)) == 0.0
    assert [one.scores for one in result.evaluations] == [tuple(scores) for scores in judge.scores.values()]
    assert [one.tokens for one in result.evaluations[1:]] == [result.curve[step - 1].tokens for step in (2, 4, 6, 8)]


@pytest.mark.parametrize("r", [0, 4])
@pytest.mark.parametrize("is_judged", [True, False])
def test_weights_that_are_gathered_come_to_the_same(
    run: Tune, monkeypatch: pytest.MonkeyPatch, is_judged: bool, r: int
) -> None:
    """The way of sharded weights (FSDP, DeepSpeed), walked by a model that is not: a copy is judged, and written."""
    config = with_settings(patience=0, r=r)

    def of(name: str) -> tuple[TuneResult, PlannedJudge]:
        judge = PlannedJudge(accuracies(4, 10, 18, 12, 9))
        return run(config, judge=judge if is_judged else None, name=name), judge

    live, by_live = of("live")
    for module in (steering, tune_module):
        monkeypatch.setattr(module, "is_sharded", lambda trainer: True)
    gathered, by_copy = of("gathered")
    assert what_came_of(gathered)[1:] == what_came_of(live)[1:]
    assert furthest(weights_of(gathered.path), weights_of(live.path)) < 1e-6
    assert by_copy.said.keys() == by_live.said.keys()
    assert all(torch.allclose(by_copy.said[step], by_live.said[step], atol=1e-5) for step in by_copy.said)


def test_a_plateau_ends_training(run: Tune) -> None:
    seen: list[Any] = []
    result = run(
        with_settings(patience=2, max_steps=40),
        judge=PlannedJudge(accuracies(4, 16, 15, 16, 20, 20)),
        on_evaluation=lambda *told: seen.append(told),
    )
    assert (result.stopped, result.n_steps, result.best_step) == ("plateau", 6, 2)
    assert result.n_steps_planned == 40
    assert result.sentence.startswith("Plateau: 2 evaluations in a row gained nothing over step 2 (80.0%)")
    assert [evaluation for evaluation, _ in seen] == list(result.evaluations)
    assert [now.done for _, now in seen] == [False, False, False, True]


def test_limits_end_training_where_there_is_no_plateau(run: Tune) -> None:
    judge = PlannedJudge(accuracies(1, 2, 3, 4, 5))
    by_steps = run(with_settings(patience=0), judge=judge)
    assert (by_steps.stopped, by_steps.n_steps) == ("max_steps", 8)
    assert by_steps.sentence.startswith("Trained 8 steps, the most allowed, without a plateau. ")
    by_epochs = run(with_settings(patience=0, max_epochs=1), judge=judge)
    assert (by_epochs.stopped, by_epochs.n_steps, by_epochs.best_step) == ("max_epochs", 4, 4)
    assert by_epochs.sentence.startswith("Trained 4 steps, each example as often as allowed, without a plateau. ")


def test_without_a_judge_the_last_weights_are_written(base: Path, run: Tune) -> None:
    steered, plain = (
        run(name="steered"),
        run(TrainingConfig(**CONFIG.model_dump(include=set(TrainingConfig.model_fields)))),
    )
    assert steered.evaluations == ()
    assert (plain.best_step, plain.stopped, plain.n_steps) == (8, "max_steps", 8)
    assert plain.sentence == "Trained 8 steps, the most allowed."
    assert steered.digest == plain.digest
    assert furthest(weights_of(base), weights_of(plain.path)) > 1e-3


def test_a_judge_leaves_the_training_as_it_was(base: Path, tmp_path: Path, run: Tune) -> None:
    """It draws random numbers while the model, which has dropout, needs its own."""
    model, tokenizer = load_trainable(base, "cpu")
    model.config.attention_dropout = 0.3
    save_model(model, tokenizer, tmp_path / "dropout")
    judged = run(with_settings(patience=0), base=tmp_path / "dropout", judge=PlannedJudge(accuracies(1, 2, 3, 4, 5)))
    alone, without = run(base=tmp_path / "dropout"), run()
    assert judged.curve == alone.curve != without.curve
    assert judged.digest == alone.digest


def test_a_judge_needs_to_know_when_it_is_asked(run: Tune) -> None:
    with pytest.raises(ValueError, match="a judge needs a SteeredConfig"):
        run(TrainingConfig(max_length=64), judge=PlannedJudge({}))


# ---- adapters ----


def test_adapters_are_merged_into_the_layers_and_leave_the_rest(base: Path, run: Tune) -> None:
    before, after = weights_of(base), weights_of(run(with_settings(r=4)).path)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert moved == {name for name in before if "_proj." in name}


# ---- counts ----


def test_what_is_counted(run: Tune) -> None:
    result = run(with_settings(max_length=34, max_epochs=1))
    plan = plan_of(result.path, with_settings(max_length=34, max_epochs=1))[1]
    assert 0 < result.n_too_long == plan.n_too_long
    assert result.n_examples == len(plan.sequences) == 18 - result.n_too_long
    assert result.n_tokens == sum(len(one.ids) for one in plan.sequences) == result.curve[-1].tokens
    assert result.n_response_tokens == sum(sum(one.mask) for one in plan.sequences)
    assert result.n_params == sum(p.numel() for p in load_trainable(result.path, "cpu")[0].parameters())


def test_another_seed_is_another_order(run: Tune) -> None:
    first, again, other = (run(name=name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first.curve == again.curve
    assert first.digest == again.digest != other.digest
