"""Fine-tuning: either backend makes the same model of the same examples, and leaves only the model behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from safetensors.torch import load_file

from teachable.errors import TeachableError
from teachable.records import Example
from teachable.train.config import PretrainConfig, SftConfig
from teachable.train.embedded import build_model, save_model
from teachable.train.sft import sft

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def base(tokenizer: Any, small_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_model(build_model(small_config, tokenizer), tokenizer, folder)
    return folder


@pytest.fixture
def examples() -> list[Example]:
    return [
        Example(
            prompt_id=str(n),
            messages=(
                {"role": "user", "content": f"What is {n} + {n}?"},
                {"role": "assistant", "content": f"Twice {n}.\nAnswer: {2 * n}"},
            ),
            domain="sums",
            level=1,
            zone="teachable",
            why="",
            n_tokens=0,
        )
        for n in range(1, 13)
    ]


def test_both_backends_make_the_same_model(base: Path, examples: list[Example], tmp_path: Path) -> None:
    pytest.importorskip("trl")
    results = {}
    names: tuple[Literal["loop", "trl"], ...] = ("loop", "trl")
    for backend in names:
        config = SftConfig(backend=backend, weight_decay=0.1, schedule="linear", learning_rate=5e-3)
        checkpoint = tmp_path / f"{backend}.checkpoint.pt"
        results[backend] = sft(
            base, examples, config, seed=0, out=tmp_path / backend, n_steps=4, device="cpu", checkpoint=checkpoint
        )
    loop, trl = results["loop"], results["trl"]
    assert (loop.backend, trl.backend) == ("loop", "trl")
    assert (loop.n_steps, loop.n_tokens, loop.n_response_tokens) == (trl.n_steps, trl.n_tokens, trl.n_response_tokens)
    # The tolerance of the two backends: see test_trl_backend.
    assert [p.loss for p in loop.curve] == pytest.approx([p.loss for p in trl.curve], abs=1e-5)
    left, right = (load_file(r.path / "model.safetensors") for r in (loop, trl))
    before = load_file(base / "model.safetensors")
    assert left.keys() == right.keys()
    assert max((left[name] - right[name]).abs().max().item() for name in left) < 1e-5
    assert max((left[name] - before[name]).abs().max().item() for name in left) > 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "trl"]
    for path in loop.path.iterdir():
        same = path.read_bytes() == (trl.path / path.name).read_bytes()
        assert same or path.name == "model.safetensors", path.name


def test_a_small_model_is_trained_by_the_loop(base: Path, examples: list[Example], tmp_path: Path) -> None:
    result = sft(base, examples, SftConfig(), seed=0, out=tmp_path / "out", n_steps=3, device="cpu")
    assert result.backend == "loop"
    assert len(result.curve) == result.n_steps == 3
    assert result.curve[-1].tokens == result.n_tokens
    assert 0 < result.n_response_tokens < result.n_tokens
    again = sft(base, examples, SftConfig(), seed=0, out=tmp_path / "again", n_steps=3, device="cpu")
    assert again.digest == result.digest


def test_fewer_examples_than_steps_is_one_sentence(base: Path, examples: list[Example], tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"^12 examples cannot fill 13 training steps\. Raise tokens_per_step"):
        sft(base, examples, SftConfig(), seed=0, out=tmp_path / "out", n_steps=13)
