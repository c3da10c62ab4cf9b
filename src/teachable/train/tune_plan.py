"""Which examples make up which row, step and part of a step: decided before any training library is asked.

A row is an example, or several that are packed. A step is `batch_size` rows over all devices; a part is what one device
computes at once. The loss of a step is the mean over the loss-bearing tokens of all its parts on all devices, so how a
step is cut changes the rounding and nothing else: a run on two devices has the curve of a run on one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

from teachable.errors import TeachableError
from teachable.train.loop import TokenSequence
from teachable.train.packing import pack
from teachable.train.tune_config import TrainingConfig

DEFAULT_LENGTH = 1024  # of max_length 0: a longer row must be asked for, since it takes memory

Stop = Literal["max_steps", "max_epochs"]


@dataclass(frozen=True)
class TunePlan:
    """What is trained on, in which order: `sequences`, `rows` of indices into them, `steps` of indices into rows.

    `ends_by` says which limit decided the number of steps; `n_too_long` examples were left out.
    """

    sequences: Sequence[TokenSequence]
    rows: Sequence[Sequence[int]]
    steps: Sequence[Sequence[int]]
    ends_by: Stop
    n_too_long: int

    @cached_property
    def row_tokens(self) -> list[int]:
        """Tokens of each row."""
        return [sum(len(self.sequences[i].ids) for i in row) for row in self.rows]

    @cached_property
    def tokens_after(self) -> list[int]:
        """Tokens trained on when each step is done."""
        return list(accumulate(sum(self.row_tokens[row] for row in step) for step in self.steps))

    def response_tokens(self, n_steps: int) -> int:
        """Loss-bearing tokens of the first steps."""
        bearing = [sum(sum(self.sequences[i].mask) for i in row) for row in self.rows]
        return sum(bearing[row] for step in self.steps[:n_steps] for row in step)


def plan_tuning(sequences: Sequence[TokenSequence], config: TrainingConfig, *, seed: int, context: int = 0) -> TunePlan:
    """Leave out what is too long, make rows of the rest, and order them.

    Args:
        seed: of the order of the rows, another in each epoch.
        context: the longest text that the model can read, in tokens; 0 is not known.

    Raises:
        TeachableError: there is no example, or none that is short enough.
    """
    if not sequences:
        raise TeachableError("there are no examples to train on", mend="Select some, or widen what is selected")
    longest = longest_row(config, context)
    fitting = [one for one in sequences if len(one.ids) <= longest]
    if not fitting:
        shortest = min(len(one.ids) for one in sequences)
        raise TeachableError(
            f"all {len(sequences):,} examples are longer than {longest:,} tokens (the shortest has {shortest:,})",
            mend="Raise max_length, or take a base with a longer context",
        )
    lengths = [len(one.ids) for one in fitting]
    rows = pack(lengths, longest) if config.packing else [[i] for i in range(len(fitting))]
    steps, ends_by = row_steps(len(rows), config, seed)
    return TunePlan(fitting, rows, steps, ends_by, len(sequences) - len(fitting))


def longest_row(config: TrainingConfig, context: int) -> int:
    """The longest row, in tokens; `context` as in `plan_tuning`."""
    return min(config.max_length or DEFAULT_LENGTH, context or 2**62)


def row_steps(n_rows: int, config: TrainingConfig, seed: int) -> tuple[list[list[int]], Stop]:
    """Which rows make up which step: round after round of all rows, each in another random order.

    A step may begin in one round and end in the next. Where `max_epochs` is the nearer limit, every row is used exactly
    so often, and the last step may be smaller.
    """
    size = min(config.batch_size, n_rows)
    n_used = config.max_epochs * n_rows
    by_epochs = math.ceil(n_used / size)
    n_steps = min(config.max_steps, by_epochs)
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < min(n_steps * size, n_used):
        order += draw.sample(range(n_rows), n_rows)
    steps = [order[at : at + size] for at in range(0, n_steps * size, size)]
    return steps, "max_steps" if config.max_steps <= by_epochs else "max_epochs"


def n_parts(plan: TunePlan, config: TrainingConfig, n_devices: int) -> int:
    """In how many parts each device computes a step: the same for all steps."""
    a_device = math.ceil(len(plan.steps[0]) / n_devices)
    return math.ceil(a_device / config.rows_at_once) if config.rows_at_once else 1


def parts_of(plan: TunePlan, step: int, n: int, n_devices: int, device: int) -> list[list[int]]:
    """The rows of each of the `n` parts of a step on a device; a part may be empty where a step is small.

    Rows of like length are computed together, which saves padding, and the longest first, so that what does not fit
    into memory fails at once.
    """
    rows = sorted(plan.steps[step], key=lambda row: (-plan.row_tokens[row], row))
    share = math.ceil(len(rows) / (n * n_devices))
    chunks = [rows[at : at + share * n_devices] for at in range(0, n * n_devices * share, share * n_devices)]
    return [chunk[device::n_devices] for chunk in chunks]


def rate_of(step: int, n_steps: int, config: TrainingConfig) -> float:
    """The learning rate of optimiser step `step` (0 the first) of `n_steps` at most.

    While it warms up it rises by equal steps from just above 0, so that no step is spent at a rate of 0.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, n_steps - config.warmup_steps)
    if config.schedule == "linear":
        return config.learning_rate * (1.0 - done)
    return config.learning_rate * (0.1 + 0.45 * (1.0 + math.cos(math.pi * done)))
