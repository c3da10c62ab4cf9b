"""A digest is a function of content: not of order, place or time, and never the same for two contents."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.store.digest import digest, file_digest, model_digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any, draw: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        draw.shuffle(keys)
        return {key: shuffled(value[key], draw) for key in keys}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


@settings(max_examples=100, deadline=None)
@given(value=VALUES, draw=st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: object, draw: random.Random) -> None:
    assert digest(value) == digest(shuffled(value, draw))


@settings(max_examples=100, deadline=None)
@given(one=VALUES, other=VALUES)
def test_other_content_has_another_digest(one: object, other: object) -> None:
    # repr tells 1 from True and 0.0 from -0.0, as JSON does.
    if repr(shuffled_sorted(one)) != repr(shuffled_sorted(other)):
        assert digest(one) != digest(other)


def shuffled_sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled_sorted(value[key]) for key in sorted(value)}
    return [shuffled_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, "1"), (1, 1.0), ([], {}), (None, "null"), ("a\ud800", "a?")])
def test_values_that_are_alike_differ(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_golden() -> None:
    # Cached results of earlier versions hang on this: a change here makes all of them look new.
    value = {"b": [1, 2.5, None, True], "a": {"ä": "x\ny"}}
    assert digest(value) == "73cdacc42b24098ff037bb6e92363a78176e49ea6323847c61da01c86e2b436a"


def make_model(folder: Path, weights: bytes = b"w") -> Path:
    folder.mkdir()
    for name, content in {"config.json": b"{}", "model.safetensors": weights, "tokenizer.json": b"{}"}.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_model_is_its_content_not_its_place_or_date(tmp_path: Path) -> None:
    a, b = make_model(tmp_path / "a"), make_model(tmp_path / "b")
    os.utime(b / "config.json", (1, 1))
    (b / "README.md").write_text("not part of the model")
    assert model_digest(a) == model_digest(b)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_whatever_decides_the_answers_changes_the_digest(tmp_path: Path, name: str) -> None:
    before = model_digest(make_model(tmp_path / "m"))
    (tmp_path / "m" / name).write_bytes(b"other")
    assert model_digest(tmp_path / "m") != before


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="holds no model"):
        model_digest(tmp_path)


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
