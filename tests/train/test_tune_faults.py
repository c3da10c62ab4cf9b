"""What goes wrong while tuning is one sentence, and the last checkpoint is as good as before.

Memory that runs out is really asked for: more than any machine has, of torch's CPU allocator and of Python's own. The
full disk is a small one of its own, mounted for the test. What CUDA raises is taken from its text; no GPU is needed.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.conftest import tiny_tokenizer
from tests.train.toy import Killed
from tests.train.tuning import PlannedJudge, accuracies, sums, what_came_of, with_settings

from teachable.errors import TeachableError
from teachable.train import trl_backend
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model
from teachable.train.faults import explain
from teachable.train.loop import CurvePoint
from teachable.train.sft import load_trainable
from teachable.train.tune import TuneResult, tune

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

CONFIG = with_settings(patience=0, rows_at_once=3)
PLANNED = accuracies(4, 10, 18, 12, 9)
Tune = Callable[..., TuneResult]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = tiny_tokenizer()
    shape = PretrainConfig(hidden_size=64, n_layers=4, n_heads=2, n_kv_heads=1, intermediate_size=128)
    save_model(build_model(shape, tokenizer), tokenizer, folder)
    return folder


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Tune:
    def tuned(config: Any = CONFIG, *, judge: Any = None, **more: Any) -> TuneResult:
        given = {"base": base, "examples": sums(), "out": tmp_path / "out", "work": tmp_path / "work", **more}
        return tune(config=config, seed=0, device="cpu", judge=judge or PlannedJudge(PLANNED), **given)

    return tuned


@pytest.fixture
def undisturbed(base: Path, tmp_path: Path) -> Callable[[], tuple[Any, ...]]:
    """What comes of a run to which nothing happens."""

    def result() -> tuple[Any, ...]:
        given = {"seed": 0, "device": "cpu", "judge": PlannedJudge(PLANNED), "out": tmp_path / "undisturbed"}
        return what_came_of(tune(base, sums(), CONFIG, **given))

    return result


@pytest.fixture(autouse=True)
def checkpoints_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl_backend, "CHECKPOINT_EVERY_S", -1.0)
    monkeypatch.setattr(trl_backend, "SAVING_SHARE", math.inf)


def after_step_2(act: Callable[[Any], None]) -> PlannedJudge:
    """A judge that does something to the model when it is asked after step 2."""
    return PlannedJudge(PLANNED, then=lambda model, step: act(model) if step == 2 else None)


def sentence_of(action: Callable[[], Any]) -> str:
    with pytest.raises(TeachableError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


# ---- numbers ----


def test_a_loss_that_is_not_finite(run: Tune, tmp_path: Path, undisturbed: Callable[[], Any]) -> None:
    spoil = after_step_2(lambda model: model.model.norm.register_forward_hook(lambda *given: given[2] * math.inf))
    assert sentence_of(lambda: run(judge=spoil)) == (
        "the loss became nan at step 2. Lower the learning rate or look at the data."
    )
    assert [path.name for path in (tmp_path / "work" / "checkpoints").iterdir()] == ["checkpoint-2"]
    assert what_came_of(run()) == undisturbed()


def test_a_gradient_that_is_not_finite(run: Tune, tmp_path: Path, undisturbed: Callable[[], Any]) -> None:
    """The loss is still finite in the step whose update spoils the weights, which must not be saved."""
    spoil = after_step_2(lambda model: model.model.norm.weight.register_hook(lambda gradient: gradient * math.inf))
    assert sentence_of(lambda: run(judge=spoil)) in [
        f"the norm of the gradient became {value} at step 2. Lower the learning rate or look at the data."
        for value in ("inf", "nan")
    ]
    assert [path.name for path in (tmp_path / "work" / "checkpoints").iterdir()] == ["checkpoint-2"]
    assert what_came_of(run()) == undisturbed()


# ---- memory ----


def failing(action: Callable[[], Any]) -> PlannedJudge:
    return after_step_2(lambda model: model.model.norm.register_forward_pre_hook(lambda *given: action() and None))


def as_cuda_says() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    "ask",
    [lambda: torch.empty(2**56, dtype=torch.uint8), lambda: bytearray(2**56), as_cuda_says],
    ids=["torch", "python", "cuda"],
)
def test_memory_that_runs_out(run: Tune, undisturbed: Callable[[], Any], ask: Callable[[], Any]) -> None:
    assert sentence_of(lambda: run(judge=failing(ask))) == (
        "memory ran out for 3 rows at once. Lower rows_at_once (now 3), or set gradient_checkpointing to true, or "
        "train adapters (lora.r)."
    )
    assert what_came_of(run()) == undisturbed()


def test_what_could_save_memory_and_is_done_already_is_not_advised(run: Tune) -> None:
    judge = failing(lambda: torch.empty(2**56, dtype=torch.uint8))
    config = with_settings(CONFIG, rows_at_once=1, gradient_checkpointing=True, batch_size=2)
    assert sentence_of(lambda: run(config, judge=judge)) == (
        "memory ran out for 1 row at once. Lower max_length, or train adapters (lora.r)."
    )


def test_memory_that_runs_out_while_judging(run: Tune) -> None:
    judge = after_step_2(lambda model: torch.empty(2**56, dtype=torch.uint8))
    assert sentence_of(lambda: run(judge=judge)) == (
        "memory ran out for the evaluation after step 2. Lower engine.batch_rows."
    )


def test_other_errors_keep_their_traceback(run: Tune) -> None:
    def crash() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(judge=failing(crash))


# ---- disk ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB of its own: room for two checkpoints of 2 MB, and for two copies of the weights."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # a traceback may hold a file of it


def fill(disk: Path, spare: int) -> None:
    """Leave `spare` bytes."""
    with (disk / "filler").open("wb") as handle:
        handle.write(b"\0" * max(0, shutil.disk_usage(disk).free - spare))


@pytest.mark.parametrize("spare", [0, 100_000, 900_000], ids=["nothing", "little", "half a checkpoint"])
def test_a_disk_that_fills_up(run: Tune, small_disk: Path, undisturbed: Callable[[], Any], spare: int) -> None:
    work = small_disk / "work"

    def on_step(point: CurvePoint) -> None:
        if point.step == 4:
            fill(small_disk, spare)

    text = sentence_of(lambda: run(work=work, on_step=on_step))
    assert text.startswith(f"{work}")
    assert "no space is left on the disk. Free some space or choose another folder" in text
    assert [path.name for path in (work / "checkpoints").iterdir()] == ["checkpoint-4"]
    (small_disk / "filler").unlink()
    told: list[int] = []
    assert what_came_of(run(work=work, on_step=lambda point: told.append(point.step))) == undisturbed()
    assert told == [4, 5, 6, 7]


def test_a_disk_without_room_for_the_model(run: Tune, small_disk: Path, undisturbed: Callable[[], Any]) -> None:
    fill(small_disk, 50_000)
    out = small_disk / "out"
    assert "no space is left on the disk" in sentence_of(lambda: run(out=out))
    (small_disk / "filler").unlink()
    assert what_came_of(run(out=out)) == undisturbed()


def test_a_failed_write_on_a_disk_with_room_is_no_full_disk(tmp_path: Path) -> None:
    error = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    assert explain(error, tmp_path) is None


# ---- what is given ----


def test_no_examples(run: Tune) -> None:
    assert sentence_of(lambda: run(examples=[])) == (
        "there are no examples to train on. Select some, or widen what is selected."
    )


def test_no_chat_template(run: Tune, base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_trainable(base, "cpu")
    tokenizer.chat_template = None
    save_model(model, tokenizer, tmp_path / "plain")
    assert "plain' has no chat template. Add a chat_template to tokenizer_config.json" in sentence_of(
        lambda: run(base=tmp_path / "plain")
    )


@pytest.mark.parametrize("missing", ["trl", "datasets", "accelerate"])
def test_a_missing_library(run: Tune, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert "Install teachable[train]" in sentence_of(run)


def test_a_best_copy_that_was_removed(run: Tune, tmp_path: Path) -> None:
    def kill(point: CurvePoint) -> None:
        if point.step == 6:
            raise Killed

    with pytest.raises(Killed):
        run(on_step=kill)
    copy = tmp_path / "work" / "best" / "best-4.safetensors"
    copy.unlink()
    assert sentence_of(run).startswith(f"{copy}: the copy of the best weights, of step 4, is missing. Remove ")
    shutil.rmtree(tmp_path / "work")
    assert run().best_step == 4
