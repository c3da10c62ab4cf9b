"""Frozen sets: what their hash covers, when they exist, and who may replace them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.recipe.teaching import example

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.recipe.config import Resources
from teachable.recipe.domains import Domain
from teachable.recipe.frozen import file_name, freeze, frozen_path, proposed, read_frozen, set_hash
from teachable.recipe.spec import Permissions, StageContext
from teachable.records import Example
from teachable.store.files import read_records
from teachable.train.tune_config import TuneConfig

SET = tuple(example("sevens", i) for i in range(6))


def context(run: Path, *refreeze: str) -> StageContext:
    return StageContext(
        "tune", TuneConfig(), 0, "key", "", EngineConfig.model_validate({}), Resources(), run, run / "tune", {},
        on_progress=lambda progress: None, permissions=Permissions(refreeze=refreeze),
    )  # fmt: skip


def domain(*examples: Example) -> Domain:
    return Domain("sevens", examples, (), ())


def test_the_hash_covers_examples_repeats_and_mix_in_any_order() -> None:
    value = set_hash("sevens", SET)
    assert set_hash("sevens", SET[::-1]) == value
    assert set_hash("sevens", [replace(one, why="another reason", n_tokens=1) for one in SET]) == value
    changed = [
        set_hash("nines", SET),
        set_hash("sevens", SET[:-1]),
        set_hash("sevens", [*SET, SET[0]]),
        set_hash("sevens", [*SET[:-1], replace(SET[-1], level=9)]),
        set_hash("sevens", [*SET[:-1], replace(SET[-1], messages=example("sevens", 7).messages)]),
    ]
    assert len({value, *changed}) == 6


def test_a_proposed_set_is_frozen_by_nobody_but_freeze(tmp_path: Path) -> None:
    found = proposed(context(tmp_path), domain(*SET[::-1]))
    assert read_frozen(tmp_path, "sevens") is None
    assert (found.n_examples, found.n_tokens) == (6, 120)
    assert read_records(found.path, Example) == list(SET)  # in an order of its own
    other = proposed(context(tmp_path), domain(*SET[:3]))  # as if the first training had been broken off
    assert freeze(context(tmp_path), other) == read_frozen(tmp_path, "sevens")
    assert read_records(frozen_path(tmp_path, "sevens"), Example) == list(SET[:3])
    assert sorted(path.name for path in (tmp_path / "tuned/frozen").iterdir()) == ["sevens.json", "sevens.jsonl"]


def test_a_frozen_set_is_taken_as_long_as_nothing_changed(tmp_path: Path) -> None:
    frozen = freeze(context(tmp_path), proposed(context(tmp_path), domain(*SET)))
    again = proposed(context(tmp_path), domain(*SET[::-1]))
    assert again == frozen
    assert freeze(context(tmp_path), again) == frozen
    with pytest.raises(TeachableError, match="1 of its 7 examples are new and 0 are gone, the first being of prompt"):
        proposed(context(tmp_path), domain(*SET, SET[0]))
    with pytest.raises(TeachableError, match="--refreeze sevens"):
        proposed(context(tmp_path, "nines"), domain(*SET[1:]))
    replaced = proposed(context(tmp_path, "sevens"), domain(*SET[1:]))
    assert read_frozen(tmp_path, "sevens") == frozen  # until the new one is tuned on
    freeze(context(tmp_path), replaced)
    found = read_frozen(tmp_path, "sevens")
    assert found is not None and (found.hash, found.n_examples) == (replaced.hash, 5)


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_frozen_file_that_was_touched_is_found_out(tmp_path: Path, how: str) -> None:
    freeze(context(tmp_path), proposed(context(tmp_path), domain(*SET)))
    path = frozen_path(tmp_path, "sevens")
    if how == "changed":
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    else:
        path.unlink()
    with pytest.raises(TeachableError, match="not the frozen set of the domain 'sevens' any more"):
        proposed(context(tmp_path), domain(*SET))
    freeze(context(tmp_path), proposed(context(tmp_path, "sevens"), domain(*SET)))
    assert proposed(context(tmp_path), domain(*SET)).path == path


@pytest.mark.parametrize(
    "name", ["math", "code.python-3", "a/b", "a b", "a-b", "../up", ".hidden", "", "数学", "x" * 200, "-", "a\x00b"]
)
def test_every_domain_has_a_file_of_its_own(name: str) -> None:
    others = {file_name(other) for other in ("a/b", "a b", "a-b", "math", "../up", "", "数学", "-") if other != name}
    found = file_name(name)
    assert found not in others
    assert found == Path(found).name and not found.startswith((".", "-")) and len(found) <= 64
    assert frozen_path(Path("run"), name).parent == Path("run/tuned/frozen")
    assert file_name("math") == "math"
