"""Asking on behalf of a step: what is sent back, when an item is dropped, what a failure is, and what fixes a seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.synthesize.misbehaving import first_asked, serving

from teachable.engines.config import EngineConfig, engine_from
from teachable.engines.make import make_engine
from teachable.engines.scripted import ScriptedEngine
from teachable.errors import TeachableError
from teachable.records import Completion, Engine, Message, Prompt, Request
from teachable.synthesize.asking import MAX_SHOWN_CHARS, StepContext, Tools
from teachable.synthesize.config import WritingConfig
from teachable.synthesize.items import Drop, Failed, Item, Seed
from teachable.synthesize.reading.replies import CUT_OFF, NO_JSON, REFUSED, WRONG_FIELDS
from teachable.synthesize.templates import Templates

GOOD = '{"text": "fine"}'


class Reply(BaseModel):
    text: str


class Recording:
    """An engine that remembers its requests; reply number i is `texts[i]`, the last one over and over."""

    name = "recording"

    def __init__(self, *texts: str, finish_reason: str = "stop") -> None:
        self.texts, self.finish_reason = texts, finish_reason
        self.requests: list[Request] = []

    async def sample(self, request: Request) -> list[Completion]:
        text = self.texts[min(len(self.requests), len(self.texts) - 1)]
        self.requests.append(request)
        return [Completion(text, (), None, self.finish_reason) for _ in range(request.n)]

    def encode(self, prompt: str | list[Message]) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        raise NotImplementedError

    def messages(self, number: int) -> list[Message]:
        return [part for part in self.requests[number].prompt if isinstance(part, dict)]


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., StepContext]:
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "write.jinja").write_text(
        "Be brief.\n===\n{{ shown('passage', text) }}\n{{ more }}\n{{ form }}"
    )

    def made(engine: Engine, *, item: str = "s1", step: str = "write", seed: int = 0, **writing: Any) -> StepContext:
        settings = WritingConfig.model_validate(writing)
        tools = Tools({"": engine, "judge": Recording("judged")}, Templates(tmp_path), settings, None, seed)
        return StepContext(Item(item, Seed("s1", "A passage.", "text")), step, "flow", tools)

    return made


def ask(context: StepContext, output: Any = Reply, **rest: Any) -> Any:
    return asyncio.run(context.ask("write", output, {"more": "Write."}, **rest))


def test_a_good_reply_is_a_value_and_leaves_a_trace(context: Any) -> None:
    engine = Recording(GOOD)
    ctx = context(engine, max_tokens=77, temperature=0.3, top_p=0.9)
    assert ask(ctx) == Reply(text="fine")
    (request,) = engine.requests
    assert (request.n, request.max_tokens, request.temperature, request.top_p) == (1, 77, 0.3, 0.9)
    system, user = engine.messages(0)
    assert system == {"role": "system", "content": "Be brief."}
    assert "A passage." in user["content"] and '"text": <text>' in user["content"]
    (trace,) = ctx.traces
    assert (trace.step, trace.template, trace.engine) == ("write", "flow/write", "recording")
    assert (trace.n, trace.n_retries) == (1, 0)
    assert trace.version == ctx.tools.templates.version("flow/write")


def test_a_malformed_reply_is_sent_back_with_what_is_wrong(context: Any) -> None:
    engine = Recording("<think>long thoughts</think>{'text': 1} <|im_end|>", '{"no": 1}', GOOD)
    ctx = context(engine)
    assert ask(ctx) == Reply(text="fine")
    first, second, third = (engine.messages(number) for number in range(3))
    assert second[:2] == third[:2] == first and len(second) == len(third) == 4
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == "{'text': 1}", "without thoughts and without special tokens"
    assert "double quotation marks" in second[3]["content"]
    assert third[2]["content"] == '{"no": 1}' and "The field 'text' is missing" in third[3]["content"]
    assert first_asked(third) == first
    assert ctx.tools.counted("write").retried == {NO_JSON: 1, WRONG_FIELDS: 1}
    assert [trace.n_retries for trace in ctx.traces] == [2]
    assert len({request.seed for request in engine.requests}) == 3


@pytest.mark.parametrize(
    ("text", "reason", "label"),
    [
        ("no object", "stop", NO_JSON),
        ('{"text": 1.5, "text": 2}', "stop", NO_JSON),
        ('{"text": []}', "stop", WRONG_FIELDS),
        ("I'm sorry, but I can't help with that.", "stop", REFUSED),
        (GOOD, "length", CUT_OFF),
    ],
)
def test_after_its_retries_the_item_is_dropped_with_the_last_fault(
    context: Any, text: str, reason: str, label: str
) -> None:
    engine = Recording(text, finish_reason=reason)
    ctx = context(engine, retries=2)
    with pytest.raises(Drop) as caught:
        ask(ctx)
    assert (caught.value.reason, caught.value.text) == (label, text) and caught.value.detail.endswith(".")
    assert len(engine.requests) == 3
    assert ctx.tools.counted("write").retried == {label: 2}
    assert [trace.n_retries for trace in ctx.traces] == [2], "it was asked, whoever catches the drop"


def test_no_retries_means_one_request(context: Any) -> None:
    engine = Recording("no object")
    with pytest.raises(Drop):
        ask(context(engine, retries=0))
    assert len(engine.requests) == 1


def test_a_long_or_empty_reply_is_sent_back_short_and_not_empty(context: Any) -> None:
    engine = Recording("x" * 10_000, "", GOOD)
    ask(context(engine))
    assert len(engine.messages(1)[2]["content"]) == MAX_SHOWN_CHARS + 4
    assert engine.messages(2)[2]["content"] == "(nothing)"


def test_special_tokens_of_a_reply_do_not_act_when_it_is_sent_back(context: Any) -> None:
    engine = Recording('{"text": ["[INST]<|im_start|>system"]}', GOOD)
    ask(context(engine))
    sent = [message["content"] for message in engine.messages(1)]
    assert not any("<|im_start|>" in content or "[INST]" in content for content in sent)
    assert "[ INST]" in sent[2] and "The field 'text'" in sent[3]


def test_a_failing_engine_is_neither_a_fault_nor_a_drop(context: Any) -> None:
    ctx = context(ScriptedEngine({}, frac_failing=1.0))
    with pytest.raises(Failed, match=r"write: the engine failed .*told to fail"):
        ask(ctx)
    with pytest.raises(Failed):
        asyncio.run(ctx.sample([Message(role="user", content="2+2?")], 3))
    counts = ctx.tools.counted("write")
    assert counts.failed == 2 and not counts.retried and not ctx.traces


def test_too_few_samples_are_a_failure(context: Any) -> None:
    class Short(Recording):
        async def sample(self, request: Request) -> list[Completion]:
            return (await super().sample(request))[:-1]

    with pytest.raises(Failed, match="2 of 3 came"):
        asyncio.run(context(Short("4")).sample([Message(role="user", content="2+2?")], 3))


def test_the_users_mistake_goes_through(context: Any) -> None:
    class Mistaken(Recording):
        async def sample(self, request: Request) -> list[Completion]:
            raise TeachableError("the key is wrong")

    with pytest.raises(TeachableError, match="the key is wrong"):
        ask(context(Mistaken(GOOD)))
    with pytest.raises(TeachableError, match="'more' is undefined"):
        asyncio.run(context(Recording(GOOD)).ask("write", Reply, {}))


def test_a_seed_hangs_on_run_item_step_tag_and_try_and_on_nothing_else(context: Any) -> None:
    def seed(tag: str = "", **where: Any) -> int:
        engine = Recording(GOOD)
        ask(context(engine, **where), tag=tag)
        return engine.requests[0].seed

    assert seed() == seed()
    assert len({seed(), seed("round2"), seed(item="s2"), seed(step="improve"), seed(seed=1)}) == 5


def test_samples_come_as_they_are_from_the_role_that_was_asked(context: Any) -> None:
    engine = Recording("<think>a</think> 4")
    ctx = context(engine)
    prompt = [Message(role="user", content="2+2?")]
    found = asyncio.run(ctx.sample(prompt, 3, tag="a", temperature=0.0, max_tokens=9))
    assert [one.text for one in found] == ["<think>a</think> 4"] * 3
    (request,) = engine.requests
    assert (request.n, request.temperature, request.max_tokens) == (3, 0.0, 9)
    judged = asyncio.run(ctx.sample(ctx.render("write", {"more": ""}), 1, role="judge"))
    assert judged[0].text == "judged"
    assert [(trace.template, trace.engine, trace.n) for trace in ctx.traces] == [
        ("", "recording", 3),
        ("flow/write", "recording", 1),
    ]


def test_text_is_asked_for_without_a_form(context: Any) -> None:
    engine = Recording("A passage, rewritten.")
    assert ask(context(engine), str) == "A passage, rewritten."
    assert "JSON" not in engine.messages(0)[1]["content"]


def test_a_verifier_of_the_runs_own_goes_before_the_known_ones(context: Any) -> None:
    ctx = context(Recording(GOOD))
    prompt = Prompt("p", "sums", (Message(role="user", content="2+2?"),), "4", verifier="math")
    assert asyncio.run(ctx.verify("Answer: 4", prompt)).correct is True
    assert asyncio.run(ctx.verify("Answer: 5", prompt)).correct is False


def test_a_real_server_that_misbehaves_gives_values_or_drops_with_the_right_reason(context: Any) -> None:
    def honest(messages: Any, sample: int) -> str:
        return json.dumps({"text": "fine"})

    async def each(engine: Engine) -> list[Any]:
        async def one(number: int) -> Any:
            ctx = context(engine, item=f"s{number}", retries=1)
            try:
                value = await ctx.ask("write", Reply, {"more": str(number)})
            except Drop as drop:
                return drop.reason, ctx.tools.counted("write").retried
            return value.text, ctx.tools.counted("write").retried

        return await asyncio.gather(*[one(number) for number in range(120)])

    with serving(honest, frac=0.4, kinds=("invalid json", "missing field", "fences", "truncated", "refusal")) as server:
        engine = make_engine(EngineConfig.model_validate(engine_from(server.engine)))
        found = asyncio.run(each(engine))
    kinds = {"invalid json": NO_JSON, "missing field": WRONG_FIELDS, "truncated": CUT_OFF, "refusal": REFUSED}
    told = {label: sum(server.kinds[kind] for kind in kinds if kinds[kind] == label) for label in kinds.values()}
    seen = {label: sum((outcome == label) + retried[label] for outcome, retried in found) for label in told}
    assert seen == told and all(told.values())
    assert {outcome for outcome, _ in found} <= {"fine", *told}
    assert sum(outcome == "fine" for outcome, _ in found) > 90
