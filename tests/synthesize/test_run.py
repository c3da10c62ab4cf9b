"""Seeds through a workflow: order, batches, drops, failures, several of one, and the end of the work."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.synthesize.flows import (
    FLOW,
    SEVERAL,
    Question,
    answer,
    folder_of_templates,
    made,
    seeds,
    sieve,
    thrice,
    tools,
)

from teachable.engines.scripted import ScriptedEngine
from teachable.errors import EXIT_INTERRUPTED, Stopped, TeachableError
from teachable.records import Completion, Request
from teachable.synthesize import Ask, Do, GatesConfig, Item, Workflow
from teachable.synthesize import run as running
from teachable.synthesize.asking import StepContext, Tools
from teachable.synthesize.gates import Gates
from teachable.synthesize.run import Result, carry


def carried(shared: Tools, workflow: Workflow = FLOW, n: int = 12) -> tuple[list[Result], Stopped | None]:
    results: list[Result] = []
    gates = Gates(GatesConfig.model_validate({}))
    stopped = asyncio.run(carry(workflow, seeds(n), tools=shared, gates=gates, settings="s", on_result=results.append))
    return results, stopped


class Slow(ScriptedEngine):
    """Answers at once, but the earlier a seed, the later; knows how many requests were open together."""

    open = most = 0

    async def sample(self, request: Request) -> list[Completion]:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(random.Random(request.seed).random() / 50)
        self.open -= 1
        return await super().sample(request)


def test_results_come_in_the_order_of_the_seeds_and_requests_together(tmp_path: Path) -> None:
    engine = Slow(answer)
    results, stopped = carried(tools(engine, folder_of_templates(tmp_path)), n=40)
    assert stopped is None
    assert [one.seed.id for one in results] == [f"d{i}" for i in range(40)]
    assert engine.most == 40  # all that is pending is asked at once
    [(item, output)] = results[0].outputs
    assert output.answer == "red" and item.scores == {"n_chars": len(output.text)}
    assert [(trace.step, trace.template, trace.n) for trace in item.traces] == [("asked", "toy/asked", 1)]


def test_nobody_runs_far_ahead_of_the_first_that_is_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "WINDOW", 4)
    begun: list[str] = []
    first = asyncio.Event()

    class Stuck(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            text = self._text_of(request.prompt)
            begun.append(text)
            if seeds(1)[0].text in text:
                await asyncio.wait_for(first.wait(), 5)
            return await super().sample(request)

    async def main() -> list[Result]:
        results: list[Result] = []
        shared = tools(Stuck(answer), folder_of_templates(tmp_path))
        gates = Gates(GatesConfig.model_validate({}))
        work = asyncio.create_task(
            carry(FLOW, seeds(30), tools=shared, gates=gates, settings="", on_result=results.append)
        )
        for _ in range(200):
            await asyncio.sleep(0.001)
        assert results == [] and len(begun) <= 4 + 4  # a window of results that wait, and as many at work
        first.set()
        await work
        return results

    assert [one.seed.id for one in asyncio.run(main())] == [f"d{i}" for i in range(30)]


def test_several_of_one_go_on_by_themselves_in_their_order(tmp_path: Path) -> None:
    def pairs(text: str, sample: int, luck: random.Random) -> str:
        rows = [{"question": f"Question {n} of a seed?", "answer": "red"} for n in ("one", "two", "bad")]
        return json.dumps({"pairs": rows})

    shared = tools(Slow(pairs), folder_of_templates(tmp_path), SEVERAL, without="bad")
    results, _ = carried(shared, SEVERAL, 3)
    assert [item.id for one in results for item, _ in one.outputs] == [
        f"d{i}/asked{place}" for i in range(3) for place in range(2)
    ]
    assert [(one.dropped[0].item.id, one.dropped[0].step, one.dropped[0].reason) for one in results] == [
        (f"d{i}/asked2", "sieved", "unwanted") for i in range(3)
    ]
    counts = shared.counts
    assert (counts["asked"].entered, counts["asked"].left) == (3, 9)
    assert (counts["sieved"].entered, counts["sieved"].left, dict(counts["sieved"].dropped)) == (9, 6, {"unwanted": 3})


def test_steps_that_wait_for_nobody_run_at_once_and_meet_again(tmp_path: Path) -> None:
    async def meet(item: Item, ctx: StepContext) -> str:
        return f"{item['asked'].question} {item['other']} {item['three']}"

    flow = Workflow(
        "toy",
        "",
        ("text",),
        (
            Ask("asked", Question),
            Ask("other", str, template="toy/asked", after=()),
            Do("three", thrice, after=("asked",)),
            Do("met", meet, after=("other", "three")),
        ),
        made,
    )
    engine = Slow(answer)
    results, _ = carried(tools(engine, folder_of_templates(tmp_path), flow), flow, 2)
    assert engine.most == 4
    assert [item.id for item, _ in results[0].outputs] == ["d0/three0", "d0/three1", "d0/three2"]
    for place, (item, _) in enumerate(results[0].outputs):
        assert item["met"].endswith(f"({place})") and item["other"] in item["met"]
        assert [trace.step for trace in item.traces] == ["asked", "other"]


def test_a_step_that_does_not_run_leaves_none(tmp_path: Path) -> None:
    flow = Workflow(
        "toy",
        "",
        ("text",),
        (Ask("asked", Question), Ask("again", str, when=lambda item, options: item.seed.id == "d1"), Do("s", sieve)),
        made,
        FLOW.options,
    )
    results, _ = carried(tools(ScriptedEngine(answer), folder_of_templates(tmp_path), flow), flow, 3)
    assert [one.outputs[0][0]["again"] is None for one in results] == [True, False, True]


def test_a_failed_engine_is_no_drop(tmp_path: Path) -> None:
    shared = tools(ScriptedEngine(answer, frac_failing=0.5), folder_of_templates(tmp_path))
    results, _ = carried(shared, n=30)
    n_failed = sum(len(one.failed) for one in results)
    assert 5 <= n_failed <= 25
    assert n_failed == shared.counts["asked"].failed == 30 - sum(len(one.outputs) for one in results)
    assert all(not one.dropped for one in results)
    assert next(one.failed[0] for one in results if one.failed) == (
        "asked: the engine failed (ScriptedFailure: told to fail)"
    )


def test_a_step_that_makes_nothing_drops_its_item(tmp_path: Path) -> None:
    empty = tools(ScriptedEngine(lambda *_: '{"pairs": []}'), folder_of_templates(tmp_path), SEVERAL)
    results, _ = carried(empty, SEVERAL, 2)
    assert [one.dropped[0].reason for one in results] == ["made nothing", "made nothing"]


def test_an_end_of_the_work_hands_over_what_was_finished(tmp_path: Path) -> None:
    class Ending(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            await asyncio.sleep(0.01)  # all of them are in flight by then
            if seeds(12)[3].text in self._text_of(request.prompt):
                raise Stopped("no more", exit_code=EXIT_INTERRUPTED)
            return await super().sample(request)

    results, stopped = carried(tools(Ending(answer), folder_of_templates(tmp_path)))
    assert stopped is not None and "no more" in str(stopped)
    assert [one.seed.id for one in results] == [f"d{i}" for i in range(12) if i != 3]


def test_a_mistake_of_the_users_ends_it_at_once(tmp_path: Path) -> None:
    async def mistaken(item: Item, ctx: StepContext) -> Any:
        raise TeachableError("the key is wrong")

    flow = Workflow("toy", "", ("text",), (Do("asked", mistaken),), made)
    with pytest.raises(TeachableError, match="the key is wrong"):
        carried(tools(ScriptedEngine(answer), folder_of_templates(tmp_path), flow), flow)
