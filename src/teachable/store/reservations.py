"""What requests in flight may still cost, so that several processes keep one limit between them.

Before a request is sent, the most that it may use is set aside in the ledger's file, in the transaction that looks at
what was spent; when it is answered, that is given up again. What is spent and what is set aside together never exceed
a limit, whoever writes.

A process that is killed leaves its reservation behind. Each holds an advisory lock (`flock`) on a small file beside
the ledger, which the kernel drops when the process dies: a reservation whose file is not locked counts for nothing.
What the killed process's requests really cost is known to nobody.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from teachable.store.database import Database
from teachable.store.files import mending

# Money is a sum of many small binary fractions: this much of a limit is their noise.
ROUNDING = 1e-9

RESERVATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS reservations (
    owner TEXT PRIMARY KEY,
    n_requests INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost_usd REAL NOT NULL
)
"""

_SPENT = "SELECT COALESCE(SUM(tokens_out), 0), COALESCE(SUM(cost_usd), 0.0) FROM spending"
_OTHERS = "SELECT owner, n_requests, tokens_out, cost_usd FROM reservations WHERE owner <> ?"


@dataclass(frozen=True)
class Need:
    """What a request uses, or may use at most: sampled tokens, and money for those and for the prompt's."""

    tokens_out: int
    cost_usd: float

    def __add__(self, other: Need) -> Need:
        return Need(self.tokens_out + other.tokens_out, self.cost_usd + other.cost_usd)


@dataclass(frozen=True)
class Admission:
    """How many of the asked requests may be sent, what is spent, and how many requests others have in flight."""

    n_admitted: int
    spent: Need
    n_elsewhere: int


class Reservations:
    """The reservations of one opened ledger, and its view of everybody else's. Not for several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = secrets.token_hex(8)
        self._life: int | None = None  # the handle of the locked file
        self._n_held = 0
        self._held = Need(0, 0.0)
        self._has_row = False

    @property
    def closed(self) -> bool:
        """The ledger was closed, and nothing is set aside any more."""
        return self._database.closed

    def admit(self, needs: Sequence[Need], *, max_tokens: int | None, max_cost_usd: float | None) -> Admission:
        """Set aside what the first of `needs` may use, up to the first that does not fit.

        Args:
            needs: the most that each request may use, in the order in which they are to be admitted. With none,
                others get to see what was settled.
            max_tokens: sampled tokens that the whole ledger may hold, or None.
            max_cost_usd: dollars that the whole ledger may have cost, or None.

        Raises:
            TeachableError: the ledger can't be written; nothing is set aside then.
        """
        first = self._life is None
        if first:
            self._begin_life()
        with self._database.transaction() as db:
            spent = Need(*db.execute(_SPENT).fetchone())
            others = [(owner, n, Need(*need)) for owner, n, *need in db.execute(_OTHERS, (self._owner,))]
            n = self._n_fitting(needs, spent, others, max_tokens, max_cost_usd)
            if others and (first or n < len(needs)):
                dead = [owner for owner, _, _ in others if not self._lives(owner)]
                db.executemany("DELETE FROM reservations WHERE owner = ?", [(owner,) for owner in dead])
                others = [other for other in others if other[0] not in dead]
                n = self._n_fitting(needs, spent, others, max_tokens, max_cost_usd)
            n_held, held = self._n_held + n, sum(needs[:n], self._held)
            if n_held:
                row = (self._owner, n_held, held.tokens_out, held.cost_usd)
                db.execute("INSERT OR REPLACE INTO reservations VALUES (?,?,?,?)", row)
            elif self._has_row:
                db.execute("DELETE FROM reservations WHERE owner = ?", (self._owner,))
        self._n_held, self._held, self._has_row = n_held, held, n_held > 0
        return Admission(n, spent, sum(n_requests for _, n_requests, _ in others))

    def settle(self, need: Need) -> None:
        """An admitted request has ended, and what it cost is in the ledger. Others see it at the next `admit`."""
        self._n_held -= 1
        rest = Need(self._held.tokens_out - need.tokens_out, self._held.cost_usd - need.cost_usd)
        self._held = rest if self._n_held else Need(0, 0.0)

    def close(self) -> None:
        """Give up everything; the ledger is still open."""
        if self._life is None:
            return
        with self._database.transaction() as db:
            db.execute("DELETE FROM reservations WHERE owner = ?", (self._owner,))
        self._life_of(self._owner).unlink(missing_ok=True)
        os.close(self._life)
        self._life = None

    def _n_fitting(
        self,
        needs: Sequence[Need],
        spent: Need,
        others: Sequence[tuple[str, int, Need]],
        max_tokens: int | None,
        max_cost_usd: float | None,
    ) -> int:
        """How many of `needs`, from the first on, fit under the limits."""
        used = sum((need for _, _, need in others), spent + self._held)
        for index, need in enumerate(needs):
            used += need
            if max_tokens is not None and used.tokens_out > max_tokens:
                return index
            if max_cost_usd is not None and used.cost_usd > max_cost_usd * (1 + ROUNDING):
                return index
        return len(needs)

    def _life_of(self, owner: str) -> Path:
        """The owner's file, named as an unfinished one is: a run folder sweeps those up too."""
        path = self._database.path
        return path.with_name(f".{path.name}.{owner}.tmp")

    def _begin_life(self) -> None:
        """Lock a file of our own, after sweeping up those of the dead."""
        path = self._life_of(self._owner)
        for other in path.parent.glob(f".{escape(self._database.path.name)}.*.tmp"):
            self._lives(other.name.split(".")[-2])
        with mending(path):
            while self._life is None:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if path.exists():
                    self._life = handle
                else:  # swept up by another process before it was locked
                    os.close(handle)

    def _lives(self, owner: str) -> bool:
        """Whether a process holds the owner's file; one that nobody holds is removed."""
        path = self._life_of(owner)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)  # while we hold it, so that nobody locks it in vain
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
