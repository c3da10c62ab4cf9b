"""A gradient kept small: short enough to hold one a part of a probe batch, true enough for their inner products.

The gradient of a model of 7 billion parameters takes 28 GB in float32, and comparing the gradients of 8 domains, each
in 8 parts, takes 64 of them. So each group of layers is kept in at most `width` numbers. A group that fits is kept as
it is. Of a larger one each tensor is cut into rows of `width` numbers; all get the same random signs, each row is
turned by a random offset and given a random sign of its own, and they are added up. Inner products of such sums are
right on average, and off by about norm x norm / sqrt(width) (the argument of Charikar, Chen and Farach-Colton 2002 for
their count sketch): at 262,144 numbers a cosine is off by 0.002.

Sums are linear: the sketch of a sum is the sum of the sketches, so a batch is added up part by part, in float32.

Signs of single numbers can't be read from a sum, so those of a random sample of coordinates are kept beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from teachable.engines.layers import GROUPS, group_of

WIDTH = 2**18
N_SAMPLED = 2**20


@dataclass(frozen=True)
class _Turns:
    """How one tensor is added up: signs [width], and of each row its offset and sign."""

    signs: torch.Tensor
    offsets: tuple[int, ...]
    row_signs: tuple[int, ...]


@dataclass
class Sketcher:
    """Takes the gradients of one model's tensors.

    Args:
        sizes: tensor -> how many numbers it has.
        width: at most so many numbers are kept of each group of layers.
        n_sampled: of about so many coordinates of the whole model the values are kept.
        seed: of signs, offsets and the sample.
    """

    sizes: Mapping[str, int]
    width: int = WIDTH
    n_sampled: int = N_SAMPLED
    seed: int = 0
    kept: dict[str, torch.Tensor] = field(init=False)  # group -> [its width], float32
    sampled: torch.Tensor = field(init=False)  # [about n_sampled], float32

    def __post_init__(self) -> None:
        self._group = group_of(list(self.sizes))
        self.n_of_group = {group: 0 for group in GROUPS if group in self._group.values()}
        self._place: dict[str, int] = {}
        for name, size in self.sizes.items():
            self._place[name] = self.n_of_group[self._group[name]]
            self.n_of_group[self._group[name]] += size
        total = sum(self.sizes.values())
        share = min(1.0, self.n_sampled / max(1, total))
        self._sample, self._sample_place, at = {}, {}, 0
        for name, size in self.sizes.items():
            chosen = torch.arange(size) if share == 1.0 else self._drawn(name, size, max(1, round(share * size)))
            self._sample[name], self._sample_place[name] = chosen, at
            at += len(chosen)
        self._turns: dict[str, _Turns] = {}
        self._n_sampled = at
        self.clear()

    @property
    def exact(self) -> bool:
        """Whether nothing is lost: every group fits."""
        return all(size <= self.width for size in self.n_of_group.values())

    def clear(self) -> None:
        """Begin anew, with zeros."""
        self.kept = {group: torch.zeros(min(size, self.width)) for group, size in self.n_of_group.items()}
        self.sampled = torch.zeros(self._n_sampled)

    def add(self, name: str, gradient: torch.Tensor) -> None:
        """Add the gradient of one tensor, on any device."""
        flat = gradient.detach().reshape(-1)
        chosen = self._sample[name].to(flat.device)
        at = self._sample_place[name]
        self.sampled[at : at + len(chosen)] += flat[chosen].float().cpu()
        group = self._group[name]
        if self.n_of_group[group] <= self.width:
            place = self._place[name]
            self.kept[group][place : place + flat.numel()] += flat.float().cpu()
        else:
            self.kept[group] += self._summed(name, flat).cpu()

    def _summed(self, name: str, flat: torch.Tensor) -> torch.Tensor:
        turns = self._turns_of(name, flat.numel())
        signs = turns.signs.to(flat.device)
        total = torch.zeros(self.width, device=flat.device)
        for row, (offset, sign) in enumerate(zip(turns.offsets, turns.row_signs, strict=True)):
            piece = flat[row * self.width : (row + 1) * self.width].float()
            signed = torch.zeros(self.width, device=flat.device)
            signed[: piece.numel()] = piece * signs[: piece.numel()]
            total += sign * torch.roll(signed, offset)
        return total

    def _turns_of(self, name: str, size: int) -> _Turns:
        if name not in self._turns:
            rng = self._generator(name, "turns")
            n_rows = -(-size // self.width)
            signs = 2.0 * torch.randint(0, 2, (self.width,), generator=rng) - 1.0
            offsets = torch.randint(0, self.width, (n_rows,), generator=rng).tolist()
            row_signs = (2 * torch.randint(0, 2, (n_rows,), generator=rng) - 1).tolist()
            self._turns[name] = _Turns(signs.to(torch.int8), tuple(offsets), tuple(row_signs))
        return self._turns[name]

    def _drawn(self, name: str, size: int, n: int) -> torch.Tensor:
        """Places of a tensor at random, with repeats: few, since the sample is much smaller than the tensor."""
        return torch.randint(0, size, (n,), generator=self._generator(name, "sample"))

    def _generator(self, name: str, purpose: str) -> torch.Generator:
        text = f"{self.seed}\x1f{name}\x1f{purpose}"
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big"))
