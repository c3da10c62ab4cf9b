"""A watcher that remembers what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field

from teachable.recipe.spec import Forecast
from teachable.records import Progress
from teachable.store.manifest import StageEntry


@dataclass
class Watch:
    """What was told of the work."""

    seen: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def cached(self, stage: str, entry: StageEntry) -> None:
        self.seen.append("cached")

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None:
        self.seen.append("started")

    def progressed(self, stage: str, progress: Progress) -> None:
        self.progress.append(progress)

    def finished(self, stage: str, entry: StageEntry) -> None:
        self.seen.append("finished")

    def interrupted(self, stage: str, n_in_flight: int) -> None:
        self.seen.append("interrupted")

    def said(self, stage: str, sentence: str) -> None:
        self.sentences.append(sentence)
