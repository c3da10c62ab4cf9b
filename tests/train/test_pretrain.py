"""The embedded model is trained once per machine, and a kill costs no more than the time since the last checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.toy import Killed

from teachable.records import Progress
from teachable.train import loop
from teachable.train.config import PretrainConfig
from teachable.train.pretrain import DONE, PretrainResult, model_folder, pretrain, thin

pytestmark = pytest.mark.usefixtures("few_tokenizer_texts")


@pytest.fixture(scope="module")
def undisturbed(
    small_config: PretrainConfig, few_tokenizer_texts: None, tmp_path_factory: pytest.TempPathFactory
) -> PretrainResult:
    pytest.importorskip("reasoning_gym")
    return pretrain(small_config, tmp_path_factory.mktemp("cache"), n_threads=1)


def test_a_model_is_trained_on_the_tokens_asked_for(undisturbed: PretrainResult, small_config: PretrainConfig) -> None:
    assert not undisturbed.cached
    # Whole texts, read twice, until the number is reached: past it by less than two texts.
    assert small_config.n_tokens <= undisturbed.n_tokens < small_config.n_tokens + 2 * 200
    curve = undisturbed.curve
    assert [point["step"] for point in curve] == list(range(len(curve)))
    assert curve[-1]["tokens"] == undisturbed.n_tokens
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert not list(undisturbed.path.parent.glob("*.checkpoint*"))


def test_the_second_call_finds_it_in_the_cache(
    undisturbed: PretrainResult, small_config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not_train(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("teachable.train.pretrain.build_tokenizer", must_not_train)
    again = pretrain(small_config, undisturbed.path.parent.parent, n_threads=1)
    assert again.cached
    assert again.digest == undisturbed.digest
    assert (again.path, again.n_params, again.n_tokens) == (
        undisturbed.path,
        undisturbed.n_params,
        undisturbed.n_tokens,
    )
    assert again.curve == undisturbed.curve


def test_each_config_has_a_folder_of_its_own(small_config: PretrainConfig, tmp_path: Path) -> None:
    changed = [small_config.model_copy(update=change) for change in ({}, {"seed": 1}, {"frac_bare": 0.4})]
    assert len({model_folder(config, tmp_path) for config in changed}) == 3


def test_killed_half_way_it_resumes_to_the_same_model(
    undisturbed: PretrainResult, small_config: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)  # after every step
    half_way = small_config.n_tokens // 2

    def kill(progress: Progress) -> None:
        if progress.done > half_way:
            raise Killed

    with pytest.raises(Killed):
        pretrain(small_config, tmp_path, n_threads=1, on_progress=kill)
    assert not (model_folder(small_config, tmp_path) / DONE).exists()

    steps: list[Progress] = []
    resumed = pretrain(small_config, tmp_path, n_threads=1, on_progress=steps.append)
    assert not resumed.cached
    assert resumed.digest == undisturbed.digest
    assert resumed.curve == undisturbed.curve
    assert steps[0].done > half_way
    assert [path.name for path in resumed.path.parent.iterdir()] == [resumed.path.name]


def test_it_is_loaded_like_any_other_model(undisturbed: PretrainResult) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(undisturbed.path, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(undisturbed.path)
    assert model.num_parameters() == undisturbed.n_params
    ids = torch.tensor([tokenizer.encode("<|user|>1 + 1?<|end|><|assistant|>", add_special_tokens=False)])
    assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] <= ids.shape[1] + 3


def test_a_thinned_curve_keeps_its_ends() -> None:
    assert thin(list(range(5)), 10) == [0, 1, 2, 3, 4]
    few = thin(list(range(1000)), 10)
    assert len(few) == 10
    assert (few[0], few[-1]) == (0, 999)
    assert few == sorted(set(few))
