"""One path by itself: what it reports holds with everything that it has been told, also after a verdict."""

from __future__ import annotations

import math

import numpy as np

from teachable.pivot.config import PivotConfig
from teachable.pivot.curve import N_BINS, learn_prior
from teachable.pivot.path import Path

PRIOR = learn_prior(np.zeros(N_BINS))


def test_completions_that_come_after_a_verdict_may_take_it_back() -> None:
    """Leaving at the first of three forks always fails, until the token is found; then it always succeeds."""
    path = Path([math.log(0.5), math.log(0.9), math.log(0.9)], right=True, config=PivotConfig(), name="p")
    while (want := path.wants(PRIOR)) is not None and not path.found():
        for _ in range(want.n):
            path.add(0, False)
    (found,) = path.found()
    assert found.position == 0 and found.change.delta > 0.4
    for _ in range(200):
        path.add(0, True)
    assert path.found() == [], "its estimate has fallen below the gap"


def test_a_path_without_a_fork_wants_nothing() -> None:
    path = Path([math.log(0.95)] * 3, right=True, config=PivotConfig(), name="p")
    assert not path.can_pivot and path.wants(PRIOR) is None and path.found() == []
