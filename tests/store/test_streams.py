"""Files that are written row by row: the same bytes as rows, whole or not at all, and memory that does not grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.records import Document, Prompt, from_row, to_row
from teachable.store import streams
from teachable.store.files import read_records, read_rows
from teachable.store.streams import RowWriter, growing


def document(i: int) -> Document:
    return Document(f"d{i}", f"text {i}", "a.txt", quality=None if i % 2 else 0.5, meta={"n": i})


def test_rows_come_back_as_they_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ROWS_AT_ONCE", 3)
    documents = [document(i) for i in range(10)]
    with RowWriter(tmp_path / "d.parquet", Document) as writer:
        for one in documents:
            writer.write(to_row(one))
        assert not (tmp_path / "d.parquet").exists()
        assert len(writer._rows) < 3
    assert read_records(tmp_path / "d.parquet", Document) == documents
    assert [path.name for path in tmp_path.iterdir()] == ["d.parquet"]


def test_no_rows_make_a_file_with_columns(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "p.parquet", Prompt):
        pass
    assert read_rows(tmp_path / "p.parquet") == []
    assert read_records(tmp_path / "p.parquet", Prompt) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    with RowWriter(path, Document) as writer:
        writer.write(to_row(document(0)))
    with pytest.raises(RuntimeError, match="oh"), RowWriter(path, Document) as writer:
        writer.write(to_row(document(1)))
        raise RuntimeError("oh")
    assert [from_row(Document, row) for row in read_rows(path)] == [document(0)]
    assert [one.name for one in tmp_path.iterdir()] == ["d.parquet"]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.part").write_text("half a li")
    with growing(tmp_path / "a.txt") as part:
        part.write_text("whole")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "whole")]


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((TeachableError, NotADirectoryError, FileExistsError)), growing(tmp_path / "file" / "a.txt"):
        pass
