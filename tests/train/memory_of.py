"""The most memory that a real training takes beyond what the libraries take: `python memory_of.py FOLDER LAYOUT`.

Prints the peak in bytes of what is not backed by files, measured while `tune` trains the base in FOLDER/big on rows of
random digits, after it has trained the one in FOLDER/small, so that all libraries are loaded.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from pathlib import Path

import torch

from teachable.records import Example
from teachable.train.tune import tune
from teachable.train.tune_config import TrainingConfig


def anonymous() -> int:
    """Bytes of this process' memory that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def train(base: Path, rows: int, length: int, checkpointing: bool, steps: int) -> None:
    answer = "".join(str(i * 7 % 10) for i in range(length))[: length - 8]
    examples = [
        Example(
            f"p{i}", ({"role": "user", "content": "7"}, {"role": "assistant", "content": answer}), "d", 0, "", "", 1
        )
        for i in range(rows)
    ]
    config = TrainingConfig(
        batch_size=rows, max_length=length, gradient_checkpointing=checkpointing, max_steps=steps, max_epochs=steps
    )
    result = tune(base, examples, config, seed=0, out=base.with_name(f"{base.name}-out"), device="cpu")
    assert result.n_too_long == 0 and result.n_tokens > 0.9 * rows * length * steps


def main(folder: Path, rows: int, length: int, checkpointing: bool) -> None:
    torch.set_num_threads(1)
    train(folder / "small", 2, 64, checkpointing, 2)
    gc.collect()
    before, peak, ended = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.is_set():
            peak = max(peak, anonymous())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    train(folder / "big", rows, length, checkpointing, 3)
    ended.set()
    watcher.join()
    print(json.dumps({"bytes": peak - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "True")
