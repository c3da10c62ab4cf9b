"""TRL's `SFTTrainer` on token ids, in steps that were planned before it was asked, and judged on its way.

The trainer would apply chat templates, tokenise, shuffle, pack and choose its batches: all of that is passed over
(`tune_plan.py`, `tune_batches.py`). What is TRL's is the loss, adapters, bf16 on a CUDA device that has it, gradient
checkpointing, a loss that never holds the logits of a whole batch, and accelerate's machinery for several processes.

Each of several processes makes its own parts of every step from the same plan, so no sampler is shared among them. What
is decided by a clock or by the judge is decided in the main process and sent to the others.

TRL takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.train.loop import CurvePoint, Optimisation, make_optimizer, require_finite
from teachable.train.steering import Progress, Steering, from_main
from teachable.train.trl_backend import (
    MAX_SEED,
    SavingClock,
    Silent,
    adapters,
    no_tokenizer,
    on_one_device,
    shared_arguments,
    trl_libraries,
)
from teachable.train.tune_batches import batch_maker
from teachable.train.tune_config import TrainingConfig
from teachable.train.tune_plan import TunePlan, n_parts, parts_of, rate_of

PATIENT_S = 7 * 24 * 3600  # how long processes wait for the main one, which may be judging


@dataclass(frozen=True)
class Surroundings:
    """Where training happens and who is told.

    `seed` is of dropout and of adapters; `pad_id` fills batches up; `folder` is the trainer's own, in which checkpoints
    are kept by the clock if `keeps`; with `on_cpu` a GPU is left alone; `steering` is None where nobody judges.
    """

    seed: int
    pad_id: int
    folder: Path
    keeps: bool
    on_cpu: bool
    steering: Steering | None
    on_step: Callable[[CurvePoint], None] | None


def make_trainer(model: Any, plan: TunePlan, config: TrainingConfig, progress: Progress, around: Surroundings) -> Any:
    """The trainer of a plan, ready to `train` and to fill `progress`.

    Raises:
        TeachableError: a library is not installed; and, from its `train`, a loss or a gradient that is not finite.
    """
    trl, datasets = trl_libraries("Install teachable[train]")
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback

    n_devices = n_processes()
    n = n_parts(plan, config, n_devices)
    arguments = _arguments(trl, model, config, around, n)
    make_batch = batch_maker(model, plan, around.pad_id, packing=config.packing)

    class TuneTrainer(Silent, trl.SFTTrainer):  # type: ignore[name-defined]
        """Takes the plan's parts in their order, our optimiser and its rates, and asks our judge."""

        optimizer: Any
        lr_scheduler: Any

        def get_train_dataloader(self) -> Any:
            device = self.args.process_index
            mine = [part for step in range(len(plan.steps)) for part in parts_of(plan, step, n, n_devices, device)]
            return DataLoader(
                range(len(mine)),  # type: ignore[arg-type]  # a range has all that is asked of a data set
                batch_size=1,
                collate_fn=lambda at: make_batch(mine[at[0]]),
                pin_memory=self.args.dataloader_pin_memory,
            )

        def create_optimizer(self, model: Any = None) -> Any:
            if self.optimizer is None:
                how = Optimisation(config.learning_rate, "constant", 0.0, config.weight_decay, config.max_grad_norm)
                self.optimizer = make_optimizer(model or self.model, how)
                for group in self.optimizer.param_groups:
                    group["lr"] = 1.0  # LambdaLR multiplies it: so the rate of a step is `rate_of` to the last bit
            return self.optimizer

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer, lambda step: rate_of(step, len(plan.steps), config)
                )
            return self.lr_scheduler

        def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            assert around.steering is not None  # only then it is asked for
            around.steering.evaluate(self, progress)
            return {}

    trainer = TuneTrainer(
        model=model,
        args=arguments,
        data_collator=make_batch,
        train_dataset=datasets.Dataset.from_dict({"step": list(range(len(plan.steps)))}),
        processing_class=no_tokenizer(),
        peft_config=adapters(config.lora),
    )
    trainer.processing_class = None
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_make_watcher(trainer, plan, progress, around))
    return trainer


def n_processes() -> int:
    """How many processes train together, as the launcher says; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _arguments(trl: Any, model: Any, config: TrainingConfig, around: Surroundings, n_parts: int) -> Any:
    """The trainer's settings: everything that the plan has decided is switched off."""
    # Of several processes each is given its device by accelerate: where the model is now says nothing.
    on_cuda = torch.cuda.is_available() and not around.on_cpu
    shared = shared_arguments(model, around.folder) | {
        "use_cpu": not on_cuda,
        "bf16": on_cuda and torch.cuda.is_bf16_supported(),
        "dataloader_pin_memory": on_cuda,
    }
    return on_one_device(
        trl.SFTConfig(
            **shared,
            per_device_train_batch_size=1,  # an item is a whole part of a step
            gradient_accumulation_steps=n_parts,
            max_grad_norm=config.max_grad_norm,
            gradient_checkpointing=config.gradient_checkpointing or None,  # TRL would have it on
            dataset_kwargs={"skip_prepare_dataset": True},
            ddp_timeout=PATIENT_S,
            ddp_find_unused_parameters=False,  # every weight that is trained has a gradient
            seed=around.seed % MAX_SEED,
        )
    )


def _make_watcher(trainer: Any, plan: TunePlan, progress: Progress, around: Surroundings) -> Any:
    """A callback that keeps the curve, asks for evaluations and checkpoints, and refuses what is not finite.

    The trainer calls it in this order at the end of a step: on_step_end, on_log, then it evaluates, saves, and calls
    on_save. So a step that has spoilt the weights is neither judged nor saved, and a checkpoint knows the evaluation
    of its own step.
    """
    from transformers import TrainerCallback

    steering = around.steering

    class Watcher(TrainerCallback):
        clock = SavingClock()

        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if steering and not progress.evaluations:
                trainer._evaluate()

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            control.should_evaluate = steering is not None and steering.is_due(state.global_step, len(plan.steps))
            control.should_save = around.keeps and from_main(self.clock.due(), args.world_size)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **others: Any) -> None:
            if "loss" not in logs:  # the summary at the end
                return
            step = state.global_step - 1
            require_finite(logs["loss"], step)
            require_finite(logs.get("grad_norm", 0.0), step, "norm of the gradient")
            progress.curve.append(CurvePoint(step, plan.tokens_after[step], logs["loss"], logs["learning_rate"]))
            if around.on_step and state.is_world_process_zero:
                around.on_step(progress.curve[-1])

        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            trainer.accelerator.wait_for_everyone()  # each process has written its part
            if state.is_world_process_zero:
                best = steering.standing(progress.evaluations).best_step if steering else 0
                progress.complete(around.folder / f"checkpoint-{state.global_step}", best)
                if steering:
                    steering.best.keep_only(best)
            self.clock.saved()

        def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            control.should_evaluate = control.should_save = False  # the last step's were done, and are asked for again

    return Watcher()
