"""A file of attempts verified in a folder: verdicts, counts, resuming, the judge, and what is refused beforehand."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.engines.faulty import FaultyServer
from tests.recipe.watch import Watch
from tests.verify.judging.planted import sealed, shown_in

from teachable.engines.config import EngineConfig
from teachable.errors import EXIT_LIMIT_REACHED, Stopped, TeachableError
from teachable.recipe.journal import Journal
from teachable.recipe.spec import SpendingLimits
from teachable.recipe.verdicts import label_of
from teachable.recipe.verification import Verified, VerifyOptions, verify_file
from teachable.records import Verdict
from teachable.store.files import read_json, read_rows, write_rows
from teachable.store.ledger import Ledger

ROWS: list[dict[str, Any]] = [
    {"attempt": "So it is 5.\nAnswer: 5", "answer": "5", "note": "a"},
    {"attempt": "Answer: 6", "answer": "5", "note": "b"},
    {"attempt": "Answer: Yes", "answer": "yes", "verifier": "exact", "note": "c"},
    {"attempt": "Answer: 5", "answer": None, "note": "d"},
    {"attempt": None, "answer": "5", "note": "e"},
]


def answers(folder: Path, rows: list[dict[str, Any]], name: str = "answers.jsonl") -> Path:
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_rows(path, rows)
    return path


def verified(
    path: Path, out: Path, options: VerifyOptions | None = None, limits: SpendingLimits | None = None
) -> Verified:
    return verify_file(path, out, options or VerifyOptions(), watcher=Watch(), limits=limits)


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.parquet"])
def test_verdicts_stand_beside_the_columns_in_the_order_of_the_rows(tmp_path: Path, name: str) -> None:
    done = verified(answers(tmp_path, ROWS, name), tmp_path / "o")
    rows = read_rows(tmp_path / "o/verdicts.parquet")
    assert [row["note"] for row in rows] == list("abcde")
    assert [row["correct"] for row in rows] == [True, False, True, None, None]
    assert [row["verifier"] for row in rows] == ["math", "math", "exact", "math", "math"]
    assert [row["extracted"] for row in rows][:3] == ["5", "6", "Yes"]
    assert all(row["reason"] and row["id"] for row in rows)
    assert next(iter(rows[0])) == "id"
    stats = done.stats
    assert (stats["rows"], stats["right"], stats["wrong"], stats["undecided"]) == (5, 2, 1, 2)
    assert stats["accuracy"] == pytest.approx(2 / 3) and stats["frac_undecided"] == 0.4
    assert 0 < stats["accuracy_low"] < 2 / 3 < stats["accuracy_high"] < 1
    assert {name: counts["rows"] for name, counts in stats["verifiers"].items()} == {"math": 4, "exact": 1}
    assert {one["rows"] for one in stats["reasons"]} >= {1} and stats["complete"] is True
    assert read_json(tmp_path / "o/stats.json") == stats


def test_the_columns_keep_their_types_and_their_names(tmp_path: Path) -> None:
    table = pa.table(
        {
            "attempt": ["5"],
            "answer": pa.array([5], pa.int16()),
            "correct": ["what I thought"],
            "when": pa.array([0], pa.timestamp("s")),
            "turns": [[{"role": "user", "content": "2+3?"}]],
        }
    )
    pq.write_table(table, tmp_path / "answers.parquet")
    verified(tmp_path / "answers.parquet", tmp_path / "o")
    found = pq.read_schema(tmp_path / "o/verdicts.parquet")
    assert (found.field("answer").type, found.field("turns").type) == (pa.int16(), table.schema.field("turns").type)
    assert pa.types.is_timestamp(found.field("when").type)
    row = read_rows(tmp_path / "o/verdicts.parquet")[0]
    assert (row["given_correct"], row["correct"]) == ("what I thought", True)


def test_a_column_of_all_sorts_becomes_text(tmp_path: Path) -> None:
    rows = [{"attempt": "5", "answer": value, "x": value} for value in ("5", 5, 2**70, {"a": [1]}, None)]
    verified(answers(tmp_path, rows), tmp_path / "o")
    found = read_rows(tmp_path / "o/verdicts.parquet")
    assert [row["x"] for row in found] == ["5", "5", str(2**70), '{"a": [1]}', None]
    assert [row["correct"] for row in found] == [True, True, False, None, None]
    assert found[3]["reason"] == "the answer is a dict"


def test_the_same_again_is_not_done_again_and_another_flag_is(tmp_path: Path) -> None:
    path, out = answers(tmp_path, ROWS), tmp_path / "o"
    assert not verified(path, out).up_to_date
    before = {file: file.stat().st_mtime_ns for file in out.iterdir() if file.name != ".lock"}
    watch = Watch()
    again = verify_file(path, out, VerifyOptions(), watcher=watch)
    assert again.up_to_date and watch.seen == [] and again.stats["rows"] == 5
    assert {file: file.stat().st_mtime_ns for file in before} == before
    other = verified(path, out, VerifyOptions(fold_case=False))
    assert not other.up_to_date
    assert [row["correct"] for row in read_rows(out / "verdicts.parquet")] == [True, False, False, None, None]
    # What the flag does not concern was taken from the journal.
    assert other.stats["rows_reused"] == 3


def test_a_file_that_grew_has_only_its_new_rows_verified(tmp_path: Path) -> None:
    path, out = answers(tmp_path, ROWS), tmp_path / "o"
    verified(path, out)
    grown = verified(answers(tmp_path, [{"attempt": "Answer: 7", "answer": "7", "note": "z"}, *ROWS]), out)
    assert (grown.stats["rows"], grown.stats["rows_reused"], grown.stats["right"]) == (6, 4, 3)


def test_a_damaged_folder_is_done_again(tmp_path: Path) -> None:
    path, out = answers(tmp_path, ROWS), tmp_path / "o"
    verified(path, out)
    whole = (out / "verdicts.parquet").read_bytes()
    (out / "verdicts.parquet").unlink()
    assert not verified(path, out).up_to_date
    assert (out / "verdicts.parquet").read_bytes() == whole


def test_rows_that_say_the_same_are_decided_once(tmp_path: Path) -> None:
    done = verified(answers(tmp_path, [ROWS[0] | {"note": str(i)} for i in range(50)]), tmp_path / "o")
    assert (done.stats["rows"], done.stats["right"]) == (50, 50)
    assert len((tmp_path / "o/journal.jsonl").read_text().splitlines()) == 1


def test_the_journal_passes_over_what_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    verdict = Verdict(True, "5", "equal", 0.5)
    with Journal(path) as journal:
        journal.put("a", verdict, 0.25)
        journal.put("b", verdict, 0.25)
    whole = path.read_bytes()
    for n in range(1, 40):
        path.write_bytes(whole[:-n])
        with Journal(path) as journal:
            assert journal.get("a") == (verdict, 0.25) and journal.get("b") is None
            journal.put("c", verdict, 0.0)
        with Journal(path) as journal:
            assert journal.get("a") and journal.get("c") and not journal.get("b")
    path.write_bytes(b"[]\nno json\n" + whole)
    with Journal(path) as journal:
        assert journal.get("b") == (verdict, 0.25)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"verifier": "maths"}, "--verifier: there is no verifier called 'maths'. The nearest name is 'math'"),
        ({"verifier": "judge"}, "row 1: this row is for the judge, which has no engine. Name it with --engine"),
        ({"verifier": "graded"}, "row 1: this row is for the judge, which has no engine. Name it with --engine"),
        ({"calibrate": True}, "--calibrate: there is no engine"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    tmp_path: Path, options: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(TeachableError, match=re.escape(sentence)):
        verified(answers(tmp_path, ROWS), tmp_path / "o", VerifyOptions(**options))
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_number_out_of_its_range_is_refused(value: float) -> None:
    with pytest.raises(TeachableError, match="--tolerance"):
        VerifyOptions(tolerance=value)
    with pytest.raises(TeachableError, match="--time-limit"):
        VerifyOptions(limit_s=value)
    with pytest.raises(TeachableError, match="--votes"):
        VerifyOptions(votes=0)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    path = answers(tmp_path, ROWS)
    with pytest.raises(TeachableError, match="not empty and holds no run"):
        verified(path, tmp_path)
    with pytest.raises(TeachableError, match="the output folder is a file"):
        verified(path, path)


@pytest.mark.parametrize(
    ("value", "label"),
    [(True, True), ("Right", True), (1, True), (0.0, False), ("incorrect", False), (None, None), (" ", None)],
)
def test_what_a_label_says(value: Any, label: bool | None) -> None:
    assert label_of(value) is label


# ---- the judge ----

QUESTION = {"question": "2+3?"}
JUDGED = [
    {"attempt": f"It is {i % 5 + 3}.\nAnswer: {i % 5 + 3}", "answer": "5", "question": f"number {i}: 2+3?"}
    for i in range(20)
]  # every fifth is right


def reply(body: dict[str, Any], luck: random.Random) -> str:
    """What a judge says that finds an attempt right when it ends in 5, and also when it ends in 6."""
    text = body["messages"][-1]["content"]
    seal = re.findall(r'"seal": "([0-9a-f]+)"', text)[-1]
    said = re.findall(r"^Answer: (\d+)$", text, flags=re.MULTILINE)[-1]
    return json.dumps({"seal": seal, "reason": "by looking", "correct": said in ("5", "6")})


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(honour_seed=True, answer=reply) as serving:
        yield serving


def judge(server: FaultyServer, **more: Any) -> VerifyOptions:
    engine = EngineConfig(kind="openai", model=server.model, base_url=server.url, retries=0, usd_per_million_out=1e6)
    return replace(VerifyOptions(engine=engine, votes=3), **more)


def test_a_judge_decides_and_its_replies_are_in_the_ledger(tmp_path: Path, server: FaultyServer) -> None:
    path, out = answers(tmp_path, JUDGED), tmp_path / "o"
    done = verified(path, out, judge(server, verifier="judge"))
    assert (done.stats["right"], done.stats["wrong"], done.stats["completions"]) == (8, 12, 60)
    with Ledger(out / "ledger.sqlite") as ledger:
        assert ledger.totals("verify").completions == 60
    asked = len(server.asked)
    (out / "verdicts.parquet").unlink()
    assert verified(path, out, judge(server, verifier="judge")).stats["right"] == 8
    assert len(server.asked) == asked


def test_rows_may_be_graded_or_compared_with_a_baseline(tmp_path: Path) -> None:
    def reply(body: dict[str, Any], luck: random.Random) -> str:
        message = body["messages"][-1]["content"]
        shown = shown_in(message)
        if "answer A" in shown:
            return sealed(message, better="A" if "wave" in shown["answer A"] else "B")
        return sealed(message, grade="correct" if "Beethoven" in shown["candidate's answer"] else "not attempted")

    asked = {"question": "Who?", "answer": "Ludwig #### Beethoven", "verifier": "graded"}
    rows = [{**asked, "attempt": "Beethoven"}, {**asked, "attempt": "No idea."}]
    rows += [{"question": "Write.", "answer": "The sea.", "attempt": "A wave.", "verifier": "duel"}]
    path, out = answers(tmp_path, rows), tmp_path / "o"
    with FaultyServer(answer=reply, honour_seed=True) as server:
        assert verified(path, out, judge(server)).stats["right"] == 2
        n_asked = len(server.asked)
        assert verified(path, out, judge(server)).up_to_date and len(server.asked) == n_asked
    found = read_rows(out / "verdicts.parquet")
    assert [row["correct"] for row in found] == [True, False, True]
    assert [row["reason"].split(",")[0] for row in found] == ["correct", "not attempted", "win"]


def test_a_judge_is_compared_with_the_verifiers_of_the_rows(tmp_path: Path, server: FaultyServer) -> None:
    done = verified(answers(tmp_path, JUDGED), tmp_path / "o", judge(server, calibrate=True))
    found = read_json(tmp_path / "o/calibration.json")
    assert found == done.stats["calibration"]
    assert (found["n"], found["labels_from"], found["n_without_label"]) == (20, {"math": 20}, 0)
    counts = [found[name] for name in ("true_positives", "false_positives", "true_negatives", "false_negatives")]
    assert counts == [4, 4, 12, 0]
    assert found["agreement"]["value"] == 0.8
    assert found["kappa"] == pytest.approx((0.8 - 0.56) / (1 - 0.56))
    rows = read_rows(tmp_path / "o/verdicts.parquet")
    assert {row["verifier"] for row in rows} == {"judge"} and {row["expected_by"] for row in rows} == {"math"}
    assert [row["expected"] for row in rows] == [i % 5 == 2 for i in range(20)]


def test_a_label_goes_before_the_verifier(tmp_path: Path, server: FaultyServer) -> None:
    rows = [row | {"label": "right" if i % 5 in (2, 3) else "wrong"} for i, row in enumerate(JUDGED)]
    rows[0]["label"] = ""
    done = verified(answers(tmp_path, rows), tmp_path / "o", judge(server, calibrate=True))
    found = done.stats["calibration"]
    assert found["labels_from"] == {"math": 1, "label": 19}
    assert (found["agreement"]["value"], found["kappa"]) == (1.0, 1.0)


def test_a_label_that_says_neither_is_refused_with_its_row(tmp_path: Path, server: FaultyServer) -> None:
    path = answers(tmp_path, [JUDGED[0], JUDGED[1] | {"label": "perhaps"}])
    with pytest.raises(TeachableError, match=r"row 2: the label is 'perhaps'"):
        verified(path, tmp_path / "o", judge(server, calibrate=True))


def test_a_judge_alone_has_nothing_to_be_compared_with(tmp_path: Path, server: FaultyServer) -> None:
    with pytest.raises(TeachableError, match="nothing to compare the judge with"):
        verified(answers(tmp_path, JUDGED), tmp_path / "o", judge(server, calibrate=True, verifier="judge"))
    assert server.asked == []


def test_a_limit_keeps_what_was_paid_for(tmp_path: Path, server: FaultyServer) -> None:
    path, out = answers(tmp_path, JUDGED), tmp_path / "o"
    options = judge(server, verifier="judge")
    with pytest.raises(Stopped) as stopped:
        verified(path, out, options, SpendingLimits(max_tokens=7_000))
    assert stopped.value.exit_code == EXIT_LIMIT_REACHED
    partial = read_json(out / "stats.json")
    with Ledger(out / "ledger.sqlite") as ledger:
        paid = ledger.totals().completions
    assert partial["complete"] is False and 0 < partial["rows_not_done"] == 20 - paid // 3
    reasons = [row["reason"] for row in read_rows(out / "verdicts.parquet") if row["correct"] is None]
    assert len(reasons) == partial["rows_not_done"] and {reason[:12] for reason in reasons} == {"not verified"}
    done = verified(path, out, options)
    assert done.stats["complete"] and done.stats["rows_not_done"] == 0
    calm = verified(path, tmp_path / "calm", options)
    assert calm.stats["right"] == done.stats["right"]
    assert (out / "verdicts.parquet").read_bytes() == (tmp_path / "calm/verdicts.parquet").read_bytes()


def test_requests_that_failed_are_asked_again(tmp_path: Path) -> None:
    path, out = answers(tmp_path, JUDGED), tmp_path / "o"
    with FaultyServer({"500": 0.5}, honour_seed=True, answer=reply) as broken:
        first = verified(path, out, judge(broken, verifier="judge"))
        port = broken.port
    assert first.stats["failed_requests"] > 0 and first.stats["undecided"] > 0
    with FaultyServer(honour_seed=True, answer=reply, port=port) as mended:
        second = verified(path, out, judge(mended, verifier="judge"))
        assert len(mended.asked) == first.stats["failed_requests"]
        assert verified(path, out, judge(mended, verifier="judge")).up_to_date
    assert (second.up_to_date, second.stats["undecided"], second.stats["right"]) == (False, 0, 8)
