"""Code problems with tests and a solution, cross-checked by running all solutions against all tests.

A seed (a passage, a piece of code, or a problem as it stands) becomes a problem that asks for one Python function. k
solutions and k suites of tests are written without sight of each other, every solution is run against every test in the
sandbox, and solutions that pass the same tests are grouped; the group with the highest number of solutions times tests
is taken (dual agreement: CodeT, Chen et al. 2022, arXiv:2207.10397). What is kept is the shortest solution of that
group and the tests that it passes, less those that can't fail: a test that passes on a stub (returns nothing, raises,
returns its argument) or on an empty program goes before anything is counted, and so does afterwards one that no mutant
of the solution fails. Synthetic data that is validated by running it is what Phi-4 relies on for code (Phi-4 Technical
Report, Abdin et al. 2024, arXiv:2412.08905, section 2.2).

It departs from CodeT in running all pairs instead of drawing them, in asking for tests from `min_suites` replies, and
in the tests that it throws away. The problem's own examples must hold, or the problem is dropped, and a seed's own
tests have to accept the solution. The verifier `code` runs the solution against the tests once more, at the gates.

It does not protect against a mistake that the problem's readers share: if most solutions and most tests misread the
statement in one way, the misreading is what the tests prove. Tests say nothing of speed beyond the sandbox's bounds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from teachable.records import Message
from teachable.synthesize.again import asked, drawn
from teachable.synthesize.asking import StepContext
from teachable.synthesize.graph import Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Output, user
from teachable.synthesize.workflows.augment_problems import followed
from teachable.synthesize.workflows.code_asking import program_of, suite_of
from teachable.synthesize.workflows.code_choice import Bars, Choice, choose, weeded
from teachable.synthesize.workflows.code_leaks import gives_away
from teachable.synthesize.workflows.code_problem import GIVEN_AWAY, Interface, Problem, Task, fault_of, task_of
from teachable.synthesize.workflows.code_tests import Suite, merged, source_of

FEW_SOLUTIONS, FEW_TESTS, WEAK = "too few solutions", "too few tests", "weak tests"
REFUSED_BY_OWN = "the seed's own tests refuse it"


class CodeOptions(Options):
    """Settings of `code`."""

    k: int = Field(6, ge=2, description="solutions, and suites of tests, that are written for a problem")
    min_agreement: float = Field(0.5, gt=0, le=1, description="least share of the k solutions that pass the same tests")
    min_margin: float = Field(
        0.5, ge=0, le=1, description="how far these must be ahead of the next best, as a share of their score"
    )
    min_passed: float = Field(0.6, ge=0, le=1, description="least share of the tests that can fail that they must pass")
    min_tests: int = Field(3, ge=1, description="fewest tests that must remain")
    min_suites: int = Field(2, ge=1, description="fewest suites that those tests must come from")
    max_tests: int = Field(12, ge=1, description="most tests that are kept")
    suite_tests: int = Field(8, ge=1, description="most tests that are taken from one suite")
    mutants: int = Field(12, ge=1, description="most mutants of the solution that tests are tried on")
    min_killed: float = Field(0.5, ge=0, le=1, description="least share of the mutants that some test must refute")


@dataclass(frozen=True)
class Proved:
    """The tests as source, the solution as a response, and the counts behind them."""

    answer: str
    response: str
    counts: dict[str, Any]


async def problem(item: Item, ctx: StepContext) -> Task:
    """The task: of a problem as it stands, or of one that a model makes of a passage or of code."""
    seed = item.seed
    if seed.kind != "prompt":
        made = await asked(
            ctx, "problem", Problem, {}, lambda value: fault_of(value) or followed(value.whole, seed.text)
        )
        return task_of(made.statement, made)
    given = gives_away(seed.text)
    if given:
        raise Drop(GIVEN_AWAY, given, seed.text)
    interface = await asked(ctx, "interface", Interface, {}, fault_of)
    return task_of(seed.text, interface)


async def solutions(item: Item, ctx: StepContext) -> list[str]:
    """Programs that answer the task, of k samples of the prompt as it will stand."""
    task: Task = item["problem"]
    options: CodeOptions = ctx.options
    found = await drawn(
        ctx, _messages(item), options.k, lambda text: program_of(text, [task.name]), role="solver", tag="solutions"
    )
    if len(found) / options.k < options.min_agreement:
        raise Drop(FEW_SOLUTIONS, f"{len(found)} of {options.k} replies hold a program", task.text)
    return found


async def tests(item: Item, ctx: StepContext) -> list[Suite]:
    """Suites of tests of the task, of k samples; whoever writes them sees no solution."""
    task: Task = item["problem"]
    options: CodeOptions = ctx.options
    rendered = ctx.render("tests", {"task": task.text})
    found = await drawn(ctx, rendered, options.k, lambda text: suite_of(text, [task.name]), role="tester", tag="tests")
    if len(found) < options.min_suites:
        raise Drop(FEW_TESTS, f"{len(found)} of {options.k} replies hold tests", task.text)
    return found


async def checked(item: Item, ctx: StepContext) -> Proved:
    """The solution and the tests that are left when all were run against all."""
    task: Task = item["problem"]
    options: CodeOptions = ctx.options
    choice, dropped = await _chosen(item, options)
    left = choice.best(options.max_tests)
    n_suites = len(frozenset().union(*(test.suites for test in left)))
    if len(left) < options.min_tests or n_suites < options.min_suites:
        why = ", ".join(f"{n} {why}" for why, n in sorted(dropped.items()))
        raise Drop(FEW_TESTS, f"{len(left)} tests of {n_suites} suites are left; dropped: {why or 'none'}", task.text)
    given = gives_away(task.text, choice.program)
    if given:
        raise Drop(GIVEN_AWAY, given, task.text)
    ctx.score("agreement", choice.n_agreeing / options.k)
    ctx.score("margin", choice.margin)
    ctx.score("killed", choice.frac_killed)
    counts = {
        "n_solutions": len(item["solutions"]),
        "n_agreeing": choice.n_agreeing,
        "n_tests": len(left),
        "n_mutants": choice.n_mutants,
        "tests_dropped": dict(sorted(dropped.items())),
    }
    return Proved(source_of(left), f"```python\n{choice.program.strip()}\n```", counts)


async def _chosen(item: Item, options: CodeOptions) -> tuple[Choice, Counter[str]]:
    """The solution with its tests, tried on its mutants; and how many tests were dropped, by reason."""
    task: Task = item["problem"]
    suites: list[Suite] = item["tests"]
    names = [task.name]
    able, idle = await weeded(merged(suites, options.suite_tests, task.examples), names)
    if len(able) < options.min_tests:
        raise Drop(FEW_TESTS, f"{len(idle)} of {len(able) + len(idle)} tests pass on a stub", task.text)
    bars = Bars(options.min_agreement, options.min_margin, options.min_passed)
    choice = await choose(item["solutions"], options.k, able, idle, names, bars)
    await choice.try_mutants(names, options.mutants)
    if choice.frac_killed < options.min_killed:
        what = f"the tests refute {choice.frac_killed:.0%} of {choice.n_mutants} mutants of the solution"
        raise Drop(WEAK, what, task.text)
    dropped = sum((suite.left_out for suite in suites), Counter[str]())
    dropped["passes on a stub"] += len(idle)
    dropped["fails on the solution"] += choice.n_refused
    dropped["passes on every mutant"] += choice.n_blind
    return choice, +dropped


async def own_tests(item: Item, ctx: StepContext) -> bool:
    """What the tests say that the seed came with."""
    proved: Proved = item["checked"]
    assert item.seed.prompt is not None
    verdict = await ctx.verify(proved.response, item.seed.prompt)
    if verdict.correct is not True:
        raise Drop(REFUSED_BY_OWN, verdict.reason, proved.response)
    return True


def has_own_tests(item: Item, options: CodeOptions) -> bool:
    """Whether the seed is a prompt with tests."""
    own = item.seed.prompt
    return own is not None and own.verifier == "code" and bool(own.answer or own.meta.get("tests"))


def _messages(item: Item) -> tuple[Message, ...]:
    """The prompt: a seed's own messages with the task for the last of the user's, or the task alone."""
    task: Task = item["problem"]
    own = item.seed.prompt.messages if item.seed.prompt is not None else ()
    last = max((place for place, message in enumerate(own) if message["role"] == "user"), default=0)
    return (*own[:last], *user(task.text))


def _output(item: Item, options: CodeOptions) -> Output:
    task: Task = item["problem"]
    proved: Proved = item["checked"]
    return Output(
        messages=_messages(item),
        proof="tests",
        answer=proved.answer,
        verifier="code",
        response=proved.response,
        domain="" if item.seed.prompt is not None else "code",
        meta={"entry_point": task.name, "code": proved.counts},
        allowed=(item.seed.text,) if item.seed.prompt is not None else (),
        leak_checked=True,
    )


WORKFLOW = Workflow(
    name="code",
    summary="code problems with a solution and tests, cross-checked in the sandbox (k solutions x k suites)",
    takes=("text", "code", "prompt"),
    steps=(
        Do("problem", problem),
        Do("solutions", solutions),
        Do("tests", tests),
        Do("checked", checked),
        Do("own_tests", own_tests, when=has_own_tests),
    ),
    output=_output,
    options=CodeOptions,
    calls=lambda options: Calls(requests=3, completions=1 + 2 * options.k, tokens=350, prompt_tokens=600, outputs=0.6),
    roles=("writer", "solver", "tester"),
    needs_sandbox=("code", "text", "prompt"),
)
