"""Preference training on exact ids: the loss that the paper defines, the same bytes again, and a folder that samples.

On a CPU. That a CUDA device computes in bfloat16 is not tested here.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.train.toy import Killed

from teachable.errors import TeachableError
from teachable.train import dpo as dpo_module
from teachable.train import dpo_trainer, trl_backend
from teachable.train.config import DpoConfig, PretrainConfig
from teachable.train.dpo import DpoResult, dpo, pair_steps
from teachable.train.dpo_trainer import DpoPoint
from teachable.train.embedded import build_model, save_model
from teachable.train.loop import Optimisation, make_optimizer, rate_at
from teachable.train.preferences import Preference, preferences_from, token_pairs
from teachable.train.sft import load_trainable
from teachable.train.trl_backend import checkpoint_folder

pytest.importorskip("trl")

# Everything that can differ between two trainers is on: warm-up, a falling rate, decay, and a norm that really clips.
CONFIG = DpoConfig(
    beta=0.3, learning_rate=5e-3, warmup_frac=0.3, weight_decay=0.1, max_grad_norm=0.05, pairs_per_step=4, n_epochs=2
)
LORA = CONFIG.model_copy(update={"lora": CONFIG.lora.model_copy(update={"r": 4})})
# AdamW divides a gradient by its own size, so where one is all but zero its rounding shows. A step moves 5e-3.
WEIGHT_TOLERANCE = 2e-4
Train = Callable[..., DpoResult]


@pytest.fixture(scope="module", autouse=True)
def little_garbage() -> Iterator[None]:
    """The trainer collects garbage whenever it starts; with these libraries loaded that is most of a tiny run."""
    importlib.import_module("trl.trainer.dpo_trainer")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def base(tokenizer: Any, small_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_model(build_model(small_config, tokenizer), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tokenizer: Any) -> list[Preference]:
    """Ten pairs of two single tokens after random ids, which no tokenizer would have made of their text."""
    draw = random.Random(0)
    rows = []
    for _ in range(10):
        sides = {"prompt": [draw.randrange(4, 260) for _ in range(draw.randint(3, 12))]}
        sides["chosen"], sides["rejected"] = ([token] for token in draw.sample(range(4, 260), 2))
        ids = {f"{name}_token_ids": its for name, its in sides.items()}
        rows.append(ids | {name: tokenizer.decode(its) for name, its in sides.items()})
    return preferences_from(rows)


@pytest.fixture
def train(base: Path, pairs: list[Preference], tmp_path: Path) -> Train:
    """Train on all pairs, on a CPU, into a folder of `tmp_path`."""

    def trained(config: DpoConfig = CONFIG, *, seed: int = 0, name: str = "out", **more: Any) -> DpoResult:
        given = {"base": base, "pairs": pairs, **more}
        return dpo(config=config, seed=seed, out=tmp_path / name, device="cpu", **given)

    return trained


def logp(model: Any, prompt: Sequence[int], continuation: Sequence[int]) -> torch.Tensor:
    """The log-probability of a continuation, from the logits of one unpadded forward pass."""
    ids = torch.tensor([[*prompt, *continuation]])
    logp_T_V = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0].float(), dim=-1)
    start = len(prompt) - 1
    return torch.stack([logp_T_V[start + i, token] for i, token in enumerate(continuation)]).sum()


def by_hand(
    base: Path, pairs: Sequence[Preference], config: DpoConfig, seed: int
) -> tuple[Any, list[dict[str, float]]]:
    """Equation 7 of Rafailov et al., a pair at a time, with the loop's optimiser and rates."""
    model, tokenizer = load_trainable(base, "cpu")
    reference = load_trainable(base, "cpu")[0]
    ids = token_pairs(tokenizer, pairs, 320)
    steps = pair_steps(len(ids), config, seed)
    how = Optimisation(
        config.learning_rate, config.schedule, config.warmup_frac, config.weight_decay, config.max_grad_norm
    )
    optimizer = make_optimizer(model, how)
    told = []
    for number, step in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(number + 1, len(steps) + 1, how)
        losses, chosen, margins = [], [], []
        for pair in (ids[i] for i in step):
            up, down = logp(model, pair.prompt, pair.chosen), logp(model, pair.prompt, pair.rejected)
            with torch.no_grad():
                ref_up, ref_down = (logp(reference, pair.prompt, side) for side in (pair.chosen, pair.rejected))
            margin = config.beta * ((up - ref_up) - (down - ref_down))
            losses.append(-torch.nn.functional.logsigmoid(margin))
            chosen.append(up.item())
            margins.append(margin.item())
        loss = torch.stack(losses).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), how.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        n = len(step)
        told.append({"loss": loss.item(), "logp": sum(chosen) / n, "margin": sum(margins) / n})
    return model, told


def furthest(left: Any, right: Path) -> float:
    """The largest difference between a model's weights and a folder's."""
    weights = load_file(right / "model.safetensors")
    return max(
        (weights[name] - value).abs().max().item() for name, value in left.state_dict().items() if name in weights
    )


# ---- the loss ----


def test_the_loss_is_the_papers_on_the_very_ids(base: Path, pairs: list[Preference], train: Train) -> None:
    model, told = by_hand(base, pairs, CONFIG, seed=0)
    seen: list[DpoPoint] = []
    result = train(on_step=seen.append)
    assert [p.loss for p in result.curve] == pytest.approx([one["loss"] for one in told], abs=2e-6)
    assert [p.logp_chosen for p in result.curve] == pytest.approx([one["logp"] for one in told], abs=2e-5)
    assert [p.reward_margin for p in result.curve] == pytest.approx([one["margin"] for one in told], abs=2e-6)
    assert furthest(model, result.path) < WEIGHT_TOLERANCE
    assert told[0]["loss"] == pytest.approx(0.693147, abs=1e-6)
    assert abs(told[-1]["loss"] - told[0]["loss"]) > 0.01  # the tolerance would notice a step that did nothing
    # The loss is on one token a continuation: nothing was appended.
    assert result.n_response_tokens == 2 * result.n_steps * result.pairs_per_step == 2 * 5 * 4
    assert tuple(seen) == result.curve
    assert result.curve[-1].tokens == result.n_tokens


def test_whole_responses_to_a_chat_are_trained_on_the_same_way(base: Path, train: Train) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What is {n} + 1?"}],
            "chosen": [{"role": "assistant", "content": f"It is {n + 1}"}],
            "rejected": [{"role": "assistant", "content": f"Perhaps {n + 2}?" * (1 + n % 2)}],
        }
        for n in range(5)
    ]
    given = preferences_from(rows)
    model, told = by_hand(base, given, CONFIG, seed=0)
    result = train(pairs=given)
    assert [p.loss for p in result.curve] == pytest.approx([one["loss"] for one in told], abs=1e-5)
    assert furthest(model, result.path) < WEIGHT_TOLERANCE


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_the_reference_before_training_is_the_reference_beside_it(
    train: Train, config: DpoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr(dpo_module, "load_trainable", lambda *a: loaded.append(a) or load_trainable(*a))
    results = []
    for precompute in (True, False):
        loaded.clear()
        results.append(train(config.model_copy(update={"precompute_reference": precompute}), name=str(precompute)))
        # Only all weights moving and nothing computed before takes a second copy of the base.
        assert len(loaded) == (2 if config is CONFIG and not precompute else 1)
    before, beside = results
    assert (before.precomputed, beside.precomputed) == (True, False)
    for left, right in zip(before.curve, beside.curve, strict=True):
        assert list(vars(left).values()) == pytest.approx(list(vars(right).values()), abs=1e-6)


def test_a_planted_preference_is_learnt(base: Path, pairs: list[Preference], train: Train) -> None:
    for config in (CONFIG, LORA):
        strong = config.model_copy(update={"learning_rate": 2e-2, "max_grad_norm": 1.0, "n_epochs": 12})
        result = train(strong, name=f"r{config.lora.r}")
        left, tokenizer = load_trainable(base, "cpu")
        right = load_trainable(result.path, "cpu")[0]
        for pair in token_pairs(tokenizer, pairs, 320):
            with torch.no_grad():
                was, now = (logp(model, pair.prompt, pair.chosen).item() for model in (left, right))
                lost, left_over = (logp(model, pair.prompt, pair.rejected).item() for model in (left, right))
            assert now > was + 0.1
            assert left_over < lost - 0.1
        assert result.curve[-1].reward_accuracy == 1.0
        assert result.curve[0].reward_accuracy == 0.0  # the base prefers nothing to itself


def test_every_loss_is_another_one(train: Train) -> None:
    def losses(name: str) -> list[float]:
        smoothing = 0.2 if name == "robust" else 0.0
        given = {**CONFIG.model_dump(), "loss_type": name, "label_smoothing": smoothing, "n_steps": 3}
        return [point.loss for point in train(DpoConfig.model_validate(given), name=name).curve]

    usual = losses("sigmoid")
    for name in ("hinge", "ipo", "robust", "apo_zero", "apo_down"):
        assert losses(name)[-1] != pytest.approx(usual[-1], abs=1e-4), name
    assert losses("sigmoid_norm") == pytest.approx(usual, abs=1e-6)  # a mean over one token


def test_the_chosen_ones_own_loss_beside(train: Train) -> None:
    alone, beside = (train(CONFIG.model_copy(update={"sft_weight": w}), name=str(w)) for w in (0.0, 0.5))
    first = beside.curve[0]
    assert first.loss == pytest.approx(alone.curve[0].loss - 0.5 * first.logp_chosen, abs=1e-5)
    assert beside.curve[-1].logp_chosen > alone.curve[-1].logp_chosen


# ---- what must not change the result ----


def test_a_step_in_parts_is_the_same_step(train: Train) -> None:
    whole, parts = (train(CONFIG.model_copy(update={"pairs_at_once": n}), name=str(n)) for n in (0, 3))
    assert [p.loss for p in parts.curve] == pytest.approx([p.loss for p in whole.curve], abs=1e-6)
    assert [p.reward_margin for p in parts.curve] == pytest.approx([p.reward_margin for p in whole.curve], abs=1e-6)
    left, right = (load_file(one.path / "model.safetensors") for one in (whole, parts))
    assert max((left[name] - right[name]).abs().max().item() for name in left) < WEIGHT_TOLERANCE


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_the_same_seed_gives_the_same_bytes(train: Train, config: DpoConfig) -> None:
    recomputing = config.model_copy(update={"gradient_checkpointing": True})  # the same by another way
    first, other = (train(config, seed=seed, name=f"{seed}") for seed in (1, 2))
    again = train(recomputing, seed=1, name="again")
    assert first.curve == again.curve
    assert first.digest == again.digest
    assert first.digest != other.digest


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_a_killed_run_resumes_to_the_same_bytes(
    train: Train, config: DpoConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(config)
    monkeypatch.setattr(trl_backend, "CHECKPOINT_EVERY_S", -1.0)  # after every step
    monkeypatch.setattr(trl_backend, "SAVING_SHARE", float("inf"))
    checkpoint = tmp_path / "part.pt"

    def kill(point: DpoPoint) -> None:
        if point.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(config, name="killed", checkpoint=checkpoint, on_step=kill)
    assert not (tmp_path / "killed").exists()
    assert [path.name for path in checkpoint_folder(checkpoint).iterdir()] == ["checkpoint-2"]
    again: list[DpoPoint] = []
    resumed = train(config, name="killed", checkpoint=checkpoint, on_step=again.append)
    assert [point.step for point in again] == [2, 3, 4]  # the step in which it was killed had not been saved
    assert resumed.curve == expected.curve
    assert resumed.digest == expected.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "out"]


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from teachable.train import trl_backend
from teachable.train.config import DpoConfig
from teachable.train.dpo import dpo
from teachable.train.preferences import read_preferences
base, pairs, folder = map(Path, sys.argv[1:])
torch.set_num_threads(1)
trl_backend.CHECKPOINT_EVERY_S, trl_backend.SAVING_SHARE = -1.0, float("inf")
def on_step(point):
    if point.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
dpo(base, read_preferences(pairs), DpoConfig(pairs_per_step=4, n_epochs=2), seed=0, out=folder / "out", device="cpu",
    checkpoint=folder / "part.pt", on_step=on_step)
"""


@pytest.mark.slow
def test_what_a_killed_process_left_is_taken_up(
    base: Path, pairs: list[Preference], train: Train, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    names = ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids")
    with path.open("w") as lines:
        for pair in pairs:
            row = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            lines.write(json.dumps(row | dict(zip(names, pair.token_ids or (), strict=True))) + "\n")
    arguments = [sys.executable, "-c", KILLED, str(base), str(path), str(tmp_path)]
    killed = subprocess.run(arguments, capture_output=True, text=True, timeout=200)
    assert (killed.returncode, killed.stdout, killed.stderr) == (-signal.SIGKILL, "", "")
    assert (checkpoint_folder(tmp_path / "part.pt") / "checkpoint-3").is_dir()
    config = DpoConfig(pairs_per_step=4, n_epochs=2)
    again: list[DpoPoint] = []
    resumed = train(config, checkpoint=tmp_path / "part.pt", on_step=again.append)
    assert [point.step for point in again] == [3, 4]
    assert resumed.digest == train(config, name="undisturbed").digest


# ---- what is left behind ----


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_only_a_model_like_its_base_is_left(
    base: Path, train: Train, config: DpoConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    import datasets
    from trl.trainer import base_trainer

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda *a, **k: pytest.fail("told somebody of the run"))
    shown = datasets.utils.logging.is_progress_bar_enabled()
    result = train(config)
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "here").iterdir()) == []
    assert datasets.utils.logging.is_progress_bar_enabled() == shown
    assert dpo_trainer._QUIET not in os.environ
    saved = tmp_path / "saved"  # the base, loaded and saved again
    save_model(*load_trainable(base, "cpu"), saved)
    names = sorted(path.name for path in saved.iterdir())
    assert sorted(path.name for path in result.path.iterdir()) == names
    for name in names:
        same = (result.path / name).read_bytes() == (saved / name).read_bytes()
        assert same == (name != "model.safetensors"), name
    assert load_file(result.path / "model.safetensors").keys() == load_file(saved / "model.safetensors").keys()


@pytest.mark.parametrize("config", [CONFIG, LORA], ids=["full", "lora"])
def test_the_saved_model_is_the_trained_one(
    base: Path, pairs: list[Preference], train: Train, config: DpoConfig
) -> None:
    """What it says of the next step's pairs is what a longer run finds there, before it moves again."""
    steady = config.model_copy(update={"schedule": "constant", "warmup_frac": 0.0, "learning_rate": 2e-2})
    shorter, longer = (train(steady.model_copy(update={"n_steps": n}), name=str(n)) for n in (3, 4))
    model, tokenizer = load_trainable(shorter.path, "cpu")
    ids = token_pairs(tokenizer, pairs, 320)
    with torch.no_grad():
        step = [ids[i] for i in pair_steps(len(ids), steady.model_copy(update={"n_steps": 4}), 0)[3]]
        chosen, rejected = (
            sum(logp(model, pair.prompt, getattr(pair, side)).item() for pair in step) / len(step)
            for side in ("chosen", "rejected")
        )
    assert (longer.curve[3].logp_chosen, longer.curve[3].logp_rejected) == pytest.approx((chosen, rejected), abs=2e-5)
    assert abs(longer.curve[3].reward_margin) > 1e-3


def test_adapters_leave_what_they_do_not_reach(base: Path, train: Train) -> None:
    before, after = load_file(base / "model.safetensors"), load_file(train(LORA).path / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("_proj" in name for name in moved)


# ---- what is refused ----


def test_no_pairs_is_one_sentence(train: Train) -> None:
    with pytest.raises(TeachableError, match=r"^there are no preference pairs to train on\.$"):
        train(pairs=[])


def test_pairs_that_are_too_long_are_left_out_and_counted(pairs: list[Preference], train: Train) -> None:
    lengths = sorted(len(pair.token_ids[0]) + 1 for pair in pairs if pair.token_ids)
    result = train(CONFIG.model_copy(update={"max_length": lengths[5]}))
    assert (result.n_pairs, result.n_too_long) == (
        sum(n <= lengths[5] for n in lengths),
        sum(n > lengths[5] for n in lengths),
    )
    assert result.n_too_long > 0
    with pytest.raises(
        TeachableError, match=rf"^all 10 pairs are longer than 2 tokens \(the shortest has {lengths[0]}\)"
    ):
        train(CONFIG.model_copy(update={"max_length": 2}))


def test_a_loss_that_is_not_finite_is_one_sentence(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def ruined(*given: Any) -> tuple[Any, Any]:
        model, tokenizer = load_trainable(*given)
        model.model.embed_tokens.weight.data[7:].fill_(float("nan"))
        return model, tokenizer

    monkeypatch.setattr(dpo_module, "load_trainable", ruined)
    with pytest.raises(TeachableError, match="the loss became nan at step 0"):
        train()


@pytest.mark.parametrize("missing", ["trl", "peft"])
def test_a_missing_library_is_one_sentence(train: Train, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(TeachableError, match=r"Install teachable\[train\]") as caught:
        train(LORA)
    assert missing in str(caught.value)


def test_a_smoothing_that_nothing_uses_is_refused() -> None:
    with pytest.raises(ValueError, match="label_smoothing needs loss_type robust, not sigmoid"):
        DpoConfig(label_smoothing=0.1)
