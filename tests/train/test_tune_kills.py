"""Tuning that is killed: wherever that happens, what it comes to in the end is what it would have come to.

A kill is an exception here, raised in the process; `benchmarks/tune_kills.py` sends SIGKILL.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.train.toy import Killed
from tests.train.tuning import PlannedJudge, Tune, accuracies, what_came_of, with_settings

from teachable.train import steering, trl_backend
from teachable.train import tune as tune_module
from teachable.train.loop import CurvePoint
from teachable.train.tune_config import SteeredConfig

pytest.importorskip("trl")
pytestmark = [
    pytest.mark.usefixtures("little_garbage"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

PLANNED = accuracies(4, 10, 18, 12, 9)


@pytest.fixture
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints after each step."""
    monkeypatch.setattr(trl_backend, "CHECKPOINT_EVERY_S", -1.0)
    monkeypatch.setattr(trl_backend, "SAVING_SHARE", math.inf)


def killing(step: int) -> Callable[[CurvePoint], None]:
    def on_step(point: CurvePoint) -> None:
        if point.step == step:
            raise Killed

    return on_step


@pytest.mark.usefixtures("at_every_step")
@pytest.mark.parametrize("settings", [{}, {"r": 4, "packing": True, "batch_size": 2}], ids=["full", "adapters packed"])
def test_a_run_killed_again_and_again_ends_as_if_undisturbed(
    run: Tune, tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = with_settings(patience=0, **settings)
    undisturbed = run(config, judge=PlannedJudge(PLANNED), name="undisturbed")
    told: list[int] = []
    for step in (0, 1, 1, 3, 4, 6, 7):
        with pytest.raises(Killed):
            run(config, judge=PlannedJudge(PLANNED), work=tmp_path / "work", on_step=killing(step))
    resumed = run(
        config, judge=PlannedJudge(PLANNED), work=tmp_path / "work", on_step=lambda point: told.append(point.step)
    )
    assert what_came_of(resumed) == what_came_of(undisturbed)
    assert told == [7]  # the step in which it was killed last had not been saved

    # A call after the end trains nothing, and leaves no checkpoint.
    again = run(config, judge=PlannedJudge({}), work=tmp_path / "work", on_step=killing(0))
    assert again == resumed
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["done.json"]


def test_a_best_copy_newer_than_the_checkpoint_does_no_harm(
    run: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 4 is judged best, and the run is killed before a checkpoint knows of it. Then step 4 is judged anew, and a
    little worse (a GPU does not repeat itself): the best is step 2, whose copy must have stayed.
    """
    config = with_settings(patience=0)
    again = accuracies(4, 16, 15, 12, 9)
    undisturbed = run(config, judge=PlannedJudge(again), name="undisturbed")
    asked = itertools.count(1)  # once a step
    monkeypatch.setattr(trl_backend.SavingClock, "due", lambda self: next(asked) == 3)
    with pytest.raises(Killed):
        run(config, judge=PlannedJudge(accuracies(4, 16, 18)), work=tmp_path / "work", on_step=killing(4))
    assert [path.name for path in (tmp_path / "work" / "checkpoints").iterdir()] == ["checkpoint-3"]
    assert sorted(path.name for path in (tmp_path / "work" / "best").iterdir()) == [
        "best-2.safetensors",
        "best-4.safetensors",
    ]
    resumed = run(config, judge=PlannedJudge(again), work=tmp_path / "work")
    assert resumed.best_step == 2
    assert what_came_of(resumed) == what_came_of(undisturbed)


@pytest.mark.usefixtures("at_every_step")
def test_a_kill_while_a_checkpoint_is_written_costs_that_checkpoint(
    run: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_settings(patience=0)
    undisturbed = run(config, judge=PlannedJudge(PLANNED), name="undisturbed")
    complete = trl_backend.complete_checkpoint

    def killed_at_5(newest: Path, curve: Any) -> None:
        if newest.name == "checkpoint-5":
            raise Killed
        complete(newest, curve)

    monkeypatch.setattr(steering, "complete_checkpoint", killed_at_5)
    with pytest.raises(Killed):
        run(config, judge=PlannedJudge(PLANNED), work=tmp_path / "work")
    names = sorted(path.name for path in (tmp_path / "work" / "checkpoints").iterdir())
    assert names == ["checkpoint-4", "checkpoint-5"]
    monkeypatch.setattr(steering, "complete_checkpoint", complete)
    resumed = run(config, judge=PlannedJudge(PLANNED), work=tmp_path / "work")
    assert what_came_of(resumed) == what_came_of(undisturbed)


@pytest.mark.usefixtures("at_every_step")
@pytest.mark.parametrize("is_judged", [True, False], ids=["plateau", "last step"])
def test_a_kill_after_the_last_step_trains_no_further(
    run: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_judged: bool
) -> None:
    config = with_settings(patience=2, max_steps=40 if is_judged else 4)
    planned, nothing = (PlannedJudge(scores) if is_judged else None for scores in (accuracies(4, 16, 15, 16), {}))
    undisturbed = run(config, judge=planned, name="undisturbed")

    def killed(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(tune_module, "save_model", killed)
        run(config, judge=planned, work=tmp_path / "work")
    told: list[CurvePoint] = []
    resumed = run(config, judge=nothing, work=tmp_path / "work", on_step=told.append)
    assert what_came_of(resumed) == what_came_of(undisturbed)
    assert told == []


def test_without_a_work_folder_only_the_model_is_left(run: Tune, tmp_path: Path) -> None:
    run(with_settings(patience=0), judge=PlannedJudge(PLANNED))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(Killed):
        run(with_settings(patience=0), judge=PlannedJudge(PLANNED), on_step=killing(3), name="other")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_model_that_was_removed_is_made_again(run: Tune, tmp_path: Path) -> None:
    config = SteeredConfig(max_length=64, max_steps=2, batch_size=4)
    first = run(config, work=tmp_path / "work")
    (first.path / "model.safetensors").unlink()
    again = run(config, work=tmp_path / "work")
    assert what_came_of(again) == what_came_of(first)
