"""Which prompts of a user's file are held out: by content, near-duplicates on one side, before anything is selected."""

from __future__ import annotations

import asyncio
import random
import string
from pathlib import Path
from typing import Any

from tests.tasks.conftest import MANY, WriteFile

from teachable.tasks.build import TaskSet
from teachable.tasks.config import TasksConfig
from teachable.tasks.load import load_tasks

GOOD = {"prompt": "What is 1 + 1?", "answer": "2"}


def load(path: Path, **config: Any) -> TaskSet:
    return asyncio.run(load_tasks(path, TasksConfig(source=str(path), **config)))[0]


def test_every_prompt_is_on_one_side_and_stays_there_when_others_come(write_file: WriteFile) -> None:
    tasks = load(write_file(MANY))
    pool, heldout = {p.id for p in tasks.pool}, {p.id for p in tasks.heldout}
    assert not pool & heldout
    assert len(pool) + len(heldout) == len(MANY)
    fewer = load(write_file(MANY[3:]))
    assert {p.id for p in fewer.pool} <= pool
    assert {p.id for p in fewer.heldout} <= heldout


def test_near_duplicates_are_on_one_side(write_file: WriteFile) -> None:
    """Each prompt four times: as it is, in capitals, with other spaces, and with a word more that no other has."""
    rng = random.Random(0)
    rows = []
    for row in MANY:
        *words, more = ("".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(20))
        text = f"{row['prompt']}: {' '.join(words)}"
        shapes = (text, text.upper(), f"  {text} ", f"{text} {more}")
        rows += [{**row, "prompt": shape, "id": f"{row['answer']}.{i}"} for i, shape in enumerate(shapes)]

    def on_both_sides(tasks: TaskSet) -> set[str]:
        sides = [{p.id.split(".")[0] for p in side} for side in (tasks.pool, tasks.heldout)]
        assert len(tasks.pool) + len(tasks.heldout) == len(rows)
        assert all(sides)
        return sides[0] & sides[1]

    assert not on_both_sides(load(write_file(rows), heldout_frac=0.4))
    # Told to count only equal texts as one, it splits some of the pairs that differ in that word.
    assert on_both_sides(load(write_file(rows), heldout_frac=0.4, near_duplicate=1.0))


def test_chats_that_end_in_the_same_question_are_on_one_side(write_file: WriteFile) -> None:
    """Three contexts a question; by the hash of the whole chat alone they would fall on both sides."""

    def turn(role: str, text: str) -> dict[str, str]:
        return {"role": role, "content": text}

    rows = []
    for row in MANY:
        for i, topic in enumerate(("rivers", "hills", "harbours")):
            turns = [turn("user", f"Tell me of {topic}."), turn("assistant", "Gladly."), turn("user", row["prompt"])]
            rows.append({"id": f"{row['answer']}.{i}", "messages": turns, "answer": row["answer"]})
    tasks = load(write_file(rows), heldout_frac=0.4)
    pool, heldout = ({p.id.split(".")[0] for p in side} for side in (tasks.pool, tasks.heldout))
    assert len(tasks.pool) + len(tasks.heldout) == len(rows)
    assert pool and heldout and not pool & heldout


def test_procedural_questions_of_one_content_are_on_one_side(write_file: WriteFile) -> None:
    """A file of prompts with content keys, such as the built-in ones written out: the phrasing alone differs."""
    rows = []
    for row in MANY:
        for i, said in enumerate(
            ("Say, in all honesty and at your leisure:", "Quick, before the bell has rung twice!")
        ):
            told = {"prompt": f"{said} {row['prompt']}", "id": f"{row['answer']}.{i}"}
            rows.append({**row, **told, "meta": {"content_key": row["answer"]}})

    def on_both_sides(given: list[dict[str, Any]]) -> set[str]:
        tasks = load(write_file(given), heldout_frac=0.4)
        pool, heldout = ({p.id.split(".")[0] for p in side} for side in (tasks.pool, tasks.heldout))
        assert pool and heldout
        return pool & heldout

    assert not on_both_sides(rows)
    assert on_both_sides([{**row, "meta": {}} for row in rows])


def test_no_more_than_asked_for_and_not_the_head_of_the_file(write_file: WriteFile) -> None:
    whole = load(write_file(MANY), heldout_frac=0.4)
    tasks = load(write_file(MANY), n_pool=5, n_heldout=2, heldout_frac=0.4)
    assert (len(tasks.pool), len(tasks.heldout)) == (5, 2)
    assert tasks.pool != whole.pool[:5]
    assert [p for p in whole.pool if p in tasks.pool] == list(tasks.pool)
    turned = load(write_file(MANY[::-1]), n_pool=5, n_heldout=2, heldout_frac=0.4)
    assert {p.id for p in turned.pool} == {p.id for p in tasks.pool}
    assert {p.id for p in tasks.pool} < {p.id for p in load(write_file(MANY), n_pool=9, heldout_frac=0.4).pool}


def test_a_cut_of_rows_with_equal_content_keeps_its_number(write_file: WriteFile) -> None:
    rows = [{**GOOD, "id": str(i)} for i in range(9)]
    assert len(load(write_file(rows), n_pool=4, heldout_frac=0).pool) == 4


def test_all_of_a_file_unless_told_otherwise(write_file: WriteFile) -> None:
    rows = [{"prompt": f"number {i}"} for i in range(2000)]
    tasks = load(write_file(rows), heldout_frac=0)
    assert [p.text for p in tasks.pool] == [row["prompt"] for row in rows]
    assert tasks.heldout == ()
