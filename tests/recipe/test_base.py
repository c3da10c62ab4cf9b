"""A base is looked at before anything runs, and its identity is its content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.recipe.conftest import Load

from teachable.errors import TeachableError
from teachable.recipe.base import base_identity, content_identity, resolve_base

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def make_model(folder: Path, *, without: str = "") -> Path:
    folder.mkdir(parents=True)
    for name in FILES:
        if name != without:
            (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("base", ["embedded", "org/name", "Qwen/Qwen3-0.6B"])
def test_names_stay_as_they_are(base: str, tmp_path: Path) -> None:
    assert resolve_base(base, tmp_path, "here") == base


def test_a_folder_becomes_absolute(tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "m")
    assert resolve_base("models/m", tmp_path, "here") == str(tmp_path / "models" / "m")


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("config.json", "holds no config.json"),
        ("model.safetensors", r"holds no weights \(\*\.safetensors\)"),
        ("tokenizer.json", "holds no tokenizer"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(tmp_path: Path, without: str, sentence: str) -> None:
    make_model(tmp_path / "m", without=without)
    with pytest.raises(TeachableError, match=rf"^here: the base folder .*{sentence}\. A model folder holds"):
        resolve_base("m", tmp_path, "here")


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    with pytest.raises(TeachableError, match="is a file, not a model folder"):
        resolve_base("m.gguf", tmp_path, "here")


@pytest.mark.parametrize("base", ["nowhere", "a/b/c", "./model", "~/model-that-is-not-there", "/no/such/folder", ""])
def test_what_is_neither_is_refused(base: str, tmp_path: Path) -> None:
    if base == "":
        base = "?"
    with pytest.raises(TeachableError, match="no folder that exists and no hub id"):
        resolve_base(base, tmp_path, "here")


def test_the_recipe_names_the_line_of_a_bad_base(load: Load, tmp_path: Path) -> None:
    make_model(tmp_path / "m", without="tokenizer.json")
    with pytest.raises(TeachableError, match=r"recipe\.yaml:2: base: the base folder .* holds no tokenizer"):
        load(text="name: t\nbase: m\nstages: {numbers: }\n")


def test_the_identity_of_a_folder_is_its_content(tmp_path: Path, cache: Path) -> None:
    a, b = make_model(tmp_path / "a"), make_model(tmp_path / "b")
    assert base_identity(str(a), cache) == base_identity(str(b), cache)
    assert base_identity("org/name", cache) == "org/name"


def test_a_change_of_the_weights_is_noticed_though_digests_are_remembered(tmp_path: Path, cache: Path) -> None:
    model = make_model(tmp_path / "a")
    before = content_identity(model, cache)
    assert content_identity(model, cache) == before
    assert (cache / "digests.json").is_file()
    (model / "model.safetensors").write_text("other weights")
    assert content_identity(model, cache) != before


def test_a_cache_that_cannot_be_written_or_read_costs_nothing_else(tmp_path: Path) -> None:
    model = make_model(tmp_path / "a")
    (tmp_path / "file").touch()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "digests.json").write_text("{")
    assert content_identity(model, tmp_path / "file" / "cache") == content_identity(model, broken)
    assert os.listdir(broken) == ["digests.json"]


def test_a_data_folder_is_all_that_lies_below_it(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    (data / "main").mkdir(parents=True)
    (data / "main" / "test.jsonl").write_text("{}\n")
    before = content_identity(data, cache)
    assert content_identity(data, cache) == before
    (data / "main" / "train.jsonl").write_text("{}\n")
    more = content_identity(data, cache)
    (data / "main" / "test.jsonl").write_text('{"a": 1}\n')
    assert len({before, more, content_identity(data, cache)}) == 3
