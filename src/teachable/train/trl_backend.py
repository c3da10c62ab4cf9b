"""The same training as `loop.train`, run by TRL's `SFTTrainer`, for models above ten million parameters.

What makes the two give the same losses: a row of the trainer's data set *is* one optimiser step (its batch is
collated by `loop.collate` when the step comes), so no sampler decides anything; the optimiser is the loop's own,
and its learning rate is `loop.rate_at`. The trainer divides the loss by the loss-bearing tokens of the batch, as the
loop does. What the trainer brings: bf16 autocast on a CUDA device that has it, a loss that never holds the logits of
the whole batch, and the rest of its machinery, such as accelerate's, for models that need it.

One process on one device. On a CUDA device with bf16 the losses differ from the loop's by bf16's rounding.
The trainer seeds Python's, NumPy's and torch's global generators; the seed is the one that the caller gave torch.

TRL takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from teachable.errors import TeachableError
from teachable.store.files import read_json, write_json
from teachable.train.config import LoraConfig
from teachable.train.loop import (
    CHECKPOINT_EVERY_S,
    CurvePoint,
    Optimisation,
    TokenSequence,
    collate,
    make_optimizer,
    rate_at,
    require_finite,
)

CURVE = "curve.json"  # written into a checkpoint last: a checkpoint without it is not complete
SAVING_SHARE = 0.05  # saving a large model takes long: at most about this share of the time goes into it
MAX_SEED = 2**32  # NumPy takes no larger seed

P = TypeVar("P")  # a point of a curve: a dataclass of numbers


def train_with_trl(
    model: Any,
    sequences: Sequence[TokenSequence],
    steps: Sequence[Sequence[int]],
    how: Optimisation,
    *,
    pad_id: int,
    checkpoint: Path | None = None,
    on_step: Callable[[CurvePoint], None] | None = None,
) -> list[CurvePoint]:
    """Train `model` in place, one optimiser step for each list of indices in `steps`, as `loop.train` does.

    Args:
        checkpoint: the trainer's checkpoints are kept in `checkpoint_folder(checkpoint)`, beside this file, at most
            one complete one at a time, and training goes on from there; None is off. Whoever has saved the trained
            model removes the folder.

    Raises:
        TeachableError: the loss is not finite, or TRL is not installed.
        ValueError: `how` asks for Muon, which the trainer, with its one optimizer, does not do.
    """
    if how.muon_rate:
        raise ValueError("training with TRL moves all weights by AdamW: muon_rate must be 0")
    _require_loss(sequences, steps)
    folder = checkpoint_folder(checkpoint) if checkpoint else None
    last = last_complete(folder) if folder else None
    curve = [CurvePoint(**point) for point in read_json(last / CURVE)] if last else []
    with tempfile.TemporaryDirectory() as nothing_is_written_here, given_back(model):
        trainer = _make_trainer(model, sequences, steps, how, pad_id, folder or Path(nothing_is_written_here))
        tokens_after = list(itertools.accumulate(sum(len(sequences[i].ids) for i in step) for step in steps))

        def point_of(step: int, logs: Mapping[str, float]) -> CurvePoint:
            return CurvePoint(step, tokens_after[step], logs["loss"], logs["learning_rate"])

        trainer.add_callback(make_watcher(curve, point_of, folder, on_step))
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    model.eval()
    return curve


def checkpoint_folder(checkpoint: Path) -> Path:
    """Where this backend keeps what the loop would keep in the file `checkpoint`."""
    return checkpoint.with_name(checkpoint.name + ".trl")


def _make_trainer(
    model: Any,
    sequences: Sequence[TokenSequence],
    steps: Sequence[Sequence[int]],
    how: Optimisation,
    pad_id: int,
    folder: Path,
) -> Any:
    trl, datasets = trl_libraries("Install teachable[train], or set backend: loop")
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback

    class PlannedTrainer(Silent, trl.SFTTrainer):  # type: ignore[name-defined]
        """Takes the steps in their order."""

        def get_train_dataloader(self) -> Any:
            return self.accelerator.prepare(
                DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=self.data_collator)
            )

    def batch_of(rows: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        (row,) = rows
        return collate([sequences[i] for i in steps[row["step"]]], pad_id)

    optimizer = make_optimizer(model, how)
    for group in optimizer.param_groups:
        group["lr"] = 1.0  # LambdaLR multiplies it: so the rate of a step is `rate_at` to the last bit
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, len(steps), how))
    trainer = PlannedTrainer(
        model=model,
        args=_arguments(trl, model, how, folder),
        data_collator=batch_of,
        train_dataset=datasets.Dataset.from_dict({"step": list(range(len(steps)))}),
        processing_class=no_tokenizer(),
        optimizers=(optimizer, scheduler),
    )
    trainer.processing_class = None
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(trl: Any, model: Any, how: Optimisation, folder: Path) -> Any:
    """The trainer's settings: everything that the plan has decided is switched off."""
    return on_one_device(
        trl.SFTConfig(
            **shared_arguments(model, folder),
            per_device_train_batch_size=1,  # a row is a whole step
            gradient_accumulation_steps=1,
            max_grad_norm=how.max_grad_norm,
            gradient_checkpointing=None,  # off; TRL would have it on
            dataset_kwargs={"skip_prepare_dataset": True},
            seed=torch.initial_seed() % MAX_SEED,
        )
    )


class Silent:
    """A trainer that reports to nobody and writes no model card."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint is for resuming, not for publishing."""

    def _send_telemetry(self) -> None:
        """TRL would tell its makers of every run; nobody here has agreed to that."""


def shared_arguments(model: Any, folder: Path) -> dict[str, Any]:
    """What all trainers are told: the model's device, one pass over the rows, and to leave all else to the watcher."""
    device = next(model.parameters()).device
    on_cuda = device.type == "cuda"
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "use_cpu": device.type == "cpu",
        "bf16": on_cuda and torch.cuda.is_bf16_supported(),
        "dataloader_pin_memory": on_cuda,
        "max_length": None,
        "remove_unused_columns": False,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would replace a loss that is not finite by the mean of those before
        "save_strategy": "no",  # the watcher says when, by the clock
        "report_to": "none",
        "disable_tqdm": True,
    }


def on_one_device(arguments: Any) -> Any:
    """The arguments for a model that is on one device; TRL refuses to spread it over all that it sees."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def make_watcher(
    curve: list[P],
    point_of: Callable[[int, Mapping[str, float]], P],
    folder: Path | None,
    on_step: Callable[[P], None] | None,
) -> Any:
    """A callback that appends each step to `curve`, stops at a loss that is not finite, and saves by the clock.

    `point_of` makes a step's point from its number (0 the first) and from what the trainer logs of it.

    The trainer calls it in this order at the end of a step: on_step_end, on_log, then, where the first asked for it,
    it saves and calls on_save. So a step whose loss is not finite is never saved.
    """
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        clock = SavingClock()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **others: Any) -> None:
            if "loss" not in logs:  # the summary at the end
                return
            step = state.global_step - 1
            require_finite(logs["loss"], step)
            curve.append(point_of(step, logs))
            if on_step:
                on_step(curve[-1])

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            control.should_save = bool(folder) and self.clock.due()

        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            assert folder is not None  # only on_step_end asks for it
            complete_checkpoint(folder / f"checkpoint-{state.global_step}", curve)
            self.clock.saved()

    return Watcher()


class SavingClock:
    """When the next checkpoint is due: some seconds after the last, more where saving itself takes long."""

    def __init__(self) -> None:
        self._from = time.monotonic() + CHECKPOINT_EVERY_S
        self._asked = 0.0

    def due(self) -> bool:
        """Whether it is time; if so, saving is taken to begin now."""
        now = time.monotonic()
        if now < self._from:
            return False
        self._asked = now
        return True

    def saved(self) -> None:
        """The checkpoint is complete."""
        now = time.monotonic()
        self._from = now + max(CHECKPOINT_EVERY_S, (now - self._asked) / SAVING_SHARE)


def complete_checkpoint(newest: Path, curve: Sequence[Any]) -> None:
    """Declare a checkpoint whole, by the curve that leads to it, and remove the others."""
    write_json(newest / CURVE, [vars(point) for point in curve])
    for other in newest.parent.glob("checkpoint-*"):
        if other != newest:
            shutil.rmtree(other)


def last_complete(folder: Path) -> Path | None:
    """The newest of the trainer's checkpoints that was written to its end."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{CURVE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


@contextmanager
def given_back(model: Any) -> Iterator[None]:
    """Undo what the trainer does to a model besides training it, so that it samples and saves as before.

    TRL (and accelerate, with bf16) replaces its `forward`; the trainer switches its cache off, in its config too,
    where a saved model would keep it off for good.
    """
    forward, use_cache = vars(model).get("forward"), model.config.use_cache
    try:
        yield
    finally:
        vars(model).pop("forward", None)
        if forward is not None:
            model.forward = forward
        model.config.use_cache = use_cache


def _require_loss(sequences: Sequence[TokenSequence], steps: Sequence[Sequence[int]]) -> None:
    """A step without any loss-bearing token is 0/0: not a number in the loop, but a loss of 0 to the trainer."""
    for number, step in enumerate(steps):
        # The first token of a sequence is predicted from nothing, so it never bears loss.
        if not any(any(sequences[i].mask[1:]) for i in step):
            require_finite(float("nan"), number)


def adapters(lora: LoraConfig) -> Any | None:
    """The settings of adapters, as peft has them; None where all weights move.

    Raises:
        TeachableError: peft is not installed.
    """
    if not lora.r:
        return None
    try:
        import peft
    except ImportError as error:
        raise TeachableError(
            f"training adapters needs a library that is not here ({error})",
            mend="Install teachable[train], or set lora.r to 0",
        ) from error
    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",  # the output head apart, from whose weights TRL reads log-probabilities
        task_type="CAUSAL_LM",
    )


def no_tokenizer() -> Any:
    """An empty tokenizer, which the trainers' constructors insist on though the data are token ids.

    It must not reach the training, which would copy its (absent) special tokens into the model's config.
    """
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))


def trl_libraries(mend: str) -> tuple[Any, Any]:
    """TRL and datasets, imported when they are needed.

    Raises:
        TeachableError: one of them, or accelerate, is not installed; `mend` says what to do about it.
    """
    try:
        import accelerate  # noqa: F401  (the trainer's own error, in its absence, is a page long)
        import datasets
        import trl
    except ImportError as error:
        raise TeachableError(
            f"training with TRL needs libraries that are not here ({error})",
            mend=mend,
        ) from error
    return trl, datasets
