"""What several training tests share: a plan of steps over the 24 toy sequences, and a kill that nothing catches."""

from __future__ import annotations

from collections.abc import Callable

from teachable.train.loop import CurvePoint

VOCAB = 64
PAD = 0
# Steps of one to five sequences; every one of the 24 once.
STEPS = [[0], [1, 2, 3], [4, 5], [6, 7, 8, 9], [10, 11, 12], [13, 14], [15, 16, 17, 18, 19], [20, 21, 22, 23]]


class Killed(BaseException):
    """Stands for a signal: nothing between the training and the test may catch it."""


def killed_in(step: int) -> Callable[[CurvePoint], None]:
    """An `on_step` that kills the training in that step, after its update and before anything is saved."""

    def on_step(point: CurvePoint) -> None:
        if point.step == step:
            raise Killed

    return on_step
