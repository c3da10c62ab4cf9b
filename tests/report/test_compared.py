"""Models, gains and losses, answers and costs: the numbers are those of the files, recomputed here."""

from __future__ import annotations

import html
import json
import re
import shutil
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from tests.report.evaluations import MODELS, N_SAMPLES, TASKS, by_question, evaluation, write_ledger

from teachable.errors import TeachableError
from teachable.report import ReportConfig, build_report
from teachable.report.markup import dollars, percent, points
from teachable.store.files import read_json, read_rows, write_json, write_rows, write_text

Built = tuple[Path, dict[str, Any], str]


def text_of(page: str) -> str:
    """The page's text without style, script and markup, white space made single."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).replace("\u00a0", " ")


def part(page: str, anchor: str) -> str:
    """One section of the page."""
    found = re.search(rf'<section id="{anchor}".*?</section>', page, flags=re.S)
    assert found, anchor
    return found.group()


def build(run: Path, **config: Any) -> Built:
    files = build_report(run, ReportConfig(**config))
    return run, read_json(files.json), files.html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compared(compared_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(Path(shutil.copytree(compared_run, tmp_path_factory.mktemp("built") / "evaluate")))


@pytest.fixture(scope="module")
def beside(beside_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(Path(shutil.copytree(beside_run, tmp_path_factory.mktemp("built") / "quickstart")))


def test_an_evaluation_lacks_nothing_and_speaks_of_no_training(compared: Built) -> None:
    _, facts, page = compared
    assert facts["missing"] == [] and facts["roles"] == ["tasks", "evaluate"] and facts["notices"] == []
    anchors = re.findall(r'<section id="([a-z-]+)"', page)
    assert anchors == ["models", "arms", "differences", "forgetting", "answers", "costs", "reproduce"]
    text = text_of(page)
    assert "Not here yet" not in text and "Every arm starts from" not in text and "base embedded" not in text
    assert "Measured on 120 questions from 3 tasks, 4 answers each" in text
    assert "Every model got the same prompts, the same sampling and the same verifiers." in text


def test_every_score_in_the_table_is_that_of_the_rows(compared: Built) -> None:
    run, facts, page = compared
    scores = read_rows(run / "evaluate/scores.parquet")
    groups = re.findall(r"<tbody>.*?</tbody>", part(page, "models").split('class="matrix"')[1], flags=re.S)
    told = [text_of(one) for one in groups[: len(TASKS) + 1]]
    for task, group in zip([*TASKS, "all questions"], told, strict=True):
        mine = [row for row in scores if row["task"] == task or task == "all questions"]
        assert group.strip().startswith(f"{task} {len({row['prompt_id'] for row in mine})} questions")
        for label in MODELS:
            rows = [row for row in mine if row["arm"] == label]
            cells = re.search(rf" {label} ((?:[\d.]+ -?[\d.]+ to [\d.]+ )+)([\d.]+) ([\d.]+) (\$[\d.]+)", group)
            assert cells, (task, label)
            shown = re.findall(r"([\d.]+) -?[\d.]+ to [\d.]+", cells[1])
            means = [mean(by_question(rows, label, m).values()) for m in ("pass@1", "greedy", "maj@k", "pass@4")]
            assert shown == [percent(one, "") for one in means]
            assert float(cells[2]) == pytest.approx(mean(row["n_tokens"] for row in rows), rel=0.01)
            assert float(cells[3]) == mean(row["n_prompt_tokens"] for row in rows)
            assert cells[4] == dollars(mean(row["cost_usd"] for row in rows))
    assert facts["models"]["tasks"] == list(TASKS)


def test_every_cell_of_gains_and_losses_is_that_of_the_rows(beside: Built) -> None:
    run, facts, page = beside
    scores = read_rows(run / "evaluate/scores.parquet")
    (matrix,) = facts["forgetting"]
    arms = [one["arm"] for one in matrix["columns"]]
    assert arms == ["base", "teachable", "random", "mastered", "beyond", "larger"]
    assert [one["reference"] for one in matrix["columns"]] == [True] + [False] * 5
    assert [one["arm"] for one in matrix["columns"] if one["beside"]] == ["larger"]
    drawn = re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", part(page, "forgetting"), flags=re.S)
    assert len(drawn) == len(matrix["rows"]) == 7
    counted: Counter[str] = Counter()
    for row, line in zip(matrix["rows"], drawn, strict=True):
        mine = [one for one in scores if row["domain"] in ("", one["domain"])]
        base = by_question(mine, "base", "pass@1")
        shown = re.findall(r"<td.*?</td>", line, flags=re.S)
        for arm, cell, markup in zip(arms, row["cells"], shown, strict=True):
            own = by_question(mine, arm, "pass@1")
            assert cell["mean"] == pytest.approx(mean(own.values()))
            assert text_of(markup).split()[0] == percent(mean(own.values()), "")
            if arm == "base":
                continue
            change = mean(own[one] - base[one] for one in own)
            assert cell["diff"] == pytest.approx(change) and points(change) in text_of(markup)
            side = "drop" if cell["diff_high"] < 0 else "gain" if cell["diff_low"] > 0 else "unclear"
            assert cell["says"] == side
            words = {"drop": "\u25bc drop", "gain": "\u25b2 gain", "unclear": ""}[side]
            assert words in text_of(markup) and f'class="num {side}"' in markup
            assert side != "unclear" or not re.search("drop|gain", text_of(markup))
            counted[side] += row["domain"] != "" and arm != "larger"
    assert (matrix["n_drops"], matrix["n_gains"], matrix["n_changes"]) == (
        counted["drop"],
        counted["gain"],
        counted.total(),
    )
    forgotten = next(row for row in matrix["rows"] if row["benchmark"])
    assert forgotten["domain"] == "gsm8k" and forgotten["cells"][4]["says"] == "drop"
    assert f"beyond in gsm8k ({points(forgotten['cells'][4]['diff'])})" in text_of(page)


def test_a_second_evaluation_after_a_later_training_has_its_columns(beside_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(beside_run, tmp_path / "run"))
    text = (run / "run.yaml").read_text()
    text = text.replace("  evaluate: {", "  evaluate: {needs: {base: pretrain, prompts: tasks, models: sft}, ")
    text += "  after: {kind: evaluate, needs: {base: pretrain, prompts: tasks, models: dpo}}\n"
    write_text(run / "run.yaml", text)
    shutil.copytree(run / "evaluate", run / "after")
    stats = json.loads((run / "after/stats.json").read_text().replace('"teachable"', '"tuned"'))
    write_json(run / "after/stats.json", {**stats, "trained": ["tuned", "random"]})
    (matrix,) = build(run)[1]["forgetting"]
    shown = [(one["arm"], one["after"], one["beside"]) for one in matrix["columns"]]
    assert shown[:3] == [("base", "", False), ("teachable", "sft", False), ("random", "sft", False)]
    assert ("tuned", "dpo", False) in shown and ("larger", "", True) in shown
    assert all(len(row["cells"]) == len(shown) for row in matrix["rows"])


def test_every_pair_is_there_with_every_test(compared: Built) -> None:
    run, facts, page = compared
    stats = read_json(run / "evaluate/stats.json")
    text = text_of(part(page, "differences")) + text_of(part(page, "models"))
    for c in stats["comparisons"]:
        task = [c["task"]] if c["task"] else []
        metric = {"maj@k": f"maj@{N_SAMPLES}"}.get(c["metric"], c["metric"])
        start = " ".join([c["arm"], c["baseline"], *task, metric, points(c["diff"])])
        p = "< 0.001" if c["p_value"] < 0.001 else f"{c['p_value']:.3f}"
        assert re.search(rf"{re.escape(start)} \S+ to \S+ {p} {c['p_holm']:.3f}", text), start
    assert "p, McNemar" in text and "0.011" in text
    assert "Holm's p-values are corrected for all 3 pairs." in text
    assert stats["power"]["sentence"] in text and text.count("small-tuned against small-base 10.4") == len(TASKS)
    assert facts["comparisons"][0]["baseline"] == "small-base"


def test_what_determines_a_score_is_told(compared: Built) -> None:
    _, _, page = compared
    text = text_of(part(page, "models"))
    for told in (
        "Task gsm8k title The gsm8k questions",
        "data ~/gsm8k.jsonl",
        "Question: {question} Answer:",
        "n samples 4",
        "request seed 0",
        "transformers 5.0.0",
        "kind transformers, model ~/models/small-base",
        "three rows have no answer and are left out",
    ):
        assert told in text, told
    assert "somebody" not in page


def test_answers_are_those_of_the_attempts_and_differ_first(compared: Built) -> None:
    run, facts, page = compared
    attempts = defaultdict(list)
    for one in sorted(read_rows(run / "evaluate/attempts.parquet"), key=lambda one: one["sample"]):
        attempts[one["prompt_id"], one["model"]].append(one)
    scores = {(one["prompt_id"], one["model"]): one for one in read_rows(run / "evaluate/scores.parquet")}
    shown = facts["answers"]
    assert len(shown) == 20 and {one["task"] for one in shown} == set(TASKS)
    spreads = []
    for one in shown:
        assert [m["arm"] for m in one["models"]] == list(MODELS)
        for m in one["models"]:
            mine = attempts[one["prompt_id"], m["model"]]
            assert m["n_correct"] == scores[one["prompt_id"], m["model"]]["n_correct"]
            assert m["n_correct"] == sum(a["correct"] for a in mine if a["sample"] >= 0)
            assert [a["sample"] for a in m["attempts"]] == [-1, 0, 1] and m["n_attempts"] == len(mine)
            assert [a["correct"] for a in m["attempts"]] == [a["correct"] for a in mine[:3]]
        rates = [m["n_correct"] / m["n"] for m in one["models"]]
        spreads.append(max(rates) - min(rates))
        assert (one["agreement"] == "models differ") is (spreads[-1] > 0)
    assert spreads == sorted(spreads, reverse=True) and spreads[14] > 0 and spreads[15] == 0
    assert part(page, "answers").count("<h4>larger</h4>") == 20


def test_hostile_answers_stay_text(compared_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(compared_run, tmp_path / "evaluate"))
    attack = "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>\x00\x1b"
    rows = read_rows(run / "evaluate/attempts.parquet")
    write_rows(run / "evaluate/attempts.parquet", [{**r, "text": attack, "answer": attack} for r in rows])
    stats = json.loads((run / "evaluate/stats.json").read_text().replace("The gsm8k questions", "<script>x"))
    write_json(run / "evaluate/stats.json", stats)
    page = build(run)[2]
    assert page.count("<script") == page.count("</script>") == 1 and "<img" not in page
    assert "\x00" not in page and "\x1b" not in page and "title</dt><dd>&lt;script&gt;x" in page


def test_costs_are_those_of_the_ledger(beside: Built) -> None:
    run, facts, page = beside
    attempts = read_rows(run / "evaluate/attempts.parquet")
    with sqlite3.connect(run / "ledger.sqlite") as ledger:
        paid = ledger.execute("SELECT COUNT(*), SUM(n_tokens), SUM(cost_usd) FROM completions").fetchone()
    assert paid[0] == len(attempts) and paid[1] == sum(one["n_tokens"] for one in attempts)
    expected = sum(one["n_tokens"] for one in attempts if one["arm"] == "larger") * 2.5 / 1e6
    costs = facts["costs"]
    row = next(one for one in costs["stages"] if one["stage"] == "evaluate")
    assert row["paid"]["completions"] == paid[0] and row["cost_usd"] == pytest.approx(expected) == paid[2]
    assert costs["totals"]["cost_usd"] == pytest.approx(expected)
    assert row["completions"] == paid[0] + 100 and row["n_reused"] == 100 == costs["totals"]["n_reused"]
    manifest = read_json(run / "manifest.json")["stages"]
    for name in ("seconds", "completions", "tokens_in", "tokens_out"):
        assert costs["totals"][name] == pytest.approx(sum(one[name] for one in manifest.values()))
    text = text_of(part(page, "costs"))
    assert dollars(expected) in text and "100 completions were in the ledger already" in text
    by_engine = {one["engine"]: one for one in costs["engines"]}
    per_arm = Counter(one["arm"] for one in attempts)
    assert {name.removeprefix("openai:"): one["completions"] for name, one in by_engine.items()} == per_arm
    assert f"evaluate larger openai:larger {per_arm['larger']:,}" in text
    assert {one["model"] for one in costs["engines"]} == {"base", "larger", ""}  # the others are several models each


def test_completions_used_no_longer_and_models_known_by_their_digest(compared_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(compared_run, tmp_path / "evaluate"))
    write_json(run / "pretrain/stats.json", {"digest": "ab" * 32, "path": "somewhere"})
    attempts = [{**one, "model": "earlier"} for one in read_rows(run / "evaluate/attempts.parquet")[:7]]
    write_ledger(run, "evaluate", attempts, {}, engine=f"transformers:{'ab' * 8}:float32")
    costs = build(run)[1]["costs"]
    assert costs["totals"]["n_unused"] == 7
    assert {one["model"] for one in costs["engines"] if one["completions"] != 7} == set(MODELS)
    assert [one["model"] for one in costs["engines"] if one["completions"] == 7] == ["base"]


def test_a_run_without_a_ledger_has_its_costs_from_the_manifest(compared_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(compared_run, tmp_path / "evaluate"))
    (run / "ledger.sqlite").unlink()
    manifest = read_json(run / "manifest.json")
    manifest["stages"]["evaluate"]["cost_usd"] = 1234.5
    write_json(run / "manifest.json", manifest)
    _, facts, page = build(run)
    assert not facts["costs"]["found"] and facts["costs"]["totals"]["cost_usd"] == 1234.5
    assert "$1,234.50" in text_of(part(page, "costs"))


def test_a_broken_ledger_is_one_sentence(compared_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(compared_run, tmp_path / "evaluate"))
    (run / "ledger.sqlite").write_bytes(b"no ledger " * 500)
    with pytest.raises(TeachableError, match=r"ledger\.sqlite: the ledger cannot be read"):
        build_report(run)


def test_means_of_a_task_that_the_scores_deny_are_announced(compared_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(compared_run, tmp_path / "evaluate"))
    stats = read_json(run / "evaluate/stats.json")
    wrong = next(one for one in stats["by_task"] if one["metric"] == "pass@4")
    wrong["mean"] = 0.123
    write_json(run / "evaluate/stats.json", stats)
    (notice,) = build(run)[1]["notices"]
    assert notice.startswith("The evaluation states 12.3% pass@4 for small-base on gsm8k, but its scores give ")


def test_an_evaluation_from_before_has_its_page(beside_run: Path, tmp_path: Path) -> None:
    """Without attempts, tasks, models and comparisons by domain the parts that show them are left out."""
    run = Path(shutil.copytree(beside_run, tmp_path / "run"))
    (run / "evaluate/attempts.parquet").unlink()
    (run / "ledger.sqlite").unlink()
    new = {"models", "by_task", "domain_comparisons", "power", "power_by_task", "determined_by"}
    stats = read_json(run / "evaluate/stats.json")
    write_json(run / "evaluate/stats.json", {k: v for k, v in stats.items() if k not in new})
    columns = {"task", "score", "n_prompt_tokens", "cost_usd"}
    rows = read_rows(run / "evaluate/scores.parquet")
    write_rows(run / "evaluate/scores.parquet", [{k: v for k, v in r.items() if k not in columns} for r in rows])
    _, facts, page = build(run)
    assert facts["missing"] == [] and facts["forgetting"] == [] and facts["answers"] == []
    assert not {"models", "forgetting", "answers"} & set(re.findall(r'<section id="([a-z-]+)"', page))


def test_a_single_model_and_greedy_answers_alone_have_a_page(compared_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(compared_run, tmp_path / "evaluate"))
    stats = read_json(run / "evaluate/stats.json")
    for name in ("comparisons", "domain_comparisons", "power_by_task"):
        stats[name] = []
    for name in ("arms", "models", "by_task", "domains"):
        stats[name] = [one for one in stats[name] if one["arm"] == "small-base"]
    stats["by_task"] = [one for one in stats["by_task"] if one["metric"] == "greedy"]
    stats["arms"][0]["metrics"] = {"greedy": stats["arms"][0]["metrics"]["greedy"]}
    stats["verdict"] = {"sentence": "small-base scored 40.0%.", "outcome": "no difference", "metric": "greedy"}
    write_json(run / "evaluate/stats.json", {**stats, "power": None})
    rows = [one for one in read_rows(run / "evaluate/scores.parquet") if one["arm"] == "small-base"]
    write_rows(run / "evaluate/scores.parquet", [{**one, "n": 0, "n_correct": 0} for one in rows])
    _, facts, page = build(run)
    assert facts["notices"] == [] and "Not here yet" not in text_of(page)
    assert {one["agreement"] for one in facts["answers"]} <= {"all right", "all wrong"}


def test_the_commands_make_the_run_again(compared: Built, beside: Built) -> None:
    assert compared[1]["reproduce"]["commands"] == [
        "make install",
        "export LARGER_KEY=...",
        "teachable run run.yaml --out again",
    ]
    assert beside[1]["reproduce"]["commands"] == ["make install", "teachable run run.yaml --out again"]
    named = "the files and models that it names must be where it says"
    assert named in text_of(compared[2]) and named not in text_of(beside[2])


def test_a_large_evaluation_stays_small_enough(tmp_path: Path) -> None:
    run = evaluation(tmp_path / "evaluate", n=67)
    rows = read_rows(run / "evaluate/attempts.parquet")
    write_rows(run / "evaluate/attempts.parquet", [{**r, "text": "so on " * 1000} for r in rows])
    files = build_report(run, ReportConfig(n_examples=200, max_chars=3000))
    assert files.n_bytes < 5_000_000 and len(read_json(files.json)["answers"]) > 20
