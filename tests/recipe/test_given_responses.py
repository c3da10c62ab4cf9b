"""Files of responses: one a row or many, with their prompts or beside them, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.prefer.judges import prompt

from teachable.errors import TeachableError
from teachable.prefer.found import GIVEN
from teachable.recipe.given_responses import GivenResponses, read_responses
from teachable.store.files import write_rows


def written(folder: Path, rows: list[dict[str, Any]], name: str = "r.jsonl") -> Path:
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_rows(path, rows)
    return path


def texts(found: GivenResponses) -> dict[str, list[tuple[str, str]]]:
    """By the prompt's text: engine and text of each response."""
    by_id = {one.id: one.text for one in found.prompts}
    return {by_id[name]: [(one.engine, one.text) for one in ones] for name, ones in found.responses.items()}


@pytest.mark.parametrize("name", ["r.jsonl", "r.parquet"])
def test_a_list_of_responses_a_row(tmp_path: Path, name: str) -> None:
    rows = [
        {"prompt": "2+2?", "answer": "4", "responses": ["4", "5"]},
        {"prompt": "3+3?", "answer": "6", "responses": ["6"]},
    ]
    found = read_responses(written(tmp_path, rows, name))
    assert texts(found) == {"2+2?": [(GIVEN, "4"), (GIVEN, "5")], "3+3?": [(GIVEN, "6")]}
    assert [(one.answer, one.verifier) for one in found.prompts] == [("4", "math"), ("6", "math")]
    assert [one.sample for one in found.responses[found.prompts[0].id]] == [0, 1]
    assert found.columns["responses"] == "responses" and found.columns["prompt"] == "prompt"


def test_items_and_columns_say_who_answered(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [{"role": "user", "content": "a?"}],
            "responses": [{"response": "x", "engine": "m1"}, {"text": "y"}],
        },
        {"messages": [{"role": "user", "content": "b?"}], "responses": ["x", "y"], "engine": ["m1", "m2"]},
        {"messages": [{"role": "user", "content": "c?"}], "responses": ["x", "y"], "engine": "m3"},
    ]
    assert texts(read_responses(written(tmp_path, rows))) == {
        "a?": [("m1", "x"), (GIVEN, "y")],
        "b?": [("m1", "x"), ("m2", "y")],
        "c?": [("m3", "x"), ("m3", "y")],
    }


def test_one_response_a_row_with_its_prompt(tmp_path: Path) -> None:
    """Rows of one prompt are brought together, whether they share a prompt_id, or have an id each."""
    rows = [{"prompt": f"{i % 2}?", "response": f"r{i}", "model": f"m{i // 2}"} for i in range(4)]
    expected = {"0?": [("m0", "r0"), ("m1", "r2")], "1?": [("m0", "r1"), ("m1", "r3")]}
    assert texts(read_responses(written(tmp_path, rows))) == expected
    assert texts(read_responses(written(tmp_path, [{"id": i} | row for i, row in enumerate(rows)]))) == expected
    named = [{"prompt_id": f"p{i % 2}", "id": i} | row for i, row in enumerate(rows)]
    found = read_responses(written(tmp_path, named))
    assert texts(found) == expected and [one.id for one in found.prompts] == ["p0", "p1"]


def test_rows_that_name_the_prompts_of_another_file(tmp_path: Path) -> None:
    rows = [
        {"prompt_id": "p0", "engine": "m", "text": "one", "finish_reason": "length"},
        {"prompt_id": "p1", "engine": "m", "text": None},
        {"prompt_id": "gone", "engine": "m", "text": "two"},
        {"prompt_id": "p0", "engine": "m", "text": "three \ud800"},
    ]
    found = read_responses(written(tmp_path, rows), [prompt(0), prompt(1)])
    assert (found.n_without_text, found.n_without_prompt) == (1, 1) and list(found.responses) == ["p0"]
    assert [(one.sample, one.text, one.finish_reason) for one in found.responses["p0"]] == [
        (0, "one", "length"),
        (1, "three \ufffd", "stop"),
    ]
    assert found.prompts == (prompt(0), prompt(1)) and found.columns == {
        "id": "prompt_id",
        "response": "text",
        "engine": "engine",
    }


@pytest.mark.parametrize(
    ("rows", "with_prompts", "sentence"),
    [
        ([{"prompt": "2+2?", "reply": "4"}], False, "no column holds the responses: it has prompt, reply. Name it"),
        ([{"question_text": "2+2?", "response": "4"}], False, "no column holds the prompts"),
        ([{"prompt": "2+2?", "response": "4"}], True, "no column says which prompt a response answers"),
        ([{"prompt_id": "gone", "response": "4"}], True, "no row's prompt_id is the id of a prompt"),
        ([], False, "no column holds the responses: it has no rows"),
    ],
)
def test_a_file_that_can_not_be_read_is_a_sentence(
    tmp_path: Path, rows: list[dict[str, Any]], with_prompts: bool, sentence: str
) -> None:
    path = written(tmp_path, rows)
    with pytest.raises(TeachableError, match=sentence) as error:
        read_responses(path, [prompt()] if with_prompts else None)
    assert str(path) in error.value.sentence()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("response\nx\n")
    with pytest.raises(TeachableError, match="responses are read from"):
        read_responses(tmp_path / "r.csv")
    with pytest.raises(TeachableError, match="missing"):
        read_responses(tmp_path / "gone.jsonl")
