"""The error that a user sees: one sentence, wherever it was raised."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from teachable.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_LIMIT_REACHED, TeachableError

WHOLE = TeachableError("this can't be read", where="file.jsonl:3", mend="Mend it", exit_code=EXIT_LIMIT_REACHED)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TeachableError("this can't be read"), "this can't be read."),
        (TeachableError("this can't be read", where="file.jsonl:3"), "file.jsonl:3: this can't be read."),
        (TeachableError("this can't be read", mend="Mend it"), "this can't be read. Mend it."),
        (WHOLE, "file.jsonl:3: this can't be read. Mend it."),
    ],
)
def test_it_is_one_sentence(error: TeachableError, sentence: str) -> None:
    assert error.sentence() == str(error) == sentence


def test_it_keeps_its_parts_and_its_exit_status() -> None:
    assert (WHOLE.what, WHOLE.where, WHOLE.mend) == ("this can't be read", "file.jsonl:3", "Mend it")
    assert WHOLE.exit_code == EXIT_LIMIT_REACHED
    assert TeachableError("no").exit_code == EXIT_BAD_INPUT
    assert len({0, 1, EXIT_BAD_INPUT, EXIT_LIMIT_REACHED, EXIT_INTERRUPTED}) == 5  # each tells a script something else


@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_it_travels_whole(travel: object) -> None:
    arrived = travel(WHOLE)  # type: ignore[operator]
    assert type(arrived) is TeachableError
    assert vars(arrived) == vars(WHOLE)
    assert str(arrived) == str(WHOLE)


def refuse(where: str) -> None:
    raise TeachableError("this can't be read", where=where, mend="Mend it", exit_code=EXIT_LIMIT_REACHED)


def test_it_comes_back_from_another_process() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(TeachableError) as caught:
        pool.submit(refuse, "file.jsonl:3").result()
    assert vars(caught.value) == vars(WHOLE)
    assert str(caught.value) == str(WHOLE)
