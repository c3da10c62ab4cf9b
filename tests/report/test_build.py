"""The numbers on the page are those of the files; gaps are said; nothing private or hostile gets through."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from teachable.errors import TeachableError
from teachable.report import ReportConfig, build_report
from teachable.store.files import read_json, read_rows, write_json, write_rows

STAGES = ("tasks", "pretrain", "probe", "select", "sft", "evaluate")


def text_of(page: str) -> str:
    """The page's text without style, script and markup, white space made single."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def built(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("built") / "quickstart"))
    files = build_report(run, ReportConfig(n_examples=40))
    return run, read_json(files.json), files.html.read_text(encoding="utf-8")


def test_funnel_and_zones_are_counted_from_the_rows(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    estimates = read_rows(run / "probe/estimates.parquet")
    decisions = read_rows(run / "select/decisions.parquet")
    teachable = [d for d in decisions if d["zone"] == "teachable"]
    expected = {
        "pool": len(read_rows(run / "tasks/prompts.parquet")),
        "probed": len(estimates),
        "teachable": sum(e["zone"] == "teachable" for e in estimates),
        "answered": sum(d["n_tokens"] > 0 for d in teachable),
        "trained": sum(any(a.startswith("teachable-") for a in d["arms"]) for d in decisions),
    }
    assert {s["step"]: s["count"] for s in facts["funnel"]} == expected
    assert {z: n for z, n in facts["zones"].items() if n} == Counter(e["zone"] for e in estimates)
    text = text_of(page)
    for step in facts["funnel"]:
        assert f"{step['label']} {step['count']:,}" in text


def test_pass_rate_bars_are_counted_from_the_rows(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    counted: dict[tuple[str, int], int] = Counter()
    for e in read_rows(run / "probe/estimates.parquet"):
        counted[e["zone"], e["successes"]] += 1
    rates = facts["pass_rates"]
    assert rates["labels"] == [f"{k}/8" for k in range(9)]
    shown = {(zone, k): n for zone, bars in rates["total"].items() for k, n in enumerate(bars) if n}
    assert shown == counted
    drawn = re.findall(r"<title>(\d)/8 right, (\w+): (\d+) prompts</title>", page)
    by_mark: Counter[tuple[str, int]] = Counter()
    for k, zone, n in drawn:
        by_mark[zone, int(k)] += int(n)
    assert by_mark == {key: 2 * n for key, n in counted.items()}  # once in all, once in its domain


def test_accuracies_and_differences_are_those_of_the_scores(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    scores = read_rows(run / "evaluate/scores.parquet")
    per_model: dict[tuple[str, str], list[float]] = defaultdict(list)
    for r in scores:
        per_model[r["arm"], r["model"]].append(r["n_correct"] / r["n"])
    by_arm: dict[str, list[float]] = defaultdict(list)
    for (arm, _), values in per_model.items():
        by_arm[arm].append(mean(values))
    text = text_of(page)
    for arm in facts["arms"]:
        assert arm["metrics"]["pass@1"]["mean"] == pytest.approx(mean(by_arm[arm["arm"]]))
        assert f"{arm['arm']} {100 * mean(by_arm[arm['arm']]):.1f}%" in text
    diff = mean(by_arm["teachable"]) - mean(by_arm["random"])
    main = next(
        c for c in facts["comparisons"] if (c["arm"], c["baseline"], c["metric"]) == ("teachable", "random", "pass@1")
    )
    assert main["diff"] == pytest.approx(diff)
    assert facts["notices"] == []
    for r in facts["domains"]:
        mine = [
            s for s in scores if s["arm"] == r["arm"] and s["domain"] == r["domain"] and r["level"] in (0, s["level"])
        ]
        assert r["mean"] == pytest.approx(mean(s["n_correct"] / s["n"] for s in mine))


def test_stated_means_that_the_scores_deny_are_announced(run_copy: Path) -> None:
    stats = read_json(run_copy / "evaluate/stats.json")
    stats["arms"][0]["metrics"]["pass@1"]["mean"] = 0.9
    write_json(run_copy / "evaluate/stats.json", stats)
    files = build_report(run_copy)
    assert "The evaluation states 90.0% pass@1 for base, but its scores give" in text_of(files.html.read_text())


def test_training_and_time_are_those_of_the_files(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, _ = built
    curves = read_rows(run / "sft/curves.parquet")
    assert [c["arm"] for c in facts["training"]["curves"]] == ["teachable", "random", "mastered", "beyond"]
    for c in facts["training"]["curves"]:
        last = max(r["step"] for r in curves if r["arm"] == c["arm"])
        ends = [r["loss"] for r in curves if r["arm"] == c["arm"] and r["step"] == last]
        assert c["mean"][-1][1] == pytest.approx(mean(ends))
    assert len(facts["training"]["runs"]) == len(read_rows(run / "sft/runs.parquet"))
    stages = read_json(run / "manifest.json")["stages"]
    assert facts["stages"]["totals"]["seconds"] == pytest.approx(sum(s["seconds"] for s in stages.values()))


def test_long_curves_are_thinned_without_moving_their_mean(run_copy: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"arm": "teachable", "seed": 0, "step": i, "tokens": i, "loss": (i * 7919 % 101) / 10, "lr": 0.0}
        for i in range(6000)
    ]
    write_rows(run_copy / "sft/curves.parquet", rows)
    curve = read_json(build_report(run_copy).json)["training"]["curves"][0]["mean"]
    assert len(curve) == 120
    assert mean(y for _, y in curve) == pytest.approx(mean(r["loss"] for r in rows))


def test_examples_are_balanced_joined_by_id_and_carry_reasons(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    decisions = {d["prompt_id"]: d for d in read_rows(run / "select/decisions.parquet")}
    attempts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for a in read_rows(run / "probe/attempts.parquet"):
        attempts[a["prompt_id"]].append(a)
    assert Counter(e["decision"] for e in facts["examples"]) == {"in": 20, "out": 20}
    assert {e["zone"] for e in facts["examples"]} == {"mastered", "teachable", "beyond", "ambiguous"}
    text = text_of(page)
    for e in facts["examples"]:
        assert e["reason"] == decisions[e["prompt_id"]]["reason"] and e["reason"] in text
        assert [a["correct"] for a in e["attempts"]] == [a["correct"] for a in attempts[e["prompt_id"]]]
        assert sum(bool(a["correct"]) for a in e["attempts"]) == e["successes"]
        assert (e["response"] is not None) == bool(decisions[e["prompt_id"]]["arms"])


def test_hostile_text_stays_text(run_copy: Path) -> None:
    attack = '</pre></script><script>alert(1)</script><img src="http://evil.example/x.png" onerror=alert(2)>\x00\x1b'
    rows = read_rows(run_copy / "probe/attempts.parquet")
    hostile = {"text": attack, "reason": attack, "answer": attack}
    write_rows(run_copy / "probe/attempts.parquet", [{**r, **hostile} for r in rows])
    decisions = read_rows(run_copy / "select/decisions.parquet")
    write_rows(
        run_copy / "select/decisions.parquet",
        [{**d, "reason": attack, "domain": f'"><script>{d["domain"]}'} for d in decisions],
    )
    page = build_report(run_copy).html.read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script>") == 1
    assert "<img" not in page and "onerror=alert(2)&gt;" in page
    assert "\x00" not in page and "\x1b" not in page and "\ufffd" in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_nothing_points_outside_and_the_file_is_small(built: tuple[Path, dict[str, Any], str]) -> None:
    _, _, page = built
    assert len(page.encode()) < 1_000_000
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"img", "iframe", "link", "object", "embed"}
            links.extend(v or "" for k, v in attrs if k in {"src", "href", "action", "srcset", "data", "xlink:href"})

    Links().feed(page)
    assert len(links) > 8 and all(link.startswith("#") for link in links)
    assert not re.search(r"url\(|@import|https?://", re.sub(r"<pre>.*?</pre>", "", page, flags=re.S))
    assert "default-src &#x27;none&#x27;" in page


def test_no_home_folder_and_no_place_of_the_run_is_told(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, page = built
    for text in (page, json.dumps(facts)):
        assert "/home/" not in text and "somebody" not in text
        assert str(run) not in text and str(run.parent) not in text
    assert "~/.cache/teachable" in facts["reproduce"]["recipe"]


def test_same_run_same_bytes(run_copy: Path) -> None:
    first = build_report(run_copy)
    before = (first.html.read_bytes(), first.json.read_bytes())
    again = build_report(run_copy)
    assert (again.html.read_bytes(), again.json.read_bytes()) == before
    assert not [p for p in run_copy.iterdir() if p.suffix == ".tmp"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_stage_is_said_and_stops_nothing(run_copy: Path, stage: str) -> None:
    shutil.rmtree(run_copy / stage)
    files = build_report(run_copy)
    assert any(name.startswith(f"{stage}/") for name in files.missing)
    text = text_of(files.html.read_text(encoding="utf-8"))
    for name in files.missing:
        assert name in text


def test_an_empty_run_folder_gives_a_page_of_gaps(tmp_path: Path) -> None:
    files = build_report(tmp_path)
    text = text_of(files.html.read_text(encoding="utf-8"))
    assert "No verdict yet: no stage of this run has finished." in text
    assert text.count("Not here yet") >= 8
    assert read_json(files.json)["missing"] == list(files.missing)


@pytest.mark.parametrize(("gain", "label"), [(-1.5, "Worse"), (0.0, "No difference")])
def test_a_bad_outcome_is_told_as_plainly(
    make_run: Callable[..., Path], tmp_path: Path, gain: float, label: str
) -> None:
    run = make_run(tmp_path / "run", gain=gain, n_pool=60, n_heldout=120)
    stats = read_json(run / "evaluate/stats.json")
    stats["verdict"]["outcome"] = label.lower()
    write_json(run / "evaluate/stats.json", stats)
    page = build_report(run).html.read_text(encoding="utf-8")
    assert label in text_of(page) and f'class="outcome {label.lower().replace(" ", "-")}"' in page
    assert html.escape(stats["verdict"]["sentence"]) in page


def test_stages_by_other_names(run_copy: Path) -> None:
    (run_copy / "probe").rename(run_copy / "probing")
    assert build_report(run_copy, folders={"probe": "probing"}).missing == ()
    manifest = read_json(run_copy / "manifest.json")
    manifest["stages"]["probing"] = manifest["stages"].pop("probe")
    write_json(run_copy / "manifest.json", manifest)
    assert build_report(run_copy).missing == ()
    with pytest.raises(TeachableError, match="no role 'probing'"):
        build_report(run_copy, folders={"probing": "probe"})


def test_uneven_numbers_of_attempts_fall_into_tenths(run_copy: Path) -> None:
    rows = read_rows(run_copy / "probe/estimates.parquet")
    cases = [(0, 3), (3, 3), (1, 20), (19, 20), (10, 20)]
    write_rows(
        run_copy / "probe/estimates.parquet",
        [{**r, "successes": s, "n": n} for r, (s, n) in zip(rows, cases, strict=False)],
    )
    rates = read_json(build_report(run_copy).json)["pass_rates"]
    bars = [sum(z[i] for z in rates["total"].values()) for i in range(12)]
    assert bars == [1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    assert rates["labels"][6] == "0.5\u20130.6"


def test_adaptive_attempts_their_ends_and_their_keys_are_told(run_copy: Path) -> None:
    rows = read_rows(run_copy / "probe/estimates.parquet")
    changes = {
        "n": lambda i: 3 + i % 5,
        "successes": lambda i: i % 3,
        "n_undecided": lambda i: int(i == 0),
        "stopped": lambda i: "close" if i < 40 else "decided",
        "key": lambda i: "42",
        "key_source": lambda i: ("teacher", "majority", "organic", "")[i % 4],
        "key_agreement": lambda i: 0.8,
        "suspect": lambda i: i % 4 == 2 and i < 20,
    }
    rows = [{**row, **{name: make(i) for name, make in changes.items()}} for i, row in enumerate(rows)]
    write_rows(run_copy / "probe/estimates.parquet", rows)
    prompts = [{**row, "answer": None} for row in read_rows(run_copy / "tasks/prompts.parquet")]
    write_rows(run_copy / "tasks/prompts.parquet", prompts)
    files = build_report(run_copy, ReportConfig(n_examples=40))
    facts, text = read_json(files.json), text_of(files.html.read_text(encoding="utf-8"))
    total = sum(row["n"] + row["n_undecided"] for row in rows)
    assert facts["probing"] == {
        "n_attempts": total,
        "per_prompt": total / 450,
        "fewest": 3,
        "most": 7,
        "stopped": {"decided": 410, "close": 40},
        "keys": {"teacher": 113, "majority": 113, "organic": 112, "verifier": 112},
        "n_suspect": 5,
    }
    assert f"Prompts by share of right answers, {total / 450:.1f} attempts at each on average (3 to 7)" in text
    assert f"{total:,} attempts, and why no more" in text
    assert "decided one zone is likely enough 410 close near a threshold: more attempts would hardly tell 40" in text
    assert "teacher the plurality of the reference model's answers 113" in text
    assert "The teacher contradicts the answer of 5 prompts, which are marked suspect." in text
    shown = Counter(one["key_source"] for one in facts["examples"])
    assert text.count("Key: 42 (80.0% of the teacher's answers)") == shown["teacher"] > 0
    assert text.count("Key: 42 (80.0% of the base model's own answers)") == shown["majority"] > 0
    assert text.count("Key: 42") == shown["teacher"] + shown["majority"]


def test_a_run_from_before_adaptive_probing_has_its_page(run_copy: Path) -> None:
    new = {"stopped", "key", "key_source", "key_agreement", "suspect", "p_beyond", "p_teachable", "p_mastered"}
    rows = read_rows(run_copy / "probe/estimates.parquet")
    write_rows(run_copy / "probe/estimates.parquet", [{k: v for k, v in row.items() if k not in new} for row in rows])
    files = build_report(run_copy)
    assert read_json(files.json)["probing"]["stopped"] == {}
    assert "8 attempts each" in text_of(files.html.read_text(encoding="utf-8"))


def test_nan_becomes_null(run_copy: Path) -> None:
    runs = read_rows(run_copy / "sft/runs.parquet")
    runs[0]["final_loss"] = float("nan")
    write_rows(run_copy / "sft/runs.parquet", runs)
    shown = read_json(build_report(run_copy).json)["training"]["runs"]
    assert [r["final_loss"] for r in shown].count(None) == 1


def test_broken_files_and_folders_are_one_sentence(run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="no run folder"):
        build_report(tmp_path / "nowhere")
    (run_copy / "probe/estimates.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(TeachableError, match=r"estimates\.parquet: .*cannot be read"):
        build_report(run_copy)
    assert not (run_copy / "report.html").exists()


def test_no_examples_when_none_are_asked_for(run_copy: Path) -> None:
    files = build_report(run_copy, ReportConfig(n_examples=0))
    assert read_json(files.json)["examples"] == []
    assert "None were asked for." in files.html.read_text(encoding="utf-8")


def test_bars_are_as_long_as_their_stages(built: tuple[Path, dict[str, Any], str]) -> None:
    _, facts, page = built
    widths = [float(w) for w in re.findall(r'style="width:([\d.]+)%" class="c-base"></span></span><span>', page)]
    seconds = [r["seconds"] for r in facts["stages"]["rows"]]
    assert widths == pytest.approx([100 * s / max(seconds) for s in seconds], abs=0.06)


def test_long_attempts_are_cut_before_the_page_outgrows_its_limit(run_copy: Path) -> None:
    rows = read_rows(run_copy / "probe/attempts.parquet")
    write_rows(run_copy / "probe/attempts.parquet", [{**r, "text": "so on " * 2000} for r in rows])
    files = build_report(run_copy, ReportConfig(n_examples=200, max_chars=20_000))
    assert files.n_bytes == files.html.stat().st_size < 5_000_000
    shown = read_json(files.json)["examples"]
    assert len(shown) == 200 and "more characters]" in shown[0]["attempts"][0]["text"]


def test_a_report_made_anew_does_not_count_itself(run_copy: Path) -> None:
    before = build_report(run_copy).html.read_bytes()
    manifest = read_json(run_copy / "manifest.json")
    manifest["stages"]["report"] = {"kind": "report", "key": "ab", "status": "done", "seconds": 0.4}
    write_json(run_copy / "manifest.json", manifest)
    assert build_report(run_copy).html.read_bytes() == before
