"""Completions are kept once, come back exactly, and survive several writers and a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.records import Completion
from teachable.store.ledger import Ledger, Paid, Totals

ONE = Completion("4", (7, 300, 70_000), (-0.1, -2.0, float("-inf")), "stop")
TWO = Completion("", (), None, "length")

COMPLETIONS = st.builds(
    Completion,
    text=st.text(max_size=20),
    token_ids=st.lists(st.integers(0, 2**31 - 1), max_size=20).map(tuple),
    token_logprobs=st.none() | st.lists(st.floats(max_value=0, allow_nan=False), max_size=20).map(tuple),
    finish_reason=st.sampled_from(["stop", "length"]),
)


@settings(max_examples=80, deadline=None)
@given(
    entries=st.dictionaries(st.text(min_size=1, max_size=8), st.lists(COMPLETIONS, min_size=1, max_size=4), max_size=4)
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, list[Completion]]) -> None:
    with Ledger(tmp_path_factory.mktemp("ledger") / "l.sqlite") as ledger:
        try:
            ledger.put_many([Paid(k, v, 3) for k, v in entries.items()], stage="probe", engine="e")
        except UnicodeEncodeError:  # a key with a lone surrogate; real keys are hexadecimal
            return
        for key, completions in entries.items():
            assert ledger.get(key) == completions


def test_an_unknown_request_is_none(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.get("k") is None


def test_duplicates_never_double_and_the_first_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put("k", [ONE], stage="probe", engine="e", n_prompt_tokens=5)
        ledger.put("k", [TWO, TWO], stage="probe", engine="e", n_prompt_tokens=5)
        assert ledger.get("k") == [ONE, TWO]
        assert ledger.totals().completions == 2


def test_totals_count_a_prompt_once_a_request(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put_many([Paid("a", [ONE, TWO], 5, cost_usd=0.5), Paid("b", [ONE], 7)], stage="probe", engine="e")
        ledger.put("c", [ONE], stage="evaluate", engine="e", n_prompt_tokens=2)
        assert ledger.totals("probe") == Totals(requests=2, completions=3, tokens_in=12, tokens_out=6, cost_usd=0.5)
        assert ledger.totals() == Totals(requests=3, completions=4, tokens_in=14, tokens_out=9, cost_usd=0.5)
        assert ledger.totals("select") == Totals(0, 0, 0, 0, 0.0)


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        broken = Paid("b", [Completion("x", (1,), None, None)], 1)  # type: ignore[arg-type]
        with pytest.raises(sqlite3.IntegrityError):
            ledger.put_many([Paid("a", [ONE], 1), broken], stage="s", engine="e")
        assert ledger.get("a") is None
        ledger.put("c", [ONE], stage="s", engine="e", n_prompt_tokens=1)
        assert ledger.totals().completions == 1


def test_it_is_still_there_after_closing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put("k", [ONE, TWO], stage="s", engine="e", n_prompt_tokens=1)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.get("k") == [ONE, TWO]


def test_threads_may_share_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ledger.put(f"{i % 50}", [ONE], stage="s", engine="e", n_prompt_tokens=1), range(200)))
        assert ledger.totals().completions == 50


def test_several_may_make_it_at_the_same_moment(tmp_path: Path) -> None:
    """As the workers of a first stage do: SQLite refuses all but one of them, and they have to ask again."""
    for attempt in range(20):
        path, together = tmp_path / f"{attempt}.sqlite", threading.Barrier(4)

        def make(key: int, path: Path = path, together: threading.Barrier = together) -> None:
            together.wait()
            with Ledger(path) as ledger:
                ledger.put(f"{key}", [ONE], stage="s", engine="e", n_prompt_tokens=1)

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
        done = [Completion(f"{i}", (i,), None, "stop")] * 2
        ledger.put_many([Paid(f"k{i}", done, 1), Paid(f"x{i}", done, 1)], stage="s", engine="e")
        print(i, flush=True)
"""


def writer(path: Path, start: int, stop: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(start), str(stop)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    writers = [writer(path, start, start + 120) for start in (0, 60, 120, 180)]
    for one in writers:
        one.communicate(timeout=60)
        assert one.returncode == 0
    with Ledger(path) as ledger:
        assert ledger.totals().completions == 300 * 4
        assert ledger.get("k299") == [Completion("299", (299,), None, "stop")] * 2


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
        assert totals.completions == 2 * totals.requests


def test_a_file_that_is_no_ledger_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "l.sqlite").write_bytes(b"this is a letter to my aunt, of more than one hundred bytes " * 20)
    with pytest.raises(TeachableError, match=r"no ledger that can be read.*Move the file away"):
        Ledger(tmp_path / "l.sqlite")
