"""Tuning of a base model until questions held out for steering show no more gain.

The loss is on the responses only. Examples become token ids by the one way that sampling uses (`chat.py`), rows and
steps by a plan (`tune_plan.py`), and TRL's `SFTTrainer` does the training (`tune_trainer.py`): all weights, or adapters
that are merged into them at the end. Every so many steps a judge scores the model, and the rule of `plateau.py` says
when to end; the weights of the best evaluation are what is written. Without a judge the last ones are.

A run that is killed at any moment and started again with the same arguments goes on from its last complete checkpoint,
with its curve and evaluations, and ends as if undisturbed: on a CPU to the bit, on a GPU as far as its kernels repeat.

Started in several processes by accelerate (`accelerate launch`), `tune` is called alike in each, on a disk that all
see. The main process judges and writes.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from teachable.chat import training_tokens
from teachable.errors import TeachableError
from teachable.records import Example
from teachable.store.digest import model_digest
from teachable.store.files import read_json, write_json
from teachable.train.best import BestCopies
from teachable.train.embedded import save_model
from teachable.train.faults import in_one_sentence
from teachable.train.loop import CurvePoint, TokenSequence
from teachable.train.plateau import Evaluation, Standing
from teachable.train.sft import load_trainable
from teachable.train.steering import Judge, Progress, Steering, Weights, is_sharded, live_model, trained_weights
from teachable.train.trl_backend import adapters, given_back, last_complete
from teachable.train.tune_batches import require_apart
from teachable.train.tune_config import SteeredConfig, TrainingConfig
from teachable.train.tune_plan import TunePlan, plan_tuning
from teachable.train.tune_trainer import Surroundings, make_trainer, n_processes

__all__ = ["Judge", "TuneResult", "tune"]

DONE = "done.json"  # in the work folder: training is over, and the model written

Stopped = Literal["plateau", "max_steps", "max_epochs"]


@dataclass(frozen=True)
class TuneResult:
    """A tuned model and how it came to be.

    `n_examples` were trained on and `n_too_long` left out; `n_rows` are the rows of an epoch. `n_steps` were done of
    `n_steps_planned` at most; `best_step` is the step whose weights are in `path`. `n_tokens` and `n_response_tokens`
    count an example as often as it was used. `seconds` are those of the call that finished.
    """

    path: Path
    digest: str
    backend: str
    n_params: int
    n_examples: int
    n_too_long: int
    n_rows: int
    n_steps: int
    n_steps_planned: int
    best_step: int
    stopped: Stopped
    n_tokens: int
    n_response_tokens: int
    seconds: float
    curve: tuple[CurvePoint, ...]
    evaluations: tuple[Evaluation, ...]
    sentence: str


def tune(
    base: str | Path,
    examples: Sequence[Example],
    config: TrainingConfig,
    *,
    seed: int,
    out: Path,
    device: str = "auto",
    work: Path | None = None,
    judge: Judge | None = None,
    on_step: Callable[[CurvePoint], None] | None = None,
    on_evaluation: Callable[[Evaluation, Standing], None] | None = None,
) -> TuneResult:
    """Tune `base` on `examples` and save it to `out`.

    Args:
        config: a `SteeredConfig` where there is a judge.
        seed: of the order of the examples, of dropout and of adapters.
        device: "auto", "cpu" or a CUDA device; of several processes each has its own.
        work: a folder of its own to keep checkpoints in, to resume from; None is off.
        judge: asked at step 0, every `eval_every` steps and at the end for a score a question, in [0, 1], always of the
            same questions in the same order. It is given the live model, which it must leave as it was.
        on_step, on_evaluation: told of each in the main process; a resumed run tells only of what it does itself.

    Raises:
        TeachableError: no examples, or all too long; no chat template; a loss or gradient that is not finite; memory or
            disk space ran out; a library is not installed. The last complete checkpoint stays.
    """
    started = time.monotonic()
    with _folder(work, out) as folder, _quiet(), in_one_sentence(out, **_memory_texts(config)):
        if (done := _kept(folder / DONE, out)) is not None:
            return done
        torch.manual_seed(seed)
        # Of several processes each is given its device by accelerate.
        model, tokenizer = load_trainable(base, "cpu" if n_processes() > 1 else device)
        run = _Run(base, tokenizer, config, _plan(model, tokenizer, examples, config, seed), folder, out)
        around = Surroundings(
            seed=seed,
            pad_id=_pad_id(tokenizer),
            folder=run.checkpoints,
            keeps=work is not None,
            on_cpu=device == "cpu",
            steering=run.steering(judge, on_evaluation) if judge is not None else None,
            on_step=on_step,
        )
        n_params = model.num_parameters()
        progress, stopped, best_step, sentence = run.train(model, around)
        result = TuneResult(
            path=out,
            digest=model_digest(out),
            backend="trl",
            n_params=n_params,
            n_examples=len(run.plan.sequences),
            n_too_long=run.plan.n_too_long,
            n_rows=len(run.plan.rows),
            n_steps=len(progress.curve),
            n_steps_planned=len(run.plan.steps),
            best_step=best_step,
            stopped=stopped,
            n_tokens=progress.curve[-1].tokens,
            n_response_tokens=run.plan.response_tokens(len(progress.curve)),
            seconds=time.monotonic() - started,
            curve=tuple(progress.curve),
            evaluations=tuple(progress.evaluations),
            sentence=sentence,
        )
        run.finish(result)
        return result


@dataclass
class _Run:
    """One call of `tune`: what it trains from, and where to."""

    base: str | Path
    tokenizer: Any
    config: TrainingConfig
    plan: TunePlan
    folder: Path
    out: Path
    trainer: Any = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> BestCopies:
        return BestCopies(self.folder / "best")

    def steering(self, judge: Judge, on_evaluation: Callable[[Evaluation, Standing], None] | None) -> Steering:
        """What the judge decides.

        Raises:
            ValueError: the settings do not say when to ask it.
        """
        if not isinstance(self.config, SteeredConfig):
            raise ValueError("a judge needs a SteeredConfig, which says when to ask it")
        return Steering(judge, self.tokenizer, self.config, self.best, self.copy_with, on_evaluation)

    def train(self, model: Any, around: Surroundings) -> tuple[Progress, Stopped, int, str]:
        """Train from the last complete checkpoint, if there is one, to the end, and write the model.

        Returns:
            What training has come to, why it ended, the step whose weights were written, and a sentence of it.
        """
        last = last_complete(self.checkpoints)
        progress = Progress.of(last)
        trainer = self.trainer = make_trainer(model, self.plan, self.config, progress, around)
        trainer.accelerator.wait_for_everyone()  # all have read what there is, before anyone removes any of it
        if trainer.is_world_process_zero():
            self._clear(last, progress.kept_best)
        if not _is_over(progress, around.steering, self.plan):
            try:
                # What failed is told before what it left half-written goes: then a full disk looks full no more.
                with given_back(model), in_one_sentence(self.folder, **_memory_texts(self.config)):
                    trainer.train(resume_from_checkpoint=str(last) if last else None)
            except Exception:
                if trainer.is_world_process_zero():
                    self._clear(last_complete(self.checkpoints))
                raise
        stopped, best_step, sentence = _ending(progress, around.steering, self.plan)
        self._write(best_step, is_judged=around.steering is not None)
        return progress, stopped, best_step, sentence

    def finish(self, result: TuneResult) -> None:
        """Keep the result for a later call, in the place of the checkpoints."""
        if self.trainer.is_world_process_zero():
            write_json(self.folder / DONE, result)
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            shutil.rmtree(self.best.folder, ignore_errors=True)

    def copy_with(self, weights: Weights) -> Any:
        """The base on the CPU, with adapters where the settings have them, and these weights in it."""
        model = load_trainable(self.base, "cpu")[0]
        if (settings := adapters(self.config.lora)) is not None:
            import peft

            model = peft.get_peft_model(model, settings)
        _put_in(model, weights)
        return model

    def _clear(self, last: Path | None, *best: int) -> None:
        """Remove what a killed or failed run left half-written, and weights of steps that will be done again."""
        for path in self.checkpoints.glob("checkpoint-*"):
            if path != last:
                shutil.rmtree(path, ignore_errors=True)
        if best:
            self.best.keep_only(*best)

    def _write(self, best_step: int, *, is_judged: bool) -> None:
        """Save the best weights, or the last where nobody judged, with adapters merged into them."""
        sharded = is_sharded(self.trainer)
        weights = trained_weights(self.trainer) if sharded and not is_judged else None  # all processes must ask
        if self.trainer.is_world_process_zero():
            if is_judged and best_step:
                weights = self.best.load(best_step)
            if is_judged and not best_step:
                model = load_trainable(self.base, "cpu")[0]
            elif sharded:
                model = self._merged(self.copy_with(weights or {}))
            else:
                model = live_model(self.trainer)
                _put_in(model, weights or {})
                model = self._merged(model)
            save_model(model.eval(), self.tokenizer, self.out)
        self.trainer.accelerator.wait_for_everyone()

    def _merged(self, model: Any) -> Any:
        return model.merge_and_unload() if self.config.lora.r else model


def _put_in(model: Any, weights: Weights) -> None:
    """Give a model some of its weights, by name.

    Raises:
        ValueError: it has none of such a name.
    """
    unknown = model.load_state_dict(dict(weights), strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"{type(model).__name__} has no weights called {unknown[:3]}")


@contextmanager
def _folder(work: Path | None, out: Path) -> Iterator[Path]:
    """The folder for checkpoints and the best weights; without one to keep, one beside `out` that goes again."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        yield Path(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what TRL and transformers have to settle between them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _plan(model: Any, tokenizer: Any, examples: Sequence[Example], config: TrainingConfig, seed: int) -> TunePlan:
    pairs = (training_tokens(tokenizer, example.messages) for example in examples)
    sequences = [TokenSequence(tuple(ids), tuple(mask)) for ids, mask in pairs]
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0)
    plan = plan_tuning(sequences, config, seed=seed, context=context)
    if config.packing:
        require_apart(model, _pad_id(tokenizer))
    return plan


def _pad_id(tokenizer: Any) -> int:
    found = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(found or 0)


def _memory_texts(config: TrainingConfig) -> dict[str, str]:
    """What memory would run out for, and how to need less."""
    rows = config.rows_at_once or math.ceil(config.batch_size / n_processes())
    ways = [f"lower rows_at_once (now {rows})" if rows > 1 else "lower max_length"]
    ways += [] if config.gradient_checkpointing else ["set gradient_checkpointing to true"]
    ways += [] if config.lora.r else ["train adapters (lora.r)"]
    mend = ", or ".join(ways)
    return {"computing": f"{rows} row{'s' if rows > 1 else ''} at once", "mend": mend[0].upper() + mend[1:]}


def _is_over(progress: Progress, steering: Steering | None, plan: TunePlan) -> bool:
    """Whether a resumed run has nothing left to train. Without a judge the trainer still has to load the weights."""
    if steering is None or not progress.evaluations:
        return False
    return len(progress.curve) == len(plan.steps) or steering.standing(progress.evaluations).done


def _ending(progress: Progress, steering: Steering | None, plan: TunePlan) -> tuple[Stopped, int, str]:
    """Why training ended, the step that is kept, and both in a sentence."""
    n_steps = len(progress.curve)
    limit = {"max_steps": "the most allowed", "max_epochs": "each example as often as allowed"}[plan.ends_by]
    if steering is None:
        return plan.ends_by, n_steps, f"Trained {n_steps} steps, {limit}."
    now = steering.standing(progress.evaluations)
    if now.done:
        return "plateau", now.best_step, now.sentence
    return plan.ends_by, now.best_step, f"Trained {n_steps} steps, {limit}, without a plateau. {now.sentence}"


def _kept(path: Path, out: Path) -> TuneResult | None:
    """The result of a call that was over, if its model is still there."""
    if not path.is_file() or not out.is_dir():
        return None
    kept: dict[str, Any] = read_json(path)
    try:
        if model_digest(out) != kept["digest"]:
            return None
    except TeachableError:  # the folder holds no model any more
        return None
    curve = tuple(CurvePoint(**point) for point in kept["curve"])
    evaluations = tuple(Evaluation(one["step"], one["tokens"], tuple(one["scores"])) for one in kept["evaluations"])
    return TuneResult(**kept | {"path": out, "curve": curve, "evaluations": evaluations})
