"""How the numbers of several models become one model's: six methods, one tensor at a time, piece by piece.

| method | the merged tensor | source |
| --- | --- | --- |
| `linear` | sum of w_i x_i over the sum of the w_i | Wortsman et al. 2022, arXiv:2203.05482 |
| `slerp` | sin((1-t)A)/sin(A) a + sin(tA)/sin(A) b | Shoemake 1985 |
| `task_arithmetic` | base + s * sum of w_i d_i, where d_i = x_i - base | Ilharco et al. 2023, arXiv:2212.04089 |
| `ties` | base + s * the disjoint mean of trimmed deltas | Yadav et al. 2023, arXiv:2306.01708 |
| `dare` | task arithmetic of deltas that were dropped at random and rescaled | Yu et al. 2024, arXiv:2311.03099 |
| `dare_ties` | the disjoint mean of such deltas | the same, with TIES in place of the sum |

**slerp**: A is the angle between the two flattened tensors, t the second model's share of the weights. Shoemake's
formula is for unit quaternions; as is usual for models, its factors are applied to the tensors as they are, so at
both ends the result is the model itself, and unit vectors stay unit vectors. Below `PARALLEL` radians the factors
equal 1-t and t to the last bit of float32, so these are used. They are used too where no great circle is told: a
tensor of zeros, one number, or two tensors within `PARALLEL` of opposite.

**ties**: the trim keeps the `density` of largest magnitudes *of each tensor*, where the paper trims the whole task
vector at once: one pass less over the files, and no kind of layer is trimmed away as a whole. Equal magnitudes at the
threshold are all kept, so more than the density may stay where deltas are coarse (bfloat16). The sign of a coordinate
is that of the weighted sum; where the sum is exactly 0 nothing is changed. The mean is weighted, over the models that
agree with the sign (the paper's weights are all equal).

**dare**: whether a number stays is decided by Philox from the seed, the tensor's name and the model's place in the
list: the mask is the same however the model is cut into files, and on every machine and version of numpy.

Everything is worked out in float32 (angles and norms in float64) and knows no files: a `Part` gives pieces.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from teachable.merge.config import MergeConfig
from teachable.merge.tensors import F32, spans

Part: TypeAlias = Callable[[int, int], F32]  # the numbers start..stop of one model's flattened tensor, in float32

PARALLEL = 1e-4  # radians; sin(tA)/sin(A) differs from t by less than A*A/6, which is below float32's rounding
_LARGEST = 2**32 - 1  # of the numbers that dare draws


@dataclass(frozen=True)
class Tensor:
    """One tensor in all models: its name, how many numbers it has, and where they come from."""

    name: str
    size: int
    models: tuple[Part, ...]
    base: Part | None = None


def merged(tensor: Tensor, config: MergeConfig) -> Iterator[F32]:
    """The merged tensor, flattened, in pieces of `tensors.CHUNK` numbers.

    `config` has as many weights as the tensor has models, and the tensor a base where the method needs one.
    """
    if config.method == "linear":
        return _sum(tensor, config.weights_for(len(tensor.models)))
    if config.method == "slerp":
        return _sum(tensor, slerp_factors(tensor, config.weights_for(2)))
    return _with_deltas(tensor, config)


def _sum(tensor: Tensor, factors: Sequence[float]) -> Iterator[F32]:
    for start, stop in spans(tensor.size):
        yield _weighted(factors, [part(start, stop) for part in tensor.models])


def _weighted(weights: Sequence[float], arrays: Sequence[F32]) -> F32:
    total = np.zeros_like(arrays[0])
    for weight, array in zip(weights, arrays, strict=True):
        total += np.float32(weight) * array
    return total


def slerp_factors(tensor: Tensor, weights: Sequence[float]) -> tuple[float, float]:
    """What the two models' numbers are multiplied by; the weights add up to 1."""
    one, two = weights
    aa, bb, dd = 0.0, 0.0, 0.0
    for start, stop in spans(tensor.size):
        a, b = (part(start, stop).astype(np.float64) for part in tensor.models)
        aa, bb, dd = aa + float(a @ a), bb + float(b @ b), dd + float((a - b) @ (a - b))
    angle = _angle(aa, bb, dd)
    if not PARALLEL < angle < math.pi - PARALLEL:
        return one, two
    return math.sin(one * angle) / math.sin(angle), math.sin(two * angle) / math.sin(angle)


def _angle(aa: float, bb: float, dd: float) -> float:
    """The angle between vectors of these squared norms and squared distance; 0 where one is zero.

    By the half angle's tangent, since the arc cosine loses half of the digits for nearly parallel vectors, which the
    tensors of two fine-tuned models are.
    """
    if not (aa > 0 and bb > 0):
        return 0.0
    apart = (dd - (math.sqrt(aa) - math.sqrt(bb)) ** 2) / math.sqrt(aa * bb)  # squared distance of the directions
    apart = min(max(apart, 0.0), 4.0)
    return 2 * math.atan2(math.sqrt(apart), math.sqrt(4 - apart))


def _with_deltas(tensor: Tensor, config: MergeConfig) -> Iterator[F32]:
    """The base and what the method makes of the models' differences from it."""
    base = tensor.base
    if base is None:
        raise ValueError(f"{config.method} needs a base")
    weights = config.weights_for(len(tensor.models))
    disjoint = config.method in ("ties", "dare_ties")
    if disjoint:  # equal weights become exactly 1, so that equal and opposite deltas add up to exactly 0
        weights = tuple(weight / max(weights) for weight in weights)
    floors = [0.0] * len(weights)
    if config.method == "ties":
        floors = [trim_floor(tensor, i, config.density) for i in range(len(weights))]
    masks = [keep(config.seed, tensor.name, i, config.density) for i in range(len(weights))]
    for start, stop in spans(tensor.size):
        below = base(start, stop)
        deltas = [part(start, stop) - below for part in tensor.models]
        if config.method == "ties":
            deltas = [trimmed(delta, floor) for delta, floor in zip(deltas, floors, strict=True)]
        elif config.method in ("dare", "dare_ties"):
            deltas = [
                np.where(mask(stop - start), delta / np.float32(config.density), np.float32(0))
                for delta, mask in zip(deltas, masks, strict=True)
            ]
        change = disjoint_mean(deltas, weights) if disjoint else _weighted(weights, deltas)
        yield below + np.float32(config.scale) * change


def trim_floor(tensor: Tensor, model: int, density: float) -> float:
    """The least magnitude of one model's delta that its trim keeps; 0 keeps all.

    Holds the magnitudes of the whole tensor, 4 bytes a number.
    """
    if density >= 1 or tensor.size == 0 or tensor.base is None:
        return 0.0
    sizes = np.empty(tensor.size, dtype=np.float32)
    for start, stop in spans(tensor.size):
        np.abs(tensor.models[model](start, stop) - tensor.base(start, stop), out=sizes[start:stop])
    place = tensor.size - n_kept(tensor.size, density)
    sizes.partition(place)
    return float(sizes[place])


def n_kept(size: int, density: float) -> int:
    """How many of a tensor's numbers a trim keeps at least."""
    return max(1, min(size, round(density * size)))


def trimmed(delta: F32, floor: float) -> F32:
    """The delta with 0 for every number of a magnitude below `floor`."""
    return np.where(np.abs(delta) >= np.float32(floor), delta, np.float32(0))


def disjoint_mean(deltas: Sequence[F32], weights: Sequence[float]) -> F32:
    """The weighted mean, at each coordinate, of those numbers whose sign is that of the weighted sum; else 0."""
    elected = np.sign(_weighted(weights, deltas))
    total, agreeing = np.zeros_like(elected), np.zeros_like(elected)
    for delta, weight in zip(deltas, weights, strict=True):
        agrees = (np.sign(delta) == elected) & (elected != 0)
        total += np.where(agrees, np.float32(weight) * delta, np.float32(0))
        agreeing += np.float32(weight) * agrees
    return np.divide(total, agreeing, out=np.zeros_like(total), where=agreeing > 0)


def keep(seed: int, name: str, model: int, density: float) -> Callable[[int], npt.NDArray[np.bool_]]:
    """A function that gives the next n numbers of a tensor's mask: True, with probability `density`, stays.

    Two numbers share one 64-bit draw, so every n but the last must be even. Philox's raw draws are the same in every
    version of numpy; those of its distributions need not be.
    """
    key = hashlib.sha256(f"{seed}\n{model}\n{name}".encode()).digest()[:16]
    draws = np.random.Philox(key=int.from_bytes(key, "little"))
    below = round(density * 2**32)

    def following(n: int) -> npt.NDArray[np.bool_]:
        if below > _LARGEST:
            return np.ones(n, dtype=np.bool_)
        numbers = draws.random_raw((n + 1) // 2).astype("<u8", copy=False).view("<u4")[:n]
        kept: npt.NDArray[np.bool_] = numbers < np.uint32(below)
        return kept

    return following
