"""Tasks are found where the library has them, with what their groups say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.verify.harness import find
from teachable.verify.harness.configs import _index

pytest.importorskip("lm_eval")


def test_a_task_that_stands_alone_needs_no_index() -> None:
    built = _index.cache_info().misses
    found = find("gsm8k_cot")
    assert [leaf.file for leaf in found.leaves] == ["gsm8k/gsm8k-cot.yaml"]
    assert not found.is_group
    assert _index.cache_info().misses == built
    assert found.leaves[0].config()["num_fewshot"] == 8


def test_included_settings_and_functions_are_resolved() -> None:
    (leaf,) = find("mmlu_anatomy_generative").leaves
    assert leaf.config()["dataset_path"] == "cais/mmlu"  # from the file that it includes
    (leaf,) = find("drop").leaves
    assert callable(leaf.config()["process_results"])
    assert str(leaf.config(resolve=False)["process_results"]).endswith("drop/utils.process_results")


@pytest.mark.slow
def test_a_group_has_its_tasks_as_the_library_itself_builds_them() -> None:
    found = find("mmlu_generative")
    index = _index()
    stem, other, social, human = (
        index[f"mmlu_{name}_generative"].tags for name in ("stem", "other", "social_sciences", "humanities")
    )
    assert {leaf.name for leaf in found.leaves} == stem | other | social | human
    assert len(found.leaves) == 57
    assert found.is_group and found.weights == "size"


@pytest.mark.slow
def test_a_tag_is_its_tasks() -> None:
    found = find("mmlu_stem_generative")
    assert {leaf.name for leaf in found.leaves} == _index()["mmlu_stem_generative"].tags
    assert found.is_group and found.weights == ""


def test_a_group_of_ones_own_overrides_its_tasks(tmp_path: Path) -> None:
    group = tmp_path / "mine.yaml"
    group.write_text(
        "group: mine\nnum_fewshot: 3\ntask:\n  - task: gsm8k\n    repeats: 1\n  - gsm8k_cot\n"
        "aggregate_metric_list:\n  - metric: exact_match\n    weight_by_size: false\n"
    )
    found = find(str(group))
    assert [leaf.name for leaf in found.leaves] == ["gsm8k", "gsm8k_cot"]
    assert found.leaves[0].overrides == {"num_fewshot": 3, "repeats": 1}
    assert found.leaves[0].config()["num_fewshot"] == 3
    assert found.weights == "equal"


def test_what_there_is_not_is_said_with_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"no task called 'gsm8k_ct'.*gsm8k_cot"):
        find("gsm8k_ct")
    with pytest.raises(TeachableError, match="file is missing"):
        find(str(tmp_path / "none.yaml"))
    (tmp_path / "bare.yaml").write_text("doc_to_text: hello\n")
    with pytest.raises(TeachableError, match="names no task"):
        find(str(tmp_path / "bare.yaml"))
