"""Where the browser of these tests is."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def chromium() -> str:
    """Where Chromium is; the test is skipped with the reason where there is none."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed (pip install playwright): the page is not tested in a browser")
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on the PATH (apt install chromium): the page is not tested in a browser")
