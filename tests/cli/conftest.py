"""The real command line as a process of its own, over toy stages or over the package's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

TOY = Path(__file__).with_name("toy.py")
TEXT = "name: toy\nseed: 3\nstages:\n  numbers: {n: 12}\n  total:\n"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TEACHABLE_CACHE", str(folder))
    # A narrow terminal would break lines that tests look for.
    monkeypatch.setenv("COLUMNS", "200")
    return folder


def start(arguments: list[str], cwd: Path, *flags: str, program: list[str] | None = None) -> subprocess.Popen[str]:
    """Start the toy's command line (or another program of ours) and don't wait for it."""
    return subprocess.Popen(
        [sys.executable, *flags, *(program or [str(TOY)]), *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def toy(tmp_path: Path) -> Command:
    """Run the toy's command line in a folder that holds its recipe.yaml."""
    (tmp_path / "recipe.yaml").write_text(TEXT)

    def run(*arguments: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return finish(start(list(arguments), tmp_path, *flags))

    return run


@pytest.fixture
def teachable(tmp_path: Path) -> Command:
    """Run `python -m teachable` in a temporary folder."""

    def run(*arguments: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return finish(start(list(arguments), tmp_path, *flags, program=["-m", "teachable"]))

    return run


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    """The command without a process of its own, which is ten times as quick; it works in the temporary folder."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    yield CliRunner()
    signal.signal(signal.SIGTERM, before)
