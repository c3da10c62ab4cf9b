"""Files of attempts as users write them: which column is what, which verifier decides, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from teachable.errors import TeachableError
from teachable.recipe.answers import NO_ATTEMPT, AnswerFile, AnswerRow, read_answers
from teachable.store.files import write_rows

CASES = [{"stdin": "1\n", "stdout": "2\n"}, {"stdin": "2\n", "stdout": "4\n"}]


def read(path: Path, verifier: str = "math", **columns: str) -> AnswerFile:
    return read_answers(path, verifier=verifier, columns=columns)


def written(folder: Path, *rows: Mapping[str, Any], suffix: str = ".jsonl") -> Path:
    path = folder / f"answers{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_rows(path, rows)
    return path


def one(folder: Path, default: str = "math", /, **row: Any) -> AnswerRow:
    return read(written(folder, {"attempt": "Answer: 5", **row}), default).rows[0]


def test_a_row_says_its_verifier_else_tests_do_else_the_caller(tmp_path: Path) -> None:
    assert one(tmp_path, answer="5").verifier == "math"
    assert one(tmp_path, "exact", answer="5").verifier == "exact"
    assert one(tmp_path, "exact", answer="5", verifier="choice").verifier == "choice"
    assert one(tmp_path, "exact", tests="assert f()").verifier == "code"
    assert one(tmp_path, "exact", tests="assert f()", verifier="judge").verifier == "judge"
    assert one(tmp_path, tests="", answer="5", verifier=" ").verifier == "math"
    assert one(tmp_path, answer="B", choices=["Rome", "Oslo"]).verifier == "choice"
    assert one(tmp_path, "exact", answer="B", choices=["Rome", "Oslo"]).verifier == "exact"


def test_an_unknown_verifier_is_named_with_the_nearest_and_the_row(tmp_path: Path) -> None:
    path = written(tmp_path, {"attempt": "5", "answer": "5"}, {"attempt": "5", "answer": "5", "verifier": "maths"})
    with pytest.raises(TeachableError, match=r"row 2: there is no verifier called 'maths'. The nearest name is 'math'"):
        read(path)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_tests_and_what_goes_with_them_reach_the_verifier(tmp_path: Path, suffix: str) -> None:
    rows: Sequence[Mapping[str, Any]] = [
        {"attempt": "a", "tests": CASES, "command": "./main", "compile": "g++ -o main main.cpp", "file": "main.cpp"},
        {"attempt": "b", "tests": [{"stdin": "1", "stdout": None}], "command": None, "compile": None, "file": None},
    ]
    first, second = read(written(tmp_path, *rows, suffix=suffix)).rows
    assert first.prompt.meta == {
        "tests": CASES, "command": "./main", "compile": "g++ -o main main.cpp", "file": "main.cpp"
    }  # fmt: skip
    assert second.prompt.meta == {"tests": [{"stdin": "1"}]}
    assert (first.verifier, second.verifier) == ("code", "code")


def test_tests_may_stand_in_the_answer_where_the_verifier_is_code(tmp_path: Path) -> None:
    assert json.loads(one(tmp_path, "code", answer=CASES).prompt.answer or "") == CASES
    source = "assert f(1) == 2\n#### 5"
    assert one(tmp_path, "code", answer=source).prompt.answer == source


@pytest.mark.parametrize(
    ("verifier", "given", "reference"),
    [
        ("math", "5", "5"),
        ("math", 5, "5"),
        ("math", 0.5, "0.5"),
        ("math", ["5"], "5"),
        ("math", "2 + 3 = 5\n#### 5", "5"),
        ("exact", r"So it is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("judge", r"So it is \boxed{7}.", r"So it is \boxed{7}."),
        ("math", "", None),
        ("math", float("nan"), None),
    ],
)
def test_the_reference_is_read_out_of_its_cell(
    tmp_path: Path, verifier: str, given: Any, reference: str | None
) -> None:
    row = one(tmp_path, verifier, answer=given)
    assert (row.prompt.answer, row.fault) == (reference, "")


def test_what_a_single_row_lacks_is_its_own_fault(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"attempt": None, "answer": "5"},
        {"attempt": "", "answer": "5"},
        {"attempt": ["5"], "answer": "5"},
        {"attempt": 5, "answer": "5"},
        {"attempt": "5", "answer": ["5", "6"]},
        {"attempt": "5", "answer": "5", "meta": "{"},
        {"attempt": "5", "answer": "5", "question": ["no turn"]},
        {"attempt": "5", "answer": "5", "question": ["no turn"], "verifier": "judge"},
    ]
    read_rows = read(written(tmp_path, *rows)).rows
    faults = [row.fault for row in read_rows]
    assert faults[:5] == [NO_ATTEMPT, "", "the attempt is a list", "", "the answer is a list"]
    assert read_rows[3].attempt == "5"
    assert faults[5].startswith("`meta` is no JSON")
    assert faults[6] == "" and "role" in faults[7]


def test_the_question_is_found_and_a_chat_too(tmp_path: Path) -> None:
    assert one(tmp_path, answer="5", question="2+3?").prompt.text == "2+3?"
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+3?"}]
    assert [turn["role"] for turn in one(tmp_path, answer="5", messages=turns).prompt.messages] == ["system", "user"]
    assert one(tmp_path, answer="5").prompt.messages == ()


def test_ids_are_given_or_made_of_the_content(tmp_path: Path) -> None:
    assert one(tmp_path, answer="5", id=7).id == "7"
    made = one(tmp_path, answer="5").id
    assert made == one(tmp_path, answer="5", note="beside the point").id != one(tmp_path, answer="6").id


def test_columns_are_mapped_and_recognised(tmp_path: Path) -> None:
    path = written(tmp_path, {"response": "Answer: 5", "Gold Answer": "5", "reward_model": {"ground_truth": "6"}})
    found = read(path, attempt="response")
    assert found.mapping == {"attempt": "response", "answer": "Gold Answer"}
    assert read(path, attempt="response", answer="reward_model.ground_truth").rows[0].prompt.answer == "6"
    assert read(path, attempt="response", answer="").rows[0].prompt.answer is None


def test_a_worked_column_is_read_only_when_it_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"attempt": "Answer: 5", "solution": "2 + 3 makes\n#### 5"})
    assert read(path).rows[0].prompt.answer is None
    assert read(path, answer="solution").rows[0].prompt.answer == "5"


def test_half_a_character_is_replaced_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"attempt": "\\ud83d 5", "answer": "5"}\n{"attempt": "\\ud83d\\ude00", "answer": "5"}\n')
    found = read(path)
    assert [row.attempt for row in found.rows] == ["\ufffd 5", "\U0001f600"]
    assert found.n_mended == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "answers.jsonl: the file holds no answers"),
        ("\n\n", "answers.jsonl: the file holds no answers"),
        ('{"attempt": "1", "answer": "1"}\n\n{"attempt": oops}\n', "answers.jsonl:3: this line is no JSON"),
        ('[{"attempt": "1"}]', "this file is one JSON array"),
        (
            '{"response": "1", "answer": "1"}',
            r"no column `attempt`: it has answer, response. .* --map attempt=response",
        ),
    ],
)
def test_a_mistake_is_a_sentence_that_says_where(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    with pytest.raises(TeachableError, match=sentence):
        read(path)


def test_a_file_that_is_none_and_a_field_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="this file is missing"):
        read(tmp_path / "gone.jsonl")
    with pytest.raises(TeachableError, match=r"this is a folder.*answers\.jsonl"):
        read(written(tmp_path, {"attempt": "1"}).parent)
    (tmp_path / "a.csv").write_text("attempt,answer\n1,1\n")
    with pytest.raises(TeachableError, match=r"read from \.jsonl or \.parquet files"):
        read(tmp_path / "a.csv")
    path = written(tmp_path, {"attempt": "1", "answer": "1"})
    with pytest.raises(TeachableError, match=r"no field 'atempt' \(did you mean 'attempt'\?\)"):
        read(path, atempt="answer")
    with pytest.raises(TeachableError, match=r"no column 'gold' for the field 'answer': it has answer, attempt"):
        read(path, answer="gold")
