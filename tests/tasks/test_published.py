"""Files as public sets publish them: what becomes of their answers, solutions and chats."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.tasks.conftest import WriteFile

from teachable.tasks.build import TaskSet
from teachable.tasks.config import TasksConfig
from teachable.tasks.load import load_tasks, read_prompts

GOOD = {"prompt": "What is 1 + 1?", "answer": "2"}
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is 1 + 1?"}]


def load(path: Path, **config: Any) -> TaskSet:
    return asyncio.run(load_tasks(path, TasksConfig(source=str(path), **config)))[0]


SUM = {"question": "What is 2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}
ALGEBRA = {"problem": "Solve.", "solution": r"So $x=\boxed{\frac{1}{2}}$.", "level": "Level 5", "type": "Algebra"}


def test_grade_school_sums_as_they_are_published(write_file: WriteFile) -> None:
    path = write_file([SUM, {**SUM, "question": "And 4 + 4?", "answer": "It is 8.\n#### 8"}])
    file = read_prompts(path)
    assert [p.answer for p in file.prompts] == ["4", "8"]
    assert file.mapping == {
        "prompt": "question",
        "answer": "answer (after ####)",
        "response": "answer (the whole text)",
    }
    tasks = load(path, heldout_frac=0)
    assert [s.text for s in tasks.solutions] == ["2 + 2 = <<2+2=4>>4\nAnswer: 4", "It is 8.\nAnswer: 8"]
    assert tasks.rejected == ()


def test_competition_problems_as_they_are_published(write_file: WriteFile) -> None:
    unsolved = {**ALGEBRA, "problem": "Prove it.", "solution": "First we note that\nit is so.", "level": "Level ?"}
    path = write_file([ALGEBRA, unsolved])
    file = read_prompts(path)
    assert [(p.answer, p.level, p.domain) for p in file.prompts] == [
        (r"\frac{1}{2}", 5, "Algebra"),
        (None, 0, "Algebra"),
    ]
    assert file.mapping["answer"] == r"solution (in \boxed{} in 1 row, none in 1 row)"
    assert file.mapping["level"] == "level (not understood in 1 row)"
    tasks = load(path, heldout_frac=0)
    assert [s.text for s in tasks.solutions] == [ALGEBRA["solution"] + "\nAnswer: \\frac{1}{2}"]
    assert tasks.rejected == (("there is no reference answer", 1),)


def test_a_solution_beside_an_answer_is_verified_against_it(write_file: WriteFile) -> None:
    right = {"problem": "a", "solution": r"So \boxed{5}.", "answer": "5"}
    path = write_file([right, {**right, "problem": "b", "answer": "6"}])
    tasks = load(path, heldout_frac=0)
    assert [(s.text) for s in tasks.solutions] == ["So \\boxed{5}.\nAnswer: 5"]
    assert tasks.rejected == (("a different value", 1),)


def test_chats_as_they_are_shared(write_file: WriteFile) -> None:
    turns = [{"from": "human", "value": "What is 1 + 1?"}, {"from": "gpt", "value": "Answer: 2"}]
    file = read_prompts(write_file([{"id": "x", "conversations": turns, "answer": "2"}]))
    [prompt] = file.prompts
    assert prompt.messages == ({"role": "user", "content": "What is 1 + 1?"},)
    assert file.responses == {"x": ("Answer: 2",)}
    assert file.mapping["response"] == "conversations (the last turn)"
    [other] = read_prompts(write_file([{"prompt": CHAT, "reward_model": {"ground_truth": "2"}}], ".parquet")).prompts
    assert (list(other.messages), other.answer) == (CHAT, "2")


def test_an_instruction_is_completed_by_its_input(write_file: WriteFile) -> None:
    rows = [
        {"instruction": "Add them.", "input": "1, 2", "output": "3"},
        {"instruction": "Say hi.", "input": "", "output": "hi"},
    ]
    path = write_file(rows)
    assert [p.text for p in read_prompts(path).prompts] == ["Add them.\n\n1, 2", "Say hi."]
    assert [p.text for p in read_prompts(path, columns={"context": ""}).prompts] == ["Add them.", "Say hi."]


def test_columns_of_ones_own_choice(write_file: WriteFile) -> None:
    path = write_file([{**GOOD, "key": "3", "info": {"hard": 0.5}}, {"prompt": "b", "key": "4", "info": {"hard": 0.9}}])
    tasks = load(path, heldout_frac=0, columns={"answer": "key", "level": "info.hard"})
    assert [(p.answer, p.level) for p in tasks.pool] == [("3", 1), ("4", 2)]
    mapping = read_prompts(path, columns={"answer": "key", "level": "info.hard"}).mapping
    assert mapping == {"prompt": "prompt", "answer": "key", "level": "info.hard (ranked into 2 levels)"}


def test_of_several_responses_the_shortest_right_one_is_the_solution(write_file: WriteFile) -> None:
    texts = ["Answer: 3", "quite long\nAnswer: 2", "longer than that\nAnswer: 2"]
    tasks = load(write_file([{**GOOD, "response": text} for text in texts[::-1]]), heldout_frac=0)
    assert [s.text for s in tasks.solutions] == [texts[1]]
    assert dict(tasks.rejected) == {"a different value": 1, "an earlier row says the same": 2}
