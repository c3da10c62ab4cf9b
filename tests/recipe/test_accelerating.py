"""What a config of accelerate may ask for, what is refused in a sentence, and what a plan reads from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.cli.toy import KINDS

from teachable.errors import TeachableError
from teachable.recipe.accelerating import accelerate_settings, n_devices, n_shards, refuse_ranks
from teachable.recipe.config import Resources
from teachable.recipe.keys import ingredients


def settings_of(text: str, at: Path, *, on_cpu: bool = True, **resources: object) -> dict[str, object]:
    (at / "accelerate.yaml").write_text(text)
    given = Resources.model_validate({"accelerate": at / "accelerate.yaml", **resources})
    return accelerate_settings(given, on_cpu=on_cpu, where="here")


def test_processes_alone_are_plain_data_parallel() -> None:
    settings = accelerate_settings(Resources(processes=3), on_cpu=True, where="here")
    assert (settings["distributed_type"], settings["num_processes"], settings["use_cpu"]) == ("MULTI_GPU", 3, True)
    assert 1024 < settings["main_process_port"] < 65536


def test_a_file_says_the_rest(tmp_path: Path) -> None:
    text = yaml.safe_dump({"distributed_type": "MULTI_CPU", "num_processes": 4, "main_process_port": 29123})
    assert settings_of(text, tmp_path)["num_processes"] == 4
    assert settings_of(text, tmp_path, processes=2)["num_processes"] == 2
    assert settings_of(text, tmp_path)["main_process_port"] == 29123


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "this is no config file of accelerate: it has no distributed_type"),
        ("a: [", "this is no config file of accelerate (while parsing"),
        ("distributed_type: XLA", "can't be launched with distributed_type XLA. Choose MULTI_GPU, FSDP, DEEPSPEED"),
        ("distributed_type: DEEPSPEED", "this asks for DeepSpeed, which is not installed. pip install deepspeed, or"),
        ("distributed_type: FSDP", "accelerate shards a model over GPUs only, and on the CPU it would leave FSDP out"),
        ("{distributed_type: 'NO', num_processes: two}", "num_processes is a whole number, 1 or more (it is 'two')"),
        (
            "{distributed_type: MULTI_GPU, num_machines: 2}",
            "2 machines need an address at which they meet. Write main_p",
        ),
    ],
)
def test_what_can_not_be_launched_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(TeachableError) as told:
        settings_of(text, tmp_path)
    assert sentence in told.value.sentence()
    assert told.value.where == str(tmp_path / "accelerate.yaml")


def test_processes_without_a_gpu_each_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="64 processes on this machine need a GPU each, and it has"):
        accelerate_settings(Resources(processes=64), on_cpu=False, where="here")


@pytest.mark.parametrize(
    ("text", "devices", "shards"),
    [
        ("{distributed_type: MULTI_GPU, num_processes: 8}", 8, 1),
        ("{distributed_type: FSDP, num_processes: 8}", 8, 8),
        ("{distributed_type: FSDP, num_processes: 8, fsdp_config: {fsdp_sharding_strategy: SHARD_GRAD_OP}}", 8, 1),
        (
            "{distributed_type: FSDP, num_processes: 32, num_machines: 4, "
            "fsdp_config: {fsdp_sharding_strategy: HYBRID_SHARD}}", 32, 8,
        ),
        ("{distributed_type: DEEPSPEED, num_processes: 8, deepspeed_config: {zero_stage: 3}}", 8, 8),
        ("{distributed_type: DEEPSPEED, num_processes: 8, deepspeed_config: {zero_stage: 2}}", 8, 1),
    ],
)  # fmt: skip
def test_a_plan_knows_over_how_many_devices(tmp_path: Path, text: str, devices: int, shards: int) -> None:
    (tmp_path / "a.yaml").write_text(text)
    resources = Resources(accelerate=tmp_path / "a.yaml")
    assert (n_devices(resources), n_shards(resources)) == (devices, shards)
    assert (n_devices(Resources(processes=3)), n_shards(Resources(processes=3)), n_devices(Resources())) == (3, 1, 1)


def test_a_whole_command_in_every_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_ranks()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_ranks()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TeachableError, match=r"started 2 times over.*resources\.processes=N"):
        refuse_ranks()


def test_a_recipes_paths_count_from_its_folder_and_enter_no_key(load, tmp_path: Path) -> None:
    """`load` is of a recipe with toy stages; what is said of resources is the same for all."""
    text = "name: toy\nseed: 3\n{}stages:\n  numbers: {{n: 12}}\n  total:\n"
    head = "resources: {accelerate: a.yaml, cache_dir: kept, processes: 2}\n"
    with pytest.raises(TeachableError, match=r"recipe\.yaml.*there is no file .*a\.yaml.*accelerate config"):
        load(text=text.format(head))
    (tmp_path / "a.yaml").write_text("distributed_type: FSDP\n")
    recipe = load(text=text.format(head))
    assert recipe.resources.accelerate == tmp_path / "a.yaml"
    assert recipe.resources.cache_dir == tmp_path / "kept"
    assert recipe.document()["resources"]["accelerate"] == str(tmp_path / "a.yaml")
    plain = load(text=text.format(""))
    assert [stage.config for stage in plain.stages] == [stage.config for stage in recipe.stages]
    made = [
        ingredients(one, one.stage("numbers"), KINDS["numbers"], {}, {}) for one in (plain, recipe)
    ]  # of the base too
    assert made[0] == made[1]
