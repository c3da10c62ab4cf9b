"""What is set aside counts for everybody, and for nobody once its owner is dead."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.records import Completion
from teachable.store.ledger import Ledger, Paid
from teachable.store.reservations import Admission, Need

TEN = Need(10, 0.1)


def admit(ledger: Ledger, *needs: Need, tokens: int | None = 100, usd: float | None = None) -> Admission:
    return ledger.reservations.admit(needs, max_tokens=tokens, max_cost_usd=usd)


def pay(ledger: Ledger, n_tokens: int, cost_usd: float = 0.0) -> None:
    completion = Completion("x", (), None, "stop", n_tokens=n_tokens)
    paid = Paid(f"{ledger.totals().completions}", [completion], 0, [cost_usd])
    ledger.put_many([paid], stage="s", engine="e")


def test_what_fits_is_admitted_in_order(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        pay(ledger, 60)
        assert admit(ledger, TEN, Need(31, 0), TEN) == Admission(1, Need(60, 0), 0)
        assert admit(ledger, Need(30, 0), Need(0, 9), Need(1, 0)).n_admitted == 2
        ledger.reservations.settle(TEN)
        assert admit(ledger, TEN).n_admitted == 1
        assert admit(ledger, Need(1, 0)).n_admitted == 0
        assert admit(ledger, Need(1, 0), tokens=None).n_admitted == 1


def test_money_has_a_limit_of_its_own(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        pay(ledger, 1, 0.1)
        assert admit(ledger, TEN, TEN, TEN, usd=0.3).n_admitted == 2  # 0.1 + 0.1 + 0.1 is more than 0.3 in binary
        assert admit(ledger, Need(1, 1e-6), usd=0.3).n_admitted == 0


def test_others_are_seen(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as one, Ledger(tmp_path / "l.sqlite") as other:
        assert admit(one, *[TEN] * 7).n_admitted == 7
        assert admit(other, *[TEN] * 7) == Admission(3, Need(0, 0), 7)
        one.reservations.settle(TEN)
        assert admit(other, TEN).n_admitted == 0  # nobody has told yet
        assert admit(one).n_elsewhere == 3
        assert admit(other, TEN).n_admitted == 1
        one.close()
        assert admit(other, *[TEN] * 7) == Admission(6, Need(0, 0), 0)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as one, Ledger(tmp_path / "l.sqlite") as other:
        admit(one, TEN)
        admit(other, TEN)
        assert len(list(tmp_path.glob(".*.tmp"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["l.sqlite"]


def test_without_limits_nothing_is_made(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        pay(ledger, 60)
        assert list(tmp_path.glob(".*.tmp")) == []


HOLDER = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from teachable.store.ledger import Ledger
from teachable.store.reservations import Need
ledger = Ledger(Path(sys.argv[1]))
print(ledger.reservations.admit([Need(90, 0.0)] * 2, max_tokens=100, max_cost_usd=None), flush=True)
sys.stdin.read()
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    pipe = subprocess.PIPE
    with (
        Ledger(path) as ledger,
        subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=pipe, stdout=pipe, text=True) as holder,
    ):
        assert holder.stdout is not None
        assert "n_admitted=1" in holder.stdout.readline()
        assert admit(ledger, TEN, TEN) == Admission(1, Need(0, 0.0), 1)
        holder.kill()
        holder.wait(timeout=30)
        assert admit(ledger, TEN, TEN) == Admission(2, Need(0, 0.0), 0)
        assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["l.sqlite"]


def test_what_a_killed_process_left_is_swept_up_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        admit(ledger, TEN)  # still alive when the others begin
        (tmp_path / ".l.sqlite.0123456789abcdef.tmp").touch()
        (tmp_path / ".other.sqlite.0123456789abcdef.tmp").touch()
        with Ledger(path) as next_one:
            assert admit(next_one, TEN).n_elsewhere == 1
            assert len(list(tmp_path.glob(".*.tmp"))) == 3
    assert [path.name for path in tmp_path.glob(".*")] == [".other.sqlite.0123456789abcdef.tmp"]


def test_those_who_begin_at_once_do_not_sweep_each_other_up(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    for _ in range(15):
        together = threading.Barrier(4)

        def hold(_: int, together: threading.Barrier = together) -> int:
            with Ledger(path) as ledger:
                together.wait()
                admit(ledger, TEN)
                together.wait()
                seen = admit(ledger, Need(10**9, 0)).n_elsewhere
                together.wait()
                return seen

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(hold, range(4))) == [3] * 4


def test_an_error_sets_nothing_aside(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger, Ledger(tmp_path / "l.sqlite") as other:
        admit(ledger, TEN)
        ledger._database.rows("PRAGMA query_only = 1")  # as on a disk that was remounted read-only
        with pytest.raises(TeachableError, match="can't be opened for writing"):
            admit(ledger, TEN)
        ledger._database.rows("PRAGMA query_only = 0")
        assert admit(ledger, *[TEN] * 20).n_admitted == 9
        assert admit(other, TEN).n_elsewhere == 10
