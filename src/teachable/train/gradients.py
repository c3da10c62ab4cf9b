"""The gradient of the training loss at the base, on a small probe batch of each domain: do domains pull apart?

For each domain a few examples are drawn, in parts. The loss is that of fine-tuning, in nats a response token; what the
parts' gradients say of each other is worked out in `conflict`. Nothing is trained and nothing is sampled: a probe of
32 examples costs three forward passes over them.

**Memory.** The model, in float32 on a CPU and in bfloat16 on a GPU that has it, the activations of the rows computed at
once, and one tensor's gradient: each is added to a sketch (`sketches`) as soon as it is there, and freed. So a model
of 7 billion parameters takes 28 GB on a CPU and 14 GB on a GPU beside its activations, where its gradients alone would
take as much again. Kept of each part are at most 1.3 million numbers (5 MB), and what is compared is exact as long as
no group of layers has more than 262,144 numbers; above that a cosine is off by about 0.002.

What it does not tell stands in `conflict`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teachable.chat import training_tokens
from teachable.engines.loading import load_model, load_tokenizer
from teachable.errors import TeachableError
from teachable.records import Example, OnProgress, Progress
from teachable.train.config import SMALL_PARAMS
from teachable.train.conflict import GradientPair, PartProducts, pairs_of, share_opposed
from teachable.train.loop import TokenSequence, batch_loss, collate
from teachable.train.sketches import WIDTH, Sketcher

WHERE = "gradients"
MAX_LENGTH = 1024  # longer examples are left out; less where the model reads less
ROWS_AT_ONCE = 8  # of a small model; of a large one, a row at a time


@dataclass(frozen=True)
class DomainGradient:
    """One domain's probe batch and its gradient."""

    domain: str
    n_examples: int
    n_too_long: int  # of all its examples, those that were left out before any was drawn
    n_tokens: int  # loss-bearing
    loss: float  # nats a loss-bearing token
    norm: float
    repeat: float | None  # the cosine to expect of its gradient with another batch's
    opposed: float | None  # the share of opposing signs between two halves of its own batch


@dataclass(frozen=True)
class Gradients:
    """Every domain, and every pair of domains, the least aligned first."""

    domains: tuple[DomainGradient, ...]
    pairs: tuple[GradientPair, ...]
    n_parameters: int
    n_parts: int
    exact: bool
    error: float  # about what a cosine is off by where it is not exact, else 0


@dataclass(frozen=True)
class _Batch:
    parts: tuple[tuple[TokenSequence, ...], ...]
    n_too_long: int

    @property
    def n_examples(self) -> int:
        return sum(map(len, self.parts))


def probe_gradients(
    base: Path | str,
    examples: Mapping[str, Sequence[Example]],
    *,
    n_examples: int = 32,
    n_parts: int = 8,
    seed: int = 0,
    device: str = "auto",
    width: int = WIDTH,
    on_progress: OnProgress | None = None,
) -> Gradients:
    """Compare the domains' gradients at the base.

    Args:
        base: the model that training starts from, a folder or hub id.
        examples: domain -> what would be trained on.
        n_examples: of each domain, drawn at random; all where it has fewer.
        n_parts: into how many parts a batch is cut, to tell the gradient from its noise; at least 2.
        seed: of the draw.
        width: how many numbers are kept of each group of layers (`sketches`).

    Raises:
        TeachableError: fewer than two domains, a domain without two examples that fit, no chat template, a loss or a
            gradient that is not finite, or a model that the device does not hold.
    """
    if len(examples) < 2:
        raise TeachableError("interference is between domains", where=WHERE, mend="Name two or more")
    if n_examples < 2 or n_parts < 2:
        raise TeachableError(
            f"{min(n_examples, n_parts)} is too few: two parts of an example each are the least", where=WHERE
        )
    tokenizer = load_tokenizer(str(base), trust_remote_code=False)
    try:
        model = _loaded(base, device)
        longest = min(MAX_LENGTH, getattr(model.config, "max_position_embeddings", None) or MAX_LENGTH)
        batches = {
            domain: _drawn(domain, found, tokenizer, longest, n_examples, n_parts, seed)
            for domain, found in examples.items()
        }
        return _compared(model, batches, _pad_id(tokenizer), width, n_parts, on_progress)
    except torch.cuda.OutOfMemoryError as error:
        raise TeachableError(
            f"the GPU's memory does not hold the model and one example ({str(error).splitlines()[0]})",
            where=WHERE,
            mend="Free the GPU, or set CUDA_VISIBLE_DEVICES= to compute on the CPU",
        ) from error


def _loaded(base: Path | str, device: str) -> Any:
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    half = where.startswith("cuda") and torch.cuda.is_bf16_supported()
    model = load_model(str(base), dtype="bfloat16" if half else "float32", trust_remote_code=False)
    return model.to(where).eval()  # no dropout: the gradient of the loss itself


def _pad_id(tokenizer: Any) -> int:
    return int(next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0))


def _drawn(
    domain: str, examples: Sequence[Example], tokenizer: Any, longest: int, n_examples: int, n_parts: int, seed: int
) -> _Batch:
    """A random batch of one domain's examples, in parts of about equally many examples."""
    order = sorted(examples, key=lambda example: example.id)
    random.Random(f"{seed} {domain}").shuffle(order)
    fitting: list[TokenSequence] = []
    n_too_long = 0
    for example in order:
        ids, mask = training_tokens(tokenizer, example.messages)
        n_too_long += len(ids) > longest
        if len(ids) <= longest and any(mask[1:]):
            fitting.append(TokenSequence(tuple(ids), tuple(mask)))
        if len(fitting) == n_examples:
            break
    if len(fitting) < 2:
        raise TeachableError(
            f"the domain {domain!r} has {len(fitting)} of {len(order)} examples that fit into {longest} tokens, and "
            "two are the least",
            where=WHERE,
            mend="Bring more or shorter examples of it, or leave it out",
        )
    n_parts = min(n_parts, len(fitting))
    return _Batch(tuple(tuple(fitting[part::n_parts]) for part in range(n_parts)), n_too_long)


def _compared(
    model: Any,
    batches: Mapping[str, _Batch],
    pad_id: int,
    width: int,
    n_parts: int,
    on_progress: OnProgress | None,
) -> Gradients:
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    sketcher = Sketcher({name: parameter.numel() for name, parameter in parameters.items()}, width=width)
    kept: dict[str, list[np.ndarray]] = {group: [] for group in sketcher.kept}
    owner, tokens, losses = [], [], []
    halves = np.zeros((len(batches), 2, sketcher.sampled.numel()), dtype=np.float32)
    done, total = 0, sum(batch.n_examples for batch in batches.values())
    with _summed_into(sketcher, parameters):
        for place, (domain, batch) in enumerate(batches.items()):
            losses.append(0.0)
            for number, part in enumerate(batch.parts):
                sketcher.clear()
                losses[-1] += _backward(model, part, pad_id)
                _require_finite(domain, losses[-1], sketcher)
                for group, values in sketcher.kept.items():
                    kept[group].append(values.numpy())
                halves[place, number % 2] += sketcher.sampled.numpy()
                owner.append(place)
                tokens.append(float(sum(sum(sequence.mask[1:]) for sequence in part)))
                done += len(part)
                if on_progress is not None:
                    on_progress(Progress(done, total, "examples", note=domain))
    parts = PartProducts(tuple(batches), np.asarray(owner), np.asarray(tokens), _products(kept))
    domains = tuple(
        _domain(parts, place, batch, losses[place], halves[place]) for place, batch in enumerate(batches.values())
    )
    signs = np.sign(halves.sum(axis=1))
    opposed = {(i, j): share_opposed(signs[i], signs[j]) for j in range(len(signs)) for i in range(j)}
    n_parameters = sum(parameter.numel() for parameter in parameters.values())
    error = 0.0 if sketcher.exact else 1.0 / math.sqrt(width)
    return Gradients(domains, tuple(pairs_of(parts, opposed)), n_parameters, n_parts, sketcher.exact, error)


class _summed_into:
    """Within it, each gradient of a model goes to the sketcher as soon as it is there, and is freed."""

    def __init__(self, sketcher: Sketcher, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self._sketcher, self._parameters, self._handles = sketcher, parameters, list[Any]()

    def __enter__(self) -> None:
        for name, parameter in self._parameters.items():
            self._handles.append(parameter.register_post_accumulate_grad_hook(self._taking(name)))

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _taking(self, name: str) -> Any:
        def take(parameter: torch.Tensor) -> None:
            assert parameter.grad is not None  # the hook runs after it was accumulated
            self._sketcher.add(name, parameter.grad)
            parameter.grad = None

        return take


def _backward(model: Any, part: Sequence[TokenSequence], pad_id: int) -> float:
    """Sum the gradients of a part's examples; its summed loss in nats."""
    device = next(model.parameters()).device
    at_once = ROWS_AT_ONCE if model.num_parameters() < SMALL_PARAMS else 1
    total = 0.0
    for start in range(0, len(part), at_once):
        batch = {key: value.to(device) for key, value in collate(part[start : start + at_once], pad_id).items()}
        loss = batch_loss(model, batch, "sum")
        loss.backward()
        total += loss.item()
    return total


def _require_finite(domain: str, loss: float, sketcher: Sketcher) -> None:
    if not math.isfinite(loss):
        what = f"the base's loss on the domain {domain!r} is {loss}"
    elif not all(bool(torch.isfinite(values).all()) for values in sketcher.kept.values()):
        what = f"the gradient of the domain {domain!r} is not finite"
    else:
        return
    raise TeachableError(what, where=WHERE, mend="Look at its examples, and at the base's weights")


def _products(kept: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """Inner products of all parts, group by group, summed in float64."""
    found = {}
    for group, rows in kept.items():
        table = np.stack(rows)
        blocks = (table[:, start : start + 65_536].astype(np.float64) for start in range(0, table.shape[1], 65_536))
        found[group] = np.asarray(sum(block @ block.T for block in blocks))
    return found


def _domain(parts: PartProducts, place: int, batch: _Batch, loss: float, halves: np.ndarray) -> DomainGradient:
    n_tokens = float(parts.tokens_P[parts.parts_of(place)].sum())
    return DomainGradient(
        parts.names[place],
        batch.n_examples,
        batch.n_too_long,
        int(n_tokens),
        loss / n_tokens,
        parts.norm(place),
        parts.repeat(place),
        share_opposed(halves[0], halves[1]),
    )
