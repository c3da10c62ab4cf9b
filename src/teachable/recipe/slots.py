"""Models that outlive their stage's key: a slot holds one model, what it was made from, and what came of it.

A stage that trains many models one after the other would lose them all when its key changes (another domain is named, a
rule is eased), though most of them would be made again to the bit. So each has a slot: its folder under `models/`, a
record under `tuned/`, and a work folder for checkpoints. What is in a slot counts as long as its key, a digest of all
that the model is made from, is the present one; a slot is overwritten when it is not, so nothing piles up.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.store.digest import model_digest
from teachable.store.files import read_json, write_json

TUNED = "tuned"  # the folder of frozen sets and records, in a run


@dataclass(frozen=True)
class Slot:
    """The place of a model called `name` in the run folder `run`, made from what `key` is the digest of."""

    run: Path
    name: str
    key: str

    @property
    def model(self) -> Path:
        """The model's folder."""
        return self.run / "models" / self.name

    @property
    def record(self) -> Path:
        """What came of it, as JSON; there only when the model is complete."""
        return self.run / TUNED / f"{self.name}.json"

    @property
    def work(self) -> Path:
        """The folder of checkpoints while it is being made."""
        return self.run / TUNED / f".{self.name}.work"

    def kept(self) -> dict[str, Any] | None:
        """The record, if the model was made from the same and is still there; else None."""
        if not self.record.is_file():
            return None
        found: dict[str, Any] = read_json(self.record)
        same = found.get("key") == self.key and self.model.is_dir()
        return found["record"] if same and model_digest(self.model) == found["digest"] else None

    def begin(self) -> None:
        """Make the slot ready: partial work of the same key stays, everything else of it goes."""
        self.record.unlink(missing_ok=True)
        marker = self.work / ".key"
        if not marker.is_file() or marker.read_text(encoding="utf-8") != self.key:
            shutil.rmtree(self.work, ignore_errors=True)
            shutil.rmtree(self.model, ignore_errors=True)
            self.work.mkdir(parents=True)
            marker.write_text(self.key, encoding="utf-8")

    def keep(self, record: Mapping[str, Any]) -> None:
        """Declare the model in its folder complete, and remove the work folder."""
        write_json(self.record, {"key": self.key, "digest": model_digest(self.model), "record": dict(record)})
        shutil.rmtree(self.work, ignore_errors=True)
