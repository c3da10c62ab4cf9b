"""Every completion that was ever paid for, so that none is paid for twice.

One SQLite file. `completions` has one row a completion, keyed by (request key, sample index). `failures` has the
requests that could not be answered, keyed by (request key, first sample that is missing), until that sample is there
after all. `spending` has one row a stage with the sums over its completions; a trigger keeps them in the transaction
that writes a completion, so that they are never wrong and asking for them costs nothing, whoever wrote.
`reservations` is explained in the module of that name.

A file of the layout before `spending` is brought up to date when it is opened: there every sample of a request
carried the request's prompt tokens, now the one that they were read for does.

Token ids and log-probabilities are packed into the narrowest type that gives them back exactly.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from teachable.records import Completion
from teachable.store.database import Database
from teachable.store.reservations import RESERVATIONS_TABLE, Reservations

MAX_REASON = 1000  # characters of a failure's reason that are kept

_COMPLETIONS = """
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
_FAILURES = """
CREATE TABLE IF NOT EXISTS failures (
    key TEXT NOT NULL,
    first INTEGER NOT NULL,
    stage TEXT NOT NULL,
    engine TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (key, first)
) WITHOUT ROWID
"""
_SPENDING = """
CREATE TABLE spending (
    stage TEXT PRIMARY KEY,
    requests INTEGER NOT NULL DEFAULT 0,
    completions INTEGER NOT NULL DEFAULT 0,
    tokens_in INTEGER NOT NULL DEFAULT 0,
    tokens_out INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL NOT NULL DEFAULT 0
)
"""
_SUM_UP = """
INSERT INTO spending
SELECT stage, SUM(sample = (SELECT MIN(sample) FROM completions AS other WHERE other.key = completions.key)),
    COUNT(*), SUM(n_prompt_tokens), SUM(n_tokens), SUM(cost_usd)
FROM completions GROUP BY stage
"""
_ON_PAID = """
CREATE TRIGGER paid AFTER INSERT ON completions BEGIN
    INSERT OR IGNORE INTO spending (stage) VALUES (NEW.stage);
    UPDATE spending SET
        requests = requests + NOT EXISTS (SELECT 1 FROM completions WHERE key = NEW.key AND sample <> NEW.sample),
        completions = completions + 1,
        tokens_in = tokens_in + NEW.n_prompt_tokens,
        tokens_out = tokens_out + NEW.n_tokens,
        cost_usd = cost_usd + NEW.cost_usd
    WHERE stage = NEW.stage;
    DELETE FROM failures WHERE key = NEW.key AND first = NEW.sample;
END
"""
# Not INSERT OR IGNORE, which would also pass over a row that breaks another rule of the table.
_PAY = "INSERT INTO completions VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key, sample) DO NOTHING"
_FAIL = """
INSERT OR REPLACE INTO failures
SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM completions WHERE key = ?1 AND sample = ?2)
"""
_TOTALS = """
SELECT COALESCE(SUM(requests), 0), COALESCE(SUM(completions), 0), COALESCE(SUM(tokens_in), 0),
    COALESCE(SUM(tokens_out), 0), COALESCE(SUM(cost_usd), 0.0), (SELECT COUNT(*) FROM failures {where})
FROM spending {where}
"""


@dataclass(frozen=True)
class Paid:
    """What one request brought: samples `first` to `first + len(completions) - 1` of the request `key`.

    `costs_usd` is what each of them cost in dollars; empty where they cost nothing.
    """

    key: str
    completions: Sequence[Completion]
    first: int = 0
    costs_usd: Sequence[float] = ()


@dataclass(frozen=True)
class Failure:
    """A request that failed after all retries: sample `first` of `key` could not be had, nor those behind it."""

    key: str
    first: int
    stage: str
    engine: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """Plain sums over the completions of a ledger.

    A request counts for the stage that got its first completion; `failed` are requests that lack an answer still.
    """

    requests: int
    completions: int
    tokens_in: int
    tokens_out: int
    cost_usd: float
    failed: int = 0


class Ledger:
    """The ledger at `path`, made if it is not there.

    Raises:
        TeachableError: the file is no ledger, can't be written, or its disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._database = Database(self.path)
        self.reservations = Reservations(self._database)
        try:
            if not self._database.rows("SELECT 1 FROM sqlite_master WHERE name = 'paid'"):
                self._lay_out()
        except BaseException:
            self._database.close()
            raise

    def _lay_out(self) -> None:
        """Make the tables of a new file, or those that an older one lacks."""
        with self._database.transaction() as db:
            known = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if "paid" in known:  # another process came first
                return
            for statement in (_COMPLETIONS, _FAILURES, RESERVATIONS_TABLE, _SPENDING):
                db.execute(statement)
            if "completions" in known:
                db.execute("UPDATE completions SET n_prompt_tokens = 0 WHERE sample > 0")
                db.execute(_SUM_UP)
            db.execute(_ON_PAID)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up reservations and close the file; SQLite folds the write-ahead log back into it."""
        if self._database.closed:
            return
        try:
            self.reservations.close()
        finally:
            self._database.close()

    def get(self, key: str, n: int | None = None, first: int = 0) -> dict[int, Completion]:
        """The samples of a request that are there, by their index, in order.

        Args:
            key: of the request.
            n: how many samples from `first` on are wanted; None for all.
            first: index of the first sample that is wanted.
        """
        rows = self._database.rows(
            "SELECT sample, text, token_ids, token_logprobs, finish_reason, n_tokens, n_prompt_tokens "
            "FROM completions WHERE key = ? AND sample >= ? AND sample < ? ORDER BY sample",
            (key, first, sys.maxsize if n is None else first + n),
        )
        return {
            sample: Completion(
                text=text.decode("utf-8", "surrogatepass"),
                token_ids=_unpack_ids(ids),
                token_logprobs=None if logprobs is None else _unpack_floats(logprobs),
                finish_reason=reason,
                n_tokens=n_tokens,
                n_prompt_tokens=n_prompt_tokens,
            )
            for sample, text, ids, logprobs, reason, n_tokens, n_prompt_tokens in rows
        }

    def put_many(self, entries: Sequence[Paid], *, stage: str, engine: str) -> bool:
        """Write what several requests brought, all of it or (killed on the way) none of it.

        A sample that is there already stays as it is, and the second one's cost is not counted.

        Returns:
            whether all of it was new.
        """
        rows = [
            (
                entry.key,
                sample,
                stage,
                engine,
                completion.n_prompt_tokens,
                completion.n_tokens,
                completion.text.encode("utf-8", "surrogatepass"),
                _pack_ids(completion.token_ids),
                None if completion.token_logprobs is None else _pack_floats(completion.token_logprobs),
                completion.finish_reason,
                cost_usd,
            )
            for entry in entries
            for sample, (completion, cost_usd) in enumerate(
                zip(entry.completions, entry.costs_usd or [0.0] * len(entry.completions), strict=True), entry.first
            )
        ]
        with self._database.transaction() as db:
            return db.executemany(_PAY, rows).rowcount == len(rows)

    def fail(self, key: str, first: int, reason: str, *, stage: str, engine: str) -> None:
        """Record that sample `first` of a request could not be had; gone as soon as it is there after all."""
        with self._database.transaction() as db:
            db.execute(_FAIL, (key, first, stage, engine, _printable(reason)[:MAX_REASON]))

    def failures(self, stage: str | None = None) -> list[Failure]:
        """The requests of all stages, or of one, that lack an answer still, by key."""
        where, values = _of(stage)
        query = f"SELECT key, first, stage, engine, reason FROM failures {where} ORDER BY key, first"
        return [Failure(*row) for row in self._database.rows(query, values)]

    def totals(self, stage: str | None = None) -> Totals:
        """What all stages, or one of them, have spent, other processes' completions included."""
        where, values = _of(stage)
        [row] = self._database.rows(_TOTALS.format(where=where), values * 2)
        return Totals(*row)


def _of(stage: str | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if stage is None else ("WHERE stage = ?", (stage,))


def _printable(text: str) -> str:
    """Text that SQLite takes: what no character stands for becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


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
    return tuple(map(int, _unpack(raw)))


def _pack_floats(values: Sequence[float]) -> bytes:
    narrow = array("f", values)
    return _pack(narrow if narrow.tolist() == list(values) else array("d", values))


def _unpack_floats(raw: bytes) -> tuple[float, ...]:
    return tuple(_unpack(raw))
