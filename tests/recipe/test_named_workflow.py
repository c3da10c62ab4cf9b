"""Which workflow settings name: the built-in ones all load, an own file is run, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.recipe.named_workflow import workflow_of
from teachable.synthesize import Ask, SynthesizeConfig
from teachable.synthesize.graph import options_of
from teachable.synthesize.templates import PACKAGED, packaged_templates
from teachable.synthesize.workflows import NAMES

OWN = """
from teachable.synthesize import Do, Output, Workflow, user

async def step(item, ctx):
    return 1

mine = Workflow("mine", "", ("text",), (Do("step", step),), lambda item, options: Output(user("?"), "program"))
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_workflow_is_whole(name: str) -> None:
    workflow = workflow_of(SynthesizeConfig(workflow=name))
    assert workflow.name == name and workflow.summary and workflow.takes and workflow.roles
    calls = workflow.calls(options_of(workflow, {}))
    assert 0 < calls.requests <= calls.completions and calls.outputs > 0
    # Whatever it asks has a template, and whatever it has as a template is Jinja that loads.
    templates = {str(path.with_suffix("")) for path in packaged_templates()}
    assert any(one.startswith(f"{name}/") for one in templates) or name == "answers"  # which asks prompts as they stand
    for step in workflow.steps:
        if isinstance(step, Ask):
            assert (step.template or f"{name}/{step.name}") in templates
            assert step.role in workflow.roles


def test_material_is_never_bare() -> None:
    for path in packaged_templates():
        text = (PACKAGED / path).read_text(encoding="utf-8")
        for bare in (
            "{{ text }}",
            "{{ seed.text }}",
            "{{ passage }}",
            "{{ question }}",
            "{{ answer }}",
            "{{ problem }}",
        ):
            assert bare not in text, f"{path} shows {bare} without its lines"


def test_a_file_of_the_users_defines_one(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    assert workflow_of(SynthesizeConfig(workflow="mine", file=path)).name == "mine"
    for name, file, sentence in (
        ("step", path, "this is no Workflow. Write step = Workflow(...) in own.py"),
        ("mine", tmp_path / "none.py", "there is no such Python file"),
        ("nine", None, "there is no workflow 'nine'"),
    ):
        with pytest.raises(TeachableError) as error:
            workflow_of(SynthesizeConfig(workflow=name, file=file))
        assert sentence in error.value.sentence()


def test_rules_are_refused_where_there_are_none(tmp_path: Path) -> None:
    assert workflow_of(SynthesizeConfig(workflow="verifiable", rules=True)).rules is not None
    with pytest.raises(TeachableError, match="answers has no rules, so an engine has to write"):
        workflow_of(SynthesizeConfig(workflow="answers", rules=True))
