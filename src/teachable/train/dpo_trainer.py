"""TRL's `DPOTrainer` on exact token ids, in steps that were planned before it was asked.

The trainer would apply chat templates, tokenise and append end tokens: all of that is passed over, and it is handed the
ids themselves (its own columns `prompt_ids`, `chosen_ids`, `rejected_ids`, which its own collator puts together). What
is TRL's is the loss, the reference's log-probabilities before training or beside it, adapters, bf16 on a CUDA device
that has it, and a loss that holds no logits of a whole batch. Which pairs make up a step, the optimiser, its rate, the
checkpoints and the curve are the same as in supervised training (`trl_backend.py`).

One process on one device. The trainer seeds Python's, NumPy's and torch's global generators.

TRL takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.store.files import read_json
from teachable.train.config import DpoConfig
from teachable.train.loop import Optimisation, make_optimizer, rate_at
from teachable.train.preferences import SIDES, TokenPair
from teachable.train.trl_backend import (
    CURVE,
    MAX_SEED,
    Silent,
    adapters,
    checkpoint_folder,
    given_back,
    last_complete,
    make_watcher,
    no_tokenizer,
    on_one_device,
    shared_arguments,
    trl_libraries,
)

_INSTALL = "Install teachable[train]"
_QUIET = "TQDM_DISABLE"  # what TRL asks before it draws a progress bar of its own


@dataclass(frozen=True)
class DpoPoint:
    """One optimiser step; the means are over its pairs, before its update.

    `tokens` were trained on so far. A reward is beta times the log-probability's rise over the base's, in nats;
    `reward_margin` is the chosen's less the rejected's, and `reward_accuracy` the share of pairs where that is above 0.
    """

    step: int
    tokens: int
    loss: float
    lr: float
    reward_margin: float
    reward_accuracy: float
    reward_chosen: float
    reward_rejected: float
    logp_chosen: float
    logp_rejected: float


@dataclass(frozen=True)
class PairPlan:
    """What is trained on, and in which order.

    Each of `steps` lists as many indices into `pairs` as the others. With `precompute` the base's log-probabilities
    are computed before training, of all pairs; `pad_id` fills batches up; `seed` is of dropout and of adapters.
    """

    pairs: Sequence[TokenPair]
    steps: Sequence[Sequence[int]]
    precompute: bool
    pad_id: int
    seed: int


def precomputes(config: DpoConfig, n_pairs: int, n_used: int) -> bool:
    """Whether the base's log-probabilities are computed before training.

    For a model whose weights all move that saves a second copy of it in memory. With adapters the base is always at
    hand; there it saves time unless some pairs stay unused.

    Args:
        n_used: pairs in all steps together, each as often as it is used.
    """
    if config.precompute_reference != "auto":
        return config.precompute_reference
    return not config.lora.r or n_used >= n_pairs


def equal_part(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most` (0 is no limit): the parts of a step must all weigh the same."""
    return next(size for size in range(min(n, most) if most else n, 0, -1) if n % size == 0)


def train_on_pairs(
    model: Any,
    reference: Any | None,
    plan: PairPlan,
    config: DpoConfig,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[DpoPoint], None] | None = None,
) -> tuple[Any, list[DpoPoint]]:
    """Train `model`, one optimiser step for each of the plan's.

    Args:
        reference: another copy of the base, which is asked at every step. None where its log-probabilities are
            computed before, or where the model is its own reference, without its adapters.
        checkpoint: the trainer's checkpoints are kept in `checkpoint_folder(checkpoint)`, at most one complete one at a
            time, and training goes on from there; None is off. Whoever has saved the model removes the folder.

    Returns:
        The trained model (adapters merged into its weights), and its curve.

    Raises:
        TeachableError: the loss is not finite, or a library is not installed.
    """
    folder = checkpoint_folder(checkpoint) if checkpoint else None
    last = last_complete(folder) if folder else None
    curve = [DpoPoint(**point) for point in read_json(last / CURVE)] if last else []
    tokens_after = list(itertools.accumulate(sum(plan.pairs[i].n_tokens for i in step) for step in plan.steps))

    def point_of(step: int, logs: Mapping[str, float]) -> DpoPoint:
        return _point(step, tokens_after[step], logs)

    with (
        tempfile.TemporaryDirectory() as nothing_is_written_here,
        given_back(model),
        _padding_kept(model),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", FutureWarning)  # what TRL and transformers have to settle between them
        trainer = _make_trainer(model, reference, plan, config, folder or Path(nothing_is_written_here))
        trainer.add_callback(make_watcher(curve, point_of, folder, on_step))
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        trained = trainer.model.merge_and_unload() if config.lora.r else model
    return trained.eval(), curve


def _point(step: int, tokens: int, logs: Mapping[str, float]) -> DpoPoint:
    return DpoPoint(
        step=step,
        tokens=tokens,
        loss=logs["loss"],
        lr=logs["learning_rate"],
        reward_margin=logs["rewards/margins"],
        reward_accuracy=logs["rewards/accuracies"],
        reward_chosen=logs["rewards/chosen"],
        reward_rejected=logs["rewards/rejected"],
        logp_chosen=logs["logps/chosen"],
        logp_rejected=logs["logps/rejected"],
    )


def _make_trainer(model: Any, reference: Any | None, plan: PairPlan, config: DpoConfig, folder: Path) -> Any:
    trl, datasets = trl_libraries(_INSTALL)
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    at_once = equal_part(len(plan.steps[0]), config.pairs_at_once)
    order = list(itertools.chain(*plan.steps))

    class PlannedTrainer(Silent, trl.DPOTrainer):  # type: ignore[name-defined]
        """Takes the ids and the steps as they are."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset  # these are token ids already

        def get_train_dataloader(self) -> Any:
            loader = DataLoader(self.train_dataset, batch_size=at_once, sampler=order, collate_fn=self.data_collator)
            return self.accelerator.prepare(loader)

    _without_dropout(model)
    with _quiet(datasets):
        trainer = PlannedTrainer(
            model=model,
            ref_model=reference,
            args=_arguments(trl, model, plan, config, at_once, folder),
            data_collator=DataCollatorForPreference(pad_token_id=plan.pad_id),
            train_dataset=datasets.Dataset.from_dict(
                {f"{side}_ids": [list(getattr(pair, side)) for pair in plan.pairs] for side in SIDES}
            ),
            processing_class=no_tokenizer(),
            peft_config=adapters(config.lora),
        )
    trainer.processing_class = None
    trainer.remove_callback(PrinterCallback)
    _set_optimiser(trainer, len(plan.steps), config)
    return trainer


def _set_optimiser(trainer: Any, n_steps: int, config: DpoConfig) -> None:
    """The loop's AdamW on what is trained, which with adapters is known only now, and the loop's rates."""
    how = Optimisation(
        config.learning_rate, config.schedule, config.warmup_frac, config.weight_decay, config.max_grad_norm
    )
    trainer.optimizer = make_optimizer(trainer.model, how)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1.0  # LambdaLR multiplies it: so the rate of a step is `rate_at` to the last bit
    # Counted from 1: of a run of a few steps, none is to be spent at a rate of 0.
    trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
        trainer.optimizer, lambda step: rate_at(step + 1, n_steps + 1, how)
    )


def _arguments(trl: Any, model: Any, plan: PairPlan, config: DpoConfig, at_once: int, folder: Path) -> Any:
    """The trainer's settings: everything that the plan has decided is switched off."""
    arguments = trl.DPOConfig(
        **shared_arguments(model, folder),
        beta=config.beta,
        loss_type=[config.loss_type, "sft"] if config.sft_weight else [config.loss_type],
        loss_weights=[1.0, config.sft_weight] if config.sft_weight else None,
        label_smoothing=config.label_smoothing,
        precompute_ref_log_probs=plan.precompute,
        disable_dropout=False,  # the base's is off already; the adapters' is the config's
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=len(plan.steps[0]) // at_once,
        max_grad_norm=config.max_grad_norm,
        gradient_checkpointing=config.gradient_checkpointing or None,  # TRL would have it on
        seed=plan.seed % MAX_SEED,
    )
    return on_one_device(arguments)


def _without_dropout(model: Any) -> None:
    """The policy and its reference must differ by what was learnt alone."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@contextmanager
def _padding_kept(model: Any) -> Iterator[None]:
    """Put the config's padding token back: the trainer overwrites it with its (empty) tokenizer's."""
    places = [model.config.get_text_config(), model.generation_config]
    before = [place.pad_token_id for place in places]
    try:
        yield
    finally:
        for place, token in zip(places, before, strict=True):
            place.pad_token_id = token


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """No progress bars of TRL's and of datasets' while the reference's log-probabilities are computed."""
    told, shown = os.environ.get(_QUIET), datasets.utils.logging.is_progress_bar_enabled()
    os.environ[_QUIET] = "1"
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
        if told is None:
            del os.environ[_QUIET]
        else:
            os.environ[_QUIET] = told
