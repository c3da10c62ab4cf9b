"""The section on training by domains: its numbers are the stages', and it is at home on the page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.report.browsers import overflowing, violations
from tests.report.turns import GAINS, LOST, take_turns

from teachable.report.build import build_report
from teachable.report.markup import percent, points
from teachable.store.files import read_json

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def report(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = take_turns(Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("turns") / "quickstart")))
    return build_report(run).html


def test_every_cell_of_the_matrix_is_the_stage_s(page: Page, report: Path) -> None:
    cells = read_json(report.parent / "add_data" / "stats.json")["matrix"]
    table = page.locator("#by-turns table.matrix")
    assert table.locator("thead th").all_inner_texts() == ["domain", "base", "1 domain", "2 domains"]
    shown = [[one.inner_text() for one in row.locator("td").all()] for row in table.locator("tbody tr").all()]
    wanted: dict[str, list[dict[str, float]]] = {}
    for cell in cells:
        wanted.setdefault(cell["domain"], []).append(cell)
    assert len(shown) == len(wanted) == len(GAINS)
    for texts, row in zip(shown, wanted.values(), strict=True):
        for text, cell in zip(texts, row, strict=True):
            assert percent(cell["mean"], "") in text
            assert ("fell since added" in text) == cell["regression"]
            if cell["since_base_mean"] is not None:
                assert points(cell["since_base_mean"]) in text
    assert sum(cell["regression"] for cell in cells) == 1


def test_gains_trials_and_sentences_are_told(page: Page) -> None:
    text = page.locator("#by-turns").inner_text()
    assert LOST in text and "<i>letters</i>" in text
    for gain in GAINS.values():
        assert points(gain) in text and f"{points(gain - 0.07)}\u00a0to\u00a0{points(gain + 0.05)}" in text
    assert "40 to 50" in text and "plateau" in text and "77" in text
    assert "gcd 75.0%, chain_sum 25.0%" in text and "Trial 3 won" in text and "ended at 23.1%" in text


def test_the_markdown_says_the_same(report: Path) -> None:
    text = report.with_suffix(".md").read_text(encoding="utf-8")
    assert "## One domain at a time" in text and "▼" in text and "Trial 3 won" in text
    cell = next(one for one in read_json(report.parent / "add_data" / "stats.json")["matrix"] if one["regression"])
    assert f"▼ {percent(cell['mean'], '')} ({points(cell['since_base_mean'])})" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_axe_has_nothing_to_say(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 360, "height": 800})
    assert overflowing(page, 360) == []
    assert violations(page) == []


def test_a_run_without_such_stages_has_no_such_section(finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "quickstart"))
    assert "by-turns" not in build_report(run).html.read_text(encoding="utf-8")
