"""Run by `accelerate launch` in several processes: tunes as the first argument's JSON says, and keeps what came of it.

Each process writes `result-RANK.json`; the judge notes in `judged` which process it worked in.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tests.train.tuning import N_QUESTIONS, sums, with_settings

from teachable.errors import TeachableError
from teachable.store.files import write_json
from teachable.train import trl_backend
from teachable.train.tune import TuneResult, tune

RANK = os.environ.get("RANK", "0")


class Unlucky(Exception):
    """What the judge raises where it is to fail."""


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for name, settings in json.loads((folder / "runs.json").read_text()).items():
        fails_at = settings.pop("fails_at", None)
        if fails_at is not None:
            trl_backend.CHECKPOINT_EVERY_S, trl_backend.SAVING_SHARE = -1.0, math.inf
            with contextlib.suppress(Unlucky, TeachableError):
                run(folder, name, settings, fails_at)
        write_json(folder / f"result-{name}-{RANK}.json", run(folder, name, settings, None))


def run(folder: Path, name: str, settings: dict[str, Any], fails_at: int | None) -> TuneResult:
    """Tune; the judge fails after step `fails_at`."""

    def judge(model: Any, tokenizer: Any, step: int) -> Sequence[float]:
        if step == fails_at:
            raise Unlucky
        with (folder / f"judged-{name}").open("a") as handle:
            handle.write(f"{RANK} {step}\n")
        return [1.0] * (12 - abs(step - 4)) + [0.0] * (N_QUESTIONS - 12 + abs(step - 4))

    config = with_settings(patience=0, **settings)
    given = {"seed": 0, "device": "cpu", "out": folder / f"out-{name}", "work": folder / f"work-{name}"}
    return tune(folder / "base", sums(), config, judge=judge, **given)


if __name__ == "__main__":
    main()
