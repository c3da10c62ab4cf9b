"""Kill a tuning outright at random moments, start it again, and compare what comes of it with an undisturbed one.

    python benchmarks/tune_kills.py [--kills 10] [--seed 0] [--steps 240] [--r 0] [--packing]

The embedded model's shape, with random weights, on conversations of its corpus; the judge gives the probability of the
right tokens of 40 further conversations. Every kill is SIGKILL to the whole process group, so many seconds after the
first sign of life (the first evaluation, or the first step after a checkpoint) as were drawn. A run that ends before
its kill counts as none, and the kills that are left fall on a run that is begun anew. Checkpoints are written every
half second, or as often as saving them takes a twentieth of the time. What must be equal: the curve and the evaluations
to the last digit, and the model's weights to the bit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachable.store.files import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "tune_kills.json"
SIGN = "alive"


def work(folder: Path, settings: dict[str, Any]) -> None:
    """The run that is killed: tunes into `folder`."""
    import torch

    from teachable.chat import training_tokens
    from teachable.train import trl_backend
    from teachable.train.config import LoraConfig
    from teachable.train.embedded import build_model, save_model
    from teachable.train.tune import tune
    from teachable.train.tune_config import SteeredConfig
    from tune_overhead import SHAPES, byte_tokenizer, short_examples

    torch.set_num_threads(1)
    trl_backend.CHECKPOINT_EVERY_S = 0.5
    base = folder / "base"
    if not (base / "tokenizer.json").exists():
        save_model(build_model(SHAPES["tiny"], byte_tokenizer()), byte_tokenizer(), base)
    examples = short_examples(440)

    def judge(model: Any, tokenizer: Any, step: int) -> Sequence[float]:
        scores = []
        for one in examples[400:]:
            ids, mask = training_tokens(tokenizer, one.messages)
            logp = torch.log_softmax(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1], dim=-1)
            right = logp.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
            scores.append(right[torch.tensor(mask[1:])].mean().exp().item())
        print(SIGN, flush=True)
        return scores

    tune(
        base,
        examples[:400],
        SteeredConfig(
            batch_size=8,
            max_steps=settings["steps"],
            schedule="cosine",
            eval_every=20,
            patience=0,
            packing=settings["packing"],
            max_length=512,
            lora=LoraConfig(r=settings["r"]),
        ),
        seed=0,
        out=folder / "out",
        device="cpu",
        work=folder / "work",
        judge=judge,
        on_step=lambda point: print(SIGN, point.step, flush=True),
    )


def start(folder: Path, given: argparse.Namespace) -> subprocess.Popen[str]:
    """A run in a process group of its own."""
    folder.mkdir(exist_ok=True)
    settings = json.dumps({"steps": given.steps, "packing": given.packing, "r": given.r})
    command = [sys.executable, __file__, "--work", str(folder), "--settings", settings]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=(folder / "errors").open("w"), text=True
    )


def finish(process: subprocess.Popen[str], folder: Path) -> list[str]:
    """Wait for a run to end well; its lines."""
    lines, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run failed: {(folder / 'errors').read_text()}")
    return lines.splitlines()


def kill_after(process: subprocess.Popen[str], seconds: float) -> tuple[bool, int]:
    """Kill a run so long after its first sign of life; whether it was still running, and the last step it told of."""
    assert process.stdout is not None
    first = process.stdout.readline()
    timer = threading.Timer(seconds, lambda: os.killpg(process.pid, signal.SIGKILL))
    timer.start()
    told = [first, *process.stdout]
    timer.cancel()
    steps = [int(line.split()[1]) for line in told if len(line.split()) > 1]
    return process.wait() == -signal.SIGKILL, max(steps, default=-1)


def outcome(folder: Path) -> dict[str, Any]:
    """What is compared."""
    done = read_json(folder / "work" / "done.json")
    kept = ("curve", "evaluations", "best_step", "stopped", "sentence", "n_tokens")
    return {key: done[key] for key in kept} | {"weights": (folder / "out" / "model.safetensors").read_bytes()}


def main() -> None:
    """Run undisturbed, run with kills, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--r", type=int, default=0, help="rank of adapters; 0: all weights are trained")
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.settings)
        return
    draw, kills, different = random.Random(given.seed), [], set()
    with tempfile.TemporaryDirectory() as folder:
        calm = Path(folder) / "calm"
        process = start(calm, given)
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.monotonic()
        finish(process, calm)
        seconds = time.monotonic() - begun
        print(f"undisturbed: {seconds:.0f} s of training, {given.steps} steps", flush=True)
        for number in itertools.count():
            killed = Path(folder) / f"killed-{number}"
            while len(kills) < given.kills:
                was_running, step = kill_after(start(killed, given), draw.uniform(0.0, seconds / 3))
                if not was_running:
                    break
                kills.append(step)
                print(f"kill {len(kills)}: in or after step {step}", flush=True)
            finish(start(killed, given), killed)
            left, right = outcome(calm), outcome(killed)
            different |= {key for key in left if left[key] != right[key]}
            if len(kills) >= given.kills:
                break
        n_runs, best = number + 1, outcome(calm)["best_step"]
    print(f"{len(kills)} kills of {n_runs} runs; differ: {', '.join(sorted(different)) or 'nothing'}; best step {best}")
    results = read_json(RESULTS) if RESULTS.exists() else {}
    way = f"r {given.r}, packing {'on' if given.packing else 'off'}"
    results[way] = {"kills": kills, "n_runs": n_runs, "n_steps": given.steps, "differ": sorted(different), "best": best}
    write_json(RESULTS, results)
    raise SystemExit(1 if different else 0)


if __name__ == "__main__":
    main()
