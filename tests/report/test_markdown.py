"""report.md says what report.json says, parses as the Markdown it is meant to be, and lets no text become markup."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from teachable.report import ReportConfig, build_report
from teachable.report.markdown.page import report_markdown
from teachable.report.markdown.text import bar, code, columns, fence, front_matter, one_line, table, text
from teachable.store.files import read_json, read_rows, write_json, write_rows

STAGES = ("tasks", "pretrain", "probe", "select", "sft", "evaluate")
ATTACKS = (
    "</pre></script><script>alert(1)</script>",
    "a | b `code` **bold** [link](http://evil.example) ![x](http://evil.example/x.png)",
    "```\nend of fence\n```\n# A heading\n| a | b |\n| --- | --- |\n",
    "````````` `` ` @octocat #12 GH-7 www.evil.example https://evil.example <b>",
    "\\| \\` \\\\ | \x00\x1b\u202e",
    "- item\n1. one\n> quote\n---",
    "`|`",
    "---",
    "&lt;script&gt;",
)


def parsed(markdown: str) -> list[Token]:
    """Blocks and inline tokens of GitHub-flavoured Markdown; raw HTML would be a token of its own."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    return [one for token in tokens for one in (token, *(token.children or ()))]


def shown(markdown: str) -> str:
    """The text that a reader sees."""
    kinds = ("text", "code_inline", "fence", "code_block")
    return " ".join(token.content for token in parsed(markdown) if token.type in kinds)


@pytest.fixture(scope="module")
def built(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("markdown") / "quickstart"))
    files = build_report(run)
    assert files.markdown == run / "report.md"
    return run, read_json(files.json), files.markdown.read_text(encoding="utf-8")


def table_of(markdown: str, first: str) -> list[list[str]]:
    """The cells of the first table whose head starts with a word, the head left out."""
    lines = markdown.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def test_the_verdict_comes_first(built: tuple[Path, dict[str, Any], str]) -> None:
    _, facts, markdown = built
    assert markdown.startswith(f"# quickstart\n\n**{facts['verdict']['outcome'].capitalize()}.** ")
    assert facts["verdict"]["sentence"] in shown(markdown)


def test_numbers_are_those_of_the_files(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, markdown = built
    scores = read_rows(run / "evaluate/scores.parquet")
    accuracy = {row[0]: row for row in table_of(markdown, "arm")}
    for arm in facts["arms"]:
        mine = [one["n_correct"] / one["n"] for one in scores if one["arm"] == arm["arm"]]
        mean, low, high = (f"{100 * arm['metrics']['pass@1'][name]:.1f}" for name in ("mean", "low", "high"))
        assert mean == f"{100 * sum(mine) / len(mine):.1f}"  # the seeds have equally many questions
        assert accuracy[arm["arm"]][2] == f"{mean} ({low} to {high})"
    estimates = read_rows(run / "probe/estimates.parquet")
    zones = {row[0]: row[1:] for row in table_of(markdown, "domain | mastered")}
    for name in {one["domain"] for one in estimates}:
        mine = [one["zone"] for one in estimates if one["domain"] == name]
        found = [str(mine.count(zone)) for zone in ("mastered", "teachable", "beyond", "ambiguous")]
        assert zones[name] == [*found, str(len(mine))]
    steps = table_of(markdown, "step")
    assert [row[1] for row in steps] == [f"{step['count']:,}" for step in facts["funnel"]]
    assert len(steps[0][3]) == 20 and all(row[3] for row in steps)
    differences = table_of(markdown, "arm | against")
    assert len(differences) == len(facts["comparisons"])
    stages = {row[0]: row for row in table_of(markdown, "stage | time")}
    assert stages["probe"][3] == f"{facts['stages']['rows'][2]['completions']:,}"


def test_bars_of_pass_rates_add_up(built: tuple[Path, dict[str, Any], str]) -> None:
    _, facts, markdown = built
    block = next(one for one in parsed(markdown) if one.type == "fence" and one.content.startswith("right"))
    head, *lines = block.content.splitlines()
    zones = head.split()[1:-1]
    for i, line in enumerate(lines):
        label, *numbers = re.findall(r"[^\s█▏▎▍▌▋▊▉]+", line)
        assert label == facts["pass_rates"]["labels"][i]
        counts = [facts["pass_rates"]["total"][zone][i] for zone in zones]
        assert [int(n.replace(",", "")) for n in numbers] == [*counts, sum(counts)]


def test_the_recipe_is_fenced_and_private_places_are_not_told(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, markdown = built
    recipe = next(one.content for one in parsed(markdown) if one.type == "fence" and one.info == "yaml")
    assert recipe == facts["reproduce"]["recipe"]
    assert "somebody" not in markdown and str(run) not in markdown and "~/.cache/teachable" in recipe


def test_the_same_facts_give_the_same_bytes(built: tuple[Path, dict[str, Any], str]) -> None:
    run, facts, markdown = built
    assert report_markdown(facts) == markdown
    assert build_report(run).markdown.read_text(encoding="utf-8") == markdown


def test_text_of_models_and_files_stays_text(run_copy: Path) -> None:
    attack = "\n".join(ATTACKS)
    prompts = read_rows(run_copy / "tasks/prompts.parquet")
    hostile = [{"role": "user", "content": attack}]
    write_rows(run_copy / "tasks/prompts.parquet", [{**row, "messages": hostile, "answer": attack} for row in prompts])
    for name in ("select/decisions", "probe/estimates"):
        rows = read_rows(run_copy / f"{name}.parquet")
        changed = [
            {**r, "reason": attack, "domain": f"{ATTACKS[i % len(ATTACKS)]} {i % 3}"} for i, r in enumerate(rows)
        ]
        write_rows(run_copy / f"{name}.parquet", changed)
    stats = read_json(run_copy / "evaluate/stats.json")
    stats["verdict"]["sentence"] = attack
    write_json(run_copy / "evaluate/stats.json", stats)
    files = build_report(run_copy, ReportConfig(n_examples=40))
    markdown = files.markdown.read_text(encoding="utf-8")
    tokens = parsed(markdown)
    ours = {"<details><summary>By level</summary>\n", "</details>\n"}
    assert {one.content for one in tokens if one.type in ("html_block", "html_inline")} <= ours
    assert not [one for one in tokens if one.type in ("link_open", "image", "hr", "blockquote_open", "list_item_open")]
    headings = [one.content for i, one in enumerate(tokens) if tokens[i - 1].type == "heading_open"]
    assert headings[0] == "quickstart" and "A heading" not in headings and len(headings) == len(set(headings)) > 8
    said = "\n".join(one.content for one in tokens if one.type == "text")  # a span or a fence calls nobody
    assert "@\u200boctocat" in said and "@octocat" not in said
    assert not re.search(r"://|www\.|#\d|GH-\d", said)
    assert "\x00" not in markdown and "\x1b" not in markdown and "\u202e" not in markdown and "\ufffd" in markdown


@pytest.mark.parametrize("attack", ATTACKS)
def test_inline_text_is_read_back_as_it_was(attack: str) -> None:
    wanted = one_line(attack)
    for written in (text(attack), code(attack)):
        for place in (written, f"{written} after", f"before {written}"):
            tokens = parsed(place)
            kinds = {one.type for one in tokens} - {
                "inline",
                "paragraph_open",
                "paragraph_close",
                "text",
                "code_inline",
            }
            assert not kinds - {"text_special"}, (place, kinds)
        cells = parsed(table(("a", "b"), [(written, "end")]))
        assert [one.type for one in cells].count("td_open") == 2
        rendered = MarkdownIt("commonmark").render(written)
        plain = re.sub(r"<[^>]+>", "", rendered).replace("\u200b", "").strip()
        unescaped = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
        assert unescaped == wanted


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_fence_ends_where_we_end_it(attack: str) -> None:
    tokens = [one for one in parsed(fence(attack, "text") + "\n\nafter") if one.type != "inline"]
    assert [one.type for one in tokens] == ["fence", "paragraph_open", "text", "paragraph_close"]
    assert tokens[0].info == "text" and tokens[0].content.strip("\n").count("\n") == attack.strip("\n").count("\n")


def test_a_head_of_hostile_values_is_one_block_of_yaml() -> None:
    import yaml

    head = front_matter({"name": "a\n---\nb", "none": None, "empty": [], "list": ["x: y", "- z", "#1", "\x00"]})
    assert head.startswith("---\n") and head.endswith("\n---") and head.count("\n---") == 1
    assert yaml.safe_load(head[4:-3]) == {"name": "a --- b", "list": ["x: y", "- z", "#1", "\ufffd"]}


def test_bars_and_columns() -> None:
    assert (bar(0, 10), bar(10, 10), bar(5, 10), bar(1, 1000), bar(20, 10)) == ("", "█" * 20, "█" * 10, "▏", "█" * 20)
    assert columns([("a", "1", "x"), ("bcd", "200", "")]) == "a      1  x\nbcd  200"


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_stage_stops_nothing(run_copy: Path, stage: str) -> None:
    shutil.rmtree(run_copy / stage)
    files = build_report(run_copy)
    markdown = files.markdown.read_text(encoding="utf-8")
    assert all(name in markdown for name in files.missing) and markdown.count("# quickstart") == 1


def test_an_empty_folder_has_a_report_of_gaps(tmp_path: Path) -> None:
    markdown = build_report(tmp_path).markdown.read_text(encoding="utf-8")
    assert "**No verdict yet:** no stage has finished." in markdown and "manifest.json" in markdown
    assert report_markdown({}).startswith("# Report\n")


def test_searches_and_pairs_are_told_in_numbers(searched_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(searched_run, tmp_path / "quickstart"))
    files = build_report(run)
    facts, markdown = read_json(files.json), files.markdown.read_text(encoding="utf-8")
    search = facts["pivots"][0]
    row = next(one for one in table_of(markdown, "search") if one[0] == search["stage"])
    assert row[1:5] == [f"{search[name]:,}" for name in ("n_pivots", "n_raising", "n_lowering", "n_solutions")]
    pairs = table_of(markdown, "trained by")
    assert len(pairs) == sum(len(one["runs"]) for one in facts["preferences"]["tuned"]) > 0


def evaluation_of(make_run: Callable[..., Path], run: Path) -> Path:
    """A run that evaluates two models on two tasks and does nothing else."""
    make_run(run, n_pool=20, n_heldout=60)
    for stage in ("pretrain", "probe", "select", "sft"):
        shutil.rmtree(run / stage)
    (run / "run.yaml").write_text(
        "name: evaluation\nseed: 0\nbase: ''\nstages:\n  tasks: {kind: tasks, source: none, benchmarks: [gsm8k, own]}\n"
        "  evaluate: {kind: evaluate, needs: {prompts: tasks}, n_samples: 4}\n"
    )
    manifest = read_json(run / "manifest.json")
    kept = {name: manifest["stages"][name] for name in ("tasks", "evaluate")}
    write_json(run / "manifest.json", {**manifest, "recipe": "evaluation", "stages": kept})
    stats = read_json(run / "evaluate/stats.json")
    stats["models"] = [
        {
            "arm": arm,
            "label": f"{arm} model",
            "engine": {"kind": "openai"},
            "tokens_per_question": 61.4,
            "usd_per_question": 0.0021,
        }
        for arm in ("base", "teachable")
    ]
    stats["by_task"] = [
        {"arm": arm, "task": task, "metric": "pass@1", "mean": 0.4, "low": 0.3, "high": 0.5, "n_questions": 30}
        for arm in ("base", "teachable")
        for task in ("gsm8k", "own")
    ]
    stats["domain_comparisons"] = [
        {
            "arm": "teachable",
            "baseline": "base",
            "domain": "chain_sum",
            "metric": "pass@1",
            "diff": -0.1,
            "low": -0.2,
            "high": -0.05,
        }
    ]
    sentence = "A true difference of 3.1 points or more would be found 80% of the time."
    stats["power"] = {"sentence": sentence}
    stats["power_by_task"] = [{"task": "gsm8k", "arm": "teachable", "baseline": "base", "sentence": sentence}]
    facts = {"name": "gsm8k", "title": "GSM8K", "n_questions": 30, "verifier": "math", "data_digest": "ab" * 32}
    stats["determined_by"] = {"tasks": [facts], "sampling": {"temperature": 1.0}, "request_seed": 7}
    write_json(run / "evaluate/stats.json", stats)
    return run


def test_an_evaluation_alone_has_its_report_and_no_card(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = evaluation_of(make_run, tmp_path / "run")
    files = build_report(run)
    markdown = files.markdown.read_text(encoding="utf-8")
    assert (files.cards, files.kept) == ((), ()) and not list(run.rglob("README.md"))
    assert [row[-2:] for row in table_of(markdown, "arm") if row[0] == "base"] == [["61", "$0.0021"]]
    assert table_of(markdown, "task")[0] == ["gsm8k", "40.0 (30.0 to 50.0)", "40.0 (30.0 to 50.0)"]
    assert "▼ −10.0 (−20.0 to −5.0)" in markdown
    assert "`gsm8k`: A true difference of 3.1 points" in markdown and "Base:" not in markdown
    assert "the gain is that of `teachable` over `base`, in points" in markdown
    assert table_of(markdown, "task | title")[0][:4] == ["gsm8k", "GSM8K", "30", "math"]
    assert "From pool to training set" not in markdown
