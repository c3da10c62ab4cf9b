"""Workflows as graphs: what a step waits for, and what is refused when one is written."""

from __future__ import annotations

import pytest
from pydantic import Field

from teachable.errors import TeachableError
from teachable.synthesize import Ask, Do, Item, Options, Output, Workflow, user
from teachable.synthesize.asking import StepContext
from teachable.synthesize.graph import Rules, options_of, roles_of, waits


async def nothing(item: Item, ctx: StepContext) -> None:
    return None


def output(item: Item, options: object) -> Output:
    return Output(user("?"), "program")


class Numbers(Options):
    k: int = Field(8, ge=1, description="samples")


FLOW = Workflow("flow", "", ("text",), (Ask("a", str), Do("b", nothing)), output, Numbers, roles=("writer", "judge"))


def test_a_step_waits_for_the_one_before_it_unless_it_says_otherwise() -> None:
    steps = (Ask("a", str), Ask("b", str, after=()), Do("c", nothing), Do("d", nothing, after=("a", "c")))
    assert waits("flow", steps) == {"a": (), "b": (), "c": ("b",), "d": ("a", "c")}
    assert FLOW.after(FLOW.steps[1]) == ("a",)


def test_a_graph_without_sense_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="two steps are called 'a'"):
        waits("flow", (Ask("a", str), Do("a", nothing)))
    with pytest.raises(ValueError, match="'text' can't name a step"):
        waits("flow", (Ask("text", str),))
    with pytest.raises(ValueError, match="'a' waits for 'b', which does not come before it"):
        Workflow("flow", "", ("text",), (Ask("a", str, after=("b",)), Do("b", nothing)), output)


def test_options_are_typed_and_named() -> None:
    assert options_of(FLOW, {"k": 3}) == Numbers(k=3)
    with pytest.raises(TeachableError, match=r"flow.options: there is no option 'n'\. The options of flow: k"):
        options_of(FLOW, {"n": 3})
    with pytest.raises(TeachableError, match="k: Input should be greater than or equal to 1"):
        options_of(FLOW, {"k": 0})


def test_roles_are_those_of_the_workflow() -> None:
    roles_of(FLOW, ["judge"])
    with pytest.raises(TeachableError, match=r"flow has no role 'cook'\. Its roles: writer, judge"):
        roles_of(FLOW, ["cook"])


def test_rules_take_the_place_of_the_steps() -> None:
    with pytest.raises(ValueError, match="flow has no rules"):
        FLOW.with_rules()
    rules = Rules(lambda options, seed: (), (Do("r", nothing),), output)
    ruled = Workflow("flow", "", ("text",), (Ask("a", str),), output, Numbers, rules=rules).with_rules()
    assert [step.name for step in ruled.steps] == ["r"]
    assert ruled.options is Numbers and ruled.roles == ()
