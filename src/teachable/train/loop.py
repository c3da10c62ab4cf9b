"""A plain, readable training loop for small models: AdamW, warm-up, a checkpoint to resume from.

For models under ten million parameters, which a general trainer would keep waiting; it is tested to give the same
losses as TRL's `SFTTrainer` on the same batches. It resumes from its last checkpoint
with the same bytes as an undisturbed run: the data order is a function of the step, nothing else is random.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from teachable.errors import TeachableError

IGNORE = -100
CHECKPOINT_EVERY_S = 5.0


@dataclass(frozen=True)
class TokenSequence:
    """One training sequence: ids [T] and which of them carry the loss [T]."""

    ids: tuple[int, ...]
    mask: tuple[bool, ...]


@dataclass(frozen=True)
class CurvePoint:
    """One optimiser step: `loss` in nats a loss-bearing token, `tokens` trained on so far."""

    step: int
    tokens: int
    loss: float
    lr: float


@dataclass(frozen=True)
class Optimisation:
    """How the weights move."""

    learning_rate: float
    schedule: Literal["constant", "linear", "cosine"]
    warmup_frac: float
    weight_decay: float
    max_grad_norm: float
    betas: tuple[float, float] = (0.9, 0.999)
    muon_rate: float = 0.0  # of the layers' matrices, as a share of AdamW's update size; 0 leaves them to AdamW


def rate_at(step: int, n_steps: int, how: Optimisation) -> float:
    """The learning rate of optimiser step `step` (0 the first)."""
    n_warmup = math.ceil(how.warmup_frac * n_steps)
    if step < n_warmup:
        return how.learning_rate * step / max(1, n_warmup)
    if how.schedule == "constant":
        return how.learning_rate
    done = (step - n_warmup) / max(1, n_steps - n_warmup)
    if how.schedule == "linear":
        return how.learning_rate * (1.0 - done)
    return how.learning_rate * (0.1 + 0.45 * (1.0 + math.cos(math.pi * done)))


def collate(sequences: Sequence[TokenSequence], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded input_ids, attention_mask and labels, each [B, T]."""
    width = max(len(s.ids) for s in sequences)
    input_ids_B_T = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    attention_B_T = torch.zeros((len(sequences), width), dtype=torch.long)
    labels_B_T = torch.full((len(sequences), width), IGNORE, dtype=torch.long)
    for row, s in enumerate(sequences):
        ids = torch.tensor(s.ids)
        input_ids_B_T[row, : len(s.ids)] = ids
        attention_B_T[row, : len(s.ids)] = 1
        labels_B_T[row, : len(s.ids)] = torch.where(torch.tensor(s.mask), ids, IGNORE)
    return {"input_ids": input_ids_B_T, "attention_mask": attention_B_T, "labels": labels_B_T}


def batch_loss(model: Any, batch: dict[str, torch.Tensor], reduction: Literal["mean", "sum"] = "mean") -> torch.Tensor:
    """Cross-entropy, in nats, over the loss-bearing tokens of the whole batch: their mean or their sum.

    Right padding needs no attention mask under causal attention (a real token never sees the padding after it),
    and without one the attention kernel takes its fast path.
    """
    logits_B_T_V = model(input_ids=batch["input_ids"], use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits_B_T_V[:, :-1].flatten(0, 1).float(),
        batch["labels"][:, 1:].flatten(),
        ignore_index=IGNORE,
        reduction=reduction,
    )


def gradients_in_parts(model: Any, parts: Sequence[dict[str, torch.Tensor]], pool: ThreadPoolExecutor) -> float:
    """The batch's loss, and its gradients in `.grad`, each part of the batch computed on a thread of its own.

    The mean is over the loss-bearing tokens of all parts, and parts are added up in their order: the result depends
    on how the batch was cut and not on how many threads there are.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]

    def one(part: dict[str, torch.Tensor]) -> tuple[float, tuple[torch.Tensor, ...]]:
        total = batch_loss(model, part, "sum")
        return total.item(), torch.autograd.grad(total, parameters)

    n_tokens = sum(int((part["labels"][:, 1:] != IGNORE).sum()) for part in parts)
    done = list(pool.map(one, parts))
    for i, parameter in enumerate(parameters):
        gradient = done[0][1][i]
        for _, others in done[1:]:
            gradient = gradient + others[i]
        parameter.grad = gradient / n_tokens
    return sum(total for total, _ in done) / n_tokens


def make_optimizer(model: Any, how: Optimisation, *, skip: Collection[int] = ()) -> torch.optim.AdamW:
    """AdamW whose weight decay is on matrices only: norms and biases are not decayed.

    Args:
        skip: `id` of the parameters that another optimizer moves.
    """
    ours = [p for p in model.parameters() if p.requires_grad and id(p) not in skip]
    return torch.optim.AdamW(
        [
            {"params": [p for p in ours if p.dim() >= 2], "weight_decay": how.weight_decay},
            {"params": [p for p in ours if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=how.learning_rate,
        betas=how.betas,
        fused=True,
    )


def make_optimizers(model: Any, how: Optimisation) -> list[torch.optim.Optimizer]:
    """AdamW alone, or AdamW for embeddings and norms and Muon for the matrices inside the layers.

    Muon orthogonalises each matrix's update (Jordan et al. 2024; its rate is scaled to AdamW's update size as in
    Liu et al. 2025, "Muon is scalable for LLM training", section 2.2).
    """
    if not how.muon_rate:
        return [make_optimizer(model, how)]
    inside = [p for name, p in model.named_parameters() if p.dim() == 2 and ".layers." in name and p.requires_grad]
    muon = torch.optim.Muon(inside, lr=how.muon_rate, weight_decay=how.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [make_optimizer(model, how, skip={id(p) for p in inside}), muon]


def require_finite(value: float, step: int, what: str = "loss") -> None:
    """Raise the `TeachableError` of a loss, or of something else, that is not a finite number."""
    if not math.isfinite(value):
        raise TeachableError(
            f"the {what} became {value} at step {step}", mend="Lower the learning rate or look at the data"
        )


def train(
    model: Any,
    sequences: Sequence[TokenSequence],
    steps: Sequence[Sequence[int]],
    how: Optimisation,
    *,
    pad_id: int,
    checkpoint: Path | None = None,
    on_step: Callable[[CurvePoint], None] | None = None,
    n_parts: int = 1,
) -> list[CurvePoint]:
    """Train `model` in place, one optimiser step for each list of indices in `steps`.

    Args:
        n_parts: cut each batch into so many parts and compute them on as many threads (a small model's products are
            too small to be worth splitting, its batch is not). It changes the rounding, not the method.
        checkpoint: a file to save to every few seconds and to resume from; None is off.

    Raises:
        TeachableError: the loss is not finite.
    """
    device = next(model.parameters()).device
    optimizers = make_optimizers(model, how)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    curve = _resume(model, optimizers, checkpoint)
    tokens = curve[-1].tokens if curve else 0
    model.train()
    saved_at = time.monotonic()
    pool = ThreadPoolExecutor(n_parts)
    for step in range(len(curve), len(steps)):
        rate = rate_at(step, len(steps), how)
        # The groups are looked up each time: resuming puts other ones in their place.
        for optimizer, its_peaks in zip(optimizers, peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, its_peaks, strict=True):
                group["lr"] = peak * rate / how.learning_rate
        cut = [steps[step][part::n_parts] for part in range(n_parts)]
        parts = [collate([sequences[i] for i in indices], pad_id) for indices in cut if indices]
        parts = [{k: v.to(device) for k, v in part.items()} for part in parts]
        if len(parts) > 1:
            value = gradients_in_parts(model, parts, pool)
        else:
            loss = batch_loss(model, parts[0])
            loss.backward()
            value = loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), how.max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        require_finite(value, step)
        tokens += sum(int(part["attention_mask"].sum()) for part in parts)
        curve.append(CurvePoint(step=step, tokens=tokens, loss=value, lr=rate))
        if on_step:
            on_step(curve[-1])
        if checkpoint and time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
            _save(model, optimizers, curve, checkpoint)
            saved_at = time.monotonic()
    pool.shutdown()
    model.eval()
    return curve


def _save(model: Any, optimizers: list[torch.optim.Optimizer], curve: list[CurvePoint], path: Path) -> None:
    moments = [optimizer.state_dict() for optimizer in optimizers]
    state = {"model": model.state_dict(), "optimizers": moments, "curve": [asdict(p) for p in curve]}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(model: Any, optimizers: list[torch.optim.Optimizer], path: Path | None) -> list[CurvePoint]:
    if path is None or not path.exists():
        return []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, moments in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(moments)
    return [CurvePoint(**p) for p in state["curve"]]
