"""Files appear whole or not at all, come back as they went, and equal rows make equal bytes."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.records import Attempt, Estimate, Lineage, Prompt, Solution
from teachable.store import files
from teachable.store.files import (
    plain,
    read_json,
    read_records,
    read_rows,
    write_json,
    write_records,
    write_rows,
    write_text,
)

USER = {"role": "user", "content": "1 + 1?"}


def prompt(answer: str | None = "2") -> Prompt:
    return Prompt("p", "sums", (USER,), answer, meta={"b": 1, "a": [1, {"x": None}]}, lineage=(Lineage("s", "t", "p"),))


RECORDS = [
    prompt(),
    prompt(None),
    Solution("p", "so 2", "teacher", "exact"),
    Attempt("p", 0, "e", 2**62, "t", (1, 2), "stop", None, None, "no answer"),
    Estimate("p", "sums", 1, 8, 3, 0, 4.0, 6.0, 0.5, None, "teachable", "3 of 8"),
]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_come_back_as_they_went(tmp_path: Path, record: object, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write_records(path, [record])
    assert read_records(path, type(record)) == [record]


def test_parquet_columns_have_their_types_whatever_the_values(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_records(tmp_path / "a.parquet", [prompt(None)])
    write_records(tmp_path / "b.parquet", [prompt("2")])
    assert pq.read_schema(tmp_path / "a.parquet") == pq.read_schema(tmp_path / "b.parquet")


def test_every_kind_of_record_has_a_schema(tmp_path: Path) -> None:
    # A column that the schema takes for text but that holds something else would fail to be written.
    for number, record in enumerate(RECORDS):
        write_records(tmp_path / f"{number}.parquet", [record])


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_no_rows_are_a_file_too(tmp_path: Path, suffix: str) -> None:
    write_rows(tmp_path / f"none{suffix}", [])
    assert read_rows(tmp_path / f"none{suffix}") == []


def test_columns_that_some_rows_lack_are_null_there(tmp_path: Path) -> None:
    write_rows(tmp_path / "r.parquet", [{"a": 1}, {"a": 2, "b": "x"}])
    assert read_rows(tmp_path / "r.parquet") == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_equal_rows_make_equal_bytes(tmp_path: Path, suffix: str) -> None:
    rows = [{"i": i, "text": f"t{i}", "ids": list(range(i % 5)), "x": i / 3} for i in range(500)]
    write_rows(tmp_path / f"a{suffix}", rows)
    write_rows(tmp_path / f"b{suffix}", [dict(row) for row in rows])
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_datasets_opens_what_we_write(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"messages": [USER, {"role": "assistant", "content": "2"}], "prompt_id": "p", "n_tokens": 3}]
    for name, builder in (("e.jsonl", "json"), ("e.parquet", "parquet")):
        write_rows(tmp_path / name, rows)
        loaded = datasets.load_dataset(
            builder, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache")
        )
        assert loaded[0] == rows[0]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": {1, 2}})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_written_file_can_be_read_by_others_as_far_as_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_sentence_that_names_the_folder(tmp_path: Path, number: int) -> None:
    sentence = r"no space is left on the disk.*Free some space"
    with pytest.raises(TeachableError, match=sentence) as caught, files.replacing(tmp_path / "a"):
        raise OSError(number, "full")
    assert str(tmp_path) in caught.value.sentence()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(TeachableError, match="a file is in the place of a folder"):
        write_text(tmp_path / "f" / "a.txt", "x")


def test_an_unforeseen_error_keeps_its_kind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="weird"), files.replacing(tmp_path / "a"):
        raise OSError(errno.EIO, "weird")


def test_bad_json_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1,\n "b": }')
    with pytest.raises(TeachableError, match=r"a\.json:2: this is no JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": 1}\n\n{"a": \n', r"r\.jsonl:3: this line is no JSON"),
        ("[1]\n", r"r\.jsonl:1: this line is no JSON object but a list"),
        ('{"a": 1}\n[{"a": 1}]\n', r"r\.jsonl:2: this line is no JSON object but a list"),
        (b'\n{"a": "\xff"}\n', r"r\.jsonl:2: this line is not UTF-8: byte 8 of it is 0xff\. Save the file as UTF-8\.$"),
        ('{"a": 1}\n'.encode("utf-16"), r"r\.jsonl:1: this line is not UTF-8: .* \(it looks like UTF-16\)\.$"),
        ("[\n" * 100_000, r"r\.jsonl:1: this file is one JSON array"),
        ('{"a": ' + "[" * 200_000, r"r\.jsonl:1: this line is no JSON \("),
        ('{"a": ' + "1" * 5000 + "}", r"r\.jsonl:1: this line is no JSON \(Exceeds the limit"),
    ],
)
def test_bad_jsonl_names_its_line(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(TeachableError, match=sentence):
        read_rows(path)


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_told_from_lines(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("\n" + json.dumps([{"a": 1}, {"a": 2}], indent=indent), encoding="utf-8")
    with pytest.raises(TeachableError, match=r"r\.jsonl:2: this file is one JSON array.* Convert it: jq -c"):
        read_rows(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").mkdir()
    with pytest.raises(TeachableError, match=r"r\.jsonl: this is a folder\. Name a file in it\."):
        read_rows(tmp_path / "r.jsonl")


def test_parquet_that_python_cannot_hold_is_a_sentence(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    bytes_ = pa.array([b"\xff"]).cast(pa.binary())
    broken = pa.StringArray.from_buffers(1, bytes_.buffers()[1], bytes_.buffers()[2])
    pq.write_table(pa.table({"a": broken}), tmp_path / "r.parquet")
    with pytest.raises(TeachableError, match=r"r\.parquet: this is no Parquet file that can be read \('utf-8'"):
        read_rows(tmp_path / "r.parquet")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}')
    assert read_rows(tmp_path / "r.jsonl") == [{"a": 1}, {"a": 2}]


def test_broken_parquet_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "r.parquet").write_bytes(b"PAR1 nothing of the sort")
    with pytest.raises(TeachableError, match="no Parquet file that can be read"):
        read_rows(tmp_path / "r.parquet")


@pytest.mark.parametrize("name", ["r.parquet", "r.jsonl", "r.json"])
def test_a_missing_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(TeachableError, match="this file is missing"):
        (read_json if name.endswith("json") else read_rows)(tmp_path / name)


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_records(tmp_path / "r.parquet", [RECORDS[2]])
    with pytest.raises(TeachableError, match="a Prompt row lacks"):
        read_records(tmp_path / "r.parquet", Prompt)


@dataclass
class Point:
    x: int
    path: Path


def test_plain_turns_what_has_a_json_form() -> None:
    value = {"p": Point(1, Path("a/b")), "n": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True), "a": np.arange(2)}
    expected = {"p": {"x": 1, "path": "a/b"}, "n": 3, "f": 0.5, "b": True, "a": [0, 1]}
    assert json.loads(json.dumps(plain(value))) == expected


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, object()])
def test_plain_refuses_what_would_not_come_back(value: object) -> None:
    with pytest.raises(TypeError):
        plain(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_plain_refuses_nan(value: float) -> None:
    with pytest.raises(ValueError, match="NaN"):
        plain([value])


SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), SCALARS | st.text(max_size=5), min_size=1), max_size=5))
def test_jsonl_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("rows") / "r.jsonl"
    try:
        write_rows(path, rows)
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form
        return
    assert read_rows(path) == rows
