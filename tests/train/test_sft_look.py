"""Looking at a model while it is trained: after its update, at the steps asked for, and without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from tests.train.toy import Killed

from teachable.records import Example
from teachable.store.digest import model_digest
from teachable.train.config import PretrainConfig, SftConfig
from teachable.train.embedded import build_model, save_model
from teachable.train.loop import CurvePoint
from teachable.train.sft import sft

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
N_STEPS = 6
Backend = Literal["loop", "trl"]


@pytest.fixture(scope="module")
def base(tokenizer: Any, small_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with dropout, so that a random number that somebody else draws would show."""
    folder = tmp_path_factory.mktemp("base")
    model = build_model(small_config, tokenizer)
    model.config.attention_dropout = 0.2
    save_model(model, tokenizer, folder)
    return folder


@pytest.fixture
def examples() -> list[Example]:
    return [
        Example(str(n), ({"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": str(n + 1)}), "", 1,
                "teachable", "", 0)
        for n in range(12)
    ]  # fmt: skip


def run(base: Path, examples: list[Example], out: Path, backend: Backend, **more: Any) -> Any:
    config = SftConfig(backend=backend, learning_rate=5e-3)
    return sft(base, examples, config, seed=3, out=out, n_steps=N_STEPS, device="cpu", **more)


@pytest.mark.parametrize("backend", ["loop", "trl"])
def test_it_sees_the_updated_model_and_leaves_the_training_bit_equal(
    base: Path, examples: list[Example], tmp_path: Path, backend: Backend
) -> None:
    if backend == "trl":
        pytest.importorskip("trl")
    seen: dict[int, dict[str, torch.Tensor]] = {}
    points: list[CurvePoint] = []

    def look(model: Any, tokenizer: Any, point: CurvePoint) -> None:
        assert tokenizer.chat_template
        torch.randn(100)  # a sampler would draw, too
        seen[point.step + 1] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        points.append(point)

    plain = run(base, examples, tmp_path / "plain", backend)
    looked = run(base, examples, tmp_path / "looked", backend, look_after=(2, 4, N_STEPS), look=look)
    assert plain.backend == looked.backend == backend
    assert looked.digest == plain.digest and looked.curve == plain.curve
    assert list(seen) == [2, 4, N_STEPS]
    assert points == [plain.curve[step - 1] for step in seen]
    # The last look is at the model that was saved, the others are at models of their own.
    from safetensors.torch import load_file

    saved = load_file(looked.path / "model.safetensors")
    assert all(torch.equal(saved[name], seen[N_STEPS][name]) for name in saved)
    name = next(name for name in saved if name.endswith("q_proj.weight"))
    assert not torch.equal(seen[2][name], seen[4][name])


def test_the_dropout_of_this_test_is_real(base: Path, examples: list[Example], tmp_path: Path) -> None:
    one = sft(base, examples, SftConfig(), seed=0, out=tmp_path / "a", n_steps=2, device="cpu")
    other = sft(base, examples, SftConfig(), seed=1, out=tmp_path / "b", n_steps=2, device="cpu")
    assert model_digest(one.path) != model_digest(other.path)


def test_what_was_looked_at_before_a_kill_is_not_looked_at_again_once_it_is_in_a_checkpoint(
    base: Path, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teachable.train.loop.CHECKPOINT_EVERY_S", -1.0)  # after every step
    kept: list[int] = []

    def look(model: Any, tokenizer: Any, point: CurvePoint) -> None:
        kept.append(point.step + 1)

    def killed(point: CurvePoint) -> None:
        if point.step + 1 == 4:
            raise Killed

    more = {"checkpoint": tmp_path / "c.pt", "look_after": range(1, N_STEPS + 1), "look": look}
    with pytest.raises(Killed):
        run(base, examples, tmp_path / "out", "loop", on_step=killed, **more)
    assert kept == [1, 2, 3, 4]  # the checkpoint holds three steps: whoever looks has seen at least these
    run(base, examples, tmp_path / "out", "loop", **more)
    assert kept == [1, 2, 3, 4, 4, 5, 6]
