"""A recipe of toy stages in a temporary folder, with a cache of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.toy import KINDS

from teachable.recipe.config import Recipe
from teachable.recipe.load import load_recipe

TEXT = "name: toy\nseed: 3\nstages:\n  numbers: {n: 12}\n  total:\n"
Load = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TEACHABLE_CACHE", str(folder))
    return folder


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a recipe of the given text (the toy's by default) with overrides."""

    def loaded(*overrides: str, text: str = TEXT) -> Recipe:
        (tmp_path / "recipe.yaml").write_text(text)
        return load_recipe(tmp_path / "recipe.yaml", overrides, kinds=KINDS)

    return loaded
