"""`teachable pivot` as a user runs it: a real model whose truth is known, mistakes, limits and kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.cli.conftest import Command, finish, start
from tests.cli.test_process import HEAVY, imported
from tests.pivot.bigram import P_RIGHT, id_of, save_bigram, write_prompts
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.records import Estimate
from teachable.store.files import read_json, read_rows, write_records, write_rows
from teachable.store.ledger import Ledger

N = 4
SMALL = ["--set", "pivot.max_tokens=16", "--set", "pivot.n_gate=24"]
TABLES = ("pivots", "solutions", "gates", "preferences")
COLUMNS = [
    "prompt_id", "position", "token_id", "token", "p_before", "p_after", "delta", "delta_low", "delta_high",
    "n_samples", "solution_token_ids",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, four prompts that it almost knows, and two that it never gets right."""
    folder = tmp_path_factory.mktemp("pivot")
    save_bigram(folder / "model")
    write_prompts(folder / "q.jsonl", N, never="zz", nor="yy")
    return folder


def invoke(folder: Path, *arguments: str) -> Result:
    """The command in this process, in that folder."""
    here, before = Path.cwd(), signal.getsignal(signal.SIGTERM)
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, list(arguments))
    finally:
        os.chdir(here)
        signal.signal(signal.SIGTERM, before)


def search(folder: Path, out: str, *more: str) -> Result:
    return invoke(folder, "pivot", "q.jsonl", "--engine", "./model", "--out", out, *SMALL, *more)


@pytest.fixture(scope="module")
def done(place: Path) -> Result:
    """A finished search in the folder `calm`."""
    result = search(place, "calm")
    assert result.exit_code == 0, result.output
    return result


def completions(out: Path, stage: str = "pivot") -> int:
    with Ledger(out / "ledger.sqlite") as ledger:
        return ledger.totals(stage).completions


# ---- what comes of it ----


def test_help_says_what_there_is_and_imports_nothing_heavy(teachable: Command) -> None:
    result = teachable("pivot", "--help", flags=("-X", "importtime"))
    assert result.returncode == 0
    flags = "--engine --out --gap --confidence --low --high --estimates --base --max-cost --max-tokens --recipe --set"
    for flag in (*flags.split(), "--seed", "--json", "--show", "--min-probability"):
        assert flag in result.stdout
    assert not imported(result.stderr) & {*HEAVY, "yaml", "rich"}


def test_the_three_promised_files_lie_at_the_top(done: Result, place: Path) -> None:
    assert done.stdout.startswith("pivot: done in ") and "pivots.parquet" in done.stdout
    assert [name for name in read_rows(place / "calm/pivots.parquet")[0]][: len(COLUMNS)] == COLUMNS
    stats = read_json(place / "calm/stats.json")
    assert stats["completions"] == completions(place / "calm") > 0 and stats["tokens"] > 0
    assert (stats["n_prompts"], stats["outcomes"]["outside"]) == (N + 2, 2)
    assert stats["n_pivots"] == len(read_rows(place / "calm/pivots.parquet"))
    assert stats["n_pairs"] == len(read_rows(place / "calm/preferences.parquet"))
    for name in ("pivots.parquet", "preferences.parquet", "stats.json"):
        assert (place / "calm" / name).read_bytes() == (place / "calm/pivot" / name).read_bytes()


def test_the_tokens_that_decide_are_found_with_their_true_values(done: Result, place: Path) -> None:
    found = {(row["prompt_id"], row["token"]): row for row in read_rows(place / "calm/pivots.parquet")}
    solutions = {row["prompt_id"]: row for row in read_rows(place / "calm/pivot/solutions.parquet")}
    assert set(solutions) == {f"q{i}" for i in range(N)}
    for prompt_id, solution in solutions.items():
        assert len(solution["values"]) == len(solution["token_ids"]) + 1 == len(solution["probabilities"]) + 1
        fork = solution["text"][2]
        row = found[prompt_id, fork]
        true_after = {"g": 0.95, "b": 0.0}[fork]
        assert row["position"] == 2 and row["token_id"] == solution["token_ids"][2]
        assert abs(row["delta"] - (true_after - P_RIGHT)) < 0.25  # some fifty samples at either side
        assert row["delta_low"] <= row["delta"] <= row["delta_high"] and row["n_samples"] > 0
        assert row["delta"] == pytest.approx(row["p_after"] - row["p_before"])
        assert row["probability"] == pytest.approx({"g": 0.55, "b": 0.45}[fork], abs=1e-4)
    # p and q decide nothing, the newline and the end are certain, 4 after g all but certain.
    assert {token for _, token in found} <= {"g", "b", "5"}


def test_pairs_are_single_tokens_after_exact_prefixes(done: Result, place: Path) -> None:
    from teachable.engines.loading import load_tokenizer

    tokenizer = load_tokenizer(str(place / "model"), trust_remote_code=False)
    pairs = [row for row in read_rows(place / "calm/preferences.parquet") if row["position"] == 2]
    assert pairs
    for row in pairs:
        assert (row["chosen"], row["rejected"], row["kind"]) == ("g", "b", "pivotal")
        assert (row["chosen_token_ids"], row["rejected_token_ids"]) == (
            [id_of(tokenizer, "g")], [id_of(tokenizer, "b")],
        )  # fmt: skip
        question = [{"role": "user", "content": f"question {row['prompt_id']}"}]
        prompt = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
        assert row["prompt_token_ids"][:-2] == tokenizer.encode(prompt, add_special_tokens=False)
        assert tokenizer.decode(row["prompt_token_ids"][-2:]) in ("p\n", "q\n")
        assert row["prompt"].endswith(("p\n", "q\n")) and row["delta"] > 0.2
    assert min(row["delta"] for row in read_rows(place / "calm/preferences.parquet")) > 0


def test_datasets_opens_the_pairs(done: Result, place: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = str(place / "calm/preferences.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert {"prompt", "chosen", "rejected", "prompt_token_ids"} <= set(loaded.column_names)


def test_the_range_is_said_with_the_number_outside(done: Result) -> None:
    said = [line for line in done.stderr.splitlines() if "outside 0.2 to 0.8" in line]
    assert len(said) == 1 and said[0].startswith("pivot: 2 of 6 prompts left out")


def test_what_the_verifier_can_not_tell_is_said_and_counts_neither_way(done: Result, place: Path) -> None:
    rows = [{"id": "open", "prompt": "question open", "verifier": "exact"}]
    (place / "open.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = invoke(place, "pivot", "open.jsonl", "--engine", "./model", "--out", "open", *SMALL)
    assert result.exit_code == 0, result.output
    assert [line for line in result.stderr.splitlines() if "pivot: 1 of 1 prompts" in line and "could not tell" in line]
    stats = read_json(place / "open/stats.json")
    assert (stats["n_undecided"], stats["n_pivots"], stats["outcomes"]) == (24, 0, {"undecided": 1})


def test_the_same_again_does_nothing_and_says_so(done: Result, place: Path) -> None:
    files = [path for path in (place / "calm").rglob("*") if path.name != ".lock"]
    before = {path: path.lstat().st_mtime_ns for path in files}
    result = search(place, "calm")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "pivot: everything is up to date in calm\n"
    assert {path: path.lstat().st_mtime_ns for path in files} == before


def test_a_link_that_was_lost_comes_back_and_nothing_else_is_done(done: Result, place: Path) -> None:
    (place / "calm/pivots.parquet").unlink()
    result = search(place, "calm", "--json")
    assert json.loads(result.stdout)["up_to_date"] is True
    assert (place / "calm/pivots.parquet").is_file()


def test_a_shown_solution_has_its_pivotal_token(done: Result, place: Path) -> None:
    shown = invoke(place, "pivot", "--show", "q0", "--out", "calm")
    assert shown.exit_code == 0, shown.output
    told = json.loads(invoke(place, "pivot", "--show", "q0", "--out", "calm", "--json").stdout)
    assert told["prompt_id"] == "q0"
    inside = invoke(place / "calm", "pivot", "--show", "q0")  # the working folder is a run
    assert inside.stdout == shown.stdout != ""


# ---- what probing knows ----


def test_probing_in_the_same_folder_spares_the_gate(done: Result, place: Path) -> None:
    probed = invoke(
        place, "probe", "q.jsonl", "--engine", "./model", "--out", "probed",
        "--set", "probe.max_tokens=16", "--set", "probe.n_samples=24",
    )  # fmt: skip
    assert probed.exit_code == 0, probed.output
    result = search(place, "probed")
    assert result.exit_code == 0, result.output
    assert "not used as samples" not in result.stderr
    stats = read_json(place / "probed/stats.json")
    assert stats["outcomes"]["outside"] == 2 and stats["n_searched"] == N
    gates = {row["prompt_id"]: row for row in read_rows(place / "probed/pivot/gates.parquet")}
    assert gates["never"]["outcome"] == "outside"

    # The same from another run, by its folder: the same estimates and samples, so the same result.
    elsewhere = search(place, "elsewhere", "--estimates", "probed")
    assert elsewhere.exit_code == 0, elsewhere.output
    assert "estimates: " in elsewhere.stderr and "6 of 6 prompts have an estimate" in elsewhere.stderr
    for name in TABLES:
        one, other = (place / out / "pivot" / f"{name}.parquet" for out in ("probed", "elsewhere"))
        assert one.read_bytes() == other.read_bytes()


def test_estimates_of_a_file_decide_who_is_searched(done: Result, place: Path) -> None:
    known = [Estimate(f"q{i}", "d", 0, 40, s, 0, s + 0.5, 40.5 - s, 0.5, None, "teachable", "") for i, s in
             ((0, 20), (1, 0), (2, 40))]  # fmt: skip
    write_records(place / "some.parquet", known)
    result = search(place, "some", "--estimates", "some.parquet")
    assert result.exit_code == 0, result.output
    assert "3 of 6 prompts have no estimate and are sampled to get one" in result.stderr
    gates = {row["prompt_id"]: row["outcome"] for row in read_rows(place / "some/pivot/gates.parquet")}
    assert (gates["q0"], gates["q1"], gates["q2"], gates["q3"]) == ("searched", "outside", "outside", "searched")
    assert "up to date" in search(place, "some", "--estimates", "some.parquet").stdout


# ---- mistakes ----


@pytest.fixture(scope="module")
def mistakes(place: Path) -> Path:
    # A scripted engine is asked in tokens here, so it sees the whole chat.
    (place / "t.json").write_text(json.dumps({"user: question q0\nassistant: ": {"g4": 0.5, "b5": 0.5}}))
    (place / "empty.jsonl").write_text("")
    (place / "nothing").mkdir()
    strange = Estimate("elsewhere", "d", 0, 4, 2, 0, 2.5, 2.5, 0.5, None, "teachable", "")
    write_records(place / "strange.parquet", [strange])
    write_rows(place / "prompts.parquet", [{"id": "q0"}])
    return place


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.jsonl", "--engine", "./model"], "there is no file or folder"),
        (["empty.jsonl", "--engine", "./model"], "the file holds no prompts"),
        (["q.jsonl", "--engine", "nosuch"], "--engine: there is no engine 'nosuch'"),
        (["q.jsonl", "--engine", "./nothing"], "holds no config.json"),
        (["q.jsonl", "--engine", "scripted:gone.json"], "there is no table"),
        (["q.jsonl", "--engine", "scripted:t.json"], "log-probabilit"),
        (["q.jsonl", "--engine", "./model", "--low", "0.8", "--high", "0.2"], "low (0.8) must be below high (0.2)"),
        (["q.jsonl", "--engine", "./model", "--low", "0.5", "--high", "0.5"], "low (0.5) must be below high (0.5)"),
        (["q.jsonl", "--engine", "./model", "--gap", "0"], "pivot.gap: input should be greater than 0"),
        (["q.jsonl", "--engine", "./model", "--gap", "1"], "pivot.gap: input should be less than 1"),
        (["q.jsonl", "--engine", "./model", "--confidence", "1"], "pivot.confidence: input should be less than 1"),
        (["q.jsonl", "--engine", "./model", "--min-probability", "-1"], "greater than or equal to 0"),
        (["q.jsonl", "--engine", "./model", "--set", "pivot.gapp=1"], "there is no field 'gapp' (did you mean 'gap'?)"),
        (["q.jsonl", "--engine", "./model", "--estimates", "gone"], "--estimates: there is no run folder and no file"),
        (["q.jsonl", "--engine", "./model", "--estimates", "nothing"], "holds no estimates: no probe has finished"),
        (["q.jsonl", "--engine", "./model", "--estimates", "strange.parquet"], "none of its 1 estimates is of one of"),
        (["q.jsonl", "--engine", "./model", "--estimates", "prompts.parquet"], "prompts.parquet: a Estimate row lacks"),
        (["q.jsonl", "--engine", "./model", "--estimates", "q.jsonl"], "q.jsonl: a Estimate row lacks"),
        (["q.jsonl", "--show", "q0"], "--show: --show only shows what was searched before"),
        (["--show", "q0", "--gap", "0.3"], "--show only shows what was searched before"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(mistakes: Path, arguments: list[str], sentence: str) -> None:
    settings, out = [] if "--show" in arguments else SMALL, f"wrong-{len(sentence)}"
    result = invoke(mistakes, "pivot", *arguments, "--out", out, *settings)
    said = [line for line in result.stderr.splitlines() if not line.startswith(("tasks: ", "pretrain: ", "pivot: "))]
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert len(said) == 1 and said[0].startswith("error: ") and sentence in said[0], result.stderr
    assert not list((mistakes / out).glob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--show", "zzz9", "--out", "calm"], "zzz9"),
        (["--show", "q", "--out", "calm"], "'q'"),
        (["--show", "never", "--out", "calm"], "never"),  # outside the range, so there is nothing to show
        (["--show", "q0", "--out", "gone"], "there is no such folder"),
        (["--show", "q0", "--out", "nothing"], "no finished search"),
        (["--show", "q0"], "runs/pivot"),
    ],
)
def test_what_can_not_be_shown_is_a_sentence(done: Result, mistakes: Path, arguments: list[str], sentence: str) -> None:
    result = invoke(mistakes, "pivot", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and sentence in result.stderr


# ---- limits and kills ----


def assert_same(place: Path, one: str, other: str) -> None:
    for name in TABLES:
        first, second = (place / out / "pivot" / f"{name}.parquet" for out in (one, other))
        assert first.read_bytes() == second.read_bytes(), name


def test_a_limit_ends_with_3_keeps_what_there_is_and_the_same_command_goes_on(done: Result, place: Path) -> None:
    stopped = search(place, "limited", "--max-tokens", "600")
    assert stopped.exit_code == 3
    assert "--max-tokens" in stopped.stderr.strip().splitlines()[-1]
    paid = completions(place / "limited")
    assert 0 < paid < completions(place / "calm")
    assert read_json(place / "limited/stats.json")["complete"] is False  # found at the top as well
    assert "pivot" not in read_json(place / "limited/manifest.json")["stages"]
    gates = read_rows(place / "limited/pivot/gates.parquet")
    assert len(gates) == N + 2 and any(row["outcome"] == "interrupted" for row in gates)
    gone_on = search(place, "limited")
    assert gone_on.exit_code == 0, gone_on.output
    assert_same(place, "limited", "calm")
    assert completions(place / "limited") == completions(place / "calm")  # nothing was bought twice


def test_other_settings_leave_no_result_of_the_old_ones_at_the_top(done: Result, place: Path) -> None:
    assert search(place, "changed").exit_code == 0
    stopped = search(place, "changed", "--set", "pivot.temperature=0.9", "--max-tokens", "1")
    assert stopped.exit_code == 3
    assert read_json(place / "changed/stats.json")["complete"] is False
    assert read_rows(place / "changed/pivots.parquet") == []


def until_bought(process: subprocess.Popen[str], out: Path, n: int, timeout_s: float = 100) -> bool:
    """Wait until the search has bought n completions; False if it has ended before."""
    end = time.monotonic() + timeout_s
    while process.poll() is None:
        if (out / "ledger.sqlite").is_file() and completions(out) >= n:
            return True
        assert time.monotonic() < end, "nothing was bought"
        time.sleep(0.005)
    return False


@pytest.fixture
def slow(place: Path) -> Iterator[Any]:
    """Start the command in a process of its own, that samples few rows at a time."""
    command = ["pivot", "q.jsonl", "--engine", "./model", "--set", "resources.batch_rows=8", *SMALL, "--out"]
    started: list[subprocess.Popen[str]] = []

    def starting(out: str) -> subprocess.Popen[str]:
        started.append(start([*command, out], place, program=["-m", "teachable"]))
        return started[-1]

    yield starting
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes_and_buys_nothing_twice(
    done: Result, place: Path, slow: Any
) -> None:
    luck, total, n_kills = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID", "0")), completions(place / "calm"), 0
    for share in (0.2, 0.6):
        process = slow("killed")
        if until_bought(process, place / "killed", int(total * share)):
            time.sleep(luck.uniform(0, 0.05))
            process.kill()
            n_kills += process.wait() == -signal.SIGKILL
        process.communicate()
        assert not (place / "killed/pivots.parquet").exists() or process.returncode == 0
    assert n_kills >= 1
    gone_on = search(place, "killed")
    assert gone_on.exit_code == 0, gone_on.output
    assert_same(place, "killed", "calm")
    assert completions(place / "killed") == total
    assert not [path for path in (place / "killed").rglob(".*.tmp")]


@pytest.mark.slow
def test_ctrl_c_writes_what_there_is_and_the_same_command_goes_on(done: Result, place: Path, slow: Any) -> None:
    process = slow("interrupted")
    assert until_bought(process, place / "interrupted", 20)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    assert read_json(place / "interrupted/stats.json")["complete"] is False
    assert search(place, "interrupted").exit_code == 0
    assert_same(place, "interrupted", "calm")


def test_a_search_of_other_prompts_takes_those(done: Result, place: Path) -> None:
    """The folder of a finished search is used again: everything is searched anew that has changed."""
    write_prompts(place / "r.jsonl", 1)
    result = invoke(place, "pivot", "r.jsonl", "--engine", "./model", "--out", "changed", *SMALL)
    assert result.exit_code == 0, result.output
    assert [row["prompt_id"] for row in read_rows(place / "changed/pivot/solutions.parquet")] == ["q0"]
    assert read_json(place / "changed/stats.json")["n_prompts"] == 1
