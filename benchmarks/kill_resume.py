"""Kill a run outright at random moments, start it again, and compare what it made with an undisturbed run.

    python benchmarks/kill_resume.py [--kills 10] [--seed 0] [--until evaluate] [--base-cached] [--longest SECONDS]

Both runs are `teachable quickstart --fast` through the command line, each with a model cache of its own, so that
pretraining is killed too; with `--base-cached` they share one, and the kills fall on the other stages. Every kill is
SIGKILL to the whole process group, at a moment drawn between 1 second and `--longest` after the start. After the kills
the run is left to finish. What must be equal, byte for byte: the prompts, attempts, estimates, decisions, training
sets, model weights, training curves and scores.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMPARED = ("*.parquet", "*.jsonl", "model.safetensors")
NOT_COMPARED = ("runs.parquet",)  # it holds seconds


def command(out: Path, until: str) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-m", "teachable", "run", str(recipe(out.parent)), "--out", str(out), "--until", until]


def recipe(folder: Path) -> Path:
    """The packaged fast quickstart as one recipe file, as `run.yaml` would hold it."""
    from teachable.recipe.kinds import STAGE_KINDS
    from teachable.recipe.load import load_recipe
    from teachable.recipe.packaged import packaged_recipe
    from teachable.store.files import write_text

    path = folder / "recipe.yaml"
    if not path.exists():
        import yaml

        source, layers = packaged_recipe("quickstart", fast=True)
        write_text(path, yaml.safe_dump(load_recipe(source, kinds=STAGE_KINDS, layers=layers).document()))
    return path


def start(out: Path, until: str, cache: str) -> subprocess.Popen[bytes]:
    """A run in a process group of its own, with a model cache of that name beside its folder."""
    environment = {**os.environ, "TEACHABLE_CACHE": str(out.parent / cache)}
    return subprocess.Popen(
        command(out, until), env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run to end well."""
    _, error = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run failed: {error.decode(errors='replace')}")


def files(out: Path) -> dict[str, bytes]:
    """What is compared, by its path in the run folder."""
    found = sorted(path for pattern in COMPARED for path in out.rglob(pattern) if path.name not in NOT_COMPARED)
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def main() -> None:
    """Run undisturbed, run with kills, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", default="evaluate")
    parser.add_argument("--base-cached", action="store_true")
    parser.add_argument("--longest", type=float, help="seconds; a third of the undisturbed run by default")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, killed = Path(folder) / "calm", Path(folder) / "killed"
        begun = time.monotonic()
        finish(start(calm, given.until, "calm-cache"))
        seconds = time.monotonic() - begun
        print(f"undisturbed: {seconds:.0f} s, {len(files(calm))} files", flush=True)
        cache = "calm-cache" if given.base_cached else "killed-cache"
        longest = given.longest or seconds / 3
        done = 0
        for _ in range(given.kills):
            process = start(killed, given.until, cache)
            wait = rng.uniform(1.0, longest)
            try:
                process.wait(wait)
                break  # it was finished before the kill
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                done += 1
                stages = sorted(path.name for path in killed.iterdir() if path.is_dir()) if killed.exists() else []
                print(f"kill {done} after {wait:.1f} s; folders: {', '.join(stages)}", flush=True)
        finish(start(killed, given.until, cache))
        first, second = files(calm), files(killed)
        different = [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
        print(f"{done} kills; {len(first)} files compared, {len(different)} differ: {', '.join(different) or 'none'}")
        raise SystemExit(1 if different else 0)


if __name__ == "__main__":
    main()
