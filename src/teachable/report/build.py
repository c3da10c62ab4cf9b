"""A run folder in; report.html, report.md, report.json and cards out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from teachable.report.cards.write import write_cards
from teachable.report.config import ReportConfig
from teachable.report.facts import gather
from teachable.report.gathering.load import RunReader
from teachable.report.markdown.page import report_markdown
from teachable.report.page import render
from teachable.store.files import write_json, write_text

MOST_BYTES = 4_500_000  # mail and chat programs take 5 MB; attempts are what can be long, so they give way
FEWEST_CHARS, FEWEST_EXAMPLES, FEWEST_SOLUTIONS = 500, 10, 1


@dataclass(frozen=True)
class ReportFiles:
    """What was written, the page's size in bytes, and what the run folder did not have.

    `cards` are the cards of models and data sets that were written; `kept` are those that stand where one would be
    written, are somebody's own, and were left as they are.
    """

    html: Path
    json: Path
    n_bytes: int
    missing: tuple[str, ...]
    markdown: Path
    cards: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()


def build_report(
    run: Path, config: ReportConfig | None = None, *, folders: Mapping[str, str] | None = None
) -> ReportFiles:
    """Write RUN/report.html, RUN/report.md, RUN/report.json and the cards, each whole or not at all.

    Stages that have not run are said to be missing, in the page and in the answer; they stop nothing. The
    same run folder on the same machine gives the same bytes: no clock is read. A page that would be larger
    than `MOST_BYTES` gets shorter texts, then fewer examples, then fewer solutions.

    Args:
        run: the run folder.
        config: what to show; None takes the defaults.
        folders: role (tasks, pretrain, probe, select, sft, evaluate; pivot, dpo, judge_pairs, judge_dpo) -> stage
            folder. A role left out takes its own name, or the stage of its kind in the manifest.

    Raises:
        TeachableError: no such folder, an unknown role, a broken file, or no room to write.
    """
    settings = config or ReportConfig()
    facts = gather(RunReader(Path(run), folders), settings)
    page = render(facts, settings.title)
    while len(page.encode("utf-8")) > MOST_BYTES and (smaller := _smaller(settings)):
        settings = smaller
        facts = gather(RunReader(Path(run), folders), settings)
        page = render(facts, settings.title)
    html, markdown, json = (Path(run) / f"report.{ending}" for ending in ("html", "md", "json"))
    write_text(html, page)
    write_text(markdown, report_markdown(facts))
    write_json(json, facts)
    cards = write_cards(RunReader(Path(run), folders), facts)
    return ReportFiles(
        html=html,
        json=json,
        n_bytes=len(page.encode("utf-8")),
        missing=tuple(facts["missing"]),
        markdown=markdown,
        cards=cards.written,
        kept=cards.kept,
    )


def _smaller(config: ReportConfig) -> ReportConfig | None:
    """The config of the next smaller page, or None where nothing is left to give."""
    if config.max_chars > FEWEST_CHARS:
        return config.model_copy(update={"max_chars": max(FEWEST_CHARS, config.max_chars // 2)})
    if config.n_examples > FEWEST_EXAMPLES:
        return config.model_copy(update={"n_examples": max(FEWEST_EXAMPLES, config.n_examples // 2)})
    if config.n_solutions > FEWEST_SOLUTIONS:
        return config.model_copy(update={"n_solutions": max(FEWEST_SOLUTIONS, config.n_solutions // 2)})
    return None
