"""Every completion that was ever paid for, so that none is paid for twice.

One SQLite file, one row a completion, keyed by (request key, sample index). Write-ahead logging with
`synchronous=NORMAL`: a killed process loses nothing that was committed, a power cut may lose the last commits
but never the file. Several processes may use one ledger; on a network file system without shared memory they
may not (SQLite's own limit).

Token ids and log-probabilities are packed into the narrowest type that gives them back exactly.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from teachable.errors import TeachableError
from teachable.records import Completion
from teachable.store.files import disk_full, mending

BUSY_TIMEOUT_S = 60.0
BUSY_RETRY_S = 0.005

_TABLE = """
CREATE TABLE IF NOT EXISTS completions (
    key TEXT NOT NULL,
    sample INTEGER NOT NULL,
    stage TEXT NOT NULL,
    engine TEXT NOT NULL,
    n_prompt_tokens INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL,
    text BLOB NOT NULL,
    token_ids BLOB NOT NULL,
    token_logprobs BLOB,
    finish_reason TEXT NOT NULL,
    cost_usd REAL NOT NULL,
    PRIMARY KEY (key, sample)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Paid:
    """What one request brought: all its samples in order, and what they cost together."""

    key: str
    completions: Sequence[Completion]
    n_prompt_tokens: int
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Totals:
    """Sums over a ledger. A request's prompt tokens count once, whatever its number of samples."""

    requests: int
    completions: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


class Ledger:
    """The ledger at `path`, made if it is not there.

    Raises:
        TeachableError: the file is no ledger, or its disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        with mending(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._mended():
            self._db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._log_ahead()
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_TABLE)

    def _log_ahead(self) -> None:
        """Turn to write-ahead logging.

        Of several processes that make the ledger at once, SQLite tells all but one "locked" without letting them
        wait, as it does for every other statement.
        """
        until = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(BUSY_RETRY_S)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; SQLite folds the write-ahead log back into it."""
        with self._lock:
            self._db.close()

    def get(self, key: str) -> list[Completion] | None:
        """All samples of a request in order, or None if it was never answered."""
        with self._lock, self._mended():
            rows = self._db.execute(
                "SELECT text, token_ids, token_logprobs, finish_reason FROM completions WHERE key = ? ORDER BY sample",
                (key,),
            ).fetchall()
        if not rows:
            return None
        return [
            Completion(
                text=text.decode("utf-8", "surrogatepass"),
                token_ids=_unpack_ids(ids),
                token_logprobs=None if logprobs is None else _unpack_floats(logprobs),
                finish_reason=reason,
            )
            for text, ids, logprobs, reason in rows
        ]

    def put(
        self, key: str, completions: Sequence[Completion], *, stage: str, engine: str, n_prompt_tokens: int
    ) -> None:
        """Write what a request brought. A request that is there already stays as it is."""
        self.put_many([Paid(key, completions, n_prompt_tokens)], stage=stage, engine=engine)

    def put_many(self, entries: Sequence[Paid], *, stage: str, engine: str) -> None:
        """Write what several requests brought, all of it or (killed on the way) none of it."""
        rows = [
            (
                entry.key,
                sample,
                stage,
                engine,
                entry.n_prompt_tokens,
                len(completion.token_ids),
                completion.text.encode("utf-8", "surrogatepass"),
                _pack_ids(completion.token_ids),
                None if completion.token_logprobs is None else _pack_floats(completion.token_logprobs),
                completion.finish_reason,
                entry.cost_usd / len(entry.completions),
            )
            for entry in entries
            for sample, completion in enumerate(entry.completions)
        ]
        with self._lock, self._mended():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                # Not INSERT OR IGNORE, which would also pass over a row that breaks another rule of the table.
                self._db.executemany(
                    "INSERT INTO completions VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key, sample) DO NOTHING", rows
                )
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already; a second ROLLBACK would hide the first error.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def totals(self, stage: str | None = None) -> Totals:
        """What all stages, or one of them, have spent."""
        where, values = ("", ()) if stage is None else ("WHERE stage = ?", (stage,))
        with self._lock, self._mended():
            row = self._db.execute(
                "SELECT COALESCE(SUM(sample = 0), 0), COUNT(*), "
                "COALESCE(SUM(CASE WHEN sample = 0 THEN n_prompt_tokens ELSE 0 END), 0), "
                f"COALESCE(SUM(n_tokens), 0), COALESCE(SUM(cost_usd), 0.0) FROM completions {where}",
                values,
            ).fetchone()
        return Totals(*row)

    @contextmanager
    def _mended(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise disk_full(self.path.parent) from error
            if error.sqlite_errorcode in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise TeachableError("this ledger can't be opened for writing", where=str(self.path)) from error
            raise
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise TeachableError(
                    "this is no ledger that can be read",
                    where=str(self.path),
                    mend="Move the file away and run again; its completions will be sampled anew",
                ) from error
            raise


def _pack(values: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.typecode.encode() + values.tobytes()


def _unpack(raw: bytes) -> array[int] | array[float]:
    values: array[int] | array[float] = array(chr(raw[0]))
    values.frombytes(raw[1:])
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _pack_ids(ids: Sequence[int]) -> bytes:
    top = max(ids, default=0)
    return _pack(array("B" if top < 1 << 8 else "H" if top < 1 << 16 else "I", ids))


def _unpack_ids(raw: bytes) -> tuple[int, ...]:
    return tuple(int(value) for value in _unpack(raw))


def _pack_floats(values: Sequence[float]) -> bytes:
    narrow = array("f", values)
    return _pack(narrow if narrow.tolist() == list(values) else array("d", values))


def _unpack_floats(raw: bytes) -> tuple[float, ...]:
    return tuple(_unpack(raw))
