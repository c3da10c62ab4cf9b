"""A SQLite file that several processes write and that a kill does not hurt.

Write-ahead logging with `synchronous=NORMAL`: a killed process loses nothing that was committed, a power cut may lose
the last commits but never the file. On a network file system without shared memory several processes may not use one
file (SQLite's own limit).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.store.files import disk_full, mending

CACHE_KIB = 65_536  # of the file that are kept in memory at most
BUSY_TIMEOUT_S = 60.0
BUSY_RETRY_S = 0.005


class Database:
    """The SQLite file at `path`, made if it is not there. Threads may share one.

    Raises (every method): TeachableError, where the file is no SQLite file, can't be written, its disk is full, or
        another process holds it for longer than `BUSY_TIMEOUT_S`.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.closed = False
        self._lock = threading.Lock()
        with mending(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._mended():
            self._db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            try:
                _patiently(lambda: self._db.execute("PRAGMA journal_mode=WAL"))
                self._db.execute("PRAGMA synchronous=NORMAL")
                # Keys are hashes, so reads and writes hit pages all over the file.
                self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file; the last process that does so folds the write-ahead log back into it."""
        with self._lock:
            self.closed = True
            self._db.close()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a reading query finds."""
        with self._lock, self._mended():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A block that no other writer interrupts: all of it counts or (an error, a kill) none of it."""
        with self._lock, self._mended():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already; a second ROLLBACK would hide the first error.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _mended(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            sentence = self._sentence(getattr(error, "sqlite_errorcode", -1))
            if sentence is None:
                raise
            raise sentence from error

    def _sentence(self, code: int) -> TeachableError | None:
        """What the user reads for one of SQLite's result codes; None for those that are a defect of ours."""
        where = str(self.path)
        if code == sqlite3.SQLITE_FULL:
            return disk_full(self.path.parent)
        if code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            return TeachableError("this ledger can't be opened for writing", where=where)
        if code & 0xFF == sqlite3.SQLITE_BUSY:
            return TeachableError(
                f"another process has held this ledger for more than {BUSY_TIMEOUT_S:.0f} seconds",
                where=where,
                mend="Stop that process (a database viewer, or a run that hangs), then run the same command again",
            )
        if code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return TeachableError(
                "this is no ledger that can be read",
                where=where,
                mend="Move the file away and run again; its completions will be sampled anew",
            )
        return None


def _patiently(statement: Callable[[], object]) -> None:
    """Run a statement until SQLite is no longer busy.

    Of several processes that turn a new file to write-ahead logging at once, SQLite tells all but one "locked" without
    letting them wait, as it does for every other statement.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            statement()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(BUSY_RETRY_S)
