"""Training that is judged on its way: evaluations, the best weights, and the end at a plateau.

In several processes the main one judges and the others wait for what it says, so that all keep the same list of
evaluations and come to the same end. Where accelerate shards the weights (FSDP, DeepSpeed), they are gathered, and the
main process judges a copy of the model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teachable.errors import TeachableError
from teachable.store.files import read_json, write_json
from teachable.train.best import BestCopies
from teachable.train.faults import in_one_sentence
from teachable.train.loop import CurvePoint
from teachable.train.plateau import Evaluation, Standing, standing
from teachable.train.trl_backend import CURVE, complete_checkpoint
from teachable.train.tune_config import SteeredConfig

EVALUATIONS = "evaluations.json"  # in a checkpoint, beside the curve

Judge = Callable[[Any, Any, int], Sequence[float]]  # (model, tokenizer, step) -> a score a question
Weights = Mapping[str, torch.Tensor]


@dataclass
class Progress:
    """What training has come to: a point a step, and an evaluation now and then.

    `kept_best` is the best step that the last complete checkpoint knows of, whose copy must stay.
    """

    curve: list[CurvePoint] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    kept_best: int = 0

    @classmethod
    def of(cls, checkpoint: Path | None) -> Progress:
        """What a complete checkpoint has kept; nothing without one."""
        if checkpoint is None:
            return cls()
        kept = read_json(checkpoint / EVALUATIONS)
        return cls(
            [CurvePoint(**point) for point in read_json(checkpoint / CURVE)],
            [Evaluation(one["step"], one["tokens"], tuple(one["scores"])) for one in kept["evaluations"]],
            kept["best"],
        )

    def complete(self, checkpoint: Path, best: int) -> None:
        """Write what there is into a checkpoint, which makes it a complete one."""
        write_json(checkpoint / EVALUATIONS, {"best": best, "evaluations": self.evaluations})
        complete_checkpoint(checkpoint, self.curve)
        self.kept_best = best


@dataclass(frozen=True)
class Steering:
    """Who judges the model in training, by which rule it ends, and who is told.

    `copy_with` makes a copy of the model with other weights, on the CPU, for where the live one is in pieces.
    """

    judge: Judge
    tokenizer: Any
    config: SteeredConfig
    best: BestCopies
    copy_with: Callable[[Weights], Any]
    on_evaluation: Callable[[Evaluation, Standing], None] | None = None

    def standing(self, evaluations: Sequence[Evaluation]) -> Standing:
        """What the evaluations so far say, by the settings' rule."""
        config = self.config
        return standing(
            evaluations, patience=config.patience, min_gain=config.min_gain, confidence=config.gain_confidence
        )

    def is_due(self, step: int, n_steps: int) -> bool:
        """Whether the model is judged after `step` steps of `n_steps` at most."""
        return step % self.config.eval_every == 0 or step == n_steps

    def evaluate(self, trainer: Any, progress: Progress) -> None:
        """Have the model judged, keep its weights if they are the best, and end training at a plateau.

        Raises:
            TeachableError: in the other processes, where the judge failed in the main one.
        """
        step = trainer.state.global_step
        weights = trained_weights(trainer) if is_sharded(trainer) else None
        scores = self._scores(trainer, step, weights)
        progress.evaluations.append(Evaluation(step, progress.curve[-1].tokens if step else 0, scores))
        now = self.standing(progress.evaluations)
        if trainer.is_world_process_zero():
            if step and now.best_step == step:
                self.best.save(step, trained_weights(trainer) if weights is None else weights)
                self.best.keep_only(step, progress.kept_best)
            if self.on_evaluation:
                self.on_evaluation(progress.evaluations[-1], now)
        if now.done:
            trainer.control.should_training_stop = True

    def _scores(self, trainer: Any, step: int, weights: Weights | None) -> tuple[float, ...]:
        """What the judge gives in the main process, in every process; `weights` are those of a sharded model."""
        told: tuple[float, ...] | None = None
        try:
            if trainer.is_world_process_zero():
                what = f"the evaluation after step {step}"
                memory = in_one_sentence(self.best.folder, computing=what, mend="Lower engine.batch_rows")
                with random_as_before(), torch.no_grad(), memory:
                    model = self._whole(trainer, weights)
                    model.eval()
                    told = tuple(float(score) for score in self.judge(model, self.tokenizer, step))
        finally:
            told = from_main(told, trainer.args.world_size)
        if told is None:
            raise TeachableError("the evaluation failed in the main process", mend="See what that process says")
        return told

    def _whole(self, trainer: Any, weights: Weights | None) -> Any:
        if weights is None:
            return live_model(trainer)
        device = trainer.args.device
        model = self.copy_with(weights)
        return model.to(device, dtype=torch.bfloat16) if device.type == "cuda" else model


def live_model(trainer: Any) -> Any:
    """The model in training, without what several processes wrap around it."""
    return trainer.accelerator.unwrap_model(trainer.model_wrapped)


def is_sharded(trainer: Any) -> bool:
    """Whether each process holds a part of the weights, or may do so."""
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def trained_weights(trainer: Any) -> dict[str, torch.Tensor]:
    """The weights that are trained, by name. Where they are sharded all processes must ask; the main one has them."""
    model = live_model(trainer)
    names = [_plain(name) for name, weight in model.named_parameters() if weight.requires_grad]
    if not is_sharded(trainer):
        return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    weights = {_plain(name): weight for name, weight in gathered.items()}
    return {name: weights[name] for name in names if name in weights}


def _plain(name: str) -> str:
    """A weight's name without what FSDP puts into it."""
    return name.replace("_fsdp_wrapped_module.", "")


def from_main(says: Any, n_processes: int) -> Any:
    """What the main process says, in every process."""
    if n_processes == 1:
        return says
    from accelerate.utils import broadcast_object_list

    told = [says]
    broadcast_object_list(told)
    return told[0]


@contextmanager
def random_as_before() -> Iterator[None]:
    """Put Python's, NumPy's and torch's generators back: what a judge draws must not change the training."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
