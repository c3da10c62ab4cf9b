"""Two processes under accelerate (gloo, on a CPU) come to what one comes to: curve, evaluations and weights.

The sums of a step are taken in another order, so losses agree within 1e-5 and weights within what `test_tune.py` says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import tiny_tokenizer
from tests.train.tuning import furthest, weights_of

from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

pytest.importorskip("trl")

RUNS: dict[str, dict[str, Any]] = {
    "odd": {"batch_size": 5, "rows_at_once": 2},  # three rows here, two there
    "packed": {"batch_size": 3, "packing": True, "rows_at_once": 1},
    "adapters": {"batch_size": 4, "r": 4},
    "short": {"batch_size": 17, "max_epochs": 1, "rows_at_once": 4},  # a last step of one row: parts without any
    # The judge fails in the main process; the other hears of it, and both go on from the last checkpoint.
    "resumed": {"batch_size": 4, "rows_at_once": 2, "fails_at": 6},
}
ROOT = Path(__file__).parents[2]


def launch(folder: Path, n_processes: int) -> None:
    # With --cpu, accelerate would start one process and leave the others to MPI.
    settings = f"--multi_gpu --num_processes {n_processes} --num_machines 1 --mixed_precision no --dynamo_backend no"
    launcher = ["-m", "accelerate.commands.launch", *settings.split(), "--main_process_port", "0", "--module"]
    launcher = launcher if n_processes > 1 else ["-m"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "tests.train.tune_in_processes", str(folder)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=300)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one process and what two have come to."""
    made = {}
    tokenizer = tiny_tokenizer()
    shape = PretrainConfig(hidden_size=16, n_layers=2, n_heads=2, n_kv_heads=1, intermediate_size=32)
    for n_processes in (1, 2):
        folder = made[n_processes] = tmp_path_factory.mktemp(f"processes-{n_processes}")
        save_model(build_model(shape, tokenizer), tokenizer, folder / "base")
        (folder / "runs.json").write_text(json.dumps(RUNS))
        launch(folder, n_processes)
    return made


def result(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"result-{name}-{rank}.json").read_text())
    return found


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_come_to_what_one_comes_to(folders: dict[int, Path], name: str) -> None:
    one, two = (result(folders[n], name) for n in (1, 2))
    assert [p["loss"] for p in two["curve"]] == pytest.approx([p["loss"] for p in one["curve"]], abs=1e-5)
    assert one["curve"][0]["loss"] - one["curve"][-1]["loss"] > 0.02 or name == "short"
    for key in ("evaluations", "best_step", "stopped", "n_tokens", "n_steps", "n_response_tokens", "sentence"):
        assert two[key] == one[key]
    assert [(p["step"], p["tokens"], p["lr"]) for p in two["curve"]] == [
        (p["step"], p["tokens"], p["lr"]) for p in one["curve"]
    ]
    assert furthest(*(weights_of(folders[n] / f"out-{name}") for n in (1, 2))) < 2e-4


@pytest.mark.parametrize("name", RUNS)
def test_every_process_has_the_result_and_the_main_one_judges_and_writes(folders: dict[int, Path], name: str) -> None:
    main, other = (result(folders[2], name, rank) for rank in (0, 1))
    assert {**main, "seconds": 0} == {**other, "seconds": 0}
    judged = (folders[2] / f"judged-{name}").read_text().split("\n")[:-1]
    assert judged == [f"0 {one['step']}" for one in main["evaluations"]]
    assert [path.name for path in (folders[2] / f"work-{name}").iterdir()] == ["done.json"]
