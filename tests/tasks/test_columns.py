"""Which column is which field: recognised, overridden, or one sentence that says what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from teachable.errors import TeachableError
from teachable.tasks.columns import COLUMNS, FIELDS, WORKED, cell, recognise

PATH = Path("p.jsonl")
# The columns of well-known sets, with a value in each, and what they are to us.
SETS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "gsm8k": ({"question": "a", "answer": "b #### 1"}, {"prompt": "question", "answer": "answer"}),
    "math": (
        {"problem": "a", "level": "Level 5", "type": "Algebra", "solution": "b"},
        {"prompt": "problem", "answer": "solution", "domain": "type", "level": "level"},
    ),
    "math-500": (
        {"problem": "a", "solution": "b", "answer": "1", "subject": "s", "level": 2, "unique_id": "u"},
        {
            "id": "unique_id",
            "prompt": "problem",
            "answer": "answer",
            "response": "solution",
            "domain": "subject",
            "level": "level",
        },
    ),
    "aime": (
        {"ID": "2024-I-1", "Problem": "a", "Solution": "b", "Answer": 1},
        {"id": "ID", "prompt": "Problem", "answer": "Answer", "response": "Solution"},
    ),
    "aime-years": (
        {"ID": "1", "Year": 1983, "Problem Number": 1, "Question": "a", "Answer": "1", "Part": None},
        {"id": "ID", "prompt": "Question", "answer": "Answer"},
    ),
    "openmath": (
        {"expected_answer": "1", "problem_type": "has", "problem": "a", "generated_solution": "b", "pass_rate": 0.5},
        {"prompt": "problem", "answer": "expected_answer", "response": "generated_solution", "domain": "problem_type"},
    ),
    "numina": (
        {"source": "s", "problem": "a", "solution": "b", "messages": [{"role": "user", "content": "a"}]},
        {"messages": "messages", "prompt": "problem", "answer": "solution"},
    ),
    "metamath": (
        {"query": "a", "response": "b", "type": "t"},
        {"prompt": "query", "response": "response", "domain": "type"},
    ),
    "alpaca": (
        {"instruction": "a", "input": "b", "output": "c"},
        {"prompt": "instruction", "context": "input", "answer": "output"},
    ),
    "sharegpt": (
        {"id": "x", "conversations": [{"from": "human", "value": "a"}]},
        {"id": "id", "messages": "conversations"},
    ),
    "dapo": (
        {
            "prompt": [{"role": "user", "content": "a"}],
            "reward_model": {"ground_truth": "1", "style": "rule"},
            "extra_info": {"index": "1"},
        },
        {"prompt": "prompt", "answer": "reward_model.ground_truth"},
    ),
    "input-output": ({"input": "a", "target": "1"}, {"prompt": "input", "answer": "target"}),
}


@pytest.mark.parametrize("name", SETS)
def test_public_sets_are_recognised(name: str) -> None:
    row, mapping = SETS[name]
    assert recognise([row], PATH) == mapping


def test_the_order_of_columns_and_rows_does_not_matter() -> None:
    row = {"solution": "b", "answer": "1", "question": "a", "problem": "c"}
    turned = dict(reversed(row.items()))
    assert recognise([row, {"question": "x"}], PATH) == recognise([{"question": "x"}, turned], PATH)
    assert recognise([row], PATH)["prompt"] == "question"


def test_a_column_that_holds_nothing_is_the_last_choice() -> None:
    rows = [{"prompt": "", "question": "a", "answer": None, "solution": "b"}, {"prompt": None, "answer": " "}]
    assert recognise(rows, PATH) == {"prompt": "question", "answer": "solution"}
    assert recognise([{"prompt": " "}], PATH) == {"prompt": "prompt"}


def test_what_is_chosen_comes_first() -> None:
    row = {
        "messages": [{"role": "user", "content": "a"}],
        "question": "b",
        "answer": "1",
        "solution": "c",
        "d": {"e": 1},
    }
    assert recognise([row], PATH, {"prompt": "question"}) == {
        "prompt": "question",
        "answer": "answer",
        "response": "solution",
    }
    assert recognise([row], PATH, {"answer": "solution", "level": "d.e"}) == {
        "messages": "messages",
        "prompt": "question",
        "answer": "solution",
        "level": "d.e",
    }
    assert recognise([row], PATH, {"answer": "", "messages": ""}) == {"prompt": "question", "response": "solution"}
    assert "prompt" not in recognise([row], PATH, {"messages": "messages"})
    alpaca = {"instruction": "a", "input": "b", "output": "c"}
    assert recognise([alpaca], PATH, {"prompt": "instruction"}) == {"prompt": "instruction", "answer": "output"}
    assert recognise([alpaca], PATH, {"context": ""}) == {"prompt": "instruction", "answer": "output"}
    assert recognise([{"question": "a", "passage": "b"}], PATH, {"context": "passage"})["context"] == "passage"


@pytest.mark.parametrize(
    ("row", "chosen", "said"),
    [
        (
            {"text": "a", "label": {"x": 1}},
            {},
            "p.jsonl: no column holds the prompts: it has label, text. "
            "Say which one does, as in --map prompt=COLUMN, or name it prompt or messages.",
        ),
        (
            {"prompt": "a", "key": "1"},
            {"anwser": "key"},
            f"p.jsonl: a prompt has no field 'anwser' (did you mean 'answer'?); its fields are {', '.join(FIELDS)}. "
            "Write field=column with one of its columns: key, prompt.",
        ),
        (
            {"prompt": "a", "key": "1"},
            {"answer": "kee"},
            "p.jsonl: there is no column 'kee' for the field 'answer': it has key, prompt. "
            "Name one of them, as in --map answer=COLUMN, or none with --map answer=.",
        ),
        ({"prompt": "a"}, {"prompt": ""}, "p.jsonl: no column holds the prompts: it has prompt. Say which"),
    ],
)
def test_what_can_not_be_found_is_one_sentence(row: dict[str, Any], chosen: dict[str, str], said: str) -> None:
    with pytest.raises(TeachableError) as caught:
        recognise([row], PATH, chosen)
    assert str(caught.value).startswith(said)


def test_many_columns_are_not_all_listed() -> None:
    with pytest.raises(TeachableError, match=r"it has c00, .*, c29 and 70 more\. Say"):
        recognise([{f"c{i:02}": "x" for i in range(100)}], PATH)


def test_a_dot_leads_into_nested_columns_unless_it_is_part_of_a_name() -> None:
    row = {"a": {"b": {"c": 1}}, "x.y": 2}
    assert (cell(row, "a.b.c"), cell(row, "x.y"), cell(row, "a.z"), cell(row, "a.b.c.d"), cell(row, None)) == (
        1,
        2,
        None,
        None,
        None,
    )


def test_worked_columns_are_columns() -> None:
    assert {name for field in ("answer", "response") for name in COLUMNS[field]} >= WORKED
