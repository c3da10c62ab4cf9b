"""Which part of a model a tensor belongs to, told from its name alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

GROUPS = ("embedding", "early layers", "middle layers", "late layers", "rest")
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_EMBEDDING = re.compile(r"embed|wte|wpe")


def group_of(names: Sequence[str]) -> dict[str, str]:
    """Tensor -> its group: the embedding, a third of the layers by their number, or the rest (last norm, head)."""
    numbers = {name: int(found[1]) for name in names if (found := _LAYER.search(name))}
    n_layers = max(numbers.values(), default=0) + 1
    groups = {}
    for name in names:
        if name in numbers:
            groups[name] = GROUPS[1 + 3 * numbers[name] // n_layers]
        else:
            groups[name] = "embedding" if _EMBEDDING.search(name) else "rest"
    return groups
