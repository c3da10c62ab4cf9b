"""An ablation's page and plot in a real browser, and their numbers worked out anew from the tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.report.ablations import GAINS, STEPS, plant
from tests.report.browsers import overflowing, violations

from teachable.report.ablation import headline, page_of, write_ablation
from teachable.report.markup import probability
from teachable.stats import holm, paired_difference
from teachable.store.files import read_json, read_rows

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LEFT_OUT = "the arm 'beyond' has 0 training tokens in 0 prompts, <b>short</b> of the budget"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ablation(plant(tmp_path_factory.mktemp("page") / "mine")).page


def test_it_opens_and_has_nothing_to_say(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri(), wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert said == [] and asked == [report.as_uri()]
    assert page.evaluate("fetch('data:,x').then(() => 'open', () => 'shut')") == "shut"
    page.close()


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_overflows_sideways(browser: Browser, report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 740})
    page.goto(report.as_uri())
    assert overflowing(page, width) == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_in_both_themes(browser: Browser, report: Path, theme: Any) -> None:
    page = browser.new_page(color_scheme=theme)
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert violations(page) == []
    page.close()


def test_the_theme_can_be_chosen(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for _ in range(3):
        seen.append(page.evaluate(ground))
        page.locator("#theme").click()
    assert seen[1] != seen[2]


def cells(page: Page, table: str) -> list[list[str]]:
    """The texts of a table's rows."""
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found: list[list[str]] = page.evaluate(
        """(caption) => [...[...document.querySelectorAll('table')]
            .find((t) => t.caption && t.caption.textContent === caption).tBodies[0].rows]
            .map((row) => [...row.cells].map((cell) => cell.textContent))""",
        table,
    )
    return found


def test_the_differences_are_those_of_the_tables(page: Page, report: Path) -> None:
    """Worked out from questions.parquet, by paths of this test's own."""
    rows = read_rows(report.parent / "ablate/questions.parquet")
    scores = {(r["arm"], r["seed"], r["step"], r["prompt_id"]): r["score"] for r in rows}
    questions = sorted({r["prompt_id"] for r in rows})

    def at(arm: str, step: int) -> np.ndarray[Any, Any]:
        seeds = range(5) if arm != "base" else range(1)
        return np.array([[scores[arm, s, step if arm != "base" else 0, q] for s in seeds] for q in questions])

    def area(arm: str) -> np.ndarray[Any, Any]:
        if arm == "base":
            return at("base", 0)
        heights = [np.repeat(at("base", 0), 5, axis=1), *(at(arm, step) for step in STEPS)]
        return np.trapezoid(np.array(heights), x=[0, *STEPS], axis=0) / STEPS[-1]

    shown = iter(cells(page, "Paired differences, in percentage points"))
    for name, table in (("at the end", lambda arm: at(arm, STEPS[-1])), ("area under the curve", area)):
        others = ["random", "full", "mastered", "beyond", "base"]
        found = [paired_difference(table("teachable"), table(o), method="bootstrap", n_bootstrap=400) for o in others]
        adjusted = [*(probability(p) for p in holm([one.p_value for one in found[:-1]])), "\u2014"]
        for other, one, p_holm in zip(others, found, adjusted, strict=True):
            row = next(shown)
            assert (row[0], row[1], row[5], row[6]) == (other, name, probability(one.p_value), p_holm)
            limits = [float(text.replace("\u2212", "-")) for text in (row[2], *row[3].split("\u00a0to\u00a0"))]
            assert limits == pytest.approx([100 * one.mean, 100 * one.low, 100 * one.high], abs=0.05 + 1e-6)
    assert not list(shown)


def test_every_training_and_every_arm_is_there_with_equal_steps_and_tokens(page: Page, report: Path) -> None:
    ends = {
        (r["arm"], str(r["seed"])): f"{100 * r['accuracy']:.1f}%"
        for r in read_rows(report.parent / "ablate/points.parquet")
        if r["step"] == STEPS[-1]
    }
    trained = cells(page, "Every training")
    assert {(row[0], row[1]): row[2] for row in trained} == ends and len(trained) == len(GAINS) * 5
    assert {row[3] for row in trained} == {"100"}
    told = cells(page, "Prompts, examples and tokens of one seed, from the least to the most")
    assert [row[0] for row in told] == list(GAINS)
    assert {tuple(row[-2:]) for row in told} == {("100", "51,200 to 51,204")}


def test_the_head_says_the_verdict_and_how_to_run_it_again(page: Page, report: Path) -> None:
    stats = read_json(report.parent / "ablate/stats.json")
    assert page.locator("h1").inner_text() == headline(stats)
    assert page.locator("header .measured").inner_text() == stats["verdict"]["sentence"]
    big = page.locator("header .big").all_inner_texts()
    assert big == [f"{100 * one['mean']:.1f}%" for one in [stats["base"], *(arm["end"] for arm in stats["arms"])]]
    assert page.locator("#again pre").inner_text() == "teachable ablate --recipe mine/run.yaml --out again"


def test_the_curves_begin_at_the_base_and_end_where_the_arms_end(report: Path) -> None:
    stats = read_json(report.parent / "ablate/stats.json")
    svg = ElementTree.fromstring(report.with_suffix(".svg").read_text(encoding="utf-8"))
    found = {
        line.attrib["class"].split("c-")[1]: [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
        for line in svg.iter("{http://www.w3.org/2000/svg}polyline")
    }
    assert len(found) == len(GAINS) and {places[0][0] for places in found.values()} == {0.0}
    assert len({places[0] for places in found.values()}) == 1
    by_height = sorted(found, key=lambda name: found[name][-1][1])
    means = {arm["arm"] if arm["arm"] != "full" else "other": arm["end"]["mean"] for arm in stats["arms"]}
    assert by_height == sorted(means, key=lambda name: -means[name])
    texts = " ".join("".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text"))
    for arm in stats["arms"]:
        assert f"{arm['arm']} {100 * arm['end']['mean']:.1f}%" in texts


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plot_stands_alone_in_both_themes(browser: Browser, report: Path, scheme: Any) -> None:
    page = browser.new_page(color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(report.with_suffix(".svg").as_uri())
    ground = page.evaluate("getComputedStyle(document.querySelector('rect')).fill")
    ink = page.evaluate("getComputedStyle(document.querySelector('polyline')).stroke")
    assert said == []
    assert (ground, ink != "none") == ("rgb(252, 251, 249)" if scheme == "light" else "rgb(20, 21, 23)", True)
    page.close()


def test_a_loss_and_an_arm_that_was_left_out_are_told(tmp_path: Path) -> None:
    gains = {"teachable": 0.0, "random": 0.3, "mastered": 0.0}
    page = write_ablation(plant(tmp_path / "lost", gains, left_out=LEFT_OUT)).page.read_text(encoding="utf-8")
    assert ">Worse</p>" in page
    assert "<h1>At the same tokens and steps, teachable did worse than random; it could not be told from " in page
    assert (
        "Left out: the arm &#x27;beyond&#x27; has 0 training tokens in 0 prompts, &lt;b&gt;short&lt;/b&gt; of" in page
    )


def test_one_seed_is_drawn_too(tmp_path: Path) -> None:
    run = plant(tmp_path / "one", {"teachable": 0.2, "random": 0.1}, n_seeds=1)
    assert "one seed each" in write_ablation(run).page.read_text(encoding="utf-8")


def test_the_same_tables_make_the_same_bytes(report: Path) -> None:
    folder = report.parent / "ablate"
    seeds = [row for row in read_rows(folder / "points.parquet") if row["arm"] != "base"]
    text = page_of(read_json(folder / "stats.json"), read_rows(folder / "runs.parquet"), seeds)
    assert text == report.read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
