"""Completions are kept once, come back exactly, and survive several writers and a kill; sums are never wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.records import Completion
from teachable.store.ledger import MAX_REASON, Failure, Ledger, Paid, Totals

ONE = Completion("4", (7, 300, 70_000), (-0.1, -2.0, float("-inf")), "stop", n_prompt_tokens=5)
TWO = Completion("", (), None, "length")
COUNTED = Completion("a server that counts", (), None, "stop", n_tokens=6, n_prompt_tokens=11)

COMPLETIONS = st.builds(
    Completion,
    text=st.text(max_size=20),
    token_ids=st.lists(st.integers(0, 2**31 - 1), max_size=20).map(tuple),
    token_logprobs=st.none() | st.lists(st.floats(max_value=0, allow_nan=False), max_size=20).map(tuple),
    finish_reason=st.sampled_from(["stop", "length"]),
    n_tokens=st.integers(-1, 10_000),
    n_prompt_tokens=st.integers(0, 10_000),
)
KEYS = st.text("0123456789abcdef", min_size=1, max_size=2)
PAID = st.builds(
    lambda key, first, rows: Paid(key, [row for row, _ in rows], first, [cost for _, cost in rows]),
    KEYS,
    st.integers(0, 6),
    st.lists(st.tuples(COMPLETIONS, st.floats(0, 1)), min_size=1, max_size=4),
)
EVENTS = st.lists(st.tuples(st.sampled_from(["probe", "evaluate"]), PAID, st.booleans()), max_size=12)


def put(ledger: Ledger, key: str, completions: list[Completion], first: int = 0, stage: str = "s") -> None:
    ledger.put_many([Paid(key, completions, first)], stage=stage, engine="e")


@settings(max_examples=100, deadline=None)
@given(events=EVENTS)
def test_it_is_a_dictionary_whose_sums_are_plain(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, Paid, bool]]
) -> None:
    """Against a model in memory: what comes back, what is summed up, and which failures are left."""
    model: dict[tuple[str, int], tuple[str, Completion, float]] = {}
    failed: dict[tuple[str, int], str] = {}
    requests: dict[str, str] = {}
    with Ledger(tmp_path_factory.mktemp("ledger") / "l.sqlite") as ledger:
        for stage, paid, fails in events:
            if fails:
                ledger.fail(paid.key, paid.first, "because", stage=stage, engine="e")
                if (paid.key, paid.first) not in model:
                    failed[paid.key, paid.first] = stage
                continue
            ledger.put_many([paid], stage=stage, engine="e")
            requests.setdefault(paid.key, stage)
            for sample, row in enumerate(zip(paid.completions, paid.costs_usd, strict=True), paid.first):
                model.setdefault((paid.key, sample), (stage, *row))
                failed.pop((paid.key, sample), None)
        for key in {key for key, _ in model}:
            kept = ledger.get(key)
            assert kept == {sample: row[1] for (k, sample), row in model.items() if k == key}
            assert list(kept) == sorted(kept)
            assert ledger.get(key, 3, 2) == {sample: kept[sample] for sample in (2, 3, 4) if sample in kept}
        assert {(f.key, f.first): f.stage for f in ledger.failures()} == failed
        for stage in ("probe", "evaluate", None):
            rows = [row for row in model.values() if stage in (None, row[0])]
            totals = ledger.totals(stage)
            assert replace(totals, cost_usd=0) == Totals(
                requests=sum(stage in (None, one) for one in requests.values()),
                completions=len(rows),
                tokens_in=sum(row[1].n_prompt_tokens for row in rows),
                tokens_out=sum(row[1].n_tokens for row in rows),
                cost_usd=0,
                failed=sum(stage in (None, one) for one in failed.values()),
            )
            assert totals.cost_usd == pytest.approx(sum(row[2] for row in rows))


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.get("k") == {}
        assert ledger.totals() == ledger.totals("probe") == Totals(0, 0, 0, 0, 0.0)
        assert ledger.failures() == []


def test_a_request_may_be_partly_answered(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        put(ledger, "k", [ONE, TWO, ONE])
        put(ledger, "k", [COUNTED], first=5)
        assert ledger.get("k") == {0: ONE, 1: TWO, 2: ONE, 5: COUNTED}
        assert ledger.get("k", n=4, first=2) == {2: ONE, 5: COUNTED}
        assert ledger.get("k", first=3) == {5: COUNTED}
        assert ledger.totals().requests == 1


def test_duplicates_never_double_and_the_first_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        put(ledger, "k", [ONE])
        put(ledger, "k", [TWO, TWO])
        assert ledger.get("k") == {0: ONE, 1: TWO}
        assert ledger.totals() == Totals(1, 2, 5, 3, 0.0)


def test_totals_are_sums_over_the_stages_own_completions(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put_many([Paid("a", [ONE, TWO], 0, [0.5, 0.25]), Paid("b", [COUNTED])], stage="probe", engine="e")
        ledger.put_many([Paid("a", [ONE], 2, [0.125])], stage="evaluate", engine="e")
        assert ledger.totals("probe") == Totals(requests=2, completions=3, tokens_in=16, tokens_out=9, cost_usd=0.75)
        assert ledger.totals("evaluate") == Totals(0, 1, 5, 3, 0.125)
        assert ledger.totals() == Totals(2, 4, 21, 12, 0.875)


def test_costs_and_completions_must_match(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger, pytest.raises(ValueError, match="zip"):
        ledger.put_many([Paid("a", [ONE, TWO], 0, [0.5])], stage="s", engine="e")


def test_a_failure_stays_until_its_sample_is_there(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        put(ledger, "k", [ONE])
        for reason in ("timed out", "refused"):
            ledger.fail("k", 1, reason, stage="probe", engine="e")
        ledger.fail("other", 0, "x" * 5000 + "\ud800", stage="evaluate", engine="e")
        ledger.fail("k", 0, "too late: it is there", stage="probe", engine="e")
        assert ledger.failures("probe") == [Failure("k", 1, "probe", "e", "refused")]
        assert (ledger.totals("probe").failed, ledger.totals().failed) == (1, 2)
        assert len(ledger.failures("evaluate")[0].reason) == MAX_REASON
        put(ledger, "k", [ONE], first=2)
        assert ledger.totals("probe").failed == 1
        put(ledger, "k", [ONE], first=1)
        assert ledger.failures("probe") == []


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        broken = Paid("b", [Completion("x", (1,), None, None)])  # type: ignore[arg-type]
        with pytest.raises(sqlite3.IntegrityError):
            ledger.put_many([Paid("a", [ONE]), broken], stage="s", engine="e")
        assert ledger.get("a") == {}
        assert ledger.totals() == Totals(0, 0, 0, 0, 0.0)
        put(ledger, "c", [ONE])
        assert ledger.totals().completions == 1


def test_it_is_still_there_after_closing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        put(ledger, "k", [ONE, TWO])
        ledger.fail("k", 2, "timed out", stage="s", engine="e")
    ledger.close()  # a second time, which does nothing
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.get("k") == {0: ONE, 1: TWO}
        assert ledger.totals() == Totals(1, 2, 5, 3, 0.0, failed=1)


OLDER_LAYOUT = """
CREATE TABLE completions (
    key TEXT NOT NULL, sample INTEGER NOT NULL, stage TEXT NOT NULL, engine TEXT NOT NULL,
    n_prompt_tokens INTEGER NOT NULL, n_tokens INTEGER NOT NULL, text BLOB NOT NULL, token_ids BLOB NOT NULL,
    token_logprobs BLOB, finish_reason TEXT NOT NULL, cost_usd REAL NOT NULL, PRIMARY KEY (key, sample)
) WITHOUT ROWID
"""


def older(path: Path, requests: Mapping[str, str], n_samples: int) -> None:
    """A file as the version before `spending` wrote it: prompt tokens on every sample, the cost shared evenly."""
    db = sqlite3.connect(path)
    db.execute(OLDER_LAYOUT)
    for key, stage in requests.items():
        for sample in range(n_samples):
            row = (key, sample, stage, "e", 12, 1, f"{sample}".encode(), b"B" + bytes([sample]), None, "stop", 0.25)
            db.execute("INSERT INTO completions VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)
    db.commit()
    db.close()


def test_a_file_of_the_older_layout_serves(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    older(path, {"a": "probe", "b": "probe", "c": "evaluate"}, n_samples=4)
    for _ in range(2):  # the second time it is no longer older
        with Ledger(path) as ledger:
            assert ledger.totals("probe") == Totals(requests=2, completions=8, tokens_in=24, tokens_out=8, cost_usd=2.0)
            assert ledger.totals() == Totals(3, 12, 36, 12, 3.0)
            assert [c.text for c in ledger.get("a").values()] == ["0", "1", "2", "3"]
            assert [c.n_prompt_tokens for c in ledger.get("a").values()] == [12, 0, 0, 0]
    with Ledger(path) as ledger:
        put(ledger, "a", [ONE] * 2, first=3, stage="evaluate")
        assert ledger.totals() == Totals(3, 13, 41, 15, 3.0)


def test_several_may_bring_an_older_file_up_to_date_at_once(tmp_path: Path) -> None:
    for attempt in range(10):
        path, together = tmp_path / f"{attempt}.sqlite", threading.Barrier(4)
        older(path, {"a": "probe", "b": "probe"}, n_samples=3)

        def work(key: int, path: Path = path, together: threading.Barrier = together) -> None:
            together.wait()
            with Ledger(path) as ledger:
                put(ledger, f"{key}", [ONE])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        with Ledger(path) as ledger:
            assert ledger.totals() == Totals(6, 10, 24 + 20, 6 + 12, 1.5)


def test_threads_may_share_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: put(ledger, f"{i % 50}", [ONE]), range(200)))
        assert ledger.totals() == Totals(50, 50, 250, 150, 0.0)


def test_several_may_make_it_at_the_same_moment(tmp_path: Path) -> None:
    """As the workers of a first stage do: SQLite refuses all but one of them, and they have to ask again."""
    for attempt in range(20):
        path, together = tmp_path / f"{attempt}.sqlite", threading.Barrier(4)

        def make(key: int, path: Path = path, together: threading.Barrier = together) -> None:
            together.wait()
            with Ledger(path) as ledger:
                put(ledger, f"{key}", [ONE])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(make, range(4)))
        with Ledger(path) as ledger:
            assert ledger.totals().completions == 4


WRITER = """
import sys
from pathlib import Path
from teachable.records import Completion
from teachable.store.ledger import Ledger, Paid
start, stop = int(sys.argv[2]), int(sys.argv[3])
with Ledger(Path(sys.argv[1])) as ledger:
    for i in range(start, stop):
        done = [Completion(f"{i}", (i,), None, "stop", n_prompt_tokens=3)] * 2
        entries = [Paid(f"k{i}", done, 0, [0.25, 0.5]), Paid(f"x{i}", done, 4, [0.25, 0.5])]
        ledger.put_many(entries, stage=f"s{i % 3}", engine="e")
        print(i, flush=True)
"""


def writer(path: Path, start: int, stop: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(start), str(stop)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_may_write_at_once(tmp_path: Path) -> None:
    """Half of what each writes another writes too; sums seen by one that has the ledger open never fall behind."""
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        writers = [writer(path, start, start + 120) for start in (0, 60, 120, 180)]
        seen = [ledger.totals()]
        while any(one.poll() is None for one in writers):
            totals = ledger.totals()
            assert totals.completions >= seen[-1].completions
            assert totals == counted(totals.completions)
            seen.append(totals)
            time.sleep(0.01)
        assert [one.wait() for one in writers] == [0] * 4
        assert ledger.totals() == counted(300 * 4)
        assert [ledger.totals(f"s{i}") for i in range(3)] == [counted(100 * 4)] * 3
        done = Completion("299", (299,), None, "stop", n_prompt_tokens=3)
        assert (ledger.get("k299"), ledger.get("x299")) == ({0: done, 1: done}, {4: done, 5: done})
    for one in writers:
        one.communicate()


def counted(n: int) -> Totals:
    """The totals of n completions of `WRITER`, two a request."""
    return Totals(n // 2, n, 3 * n, n, 0.375 * n)


def test_a_killed_writer_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    killed = writer(path, 0, 1_000_000)
    assert killed.stdout is not None
    killed.stdout.readline()
    time.sleep(0.3)
    os.kill(killed.pid, signal.SIGKILL)
    said = [int(line) for line in killed.communicate(timeout=30)[0].splitlines() if line.strip()]
    assert said
    with Ledger(path) as ledger:
        assert all(ledger.get(f"k{i}") and ledger.get(f"x{i}") for i in range(said[-1] + 1))
        totals = ledger.totals()
        assert totals.completions >= 4 * (said[-1] + 1)
        assert totals == counted(totals.completions)


def test_asking_for_totals_costs_nothing(tmp_path: Path) -> None:
    """They are asked before every request: they must not grow with the ledger."""
    with Ledger(tmp_path / "l.sqlite") as ledger:
        for start in range(0, 60_000, 5000):
            entries = [Paid(f"{i}", [ONE, TWO]) for i in range(start, start + 5000)]
            ledger.put_many(entries, stage="s", engine="e")
        begun = time.perf_counter()
        for _ in range(200):
            assert ledger.totals().completions == 120_000
        assert time.perf_counter() - begun < 0.2  # a scan of the rows takes longer than this for two of them


def test_a_file_that_is_no_ledger_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "l.sqlite").write_bytes(b"this is a letter to my aunt, of more than one hundred bytes " * 20)
    with pytest.raises(TeachableError, match=r"no ledger that can be read.*Move the file away"):
        Ledger(tmp_path / "l.sqlite")
