"""The search of one solution: where to sample next, whom to suspect, and what has been found. It asks nobody itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teachable.pivot.config import PivotConfig
from teachable.pivot.curve import Chain, Curve, information
from teachable.pivot.steps import Floats, cut
from teachable.pivot.suspect import Change, estimate_change, precision_gain, quantile

N_DRAWS = 128
SUSPECT = 0.3  # posterior probability of a big step at which a token is suspected
AGREED = 0.7  # posterior probability of a change of the gap, given all completions, that a pivotal token must have
CLEARED = 0.1  # ... and below which a suspect is let go
TOUCHED = 0.005  # forks surer than this, either way, are not sampled for
LEAST_FRESH = 12  # completions before a suspect may be let go for its estimate
FAR = 1.3  # standard errors that the gap must lie above a suspect's estimate to let it go
# To stop at the first sight of the gap would favour lucky samples, as suspecting did: the error must be small by then.
SETTLED = 0.4  # standard error, in gaps, that a pivotal token's estimate must have reached
SHARP = 0.25  # standard error, in gaps, at which an estimate below the gap is believed


@dataclass(frozen=True)
class Want:
    """n further completions of the solution's first `start` tokens."""

    start: int
    n: int


@dataclass(frozen=True)
class Found:
    """A token that is pivotal: its position, the estimate, and the half-width of its interval."""

    position: int
    change: Change
    half_width: float


class Path:
    """One solution of T tokens under search.

    Args:
        logprobs: of its tokens, in nats, T at least 1.
        right: how it ended.
        name: what its random draws are keyed by.
    """

    def __init__(self, logprobs: Sequence[float], *, right: bool, config: PivotConfig, name: str) -> None:
        self.steps = cut(logprobs, config.gap)
        self.right = right
        self.curve: Curve | None = None
        self.n_bought = 0
        self._config = config
        # A step counts as big from a little below the gap: tokens at the gap itself should be looked at.
        self._chain = Chain(self.steps, right=right, gap=config.gap, threshold=0.85 * config.gap)
        m = len(self.steps)
        self._right, self._wrong = np.zeros(m), np.zeros(m)
        self._left: list[tuple[int, bool]] = []
        self._suspects: dict[int, int] = {}  # step -> number of completions seen when it was suspected
        self._verdicts: dict[int, bool] = {}  # settled suspects: pivotal or not
        self._name = name

    @property
    def can_pivot(self) -> bool:
        """Whether the bound leaves any token that may be pivotal."""
        return bool(self.steps.may_pivot.any())

    @property
    def n_samples(self) -> int:
        """Completions that the value curve rests on."""
        return len(self._left)

    def add(self, leave: int, right: bool) -> None:
        """Count a completion that follows the solution up to token `leave` (T: to the end) and ended so."""
        step = int(self.steps.step_of[leave])
        self._left.append((step, right))
        if step < len(self.steps):
            (self._right if right else self._wrong)[step] += 1

    def infer(self, prior: Floats) -> Curve:
        """Infer the curve anew from everything counted so far."""
        key = f"{self._name}\x1f{len(self._left)}".encode()
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:8], "big"))
        self.curve = self._chain.infer(self._right, self._wrong, prior, N_DRAWS, rng)
        return self.curve

    def wants(self, prior: Floats) -> Want | None:
        """Where to sample next, or None when nothing more is worth its price; the prior is that of a fork's change."""
        if not self.can_pivot:
            return None
        curve, config = self.infer(prior), self._config
        active = self._judge_suspects(curve)
        room = config.max_samples - self.n_bought
        if room <= 0:
            return None
        gain = np.zeros(len(self.steps))
        unsure = np.minimum(curve.p_big, 1.0 - curve.p_big) >= TOUCHED
        for step in self._suspects:
            unsure[step] &= self._verdicts.get(step) is False
        if unsure.any():
            told = information(self.steps, curve, unsure)
            if told.max() >= config.price:
                gain += told / told.max()
        if active:
            step, change = max(active, key=lambda one: curve.p_big[one[0]])
            sharper = precision_gain(self.steps, change)
            gain += sharper / sharper.max()
        if gain.max() <= 0:
            return None
        return Want(int(self.steps.begin[int(gain.argmax())]), min(config.batch, room))

    def _judge_suspects(self, curve: Curve) -> list[tuple[int, Change]]:
        """Suspect whom the curve makes likely, settle whom the later completions settle; the others are returned."""
        gap = self._config.gap
        for place in np.flatnonzero(curve.p_big > SUSPECT):
            self._suspects.setdefault(int(place), len(self._left))
        active = []
        for step, seen in self._suspects.items():
            change = self._change(step)
            size, n_fresh = abs(change.delta), len(self._left) - seen
            if self._holds(step, change) and curve.p_gap[step] >= AGREED:
                self._verdicts[step] = True  # until later completions say otherwise
                continue
            too_small = size < gap and (change.se < SHARP * gap or size + FAR * change.se < 0.9 * gap)
            if curve.p_big[step] < CLEARED or (too_small and n_fresh >= LEAST_FRESH):
                self._verdicts[step] = False
                continue
            self._verdicts.pop(step, None)
            active.append((step, change))
        return active

    def found(self) -> list[Found]:
        """The pivotal tokens, in the order of their positions."""
        steps = sorted(step for step, pivotal in self._verdicts.items() if pivotal)
        changes = [(step, self._change(step)) for step in steps]
        # Completions that came after the verdict, for another solution or before a stop, count in the estimate as well.
        held = [(step, change) for step, change in changes if self._holds(step, change)]
        return [Found(int(self.steps.begin[at]), change, self._z(at) * change.se) for at, change in held]

    def _holds(self, step: int, change: Change) -> bool:
        """Whether an estimate is at least the gap, surely above half of it, and sharp enough to be believed."""
        gap, size = self._config.gap, abs(change.delta)
        return size >= gap and size - self._z(step) * change.se > gap / 2 and change.se <= SETTLED * gap

    def _change(self, step: int) -> Change:
        return estimate_change(self.steps, step, self._left[self._suspects[step] :], self.right)

    def _z(self, step: int) -> float:
        return quantile(list(self._suspects).index(step) + 1, self._config.confidence)
