"""Slots: a model counts as long as it is made from the same, and whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from teachable.recipe.slots import Slot

RECORD = {"run": {"arm": "math", "n_tokens": 3}}


def make(run: Path, key: str = "k") -> Slot:
    slot = Slot(run, "tune-math-0", key)
    slot.begin()
    slot.model.mkdir(parents=True, exist_ok=True)
    (slot.model / "config.json").write_text("{}")
    (slot.model / "model.safetensors").write_bytes(b"weights")
    (slot.work / "checkpoint").write_text("half")
    return slot


def test_what_is_kept_is_there_under_its_key_alone(tmp_path: Path) -> None:
    slot = make(tmp_path)
    assert slot.kept() is None
    slot.keep(RECORD)
    assert slot.kept() == RECORD
    assert not slot.work.exists()
    assert Slot(tmp_path, "tune-math-0", "other").kept() is None
    assert Slot(tmp_path, "tune-math-1", "k").kept() is None
    # A run folder may be moved.
    moved = Path(shutil.move(tmp_path, tmp_path.with_name("moved")))
    assert Slot(moved, "tune-math-0", "k").kept() == RECORD


@pytest.mark.parametrize("harm", ["weights", "folder", "record"])
def test_a_model_that_was_touched_is_not_kept(tmp_path: Path, harm: str) -> None:
    slot = make(tmp_path)
    slot.keep(RECORD)
    if harm == "weights":
        (slot.model / "model.safetensors").write_bytes(b"others")
    elif harm == "folder":
        shutil.rmtree(slot.model)
    else:
        slot.record.unlink()
    assert slot.kept() is None


def test_half_done_work_stays_for_the_same_key_and_goes_for_another(tmp_path: Path) -> None:
    make(tmp_path)
    same = Slot(tmp_path, "tune-math-0", "k")
    same.begin()
    assert (same.work / "checkpoint").read_text() == "half"
    assert same.model.is_dir()
    other = Slot(tmp_path, "tune-math-0", "other")
    other.begin()
    assert not (other.work / "checkpoint").exists()
    assert not other.model.exists()


def test_a_model_that_is_made_anew_is_not_kept_from_the_beginning_on(tmp_path: Path) -> None:
    make(tmp_path).keep(RECORD)
    other = Slot(tmp_path, "tune-math-0", "other")
    other.begin()
    assert Slot(tmp_path, "tune-math-0", "k").kept() is None
    assert other.kept() is None
