"""Which examples make up which optimiser step: decided by token counts, before any training library is asked.

Arms differ in how long their examples are. A step is therefore a number of *tokens*, not of examples, so that
every arm gets the same tokens and the same steps. Both training backends are handed the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def plan_steps(lengths: Sequence[int], n_steps: int) -> list[list[int]]:
    """Cut examples, in their order, into `n_steps` consecutive groups of about equally many tokens.

    The border after step s is laid where the running token count comes nearest to s/n_steps of the total. As long as
    no example is longer than one step's share, every border is within half of the longest example of its place;
    a longer example is a step of its own, and the steps after it make up for it.

    Args:
        lengths: tokens of each example, in training order.
        n_steps: how many steps; at most one an example.

    Returns:
        `n_steps` lists of indices into `lengths`; every index once, in order, no list empty.

    Raises:
        ValueError: fewer examples than steps.
    """
    if n_steps < 1 or n_steps > len(lengths):
        raise ValueError(f"{len(lengths)} examples cannot fill {n_steps} steps")
    total = sum(lengths)
    steps: list[list[int]] = []
    at, seen = 0, 0
    for step in range(1, n_steps + 1):
        border = total * step / n_steps
        group = [at]
        seen += lengths[at]
        at += 1
        left_after = n_steps - step
        while at < len(lengths) - left_after and abs(seen + lengths[at] - border) <= abs(seen - border):
            group.append(at)
            seen += lengths[at]
            at += 1
        steps.append(group)
    steps[-1].extend(range(at, len(lengths)))
    return steps


def bucketed_steps(lengths: Sequence[int], tokens_per_step: int, rng: random.Random) -> list[list[int]]:
    """Steps of about `tokens_per_step` tokens whose examples have like lengths (little padding), in random order.

    For pretraining, where the order of the data is ours to choose. Every index appears once.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    steps: list[list[int]] = []
    group: list[int] = []
    size = 0
    for index in order:
        group.append(index)
        size += lengths[index]
        if size >= tokens_per_step:
            steps.append(group)
            group, size = [], 0
    if group:
        steps.append(group)
    rng.shuffle(steps)
    return steps
