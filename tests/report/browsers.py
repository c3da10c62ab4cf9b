"""Where the browser of these tests is, and what it is asked of a page."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def chromium() -> str:
    """Where Chromium is; the test is skipped with the reason where there is none."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed (pip install playwright): the page is not tested in a browser")
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on the PATH (apt install chromium): the page is not tested in a browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser. It ends with the module: as long as it runs, so does an event loop, which others can't share."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The `report` of the test's module, open in a window of common size."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def overflowing(page: Page, width: int) -> list[str]:
    """What reaches beyond the right edge of a page of this width, everything on it opened."""
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found: list[str] = page.evaluate(
        """(width) => [...document.querySelectorAll('body *')]
            .filter((e) => !e.closest('.scroll, .skip') && !(e instanceof SVGElement && e.tagName !== 'svg'))
            .filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > width + 0.5)
            .map((e) => e.outerHTML.slice(0, 120))""",
        width,
    )
    whole = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"the page is {whole} wide"] if whole > width else [])


def violations(page: Page) -> list[tuple[Any, ...]]:
    """What axe finds on the page as it stands; the test is skipped where axe is not installed."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed: accessibility is not tested")
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(v["id"], v["impact"], v["nodes"][0]["html"][:200]) for v in found]
