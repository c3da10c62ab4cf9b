"""The engine for servers, against a server on a real socket: what it sends, what it makes of the answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.engines.faulty import FaultyServer, closed_port, n_tokens

from teachable.engines import Completion, Engine, EngineConfig, Request
from teachable.engines.ledgered import Ledgered
from teachable.engines.openai import EngineFailure, OpenAIEngine, sent_seed
from teachable.engines.pace import Backoff
from teachable.errors import TeachableError
from teachable.records import Message
from teachable.store.ledger import Ledger

QUICK = Backoff(base_s=0.01, cap_s=0.05)
CHAT = (Message(role="system", content="Be brief."), Message(role="user", content="größer?"))


def engine_at(server: FaultyServer, **settings: Any) -> OpenAIEngine:
    settings = {"model": "tiny", "base_url": server.url, "retries": 2, "timeout_s": 5.0} | settings
    return OpenAIEngine(EngineConfig(kind="openai", **settings), backoff=QUICK)


def sample(engine: Engine, *requests: Request) -> list[list[Completion]]:
    async def main() -> list[list[Completion]]:
        return list(await asyncio.gather(*[engine.sample(r) for r in requests]))

    return asyncio.run(main())


def failure_of(engine: Engine, request: Request) -> Exception:
    with pytest.raises((EngineFailure, TeachableError)) as caught:
        sample(engine, request)
    return caught.value


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def test_it_follows_the_protocol_and_its_name_says_what_decides_the_samples(tiny_model: Path) -> None:
    config = EngineConfig(kind="openai", model="org/m", base_url="http://Example.com:8000/v1/", api="completions")
    engine = OpenAIEngine(config)
    assert isinstance(engine, Engine)
    assert engine.name == "openai:org/m@example.com:8000/v1:completions"
    slower = config.model_copy(update={"concurrency": 2, "timeout_s": 1.0, "retries": 0})
    assert OpenAIEngine(slower).name == engine.name
    with_tokenizer = OpenAIEngine(config.model_copy(update={"tokenizer": str(tiny_model)}))
    assert with_tokenizer.name.startswith(engine.name + ":")
    assert str(tiny_model) not in with_tokenizer.name
    assert OpenAIEngine(config.model_copy(update={"tokenizer": "org/m"})).name == engine.name + ":org/m"


def test_a_chat_is_sent_as_it_is_and_a_text_as_one_user_message(server: FaultyServer) -> None:
    engine = engine_at(server)
    request = Request(CHAT, n=2, max_tokens=7, temperature=0.5, top_p=0.9, seed=3, stop=("#",), top_k=4, min_p=0.1)
    sample(engine, request)
    sample(engine, Request("größer?", max_tokens=7))
    first, second = server.asked
    assert first.path == "/v1/chat/completions"
    assert first.body == {
        "model": "tiny",
        "messages": list(CHAT),
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "min_p": 0.1,
        "repetition_penalty": 1.0,
        "seed": sent_seed(request, 0),
        "n": 2,
        "stop": ["#"],
    }
    assert second.body["messages"] == [{"role": "user", "content": "größer?"}]
    assert second.body["logprobs"] is True and "n" not in second.body and "stop" not in second.body


def test_a_text_is_continued_as_it_stands(server: FaultyServer) -> None:
    engine = engine_at(server, api="completions")
    sample(engine, Request("größer?"), Request((5, 6, 7)))
    assert [(seen.path, seen.body["prompt"]) for seen in server.asked] == [
        ("/v1/completions", "größer?"),
        ("/v1/completions", [5, 6, 7]),
    ]


def test_with_a_tokenizer_prompts_go_as_token_ids(server: FaultyServer, tiny_model: Path) -> None:
    engine = engine_at(server, api="completions", tokenizer=str(tiny_model))
    sample(engine, Request("größer?"), Request(CHAT[1:]))
    text, chat = [seen.body for seen in server.asked]
    assert text["prompt"] == engine.encode("größer?") and chat["prompt"] == engine.encode(list(CHAT[1:]))
    assert engine.decode(text["prompt"]) == "größer?"
    assert len(chat["prompt"]) > len(text["prompt"])
    assert text["return_token_ids"] is True


@pytest.mark.parametrize(
    ("settings", "prompt", "sentence"),
    [
        ({"api": "chat"}, (1, 2), "a chat server takes no token ids"),
        ({"api": "completions"}, CHAT, "Use `api: chat`, or name the model's tokenizer"),
        ({"api": "completions", "tokenizer": "no-such/tokenizer"}, "x", "'no-such/tokenizer' can't be loaded"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_a_sentence(
    server: FaultyServer, settings: dict[str, Any], prompt: Any, sentence: str
) -> None:
    with pytest.raises(TeachableError, match=sentence):
        sample(engine_at(server, **settings), Request(prompt))
    assert server.asked == []


def test_without_a_tokenizer_there_are_no_token_ids(server: FaultyServer) -> None:
    with pytest.raises(TeachableError, match="has no tokenizer"):
        engine_at(server).encode("x")
    with pytest.raises(TeachableError, match="has no tokenizer"):
        engine_at(server).decode([1])
    with pytest.raises(TeachableError, match="does not exist"):
        engine_at(server, api="completions", tokenizer="./no/such/folder")


def test_a_prompt_that_is_no_text_fails_alone(server: FaultyServer) -> None:
    assert "half of a surrogate pair" in str(failure_of(engine_at(server), Request("a\ud800")))


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_samples_and_their_tokens(server: FaultyServer, api: str) -> None:
    [got] = sample(engine_at(server, api=api), Request("größer?", n=3))
    [seen] = server.asked
    assert [c.text for c in got] == seen.delivered
    assert sum(c.n_tokens for c in got) == sum(map(n_tokens, seen.delivered))
    assert [c.n_prompt_tokens for c in got] == [n_tokens(seen.prompt), 0, 0]
    assert {c.finish_reason for c in got} == {"stop"}


def test_a_server_that_ignores_n_is_asked_for_the_rest_with_other_seeds() -> None:
    with FaultyServer(max_n=1, honour_seed=True) as server:
        engine = engine_at(server)
        [got] = sample(engine, Request("q", n=6, seed=1))
        assert len({c.text for c in got}) == 6  # a server that honours seeds would repeat itself under one
        assert len(server.asked) == 6
        [others] = sample(engine, Request("q", n=6, seed=2))
        [rest] = sample(engine, Request("q", n=3, seed=1, first=6))
        assert len({c.text for c in [*got, *others, *rest]}) == 15
        # By now it is known to ignore n, and is asked for single samples, all at once.
        assert [seen.n for seen in server.asked] == [6, 5, 4, *[1] * 12]


def test_a_server_with_a_largest_n_is_asked_for_the_rest() -> None:
    with FaultyServer(max_n=4) as server:
        [got] = sample(engine_at(server), Request("q", n=10))
        assert [seen.n for seen in server.asked] == [10, 6, 2]
        assert [c.text for c in got] == [text for seen in server.asked for text in seen.delivered]
        assert sum(c.n_prompt_tokens > 0 for c in got) == 3


def test_more_than_asked_for_are_cut() -> None:
    with FaultyServer({"more": 1.0}) as server:
        [got] = sample(engine_at(server), Request("q", n=3))
        assert [c.text for c in got] == server.asked[0].delivered[:3]


def test_greedy_samples_are_asked_for_one_by_one(server: FaultyServer) -> None:
    [got] = sample(engine_at(server), Request("q", n=3, temperature=0.0))
    assert len(got) == 3 and [seen.n for seen in server.asked] == [1, 1, 1]


def test_sent_seeds_are_small_and_never_the_same_twice() -> None:
    base = Request("q", seed=2**62)
    seeds = {
        sent_seed(r, first, n_malformed)
        for r in (base, replace(base, seed=1), replace(base, prompt="r"), replace(base, prompt=CHAT))
        for first in range(5)
        for n_malformed in range(2)
    } | {sent_seed(replace(base, first=3), 3)}
    assert len(seeds) == 4 * 5 * 2 + 1
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert sent_seed(replace(base, n=9), 0) == sent_seed(base, 0)


def test_a_used_up_request_keeps_what_it_brought(tmp_path: Path) -> None:
    """Single samples of a server without `n`, of which the third fails: the others are in the ledger."""
    odd: list[int] = []

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        odd.append(body["seed"])
        return (400, {"error": {"message": "that prompt is not allowed"}}) if len(odd) == 3 else None

    with FaultyServer(max_n=1, refuse=refuse) as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        engine = engine_at(server, concurrency=1)
        engine._parameters.refuse("n")
        error = failure_of(Ledgered(engine, ledger, stage="probe"), Request("q", n=5))
        assert isinstance(error, EngineFailure) and "that prompt is not allowed" in str(error)
        delivered = [text for seen in server.asked for text in seen.delivered]
        assert [c.text for c in error.completions] == delivered and len(delivered) == 4
        [whole] = sample(Ledgered(engine, ledger, stage="probe"), Request("q", n=5))
        assert [c.text for c in whole][:4] == delivered
        assert len(server.asked) == 6


def test_it_works_in_one_event_loop_after_the_other(server: FaultyServer) -> None:
    engine = engine_at(server)

    async def in_one_loop() -> str:
        [got] = await engine.sample(Request("q"))
        await engine.aclose()
        [again] = await engine.sample(Request("q"))  # reopens
        assert again.text
        return got.text

    assert asyncio.run(in_one_loop()) != asyncio.run(in_one_loop())
    assert len(sample(engine, *[Request("q")] * 3)) == 3


def test_an_unknown_model_is_named_with_those_that_there_are(server: FaultyServer) -> None:
    error = failure_of(engine_at(server, model="huge"), Request("q"))
    assert isinstance(error, TeachableError)
    assert "no model 'huge'" in str(error) and "its models: tiny" in str(error) and len(server.asked) == 1


def test_an_address_without_the_interface_is_named(server: FaultyServer) -> None:
    error = failure_of(engine_at(server, base_url=server.url + "/v2"), Request("q"))
    assert isinstance(error, TeachableError) and "no chat interface there" in str(error) and "base_url" in str(error)


def test_a_server_pinned_to_another_model_is_one_sentence() -> None:
    told = {"detail": "Server is pinned to 'big'; requested 'tiny'."}
    with FaultyServer(refuse=lambda _: (400, told)) as server:
        assert "refuses the model (HTTP 400: Server is pinned to 'big'" in str(
            failure_of(engine_at(server), Request("q"))
        )


def test_where_nobody_listens_it_takes_seconds_to_say_so() -> None:
    with closed_port() as port:
        config = EngineConfig(kind="openai", model="tiny", base_url=f"http://127.0.0.1:{port}/v1", retries=8)

        async def timed() -> float:
            loop = asyncio.get_running_loop()
            started = loop.time()
            asked = [OpenAIEngine(config).sample(Request(f"{i}")) for i in range(3)]
            for error in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(error, TeachableError) and f"no server answers at {config.base_url}" in str(error)
            return loop.time() - started

        assert 1.5 < asyncio.run(timed()) < 6


def test_a_prompt_that_is_too_long_fails_alone_and_costs_no_parameter() -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        message = "This model's maximum context length is 64 tokens. Please reduce the length of the messages."
        return (400, {"error": {"message": message}}) if len(body["messages"][0]["content"]) > 64 else None

    with FaultyServer(refuse=refuse) as server:
        engine = engine_at(server)

        async def main() -> list[Any]:
            prompts = ["long " * 20, "short", "long " * 20, "short too"]
            return list(await asyncio.gather(*[engine.sample(Request(p)) for p in prompts], return_exceptions=True))

        first, second, third, fourth = asyncio.run(main())
        assert isinstance(first, EngineFailure) and isinstance(third, EngineFailure)
        assert "maximum context length" in str(first) and len(second) == len(fourth) == 1
        sample(engine, Request("short again"))
        assert {"logprobs", "seed", "top_k", "min_p"} <= server.asked[-1].body.keys()


def test_the_answers_of_a_seed_honouring_server_are_the_same_again() -> None:
    def answer(body: dict[str, Any], luck: random.Random) -> str:
        return f"{body['seed']} {luck.random()}"

    with FaultyServer(honour_seed=True, answer=answer) as server:
        request = Request("q", n=3, seed=4)
        assert sample(engine_at(server), request) == sample(engine_at(server), request)
