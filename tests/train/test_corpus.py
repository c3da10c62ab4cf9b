"""The base reads bare, spoilt and clean answers in the shares asked for, and no question that it is judged by."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from teachable.families.catalog import FAMILIES, questions, to_prompt
from teachable.families.teacher import ANSWER_MARK
from teachable.records import Message, Prompt
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train import corpus
from teachable.train.config import PretrainConfig
from teachable.train.corpus import conversations, tokenizer_texts

pytest.importorskip("reasoning_gym")

N = 1200
# With every line of a spoilt working wrong, what a text is can be told from the text.
CONFIG = PretrainConfig(frac_bare=0.3, frac_corrupted=0.45, corrupt_share=1.0, seed=4)

Read = list[tuple[list[Message], Prompt]]


def read(config: PretrainConfig, n: int, patch: pytest.MonkeyPatch) -> Read:
    """The corpus' first conversations, each with the question that it is about."""
    drawn: dict[str, Prompt] = {}

    def overheard(name: str, level: int, seed: int) -> Iterator[Mapping[str, Any]]:
        for entry in questions(name, level, seed):
            prompt = to_prompt(name, level, entry)
            drawn[prompt.text] = prompt
            yield entry

    patch.setattr(corpus, "questions", overheard)
    chats = list(itertools.islice(conversations(config), n))
    return [(chat, drawn[chat[0]["content"]]) for chat in chats]


@pytest.fixture(scope="module")
def texts() -> Read:
    with pytest.MonkeyPatch.context() as patch:
        return read(CONFIG, N, patch)


def working(chat: list[Message]) -> list[str]:
    """The lines before the answer."""
    return chat[1]["content"].splitlines()[:-1]


def kind(chat: list[Message], prompt: Prompt) -> str:
    steps = working(chat)
    if not steps:
        return "bare"
    right = FAMILIES[prompt.domain].solve(prompt.meta["entry"])
    assert len(steps) == len(right)
    n_wrong = sum(a != b for a, b in zip(steps, right, strict=True))
    assert n_wrong in (0, len(right))
    return "spoilt" if n_wrong else "clean"


def test_kinds_come_in_the_shares_asked_for(texts: Read) -> None:
    counts = Counter(kind(chat, prompt) for chat, prompt in texts)
    for name, share in (("bare", 0.3), ("spoilt", 0.45), ("clean", 0.25)):
        assert abs(counts[name] / N - share) < 4 * math.sqrt(share * (1 - share) / N), counts


@pytest.mark.parametrize(("bare", "corrupted", "only"), [(1, 0, "bare"), (0, 1, "spoilt"), (0, 0, "clean")])
def test_a_share_of_one_is_all(bare: float, corrupted: float, only: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.model_copy(update={"frac_bare": bare, "frac_corrupted": corrupted})
    assert {kind(*text) for text in read(config, 60, monkeypatch)} == {only}


def test_the_share_of_wrong_lines_is_the_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG.model_copy(update={"frac_bare": 0.0, "frac_corrupted": 1.0, "corrupt_share": 0.5})
    wrong = [
        line != right
        for chat, prompt in read(config, 400, monkeypatch)
        for line, right in zip(working(chat), FAMILIES[prompt.domain].solve(prompt.meta["entry"]), strict=True)
    ]
    assert len(wrong) > 400
    assert abs(sum(wrong) / len(wrong) - 0.5) < 4 * math.sqrt(0.25 / len(wrong))


def test_every_text_is_a_question_and_its_right_answer(texts: Read) -> None:
    """Whatever its working: what the base is to get from reading is the form of an answer, not a wrong one."""
    for chat, prompt in texts:
        assert [message["role"] for message in chat] == ["user", "assistant"]
        assert chat[1]["content"].splitlines()[-1] == f"{ANSWER_MARK}{prompt.answer}"


def test_families_come_equally_often_and_easy_levels_most(texts: Read) -> None:
    families = Counter(prompt.domain for _, prompt in texts)
    assert set(families) == set(FAMILIES)
    # The content side of a small level is not exactly its share, so the families differ a little.
    assert all(abs(n / N - 1 / len(FAMILIES)) < 0.05 for n in families.values()), families
    levels = Counter(prompt.level for _, prompt in texts)
    counts = [levels[level] for level in sorted(levels)]
    assert len(counts) == max(len(family.levels) for family in FAMILIES.values())
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[1]


def test_no_question_of_a_pool_or_a_held_out_set_is_read(texts: Read) -> None:
    read_keys = {str(prompt.meta["content_key"]) for _, prompt in texts}
    asked: set[str] = set()
    for seed in range(3):
        tasks = asyncio.run(build_tasks(TasksConfig(n_pool=300, n_heldout=60), seed))
        asked |= {str(prompt.meta["content_key"]) for prompt in (*tasks.pool, *tasks.heldout)}
    assert len(read_keys) > N / 3
    assert len(asked) > 600
    assert not read_keys & asked


def test_the_corpus_is_a_function_of_the_config() -> None:
    first, again = ([*itertools.islice(conversations(CONFIG), 40)] for _ in range(2))
    other = [*itertools.islice(conversations(CONFIG.model_copy(update={"seed": 5})), 40)]
    assert first == again
    assert sum(text in other for text in first) < len(first) / 4  # a small level's questions are in every corpus


def test_the_tokenizer_learns_from_questions_and_answers() -> None:
    texts = list(tokenizer_texts(CONFIG, 10))
    assert texts == [message["content"] for chat in itertools.islice(conversations(CONFIG), 10) for message in chat]
