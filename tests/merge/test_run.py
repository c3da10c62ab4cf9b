"""Merging folders: the numbers, the files that go with them, memory, kills, and what is already there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.merge.folders import CONFIG, random_arrays, read_model, write_model

from teachable.errors import TeachableError
from teachable.merge import METHODS, MergeResult, merge
from teachable.merge.config import merge_config
from teachable.merge.methods import Tensor, merged
from teachable.merge.tensors import INDEX, open_weights
from teachable.records import Progress
from teachable.store.files import read_json

SETTINGS: dict[str, Any] = {"method": "ties", "density": 0.3}


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A base and two models; one in three files, another type of numbers in the base."""
    arrays = random_arrays(0)
    return (
        write_model(tmp_path / "base", arrays, dtype="BF16", shards=2),
        write_model(tmp_path / "one", random_arrays(1, base=arrays, scale=0.1), shards=3),
        write_model(tmp_path / "two", random_arrays(2, base=arrays, scale=0.1)),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("method", METHODS)
def test_the_files_hold_what_the_arrays_give(three: tuple[Path, Path, Path], tmp_path: Path, method: str) -> None:
    """In many shards, the base's type of numbers, each tensor as `methods` makes it of whole arrays."""
    base, one, two = three
    made = merge([one, two], base=base, method=method, out=tmp_path / "out", max_shard_bytes=100, seed=4)
    parents = [read_model(open_weights(folder)) for folder in three]
    found = read_model(open_weights(tmp_path / "out"))
    assert list(found) == list(random_arrays(0)) and made.n_shards > 2
    for name, numbers in found.items():
        parts = [lambda start, stop, row=parent[name]: row[start:stop] for parent in parents]
        tensor = Tensor(name, len(numbers), tuple(parts[1:]), parts[0])
        wanted = np.concatenate(list(merged(tensor, merge_config(method=method, seed=4))))
        assert numbers == pytest.approx(wanted, rel=2**-8), name  # half of bfloat16's last place, twice
    assert {tensor.dtype for tensor in open_weights(tmp_path / "out").values()} == {"BF16"}
    index = read_json(tmp_path / "out" / INDEX)
    assert index["metadata"] == {"total_parameters": made.n_parameters, "total_size": made.n_bytes}
    assert set(index["weight_map"].values()) == {path.name for path in (tmp_path / "out").glob("*.safetensors")}


@pytest.mark.parametrize("method", METHODS)
def test_cuts_into_files_change_no_number(
    three: tuple[Path, Path, Path], tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, one, two = three
    merge([one, two], base=base, method=method, out=tmp_path / "whole")
    monkeypatch.setattr("teachable.merge.tensors.CHUNK", 6)
    merge([one, two], base=base, method=method, out=tmp_path / "cut", max_shard_bytes=1)
    whole, cut = (read_model(open_weights(tmp_path / name)) for name in ("whole", "cut"))
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) == len(whole)
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_a_merged_model_loads_and_answers(llamas: Path, tmp_path: Path) -> None:
    """transformers' own means of the weights, and the local engine's samples; the base's config and tokenizer."""
    import asyncio

    from transformers import AutoModelForCausalLM

    from teachable.engines import Request
    from teachable.engines.local import TransformersEngine

    out = tmp_path / "merged"
    merge([llamas / "math", llamas / "code"], base=llamas / "base", method="linear", out=out, max_shard_bytes=20_000)
    loaded, found = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not found["missing_keys"] and not found["unexpected_keys"] and len(list(out.glob("*.safetensors"))) > 2
    states = [AutoModelForCausalLM.from_pretrained(llamas / name).state_dict() for name in ("math", "code")]
    for name, tensor in loaded.state_dict().items():
        assert (tensor - (states[0][name] + states[1][name]) / 2).abs().max() < 1e-6, name
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (out / name).read_bytes() == (llamas / "base" / name).read_bytes()
    request = Request("1 + 1 =", n=2, max_tokens=5)
    completions = asyncio.run(TransformersEngine(out, dtype="float32").sample(request))
    assert len(completions) == 2 and all(completion.token_ids for completion in completions)


def test_one_model_added_to_the_base_is_itself(llamas: Path, tmp_path: Path) -> None:
    merge([llamas / "math"], base=llamas / "base", method="task_arithmetic", out=tmp_path / "out")
    made, own = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", llamas / "math"))
    assert made.keys() == own.keys()
    assert all(np.abs(made[name] - own[name]).max() < 1e-6 for name in own)


def test_the_same_merge_is_up_to_date_and_another_is_refused(three: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, one, two = three
    out = tmp_path / "new" / "out"

    def again(*models: Path, **changed: Any) -> MergeResult:
        return merge(models or [one, two], base=base, out=out, **{**SETTINGS, **changed})

    first = again()
    before = contents(out)
    assert not first.up_to_date and again().up_to_date and contents(out) == before
    assert again(weights=[0.5, 0.5]).up_to_date and again(seed=9).up_to_date  # shares of the sum; ties draws nothing
    for changed in ({"density": 0.4}, {"method": "dare"}, {"weights": [1, 2]}, {"scale": 2.0}):
        with pytest.raises(TeachableError, match=r"out: this folder holds another merge \(ties of 2 models\)\. Choose"):
            again(**changed)
    with pytest.raises(TeachableError, match="holds another merge"):
        again(two, one)
    assert contents(out) == before
    (out / "model.safetensors").write_bytes(b"")
    with pytest.raises(TeachableError, match=r"lost files or parts of them, such as model\.safetensors\. Remove the"):
        again()
    for place, sentence in (
        (two, "holds something that is no merge of ours"),
        (two / "config.json", "a file is in the"),
    ):
        with pytest.raises(TeachableError, match=sentence):
            merge([one], base=base, out=place, **SETTINGS)


def test_the_record_says_what_was_merged(three: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, one, two = three
    (tmp_path / "out").mkdir()  # an empty folder is no obstacle
    made = merge([one, two], base=base, out=tmp_path / "out", method="dare_ties", weights=[1, 3], seed=5)
    record = read_json(tmp_path / "out" / "merge.json")
    assert record["key"] == made.key and record["n_parameters"] == 8 * 4 + 4 + 4 * 20
    settings = {"method": "dare_ties", "weights": [0.25, 0.75], "scale": 1.0, "density": 0.5, "seed": 5}
    assert {name: record[name] for name in settings} == settings == made.deciding
    assert [model["name"] for model in (record["base"], *record["models"])] == ["base", "one", "two"]
    assert len({model["digest"] for model in (record["base"], *record["models"])}) == 3
    assert record["files"]["model.safetensors"] == (tmp_path / "out/model.safetensors").stat().st_size
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


KILLED = """
import os, signal, sys
from teachable.merge import merge
def on_progress(progress):
    if progress.done >= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
merge(["one", "two"], base="base", method="ties", density=0.3, out="out", max_shard_bytes=100, on_progress=on_progress)
"""


@pytest.mark.parametrize("after", [32, 60, 116])  # of 116 numbers: after a tensor, between, before the last file
def test_a_killed_merge_leaves_nothing_that_looks_like_a_model(
    three: tuple[Path, Path, Path], tmp_path: Path, after: int
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(after)], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    (left,) = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left.name == ".out.merge.tmp" and any(left.iterdir()) and not (left / "config.json").exists()
    base, one, two = three
    for name in ("out", "undisturbed"):
        merge([one, two], base=base, out=tmp_path / name, max_shard_bytes=100, **SETTINGS)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
    assert not left.exists()


def test_an_interrupted_merge_cleans_up(three: tuple[Path, Path, Path], tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        merge(three[1:], base=three[0], out=tmp_path / "out", on_progress=interrupt, **SETTINGS)
    assert sorted(tmp_path.rglob("*")) == before


def test_two_processes_do_not_merge_into_one_folder(three: tuple[Path, Path, Path], tmp_path: Path) -> None:
    def merge_too(progress: Progress) -> None:
        with pytest.raises(TeachableError, match=r"out: another process is merging into this folder\. Wait for it"):
            merge(three[1:], base=three[0], out=tmp_path / "out", **SETTINGS)

    merge(three[1:], base=three[0], out=tmp_path / "out", on_progress=merge_too, **SETTINGS)
    assert (tmp_path / "out" / "config.json").is_file()


def test_a_full_disk_is_said_before_anything_is_written(
    three: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(TeachableError, match="no space is left on the disk"):
        merge(three[1:], base=three[0], out=tmp_path / "out", **SETTINGS)
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.merge.tmp").exists()


def test_numbers_that_are_not_finite_are_refused(three: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, one, _ = three
    broken = write_model(tmp_path / "broken", random_arrays(0))
    spoilt = random_arrays(0)
    spoilt["model.norm.weight"][2] = np.nan
    save_file(spoilt, broken / "model.safetensors")
    with pytest.raises(TeachableError, match=r"the merged tensor model\.norm\.weight has numbers that are not finite"):
        merge([one, broken], base=base, method="linear", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "average"}, r"there is no method 'average'\. Choose one of linear, slerp, task_arithmetic, ties, "),
        ({"method": "ties", "base": None}, r"ties merges what models differ by from a base, and none is named\. Name "),
        ({"method": "slerp", "models": 3}, r"slerp merges two models, and 3 are named\. Name two, or choose linear"),
        (
            {"method": "linear", "weights": [1.0]},
            r"merge: weights: 1 weight is given for 2 models\. Give one a model",
        ),
        ({"method": "linear", "weights": [1.0, -1.0]}, r"the weights of linear can't be negative\."),
        ({"method": "linear", "weights": [0.0, 0.0]}, r"one of the weights of linear must be above 0\."),
        ({"method": "dare", "weights": [1.0, float("inf")]}, r"weights and scale must be finite\."),
        ({"method": "linear", "density": 0.5}, r"density is for dare, dare_ties, ties, and linear leaves nothing out"),
        ({"method": "ties", "density": 0.0}, r"merge: density: Input should be greater than 0\."),
        ({"method": "slerp", "scale": 0.5}, r"scale multiplies a change from a base, and slerp knows none\."),
        ({"method": "linear", "models": 0}, r"merge: no model is named\. Name the folders of the models to merge\."),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(
    three: tuple[Path, Path, Path], tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    n_models = settings.pop("models", 2)
    with pytest.raises(TeachableError, match=sentence) as caught:
        merge([three[1]] * n_models, **{"base": three[0], "out": tmp_path / "out", **settings})
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


PEAK = """
import resource, sys
from teachable.merge import merge
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
merge(["one", "two"], base="base", method=sys.argv[1], out=sys.argv[1], max_shard_bytes=20_000_000)
print(before * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_is_that_of_a_few_pieces(tmp_path: Path) -> None:
    """A model of 240 MB in 20 files, three of them at once: beyond what Python itself takes, a quarter of one model."""
    rng = np.random.default_rng(0)
    block = rng.normal(size=(3000, 1000)).astype(np.float32)
    names = [f"model.layers.{i}.mlp.weight" for i in range(20)]
    for name in ("base", "one", "two"):
        write_model(tmp_path / name, dict.fromkeys(names, block * np.float32(rng.normal())), shards=20)
    size = sum(path.stat().st_size for path in (tmp_path / "base").glob("*.safetensors"))
    assert size > 200e6
    for method in ("ties", "slerp"):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, method], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
        )
        before, peak = map(int, done.stdout.split())
        assert peak - before < size / 4, f"{method}: {(peak - before) / 1e6:.0f} MB over {before / 1e6:.0f} MB"
        assert json.loads((tmp_path / method / "config.json").read_text()) == CONFIG


def test_no_library_for_models_is_loaded(three: tuple[Path, Path, Path], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom teachable.merge import merge\n"
        f"merge([{str(three[1])!r}], base={str(three[0])!r}, method='dare', out={str(tmp_path / 'out')!r})\n"
        "heavy = {'torch', 'transformers', 'safetensors', 'scipy', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
