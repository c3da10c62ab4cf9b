"""Which models will get in each other's way when they are merged, told from their weights alone.

No model answers anything: for each pair, the deltas d = model - base are compared, tensor by tensor.

| signal | what it is |
| --- | --- |
| `cosine` | of the whole deltas, and of each group of layers |
| `sign_conflicts` | the share, among coordinates that are large in both, where they pull in opposite directions |
| `shared` | how many coordinates are large in both, over those that are large in either |
| `norm_ratio` | the norm of the greater delta over that of the smaller |
| `cancelled` | the share of all change that a plain sum would undo: 1 - sum(abs(a + b)) / sum(abs(a) + abs(b)) |

A coordinate is large if a trim of `density` would keep it, in each tensor, as TIES trims.

**What is known.** Deltas of models tuned on unlike tasks from one base are nearly orthogonal, those of like tasks
less so (Ilharco et al. 2023); opposite signs among large numbers cost accuracy when deltas are averaged, the more
models the more (Yadav et al. 2023).

**What is not known.** Whether any of these numbers tells *how much* accuracy a pair of domains will lose: a
coordinate's change says nothing of its effect on the loss. Nor do they say anything of joint training on both sets,
which can settle what a sum of weights can't. Independent random deltas have a cosine of 0 within about `chance` (one
over the root of the number of parameters) and half of their signs in conflict: values near these say "unlike", not
"compatible". Rank pairs by them, and measure before relying on one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from teachable.engines.layers import GROUPS, group_of
from teachable.errors import TeachableError
from teachable.merge.methods import Tensor, trim_floor
from teachable.merge.parents import agree, open_parent, shared_tensors
from teachable.merge.tensors import F32, read, spans
from teachable.records import OnProgress, Progress


@dataclass(frozen=True)
class Interference:
    """How two models' deltas relate; None where a delta is zero and the ratio says nothing."""

    one: str
    two: str
    cosine: float | None
    cosine_by_group: Mapping[str, float | None]  # groups of layers that the model has
    sign_conflicts: float | None  # in [0, 1]; None where no coordinate is large in both
    shared: float | None  # in [0, 1]
    norm_ratio: float | None  # 1 or more
    cancelled: float | None  # in [0, 1]


@dataclass(frozen=True)
class Prediction:
    """All pairs, the most opposed first, and each model's distance from the base."""

    pairs: tuple[Interference, ...]
    norms: Mapping[str, float]  # model -> norm of its delta
    base_norm: float
    chance: float  # the standard deviation of the cosine of independent random deltas
    density: float
    n_parameters: int


@dataclass
class _Sums:
    """What is added up over the pieces of two deltas."""

    dot: dict[str, float] = field(default_factory=lambda: dict.fromkeys(GROUPS, 0.0))
    both: int = 0
    either: int = 0
    opposed: int = 0
    magnitudes: float = 0.0
    of_sum: float = 0.0


def predict(
    models: Sequence[Path | str],
    *,
    base: Path | str,
    density: float = 0.2,
    on_progress: OnProgress | None = None,
) -> Prediction:
    """Compare the deltas of all pairs of models.

    Args:
        models: two or more folders of models of one architecture.
        base: the model that all were tuned from.
        density: the share of each tensor's largest changes among which signs are compared, in (0, 1].

    Raises:
        TeachableError: fewer than two models, a density out of its range, or models that disagree.
    """
    if len(models) < 2:
        raise TeachableError("interference is between models", where="merge: predict", mend="Name two or more")
    if not 0 < density <= 1:
        raise TeachableError(
            f"the density {density} is not above 0 and at most 1", where="merge: predict", mend="Correct it"
        )
    parents = [open_parent(Path(folder)) for folder in [base, *models]]
    agree(parents)
    tensors = [tensor for tensor in shared_tensors(parents) if tensor.is_float and tensor.size]
    names = _names([parent.folder for parent in parents[1:]])
    grouping = group_of([tensor.name for tensor in tensors])
    pairs = {pair: _Sums() for pair in itertools.combinations(range(len(models)), 2)}
    squares = [dict.fromkeys(GROUPS, 0.0) for _ in models]
    base_square, done, total = 0.0, 0, sum(tensor.size for tensor in tensors)
    for stored in tensors:
        parts = [partial(read, parent.tensors[stored.name]) for parent in parents]
        tensor = Tensor(stored.name, stored.size, tuple(parts[1:]), parts[0])
        floors = [trim_floor(tensor, i, density) for i in range(len(models))]
        group = grouping[stored.name]
        for start, stop in spans(stored.size):
            below = parts[0](start, stop)
            deltas = [part(start, stop) - below for part in parts[1:]]
            base_square += _dot(below, below)
            large = [(np.abs(d) >= np.float32(floor)) & (d != 0) for d, floor in zip(deltas, floors, strict=True)]
            for i, delta in enumerate(deltas):
                squares[i][group] += _dot(delta, delta)
            for (i, j), sums in pairs.items():
                _add(sums, group, deltas[i], deltas[j], large[i] & large[j], large[i] | large[j])
            done += stop - start
            if on_progress is not None:
                on_progress(Progress(done, total, "parameters"))
    norms = [math.sqrt(sum(of.values())) for of in squares]
    present = [group for group in GROUPS if group in grouping.values()]
    found = [_interference(names[i], names[j], sums, squares[i], squares[j], present) for (i, j), sums in pairs.items()]
    found.sort(key=lambda pair: (pair.cosine is None, pair.cosine))
    chance = 1 / math.sqrt(total) if total else 0.0
    by_name = dict(zip(names, norms, strict=True))
    return Prediction(tuple(found), by_name, math.sqrt(base_square), chance, density, total)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names where these tell them apart, else their paths, else these with their places."""
    for names in ([folder.resolve().name for folder in folders], [str(folder) for folder in folders]):
        if len(set(names)) == len(names):
            return names
    return [f"{folder} ({place})" for place, folder in enumerate(folders, start=1)]


def _dot(one: F32, two: F32) -> float:
    return float(one.astype(np.float64) @ two.astype(np.float64))


def _add(sums: _Sums, group: str, one: F32, two: F32, both: np.ndarray, either: np.ndarray) -> None:
    sums.dot[group] += _dot(one, two)
    sums.both += int(both.sum())
    sums.either += int(either.sum())
    sums.opposed += int(((one > 0) != (two > 0))[both].sum())
    sums.magnitudes += float(np.abs(one).sum(dtype=np.float64) + np.abs(two).sum(dtype=np.float64))
    sums.of_sum += float(np.abs(one + two).sum(dtype=np.float64))


def _interference(
    one: str, two: str, sums: _Sums, square_one: dict[str, float], square_two: dict[str, float], groups: Sequence[str]
) -> Interference:
    norm_one, norm_two = (math.sqrt(sum(of.values())) for of in (square_one, square_two))
    by_group = {group: _ratio(sums.dot[group], math.sqrt(square_one[group] * square_two[group])) for group in groups}
    return Interference(
        one,
        two,
        cosine=_ratio(sum(sums.dot.values()), norm_one * norm_two),
        cosine_by_group=by_group,
        sign_conflicts=_ratio(sums.opposed, sums.both),
        shared=_ratio(sums.both, sums.either),
        norm_ratio=_ratio(max(norm_one, norm_two), min(norm_one, norm_two)),
        cancelled=_ratio(sums.magnitudes - sums.of_sum, sums.magnitudes),
    )


def _ratio(above: float, below: float) -> float | None:
    return above / below if below > 0 else None
