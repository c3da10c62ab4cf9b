"""A file that several processes write: errors are sentences, and nothing waits for ever."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.store import database
from teachable.store.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "folder" / "d.sqlite"
    one = Database(made)
    with one.transaction() as db:
        db.execute("CREATE TABLE numbers (n INTEGER)")
    one.close()
    return made


def test_a_transaction_counts_whole_or_not_at_all(path: Path) -> None:
    one, other = Database(path), Database(path)
    with one.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
        assert other.rows("SELECT n FROM numbers") == []
    with pytest.raises(ZeroDivisionError), one.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (2)")
        raise ZeroDivisionError
    assert other.rows("SELECT n FROM numbers WHERE n < ?", (9,)) == [(1,)]
    one.close()
    assert one.closed and not other.closed
    other.close()


def test_one_who_holds_the_file_for_too_long_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    one, other = Database(path), Database(path)
    with one.transaction(), pytest.raises(TeachableError, match=r"another process has held this ledger.*Stop that"):
        other.transaction().__enter__()
    with other.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
    one.close()
    other.close()


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(path: Path) -> None:
    one = Database(path)
    with one.transaction() as db:
        db.execute("INSERT INTO numbers VALUES (1)")
    one.rows("PRAGMA max_page_count = 3")
    with pytest.raises(TeachableError, match="no space is left on the disk"), one.transaction() as db:
        db.execute("CREATE TABLE more (n)")
        db.executemany("INSERT INTO more VALUES (?)", [("x" * 4000,)] * 10)
    assert one.rows("SELECT n FROM numbers") == [(1,)]
    one.close()


def test_a_folder_in_its_place_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="can't be opened for writing"):
        Database(tmp_path)


def test_what_is_closed_stays_an_error_of_ours(path: Path) -> None:
    one = Database(path)
    one.close()
    with pytest.raises(sqlite3.ProgrammingError):
        one.rows("SELECT 1")
