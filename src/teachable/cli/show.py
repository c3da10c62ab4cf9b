"""What people see of a run: progress bars on a terminal, one line a stage elsewhere. All of it on stderr.

stdout is for results, so that `--json` puts exactly one document there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from teachable.recipe.run import Watcher
from teachable.recipe.spec import Forecast
from teachable.records import Progress
from teachable.store.manifest import StageEntry

if TYPE_CHECKING:
    import rich.progress


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=1, ensure_ascii=False))


def tell(line: str) -> None:
    """One line for people, on stderr."""
    print(line, file=sys.stderr, flush=True)


def aligned(lines: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table of texts as lines: the columns `left` to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(n_bytes: int) -> str:
    """A number of bytes as people say it."""
    return f"{n_bytes / 2**20:,.1f} MB" if n_bytes < 2**30 else f"{n_bytes / 2**30:,.1f} GB"


class Lines:
    """A watcher for logs and pipes: one line when a stage is done, one when it is cached."""

    def __init__(self, n_stages: int = 0) -> None:
        self._n_stages = n_stages

    def cached(self, stage: str, entry: StageEntry) -> None:
        """Say nothing: a run that did nothing says so once, at its end."""

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None:
        """Say nothing: the line comes when the stage is done."""

    def progressed(self, stage: str, progress: Progress) -> None:
        """Say nothing."""

    def finished(self, stage: str, entry: StageEntry) -> None:
        """The stage's line."""
        tell(_line(stage, entry))

    def interrupted(self, stage: str, n_in_flight: int) -> None:
        """That the end is near, and what it waits for."""
        tell(f"{stage}: stopping, {n_in_flight:,} requests in flight are being finished; ctrl-C again leaves at once")

    def said(self, stage: str, sentence: str) -> None:
        """What the stage has to say, at once."""
        tell(f"{stage}: {sentence}")


def _line(stage: str, entry: StageEntry) -> str:
    parts = [f"{stage}: {duration(entry.seconds)}"]
    if entry.completions:
        parts.append(f"{entry.completions:,} completions")
    if entry.tokens_out:
        parts.append(f"{entry.tokens_out:,} tokens")
    if entry.cost_usd:
        parts.append(f"${entry.cost_usd:,.2f}")
    return ", ".join(parts) + (f" | {entry.note}" if entry.note else "")


class Bars(Lines):
    """A watcher for a terminal: a bar with rate and remaining time for the stage at work."""

    def __init__(self, progress: rich.progress.Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task: rich.progress.TaskID | None = None
        self._begun = 0.0

    def cached(self, stage: str, entry: StageEntry) -> None:
        """A line that says so."""
        self._progress.console.print(f"[dim]{stage}: up to date[/dim]", highlight=False)

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None:
        """A bar that moves once the stage knows its total."""
        self._begun = time.perf_counter()
        self._task = self._progress.add_task(stage, total=None, rate="", unit=f"about {duration(seconds)}")

    def progressed(self, stage: str, progress: Progress) -> None:
        """Move the bar; the rate is in tokens where the stage counts them."""
        if self._task is None:
            return
        elapsed = max(time.perf_counter() - self._begun, 1e-3)
        rate = f"{progress.tokens / elapsed:,.0f} tokens/s" if progress.tokens else f"{progress.done / elapsed:,.1f}/s"
        unit = f"{progress.done:,}/{progress.total:,} {progress.unit} {progress.note}".rstrip()
        self._progress.update(self._task, completed=progress.done, total=progress.total, rate=rate, unit=unit)

    def said(self, stage: str, sentence: str) -> None:
        """The same above the bar."""
        self._progress.console.print(f"{stage}: {sentence}", highlight=False, markup=False, soft_wrap=True)

    def finished(self, stage: str, entry: StageEntry) -> None:
        """Replace the bar by the stage's line."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._progress.console.print(_line(stage, entry), highlight=False, markup=False, soft_wrap=True)


def watching() -> tuple[AbstractContextManager[object], Watcher]:
    """The watcher that suits stderr, and the context that it lives in."""
    if not sys.stderr.isatty():
        return nullcontext(), Lines()
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description:>9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    return bar, Bars(bar)
