"""A workflow: a small graph of steps, each a prompt template with a typed output, or a Python function.

A step runs when those that it comes `after` have their outputs; steps that wait for nobody run at once. A step that
makes several of one item (`Many`) splits it: what follows runs for each. Loops live in functions, which may ask as
often as they like through their `StepContext` (`asking.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from teachable.errors import TeachableError
from teachable.synthesize.items import Item, Output, Seed, SeedKind

if TYPE_CHECKING:
    from teachable.synthesize.asking import StepContext


GIVEN = ("seed", "text", "options", "form", "shown")  # what every template is given, beside outputs of steps


class Options(BaseModel):
    """Settings of a workflow's own; a workflow without any has these."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Ask:
    """A step that asks an engine and reads its reply.

    Attributes:
        name: the step's; its output goes by it.
        output: what the reply must be: a pydantic model (asked for and read as JSON), or `str` (the text as it is).
        template: `WORKFLOW/NAME` where it is empty.
        after: the steps whose outputs it needs; None is the step before it.
        role: which engine is asked, where a user gives roles engines of their own.
        values: what the template is given beside `seed`, `text` and the outputs of earlier steps by their names.
        each: a list field of the output, each entry of which goes on as an item of its own, under the step's name.
        when: whether the step runs at all; where it does not, its output is None.
    """

    name: str
    output: type[BaseModel] | type[str]
    template: str = ""
    after: tuple[str, ...] | None = None
    role: str = "writer"
    values: Callable[[Item, Any], Mapping[str, Any]] | None = None
    each: str = ""
    when: Callable[[Item, Any], bool] | None = None


Function: TypeAlias = "Callable[[Item, StepContext], Awaitable[Any]]"


@dataclass(frozen=True)
class Do:
    """A step that is a Python function (item, context) -> output.

    It returns the output, or `Many`; it raises `Drop` where the item goes no further. `when` and `after` are as in
    `Ask`.
    """

    name: str
    function: Function
    after: tuple[str, ...] | None = None
    when: Callable[[Item, Any], bool] | None = None


Step: TypeAlias = Ask | Do


@dataclass(frozen=True)
class Calls:
    """What a workflow is expected to ask for one seed, for plans.

    `requests` reach an engine, `completions` come back, each of about `tokens` tokens; a request's prompt has about
    `prompt_tokens`. `outputs` is how many outputs a seed is expected to make before the gates.
    """

    requests: float
    completions: float
    tokens: float = 300.0
    prompt_tokens: float = 500.0
    outputs: float = 1.0


@dataclass(frozen=True)
class Workflow:
    """A named graph of steps, and what becomes of an item that has passed them all.

    Attributes:
        name: of the command and of its folder of templates.
        summary: one line, for people.
        takes: the kinds of seeds that it can work on.
        steps: in an order in which each comes after what it needs.
        output: (item, options) -> the outputs that the item has come to.
        options: its own settings.
        calls: options -> what one seed is expected to cost.
        roles: the roles that its steps ask, the first the usual one.
        prepare: (seeds, options) -> the seeds with what they need of one another; None leaves them as they are.
        rules: the same without any engine (`--engine rules`): (options, seed) -> the seeds, and the steps on them.
        needs_sandbox: the kinds of seeds for which it runs code that a model wrote.
    """

    name: str
    summary: str
    takes: tuple[SeedKind, ...]
    steps: tuple[Step, ...]
    output: Callable[[Item, Any], Output | Sequence[Output]]
    options: type[Options] = Options
    calls: Callable[[Any], Calls] = lambda options: Calls(1, 1)
    roles: tuple[str, ...] = ("writer",)
    prepare: Callable[[Sequence[Seed], Any], Sequence[Seed]] | None = None
    rules: Rules | None = None
    needs_sandbox: tuple[SeedKind, ...] = ()
    _waits: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_waits", waits(self.name, self.steps))

    def after(self, step: Step) -> tuple[str, ...]:
        """The steps that a step waits for."""
        return self._waits[step.name]

    def with_rules(self) -> Workflow:
        """The same workflow with the steps that need no engine.

        Raises:
            ValueError: it has none.
        """
        if self.rules is None:
            raise ValueError(f"{self.name} has no rules")
        return replace(self, steps=self.rules.steps, output=self.rules.output, roles=(), prepare=None, rules=None)


@dataclass(frozen=True)
class Rules:
    """A workflow's rule-based half: seeds from a program, and steps that ask no engine."""

    seeds: Callable[[Any, int], Sequence[Seed]]
    steps: tuple[Step, ...]
    output: Callable[[Item, Any], Output | Sequence[Output]]


def waits(name: str, steps: Sequence[Step]) -> dict[str, tuple[str, ...]]:
    """Step -> the steps that it waits for.

    Raises:
        ValueError: two steps share a name, one has a name that templates know already, or waits for a step that does
            not come before it.
    """
    found: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for step in steps:
        if step.name in found:
            raise ValueError(f"workflow {name}: two steps are called {step.name!r}")
        if step.name in GIVEN:
            raise ValueError(f"workflow {name}: {step.name!r} can't name a step, since templates are given one already")
        needed = before if step.after is None else step.after
        late = [one for one in needed if one not in found]
        if late:
            raise ValueError(f"workflow {name}: {step.name!r} waits for {late[0]!r}, which does not come before it")
        found[step.name] = needed
        before = (step.name,)
    return found


def options_of(workflow: Workflow, given: Mapping[str, Any]) -> Options:
    """A workflow's own settings.

    Raises:
        TeachableError: there is no such option, or its value is not one.
    """
    try:
        return workflow.options.model_validate(dict(given))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])
        what = f"there is no option {name!r}" if fault["type"] == "extra_forbidden" else f"{name}: {fault['msg']}"
        there = ", ".join(workflow.options.model_fields) or "none"
        raise TeachableError(
            what, where=f"{workflow.name}.options", mend=f"The options of {workflow.name}: {there}"
        ) from error


def roles_of(workflow: Workflow, given: Sequence[str]) -> None:
    """Refuse engines for roles that a workflow does not have.

    Raises:
        TeachableError: there is no such role.
    """
    for role in given:
        if role not in workflow.roles:
            raise TeachableError(
                f"{workflow.name} has no role {role!r}", mend=f"Its roles: {', '.join(workflow.roles) or 'none'}"
            )
