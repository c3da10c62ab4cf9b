"""What the tests of tuning share: sums as examples, a judge that is told its scores, and ways to compare runs."""

from __future__ import annotations

import gc
import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.engines.conftest import tiny_tokenizer

from teachable.records import Example
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model
from teachable.train.tune import TuneResult, tune
from teachable.train.tune_config import SteeredConfig, TrainingConfig

Tune = Callable[..., TuneResult]

# Everything that can differ between two trainers is on: warm-up, a falling rate, decay, and a norm that really clips.
CONFIG = SteeredConfig(
    learning_rate=5e-3,
    schedule="linear",
    warmup_steps=2,
    weight_decay=1.0,
    max_grad_norm=0.5,
    batch_size=5,
    max_length=64,
    max_steps=8,
    eval_every=2,
)
N_QUESTIONS = 20


def with_settings(config: SteeredConfig = CONFIG, **changes: Any) -> SteeredConfig:
    """The settings with other ones; `r` is the rank of adapters."""
    if "r" in changes:
        changes["lora"] = config.lora.model_copy(update={"r": changes.pop("r")})
    return config.model_copy(update=changes)


def sums(n: int = 18) -> list[Example]:
    """Questions after a sum, with answers of different lengths."""
    draw = random.Random(0)
    made = []
    for i in range(n):
        left, right = draw.randrange(100), draw.randrange(100)
        answer = f"{left} + {right} = {left + right}" + ", so it is" * draw.randrange(2) + f" {left + right}"
        messages = ({"role": "user", "content": f"{left}+{right}"}, {"role": "assistant", "content": answer})
        made.append(Example(str(i), messages, "sums", 0, "teachable", "a test", 1))
    return made


def accuracies(*right: int) -> dict[int, list[float]]:
    """Scores of evaluations at steps 0, 2, 4, ...: so many of the questions right."""
    return {2 * i: [1.0] * n + [0.0] * (N_QUESTIONS - n) for i, n in enumerate(right)}


@dataclass
class PlannedJudge:
    """A judge whose scores are planned, that draws random numbers, and that remembers what the model said."""

    scores: dict[int, list[float]]
    said: dict[int, torch.Tensor] = field(default_factory=dict)
    then: Callable[[Any, int], None] = lambda model, step: None

    def __call__(self, model: Any, tokenizer: Any, step: int) -> Sequence[float]:
        assert not model.training
        torch.rand(3)
        random.random()
        self.said[step] = logits_of(model, tokenizer)
        self.then(model, step)
        return self.scores[step]


def logits_of(model: Any, tokenizer: Any) -> torch.Tensor:
    """What a model says to a text, [T, V]."""
    ids = torch.tensor([tokenizer.encode("12 + 34 = 46", add_special_tokens=False)])
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0].float()
    return logits


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a folder."""
    return dict(load_file(folder / "model.safetensors"))


def furthest(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """The largest difference of two models' weights."""
    assert left.keys() == right.keys()
    return max((left[name] - right[name]).abs().max().item() for name in left)


def what_came_of(result: TuneResult) -> tuple[Any, ...]:
    """All of a result but where it is and how long it took."""
    return (
        result.digest,
        result.curve,
        result.evaluations,
        (result.n_examples, result.n_too_long, result.n_rows, result.n_steps, result.n_steps_planned),
        (result.best_step, result.stopped, result.sentence, result.n_tokens, result.n_response_tokens),
    )


@pytest.fixture(scope="module")
def little_garbage() -> Iterator[None]:
    """The trainer collects garbage whenever it starts; with these libraries loaded that is most of a tiny run."""
    importlib.import_module("trl.trainer.sft_trainer")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = tiny_tokenizer()
    shape = PretrainConfig(hidden_size=16, n_layers=2, n_heads=2, n_kv_heads=1, intermediate_size=32)
    save_model(build_model(shape, tokenizer), tokenizer, folder)
    return folder


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Tune:
    """Tune on 18 sums, on a CPU, into a folder of `tmp_path`."""

    def tuned(config: TrainingConfig = CONFIG, *, name: str = "out", seed: int = 0, **more: Any) -> TuneResult:
        given = {"base": base, "examples": sums(), **more}
        return tune(config=config, seed=seed, out=tmp_path / name, device="cpu", **given)

    return tuned
