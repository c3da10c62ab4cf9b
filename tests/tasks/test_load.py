"""A user's own file: read under the names that public sets use, or one sentence that names the row."""

from __future__ import annotations

import asyncio
import datetime
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.tasks.conftest import MANY, WriteFile

from teachable.errors import TeachableError
from teachable.recipe.packaged import STARTER
from teachable.records import Prompt
from teachable.store.files import read_records, write_records
from teachable.tasks.build import TaskSet, drop_unprovable
from teachable.tasks.columns import COLUMNS
from teachable.tasks.config import TasksConfig
from teachable.tasks.load import MAX_PROMPT_CHARS, load_tasks, read_prompts

GOOD = {"prompt": "What is 1 + 1?", "answer": "2"}
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is 1 + 1?"}]


def load(path: Path, **config: Any) -> TaskSet:
    return asyncio.run(load_tasks(path, TasksConfig(source=str(path), **config)))[0]


def sentence(path: Path, **columns: str) -> str:
    """What is said of a file, with the folder left out."""
    with pytest.raises(TeachableError) as caught:
        read_prompts(path, columns=columns)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "prompts.jsonl: the file holds no prompts. Write one JSON object a line."),
        (b" \n\n", "prompts.jsonl: the file holds no prompts. Write one JSON object a line."),
        (b'{"prompt": "a", "answer": "1"}\n{"prompt": "b"', "prompts.jsonl:2: this line is no JSON (Expecting"),
        (
            b'{"prompt": "a"}\n' + '{"prompt": "ä"}\n'.encode("latin-1"),
            "prompts.jsonl:2: this line is not UTF-8: byte 13 of it is 0xe4. Save the file as UTF-8.",
        ),
        (b'[\n {"prompt": "a"}\n]\n', "prompts.jsonl:1: this file is one JSON array, where every line should hold one"),
        (b'["a", "b"]\n', "prompts.jsonl:1: this line is no JSON object but a list."),
        (
            [{"text": "a", "answer": "1"}],
            "prompts.jsonl: no column holds the prompts: it has answer, text. "
            "Say which one does, as in --map prompt=COLUMN, or name it prompt or messages.",
        ),
        (
            [GOOD, {"prompt": "a", "answer": ["1", "2"]}],
            "prompts.jsonl, row 2: the answer is a list. Write it as text,",
        ),
        ([{**GOOD, "domain": ["a"]}], "prompts.jsonl, row 1: the domain is a list. Write it as text, or take another"),
        ([GOOD, {"prompt": " ", "answer": "1"}], "prompts.jsonl, row 2: this row has no prompt. Fill it in, or drop"),
        ([GOOD, {"answer": "1"}], "prompts.jsonl, row 2: this row has no prompt. Fill it in, or drop the row."),
        (
            [{"prompt": None, "answer": "1"}],
            "prompts.jsonl, row 1: this row has no prompt. Fill it in, or drop the row.",
        ),
        (b'{"prompt": NaN}\n', "prompts.jsonl, row 1: this row has no prompt. Fill it in, or drop the row."),
        (
            [{"prompt": 3, "answer": "1"}],
            "prompts.jsonl, row 1: the prompt is a int. Write it as text, or take another",
        ),
        (
            [GOOD, {"prompt": "a" * 10_000_000, "answer": "1"}],
            "prompts.jsonl, row 2: this prompt has 10,000,000 characters, more than 1,000,000. Shorten it, or drop the",
        ),
        (
            [{**GOOD, "id": "a"}, {"prompt": "b", "answer": "1"}, {"id": "a", "prompt": "c", "answer": "1"}],
            "prompts.jsonl, row 3: the id 'a' was used by row 1 for another prompt. "
            "Give every prompt an id of its own, or leave ids out.",
        ),
        (
            [GOOD, {**GOOD, "verifier": "exakt"}],
            "prompts.jsonl, row 2: there is no verifier called 'exakt'. The nearest name is 'exact'",
        ),
        (
            [{**GOOD, "verifier": "def verify(answer):\n" * 90}],
            r"prompts.jsonl, row 1: there is no verifier called 'def verify(answer):\ndef verify(answer...'.",
        ),
        ([{**GOOD, "meta": "{"}], "prompts.jsonl, row 1: `meta` is no JSON object (Expecting"),
        (
            [{**GOOD, "meta": [1]}],
            "prompts.jsonl, row 1: `meta` is no JSON object. Mend it, or leave it out with --map",
        ),
        (
            b'{"prompt": "a \\ud83d", "answer": "1"}\n',
            r"prompts.jsonl, row 1: this row holds half a character, '\ud83d'. Mend its text, or drop the row.",
        ),
    ],
)
def test_a_bad_file_is_one_sentence(write_file: WriteFile, content: Any, said: str) -> None:
    assert sentence(write_file(content)).startswith(said)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "this row has no prompt"),
        ("What is 1 + 1?", "`messages` is text. Write a list of turns, or read it as text with --map prompt=COLUMN"),
        ([{"role": "user", "content": " "}], "this row has no prompt"),
        (["What is 1 + 1?"], "`messages` needs a role and a content in every turn. Complete it"),
        ([{"from": "human", "text": "What?"}], "`messages` needs a role and a content in every turn"),
        ([{"role": "user", "content": [{"type": "text"}]}], "`messages` needs a role and a content in every turn"),
        ([*CHAT, {"role": "assistant"}], "`messages` needs a role and a content in every turn"),
        ([{"role": "assistant", "content": "2"}], "the last message is the assistant's. End `messages` with"),
        ([*CHAT, {"role": "tool", "content": "2"}], "the last message is the tool's. End `messages` with"),
        (
            [{"role": "user", "content": "a" * (MAX_PROMPT_CHARS + 1)}],
            "this prompt has 1,000,001 characters, more than",
        ),
    ],
)
def test_messages_of_a_wrong_shape_are_one_sentence(write_file: WriteFile, messages: Any, said: str) -> None:
    path = write_file([{"messages": CHAT, "answer": "2"}, {"messages": messages, "answer": "2"}])
    assert sentence(path).startswith(f"prompts.jsonl, row 2: {said}")


def test_a_file_that_is_not_there_or_of_another_kind_is_one_sentence(write_file: WriteFile, tmp_path: Path) -> None:
    assert sentence(tmp_path / "gone.jsonl") == "gone.jsonl: this file is missing. Correct the path."
    assert sentence(write_file(b"a,b\n", ".parquet")).startswith("prompts.parquet: this is no Parquet file")
    assert sentence(write_file(b"[]", ".json")) == (
        "prompts.json: prompts are read from .jsonl or .parquet files. If it is an array, convert it: "
        "jq -c '.[]' prompts.json > prompts.jsonl; if a line holds one object, call it prompts.jsonl."
    )
    assert sentence(write_file(b"", ".txt")).endswith("files. Write it as one of these.")
    (tmp_path / "folder").mkdir()
    assert sentence(tmp_path / "folder") == "folder: this is a folder. Name a .jsonl or .parquet file."
    (tmp_path / "folder" / "b.jsonl").touch()
    assert sentence(tmp_path / "folder") == "folder: this is a folder. Name a file in it, such as folder/b.jsonl."


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_in_text_is_converted_by_the_command_in_its_sentence(
    write_file: WriteFile, suffix: str, delimiter: str
) -> None:
    rows = ("question", "answer"), ('"What,\nis 1 + 1?"', "2")
    path = write_file("".join(f"{delimiter.join(row)}\n" for row in rows).encode(), suffix)
    said = sentence(path)
    assert said.startswith(f"prompts{suffix}: prompts are read from .jsonl or .parquet files. Convert it: python -c ")
    command = said.partition("Convert it: python ")[2].removesuffix(".")
    subprocess.run([sys.executable, *shlex.split(command)], cwd=path.parent, check=True)
    [prompt] = read_prompts(path.with_suffix(".parquet")).prompts
    assert (prompt.text, prompt.answer) == ("What,\nis 1 + 1?", "2")


def test_a_mistaken_mapping_is_one_sentence(write_file: WriteFile) -> None:
    path = write_file([GOOD])
    assert sentence(path, answer="key").startswith("prompts.jsonl: there is no column 'key' for the field 'answer': it")
    assert sentence(path, anwser="answer").startswith(
        "prompts.jsonl: a prompt has no field 'anwser' (did you mean 'ans"
    )
    with pytest.raises(ValidationError, match="a prompt has no field 'anwser'"):
        TasksConfig(columns={"anwser": "answer"})


@pytest.mark.parametrize("column", COLUMNS["prompt"])
@pytest.mark.parametrize("answer", [name for name in COLUMNS["answer"] if "." not in name])
def test_columns_are_recognised_by_the_names_of_public_sets(write_file: WriteFile, column: str, answer: str) -> None:
    file = read_prompts(write_file([{column: "What is 1 + 1?", answer: 2}]))
    assert file.mapping == {"prompt": column, "answer": answer}
    [prompt] = file.prompts
    assert (prompt.text, prompt.answer, prompt.domain, prompt.level, prompt.verifier) == (
        "What is 1 + 1?",
        "2",
        "all",
        0,
        "math",
    )


def test_a_row_with_tests_is_for_code_and_one_with_choices_for_choice(write_file: WriteFile) -> None:
    cases = [{"stdin": "1", "stdout": "2"}]
    file = read_prompts(
        write_file(
            [
                {"prompt": "Write f.", "tests": "assert f(1) == 2", "answer": "def f(x): ...", "entry_point": "f"},
                {"prompt": "Add one.", "tests": cases, "command": "./main", "compile": "cc main.c -o main"},
                {"prompt": "Which?", "choices": ["Rome", "Oslo"], "answer": "B"},
            ]
        )
    )
    f, add, which = file.prompts
    assert (f.verifier, f.answer, f.meta) == ("code", "assert f(1) == 2", {"entry_point": "f"})
    assert (add.verifier, json.loads(add.answer or "")) == ("code", cases)
    assert add.meta == {"command": "./main", "compile": "cc main.c -o main"}
    assert (which.verifier, which.answer, which.meta) == ("choice", "B", {"choices": ["Rome", "Oslo"]})


def test_every_column_goes_where_it_belongs(write_file: WriteFile) -> None:
    row = {"uid": 7, "conversations": CHAT, "target": "2", "completion": "Answer: 2", "subject": "sums"}
    file = read_prompts(write_file([{**row, "difficulty": 3, "verifier": "exact", "meta": '{"unit": "m"}', "n": 1}]))
    [prompt] = file.prompts
    assert (prompt.id, prompt.domain, prompt.level, prompt.meta) == ("7", "sums", 3, {"unit": "m"})
    assert list(prompt.messages) == CHAT
    assert file.responses == {"7": ("Answer: 2",)}
    assert file.mapping == {
        "id": "uid",
        "messages": "conversations",
        "answer": "target",
        "response": "completion",
        "domain": "subject",
        "level": "difficulty",
        "verifier": "verifier",
        "meta": "meta",
    }
    [step] = prompt.lineage
    assert (step.parent, step.transform, step.params) == ("prompts.jsonl", "read", "row 1")


def test_a_date_in_meta_is_one_sentence(write_file: WriteFile) -> None:
    path = write_file([{**GOOD, "meta": {"on": datetime.date(2020, 1, 1)}}], ".parquet")
    assert sentence(path).startswith("prompts.parquet, row 1: `meta` has no JSON form (Object of type date")
    assert len(read_prompts(path, columns={"meta": ""}).prompts) == 1


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["exact", r"\boxed{"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "content", "a"]), inner),
    max_leaves=6,
)
CELLS = st.sampled_from(["a", "1", 2, [{"role": "user", "content": "b"}]]) | VALUES
COLUMN_NAMES = st.sampled_from(sorted({name for names in COLUMNS.values() for name in names}))


OTHERS = COLUMN_NAMES.filter(lambda name: name not in (*COLUMNS["prompt"], *COLUMNS["messages"]))
ROWS = st.dictionaries(OTHERS, CELLS, max_size=4).map({"question": "q"}.__or__)


@given(st.lists(ROWS | st.dictionaries(COLUMN_NAMES, CELLS, min_size=1, max_size=4), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_whatever_the_cells_hold_is_read_and_written_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        file = read_prompts(path)
    except TeachableError as error:
        assert str(error).startswith(f"{path}") and "\n" not in str(error)
        return
    assert 1 <= len(file.prompts) == len(rows) - file.n_repeated
    write_records(path.with_suffix(".parquet"), file.prompts)
    assert read_records(path.with_suffix(".parquet"), Prompt) == list(file.prompts)


def test_parquet_reads_as_jsonl_does(write_file: WriteFile) -> None:
    rows = [{"messages": CHAT, "answer": "2", "level": 1}, {"messages": CHAT[1:], "answer": "3", "level": 2}]
    jsonl, parquet = (read_prompts(write_file(rows, suffix), source="mine") for suffix in (".jsonl", ".parquet"))
    assert parquet == jsonl


def test_ids_are_of_the_content_and_stay_when_rows_move(write_file: WriteFile) -> None:
    forwards = {p.text: p.id for p in read_prompts(write_file(MANY)).prompts}
    backwards = {p.text: p.id for p in read_prompts(write_file(MANY[::-1])).prompts}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(MANY)


@pytest.mark.parametrize("row", [GOOD, {**GOOD, "id": "a"}])
def test_a_row_that_is_there_twice_counts_once_and_is_told(write_file: WriteFile, row: dict[str, str]) -> None:
    file = read_prompts(write_file([row, *MANY, row, row]))
    assert len(file.prompts) == 1 + len(MANY)
    assert file.n_repeated == 2
    assert file.prompts[0].lineage[0].params == "row 1"
    tasks = load(write_file([row, *MANY, row, row]))
    assert ("an earlier row says the same", 2) in tasks.rejected


def test_two_answers_to_one_question_are_two_prompts(write_file: WriteFile) -> None:
    prompts = read_prompts(write_file([GOOD, {**GOOD, "answer": "10"}])).prompts
    assert [p.answer for p in prompts] == ["2", "10"]
    assert prompts[0].id != prompts[1].id


@pytest.mark.parametrize(
    ("config", "n_rows", "sizes"),
    [
        ({}, None, (1500, 300)),
        ({"n_pool": 7}, None, (7, 300)),
        ({"source": "p.jsonl"}, 2000, (1600, 400)),
        ({"source": "p.jsonl", "n_pool": 100, "n_heldout": 1000}, 2000, (100, 400)),
        ({"source": "p.jsonl", "heldout_frac": 0}, 2000, (2000, 0)),
        ({"source": "p.parquet"}, None, (1500, 300)),
        ({"source": "p.parquet", "heldout_frac": 0, "n_heldout": 5}, None, (1500, 0)),
    ],
)
def test_sizes_are_known_before_anything_is_read(config: dict[str, Any], n_rows: int, sizes: tuple[int, int]) -> None:
    assert TasksConfig.model_validate(config).sizes(n_rows) == sizes


def test_prompts_without_answers_are_prompts(write_file: WriteFile) -> None:
    rows = [
        {**row, "answer": row["answer"] if i % 3 else None, "response": f"Answer: {i}"} for i, row in enumerate(MANY)
    ]
    path = write_file(rows)
    file = read_prompts(path)
    assert [p.answer for p in file.prompts] == [row["answer"] for row in rows]
    assert file.mapping["answer"] == "answer (none in 12 rows)"
    assert len({p.id for p in file.prompts}) == len(rows)
    tasks = load(path, heldout_frac=0)
    assert {s.prompt_id for s in tasks.solutions} == {p.id for p in file.prompts if p.answer is not None}
    assert tasks.rejected == (("there is no reference answer", 12),)
    assert drop_unprovable(tasks) == tasks


def test_a_file_without_any_answer_is_read(write_file: WriteFile) -> None:
    file = read_prompts(write_file([{"prompt": "a"}, {"prompt": "b", "label": "1"}]))
    assert [p.answer for p in file.prompts] == [None, None]
    assert file.mapping == {"prompt": "prompt"}


def test_nothing_held_out_is_no_fault_when_prompts_are_dropped(write_file: WriteFile) -> None:
    tasks = load(write_file([GOOD, {"prompt": "b", "answer": "9^{9^{9^9}}"}]), heldout_frac=0)
    kept = drop_unprovable(tasks)
    assert [p.answer for p in kept.pool] == ["2"]
    assert kept.heldout == ()


@pytest.mark.parametrize(("n", "frac"), [(1, 0.5), (2, 0.001)])
def test_a_side_without_prompts_is_one_sentence(write_file: WriteFile, n: int, frac: float) -> None:
    with pytest.raises(TeachableError, match=rf"{n} prompts leave \d in the pool and \d held out. Add prompts"):
        load(write_file(MANY[:n]), heldout_frac=frac)


def test_responses_are_verified_and_wrong_ones_are_counted(write_file: WriteFile) -> None:
    responses = ("thinking...\nAnswer: {}", "Answer: no idea", "{}", None, " ")
    rows = [
        {**row, "response": response and response.format(row["answer"])}
        for row, response in zip(MANY, responses * 8, strict=False)
    ]
    tasks = load(write_file(rows), heldout_frac=0.3)
    given = {row["prompt"]: row["response"] for row in rows}
    right = [p for p in tasks.pool if (given[p.text] or "").endswith(str(p.answer))]
    wrong = [p for p in tasks.pool if given[p.text] == "Answer: no idea"]
    assert right and wrong
    assert [(s.prompt_id, s.text) for s in tasks.solutions] == [(p.id, given[p.text]) for p in right]
    assert {s.source for s in tasks.solutions} == {"organic"}
    assert tasks.rejected == (("another kind of answer", len(wrong)),)


def test_the_prompts_that_init_writes_are_read() -> None:
    """The example that a new user starts from has to be without a fault."""
    file = read_prompts(STARTER / "prompts.jsonl")
    assert len(file.responses) == len(file.prompts) >= 10
    tasks = load(STARTER / "prompts.jsonl")
    assert len(tasks.solutions) == len(tasks.pool)
    assert tasks.rejected == ()
