"""What can't be asked or scored here is refused before anything is built, with the reason and a way out."""

from __future__ import annotations

from importlib import metadata

import pytest

from teachable.errors import TeachableError
from teachable.verify.harness import LmEval, find, library
from teachable.verify.harness.task import resolved

pytest.importorskip("lm_eval")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("humaneval", "may run what a model wrote.*Take the benchmark humaneval"),
        ("humaneval_plus", "may run what a model wrote.*Take the benchmark humaneval"),
        ("mbpp", "may run what a model wrote.*Take the benchmark mbpp"),
        ("cruxeval_output", "may run what a model wrote"),
        ("hellaswag", "likelihoods of given continuations.*Take a task that generates"),
        ("arc_challenge", "likelihoods of given continuations.*lm_eval:arc_challenge_chat"),
        ("mmlu_anatomy", "likelihoods of given continuations.*lm_eval:mmlu_anatomy_generative"),
        ("gsm8k_cot_self_consistency", "scores 64 responses to a question at once"),
        ("polemo2_in", "metric f1 is code that the evaluate library fetches"),
        ("xlsum_amharic_prompt_1", "is code that the evaluate library fetches"),
        ("squadv2", "a Python class of its own"),
    ],
)
def test_refused(name: str, sentence: str) -> None:
    with pytest.raises(TeachableError, match=sentence):
        resolved(find(name).leaves[0])


def test_a_group_is_refused_under_its_own_name() -> None:
    with pytest.raises(TeachableError, match="lm_eval:mmlu_generative"):
        resolved(find("mmlu").leaves[0], "mmlu")


def test_without_the_library_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(library.metadata, "version", missing)
    with pytest.raises(TeachableError, match=r"not installed.*pip install 'teachable\[eval\]'"):
        LmEval().ready()
    monkeypatch.setattr(library.metadata, "version", lambda name: "0.4.9.1")
    with pytest.raises(TeachableError, match=r"older than 0\.4\.13"):
        LmEval().ready()


def test_random_streams_are_left_as_they_were() -> None:
    import random

    random.seed(5)
    expected = random.Random(5).random()
    with library.contained():
        inside = random.random()
    assert random.random() == expected
    assert inside == random.Random(library.RANDOM_SEED).random()
