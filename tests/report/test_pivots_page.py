"""Pivotal tokens in a real browser: seen, signed, reached by keyboard, narrow enough, accessible."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.report.browsers import violations

from teachable.report import build_report
from teachable.store.files import read_json

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def report(searched_run: Path) -> Path:
    return build_report(searched_run).html


def test_a_browser_has_nothing_to_say(browser: Browser, report: Path) -> None:
    said: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert said == [] and page.title() == "quickstart \u00b7 teachable"
    assert page.locator("#pivots .tokens").filter(has_text="</script><script>document.title").count() == 1
    assert page.locator("#pivots .solutions > li").count() == 8 and page.locator("#pivots svg.curves").count() == 8
    page.close()


def test_pivotal_tokens_are_underlined_signed_and_reached_by_keyboard(page: Page) -> None:
    first = page.locator("#pivots .solutions > li").first
    token = first.locator("a.pivotal").first
    row = first.locator("table tbody tr").first
    change = row.locator("td").nth(3).inner_text()
    assert token.locator(".sign").inner_text() == f"{change[0]}{round(float(change[1:]))}"
    assert "underline" in token.evaluate("(e) => getComputedStyle(e).textDecorationLine")
    title = token.get_attribute("title") or ""
    before, after = row.locator("td").nth(1).inner_text(), row.locator("td").nth(2).inner_text()
    assert f"{change} points: {before} before, {after} after" in title and "interval" in title
    first.locator("summary").focus()
    page.keyboard.press("Tab")
    assert token.evaluate("(e) => e === document.activeElement")
    assert title in page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    page.keyboard.press("Enter")
    assert row.evaluate("(e) => e.matches(':target')")


def test_effects_are_coloured_in_both_themes(browser: Browser, report: Path) -> None:
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(report.as_uri())
        grounds = [
            page.locator(f"#pivots .hint .{name}").first.evaluate("(e) => getComputedStyle(e).backgroundColor")
            for name in ("u1", "u2", "u3", "d1", "d2", "d3")
        ]
        assert len(set(grounds)) == 6
        page.close()


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_overflows_sideways(browser: Browser, report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 740})
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.keyboard.press("Tab")  # what follows is focus by keyboard
    links = page.locator("#pivots a.pivotal").all()
    for link in links:
        link.focus()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    (search,) = read_json(report.with_name("report.json"))["pivots"]
    assert len(links) == sum(len(one["pivots"]) for one in search["solutions"])
    assert "points" in page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    out = page.evaluate(
        """(width) => [...document.querySelectorAll('#pivots *, #preferences *')]
            .filter((e) => !e.closest('.scroll') && !(e instanceof SVGElement && e.tagName !== 'svg'))
            .filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > width + 0.5)
            .filter((e) => e.tagName !== 'svg' || !e.closest('.step'))
            .map((e) => e.outerHTML.slice(0, 120))""",
        width,
    )
    assert out == []
    page.close()


def test_it_is_read_without_javascript_and_in_print(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert (
        page.locator("#pivots .tokens").first.is_visible() and page.locator("#pivots .value-curve").first.is_visible()
    )
    page.locator("#pivots .solutions summary").nth(1).click()
    assert page.locator("#pivots .tokens").nth(1).is_visible()
    context.close()


def test_headings_go_down_one_step_at_a_time(page: Page) -> None:
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_axe_finds_nothing(browser: Browser, report: Path, scheme: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(report.as_uri())
    page.evaluate(
        "document.querySelectorAll('#pivots details, #preferences details').forEach((d) => { d.open = true; })"
    )
    assert violations(page) == []
    page.close()
