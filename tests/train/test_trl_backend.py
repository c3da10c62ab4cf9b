"""TRL's trainer and the plain loop are one function: same losses, same weights, same errors, same resuming.

The tolerances. Both backends compute in float32 (rounding 2^-24) and differ only in the order of their sums: TRL
sums the log-probabilities of its tiles, the loop calls one cross-entropy. A loss near 4 has a spacing of 5e-7, so
1e-5 leaves twenty spacings for eight steps of such differences. A weight moves at most about the learning rate, 5e-3,
in one AdamW step, whatever the size of its gradient: rounding shows only where a gradient is itself no larger than
the rounding, so 1e-5 is a five-hundredth of one step. (Seen: 1e-6 and 1.2e-7.) That this is tight enough to notice a
difference is itself tested: each setting, left out, moves some weight by twenty times as much.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.toy import PAD, STEPS, Killed, killed_in

from teachable.errors import TeachableError
from teachable.train import trl_backend
from teachable.train.loop import CurvePoint, Optimisation, TokenSequence, train
from teachable.train.trl_backend import checkpoint_folder, train_with_trl

pytest.importorskip("trl")
LOSS_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 1e-5

# Libraries that warn about themselves, not about how they are used here.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def furthest(left: Any, right: Any) -> float:
    """The largest difference of two models' weights."""
    pairs = zip(left.parameters(), right.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


@pytest.fixture(autouse=True)
def same_generator() -> Iterator[None]:
    """Trainers seed torch's global generator: leave it as it was."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_both_backends_give_the_same_losses_and_weights(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation, schedule: Any
) -> None:
    how = replace(how, schedule=schedule)
    by_loop, by_trl = tiny_llama(), tiny_llama()
    expected = train(by_loop, sequences, STEPS, how, pad_id=PAD)
    seen: list[CurvePoint] = []
    curve = train_with_trl(by_trl, sequences, STEPS, how, pad_id=PAD, on_step=seen.append)
    assert [p.loss for p in curve] == pytest.approx([p.loss for p in expected], abs=LOSS_TOLERANCE)
    assert [(p.step, p.tokens, p.lr) for p in curve] == [(p.step, p.tokens, p.lr) for p in expected]
    assert seen == curve
    assert furthest(by_loop, by_trl) < WEIGHT_TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "linear"},
        {"warmup_frac": 0.0},
        {"weight_decay": 0.0},
        {"max_grad_norm": 1e9},
        {"betas": (0.9, 0.999)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_tolerance_would_notice_a_setting_left_out(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation, change: dict[str, Any]
) -> None:
    with_it, without = tiny_llama(), tiny_llama()
    train(with_it, sequences, STEPS, how, pad_id=PAD)
    train(without, sequences, STEPS, replace(how, **change), pad_id=PAD)
    assert furthest(with_it, without) > 20 * WEIGHT_TOLERANCE


def test_the_tolerance_would_notice_loss_on_the_prompt(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    masked, unmasked = tiny_llama(), tiny_llama()
    train(masked, sequences, STEPS, how, pad_id=PAD)
    everywhere = [TokenSequence(s.ids, (True,) * len(s.ids)) for s in sequences]
    train(unmasked, everywhere, STEPS, how, pad_id=PAD)
    assert furthest(masked, unmasked) > 20 * WEIGHT_TOLERANCE


def test_the_model_comes_back_as_it_was_but_for_its_weights(
    tiny_llama: Callable[[], Any],
    sequences: list[TokenSequence],
    how: Optimisation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, untouched = tiny_llama(), tiny_llama().eval()
    train_with_trl(model, sequences, STEPS[:2], how, pad_id=PAD)
    assert capsys.readouterr().out == ""
    assert not model.training
    assert "forward" not in vars(model)
    for name, each in (("trained", model), ("untouched", untouched)):
        each.save_pretrained(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "untouched").iterdir())
    assert sorted(path.name for path in (tmp_path / "trained").iterdir()) == names
    for name in names:
        same = (tmp_path / "trained" / name).read_bytes() == (tmp_path / "untouched" / name).read_bytes()
        assert same == (name != "model.safetensors"), name


@pytest.mark.parametrize("last_step", [0, 4])
def test_a_killed_run_resumes_to_the_same_weights(
    tiny_llama: Callable[[], Any],
    sequences: list[TokenSequence],
    how: Optimisation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last_step: int,
) -> None:
    how = replace(how, schedule="linear")  # so that a rate that is not taken up again shows
    undisturbed, checkpoint = tiny_llama(), tmp_path / "run.pt"
    expected = train_with_trl(undisturbed, sequences, STEPS, how, pad_id=PAD)

    monkeypatch.setattr(trl_backend, "CHECKPOINT_EVERY_S", -1.0)  # after every step
    monkeypatch.setattr(trl_backend, "SAVING_SHARE", math.inf)
    with pytest.raises(Killed):
        kill = killed_in(last_step)
        train_with_trl(tiny_llama(), sequences, STEPS, how, pad_id=PAD, checkpoint=checkpoint, on_step=kill)
    # A checkpoint of a later step that was killed half-way: the weights are there, the end is not.
    folder = checkpoint_folder(checkpoint)
    complete = sorted(folder.glob("checkpoint-*"))
    assert [path.name for path in complete] == ([f"checkpoint-{last_step}"] if last_step else [])
    if complete:
        shutil.copytree(complete[0], folder / "checkpoint-7")
        (folder / "checkpoint-7" / trl_backend.CURVE).unlink()

    again: list[CurvePoint] = []
    resumed = tiny_llama()
    curve = train_with_trl(resumed, sequences, STEPS, how, pad_id=PAD, checkpoint=checkpoint, on_step=again.append)
    assert curve == expected
    assert len(again) == len(STEPS) - last_step  # the step in which it was killed had not been saved
    for left, right in zip(resumed.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(left, right)
    assert [path.name for path in folder.iterdir()] == [f"checkpoint-{len(STEPS)}"]

    # Killed after its last checkpoint, before the model was saved: nothing is trained again.
    finished = tiny_llama()
    assert train_with_trl(finished, sequences, STEPS, how, pad_id=PAD, checkpoint=checkpoint) == expected
    assert furthest(finished, undisturbed) == 0.0


def test_nothing_is_left_behind_without_a_checkpoint(
    tiny_llama: Callable[[], Any],
    sequences: list[TokenSequence],
    how: Optimisation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trl_backend, "CHECKPOINT_EVERY_S", -1.0)
    train_with_trl(tiny_llama(), sequences, STEPS[:2], how, pad_id=PAD)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_is_the_loops_sentence(
    tiny_llama: Callable[[], Any],
    sequences: list[TokenSequence],
    how: Optimisation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_llama()
    monkeypatch.setattr(trl_backend, "CHECKPOINT_EVERY_S", -1.0)
    monkeypatch.setattr(trl_backend, "SAVING_SHARE", math.inf)

    def spoil(point: CurvePoint) -> None:
        if point.step == 1:
            model.model.embed_tokens.weight.data.fill_(math.inf)

    with pytest.raises(TeachableError) as caught:
        train_with_trl(model, sequences, STEPS, how, pad_id=PAD, checkpoint=tmp_path / "run.pt", on_step=spoil)
    assert str(caught.value) == "the loss became nan at step 2. Lower the learning rate or look at the data."
    # The step was not saved: starting again does not start from ruins.
    assert not (checkpoint_folder(tmp_path / "run.pt") / "checkpoint-3").exists()


@pytest.mark.parametrize("backend", [train, train_with_trl])
def test_a_step_that_bears_no_loss_is_an_error_in_both(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation, backend: Any
) -> None:
    silent = [TokenSequence(s.ids, (True,) + (False,) * (len(s.ids) - 1)) for s in sequences]
    with pytest.raises(TeachableError, match="the loss became nan at step 0"):
        backend(tiny_llama(), silent, STEPS, how, pad_id=PAD)


def test_the_loop_does_not_wait_for_trl_to_be_imported() -> None:
    code = "import sys, teachable.train.sft; print([m for m in ('trl', 'datasets', 'accelerate') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_muon_is_not_silently_left_out(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    with pytest.raises(ValueError, match="muon_rate must be 0"):
        train_with_trl(tiny_llama(), sequences, STEPS, replace(how, muon_rate=1e-3), pad_id=PAD)


@pytest.mark.parametrize("missing", ["trl", "datasets", "accelerate"])
def test_a_missing_library_is_one_sentence(
    tiny_llama: Callable[[], Any],
    sequences: list[TokenSequence],
    how: Optimisation,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(TeachableError, match=r"Install teachable\[train\]") as caught:
        train_with_trl(tiny_llama(), sequences, STEPS, how, pad_id=PAD)
    assert missing in str(caught.value)


def test_the_trainer_is_seeded_by_the_callers_seed(
    tiny_llama: Callable[[], Any], sequences: list[TokenSequence], how: Optimisation
) -> None:
    """Two models with dropout: the same seed, the same losses; another seed, other ones."""

    def losses(seed: int) -> list[float]:
        model = tiny_llama()
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.5
        torch.manual_seed(seed)
        return [p.loss for p in train_with_trl(model, sequences, STEPS[:3], how, pad_id=PAD)]

    first, again, other = losses(1), losses(1), losses(2)
    assert first == again
    assert first != other
