"""A training in two processes is the training in one; whatever ends a process ends all of them, in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from safetensors.numpy import load_file
from tests.engines.conftest import tiny_tokenizer
from tests.recipe import launches
from tests.recipe.launches import SHORT, make_job, write_data

from teachable.errors import TeachableError
from teachable.recipe.accelerating import free_port
from teachable.recipe.launching import is_alive, launched
from teachable.recipe.training import TrainJob, train_job
from teachable.store.files import read_json
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model
from teachable.train.tune_config import ScaleConfig, SteeredConfig, TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
SLOW_S = 90.0  # for a machine that is busy with other things: each process imports torch and TRL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and data."""
    at = tmp_path_factory.mktemp("launch")
    config = PretrainConfig(hidden_size=16, n_layers=1, n_heads=2, n_kv_heads=1, intermediate_size=32, seed=3)
    tokenizer = tiny_tokenizer()
    save_model(build_model(config, tokenizer), tokenizer, at / "base")
    write_data(at)
    return at


def launch_folder(at: Path, run: str = "run") -> Path:
    return at / run / "tuned" / ".digits-0.launch"


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + SLOW_S
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def ranks(at: Path, run: str = "run") -> list[int]:
    found = [read_json(path)["pid"] for path in sorted(launch_folder(at, run).glob("rank-*.json"))]
    return found if len(found) == 2 else []


def told_steps(at: Path, run: str) -> int:
    """Steps done, as the main process has told; its file is removed when it is done."""
    try:
        return int(read_json(at / run / "tuned" / ".digits-0.work" / "progress.json")["step"])
    except TeachableError:
        return 0


def has_trained(at: Path, run: str = "run") -> bool:
    return (at / run / "tuned" / ".digits-0.work" / "progress.json").is_file()


# ---- what comes of it ----


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_end_as_one_process_that_is_not(folder: Path) -> None:
    """The same curve within float noise, the same evaluations, and one sentence for the process that was killed."""
    config = SteeredConfig(
        **{**SHORT, "learning_rate": 3e-4, "max_steps": 150, "max_epochs": 150}, eval_every=50, patience=0
    )
    one = train_job(make_job(folder, config, run="one", judged=True))
    job = make_job(folder, config, run="two", judged=True, processes=2)
    pids: list[int] = []

    def kill() -> None:
        wait_for(lambda: has_trained(folder, "two") and told_steps(folder, "two") > 20)
        pids.extend(ranks(folder, "two"))
        os.kill(pids[1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        TeachableError, match=r"a process of the training digits-0 was killed \(SIGKILL\) before"
    ) as told:
        launched(job)
    killer.join()
    assert "Run the same command again: it goes on from the last checkpoint" in told.value.mend
    assert len(pids) == 2 and not any(is_alive(pid) for pid in pids)
    assert not job.slot.record.exists() and job.slot.work.is_dir()

    two = launched(job)
    assert [point["step"] for point in two["curve"]] == list(range(150))
    for name in ("loss", "tokens", "lr"):
        assert [p[name] for p in two["curve"]] == pytest.approx([p[name] for p in one["curve"]], rel=1e-3)
    assert [p["loss"] for p in two["curve"][:20]] == pytest.approx([p["loss"] for p in one["curve"][:20]], rel=1e-5)
    assert two["curve"][-1]["loss"] < 0.9 * two["curve"][0]["loss"]
    assert [e["step"] for e in two["evaluations"]] == [e["step"] for e in one["evaluations"]]
    same = ("arm", "seed", "path", "n_examples", "n_steps", "n_tokens", "best_step", "stopped")
    assert {name: two["run"][name] for name in same} == {name: one["run"][name] for name in same}
    assert not launch_folder(folder, "two").exists()
    # What is kept is not trained again, whoever asks.
    begun = time.monotonic()
    assert launched(job) == two
    assert train_job(make_job(folder, config, run="two", judged=True)) == two
    assert time.monotonic() - begun < 5.0


@pytest.mark.slow
def test_two_processes_that_share_the_weights_train_as_one_does(folder: Path) -> None:
    """FSDP: no process has the model whole, and yet it is judged, and written whole."""
    settings = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "num_machines": 1,
        "num_processes": 2,
        "machine_rank": 0,
        "main_process_port": 0,
        "mixed_precision": "no",
        "use_cpu": True,
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_reshard_after_forward": True,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer",
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_cpu_ram_efficient_loading": False,
        },
    }
    (folder / "fsdp.yaml").write_text(yaml.safe_dump(settings))
    config = SteeredConfig(**SHORT, eval_every=3, patience=0)
    plain = [train_job(make_job(folder, run="whole"))]
    plain.append(train_job(make_job(folder, config, run="whole-judged", judged=True)))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(folder / "fsdp.yaml")]
    command += ["-m", "tests.recipe.sharded", str(folder), "sharded"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=4 * SLOW_S, check=False)
    assert done.returncode == 0, done.stderr
    for before, run in zip(plain, ("sharded", "sharded-judged"), strict=True):
        after = make_job(folder, config if "judged" in run else None, run=run).slot.kept()
        assert after is not None
        losses = [[point["loss"] for point in record["curve"]] for record in (before, after)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        assert [e["score"] for e in after["evaluations"]] == [e["score"] for e in before["evaluations"]]
    weights = [load_file(folder / run / "models" / "digits-0" / "model.safetensors") for run in ("whole", "sharded")]
    base = load_file(folder / "base" / "model.safetensors")
    assert weights[0].keys() == weights[1].keys() == base.keys()
    for name, weight in weights[0].items():
        assert weights[1][name] == pytest.approx(weight, abs=1e-4), name
    assert any(abs(weights[1][name] - base[name]).max() > 1e-3 for name in base)


@pytest.mark.slow
def test_other_machines_are_told_how_to_join(folder: Path) -> None:
    """Here the other machine is this one: it is started with the very command that is said."""
    address = {"num_machines": 2, "main_process_ip": "127.0.0.1", "main_process_port": free_port()}
    (folder / "two.yaml").write_text(yaml.safe_dump({"distributed_type": "MULTI_CPU", "num_processes": 2, **address}))
    joined: list[subprocess.Popen[bytes]] = []

    def join(sentence: str) -> None:
        program, *command = sentence[sentence.index("accelerate launch") :].replace("RANK -m", "1 -m").split()
        assert program == "accelerate" and "--machine_rank 1" in " ".join(command)
        command = [sys.executable, "-m", "accelerate.commands.launch", *command[1:]]
        joined.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    one = train_job(make_job(folder, run="alone"))
    two = launched(make_job(folder, run="machines", accelerate=folder / "two.yaml"), say=join)
    assert [p["loss"] for p in two["curve"]] == pytest.approx([p["loss"] for p in one["curve"]], rel=1e-5)
    assert [other.wait(SLOW_S) for other in joined] == [0]


# ---- what ends it ----


@pytest.mark.slow
def test_what_a_process_raises_is_told_in_its_own_words(folder: Path) -> None:
    (folder / "empty.jsonl").write_text("")
    job = make_job(folder, TrainingConfig(**{**SHORT, "max_length": 3}), run="long", processes=2)
    with pytest.raises(TeachableError) as alone:
        train_job(job)
    with pytest.raises(TeachableError) as told:
        launched(job)
    assert told.value.sentence() == alone.value.sentence()
    assert "longer than 3 tokens" in told.value.what
    assert not launch_folder(folder, "long").exists()


@pytest.mark.slow
def test_a_crash_is_its_last_line_and_the_log_is_kept(folder: Path) -> None:
    with pytest.raises(TeachableError, match=r"training digits-0 ended with an error: \w+Error: ") as told:
        launched(make_job(folder, base="examples.jsonl", run="crashed", processes=2))
    assert "\n" not in told.value.sentence()
    log = launch_folder(folder, "crashed") / "log.txt"
    assert str(log) in told.value.mend and "Traceback" in log.read_text()


@pytest.mark.slow
def test_no_process_outlives_the_one_that_launched_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(folder / "base")
    (tmp_path / "examples.jsonl").symlink_to(folder / "examples.jsonl")
    parent = subprocess.Popen([sys.executable, launches.__file__, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: has_trained(tmp_path) or parent.poll() is not None)
        pids = ranks(tmp_path)
        assert len(pids) == 2 and all(is_alive(pid) for pid in pids)
    finally:
        parent.kill()
    parent.communicate(timeout=SLOW_S)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


# ---- its file ----


@pytest.mark.parametrize("kind", [TrainingConfig, ScaleConfig])
def test_a_job_comes_back_from_its_file(folder: Path, kind: type[TrainingConfig]) -> None:
    """Of settings with more fields than training has, those of training come back."""
    job = make_job(folder, kind(**SHORT), processes=2)
    back = TypeAdapter(TrainJob).validate_python(json.loads(TypeAdapter(TrainJob).dump_json(job, warnings=False)))
    fields = set(TrainingConfig.model_fields)
    assert back.config.model_dump(include=fields) == job.config.model_dump(include=fields)
    assert (back.slot, back.place, back.judged, back.path) == (job.slot, job.place, job.judged, job.path)
