"""Servers that refuse parameters: what can be left out is, once and for all; what cannot ends in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engines.faulty import FaultyServer
from tests.engines.test_openai import engine_at, failure_of, sample

from teachable.engines import Request
from teachable.engines.openai import EngineFailure
from teachable.errors import TeachableError


def refusing(*names: str, shape: str = "openai") -> Any:
    """A server's habit of refusing the first of these parameters that it sees (all of them in the shape "serve")."""

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        found = [name for name in names if name in body]
        if not found:
            return None
        return {
            "openai": (400, {"error": {"message": f"Unrecognized request argument supplied: {found[0]}"}}),
            "param": (400, {"error": {"message": "Not with this model", "param": found[0]}}),
            "pydantic": (422, {"detail": [{"loc": ["body", found[0]], "msg": "Extra inputs are not permitted"}]}),
            "serve": (422, {"detail": f"Unexpected fields in the request: {set(found)}"}),
            "forbidden": (403, {"error": {"message": f"You are not allowed to request {found[0]}"}}),
            "mute": (400, {"error": "Bad Request"}),
        }[shape]

    return refuse


@pytest.mark.parametrize("shape", ["openai", "param", "pydantic", "serve", "forbidden", "mute"])
def test_a_refused_parameter_is_left_out_from_then_on(shape: str) -> None:
    names = ("logprobs", "top_k", "min_p", "seed")
    with FaultyServer(refuse=refusing(*names, shape=shape)) as server:
        engine = engine_at(server)
        assert len(sample(engine, Request("q", n=2))[0]) == 2
        n_refused = len(server.asked) - 1
        assert n_refused == (1 if shape in ("serve", "mute") else 4)
        sample(engine, Request("q", n=2), Request("r"))
        assert len(server.asked) == n_refused + 3
        assert not set(names) & server.asked[-1].body.keys()


def test_who_waits_for_a_place_learns_from_those_before() -> None:
    with FaultyServer(refuse=refusing("logprobs", "min_p"), latency_s=0.005) as server:
        sample(engine_at(server, concurrency=4), *[Request(f"{i}") for i in range(60)])
        assert sum(seen.status == 400 for seen in server.asked) <= 2 * 4


def test_a_server_that_refuses_n_is_asked_for_single_samples() -> None:
    with FaultyServer(refuse=refusing("n", shape="param")) as server:
        engine = engine_at(server)
        assert len(sample(engine, Request("q", n=4))[0]) == 4
        assert [seen.status for seen in server.asked] == [400, 200, 200, 200, 200]
        sample(engine, Request("r", n=3))
        assert len(server.asked) == 8


def test_only_an_off_value_is_left_out() -> None:
    with FaultyServer(refuse=refusing("min_p", "top_p", shape="param")) as server:
        engine = engine_at(server)
        sample(engine, Request("q"))
        error = failure_of(engine, Request("q", min_p=0.1))
        assert isinstance(error, TeachableError) and "does not take min_p=0.1" in str(error)
        error = failure_of(engine, Request("q", top_p=0.5))
        assert isinstance(error, TeachableError) and "does not take top_p=0.5" in str(error)
        assert len(sample(engine, Request("q"))[0]) == 1


def test_a_model_that_wants_max_completion_tokens_gets_them() -> None:
    message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        return (400, {"error": {"message": message, "param": "max_tokens"}}) if "max_tokens" in body else None

    with FaultyServer(refuse=refuse) as server:
        engine = engine_at(server)
        sample(engine, Request("q", max_tokens=9), Request("r", max_tokens=9))
        sample(engine, Request("q", max_tokens=9))
        statuses = [seen.status for seen in server.asked]
        assert sorted(statuses[:4]) == [200, 200, 400, 400] and statuses[4:] == [200]  # the first two run at once
        assert server.asked[-1].body["max_completion_tokens"] == 9


def test_log_probabilities_are_asked_for_only_where_they_mean_something() -> None:
    with FaultyServer() as server:
        engine = engine_at(server, api="completions")
        for request in (Request("q"), Request("q", temperature=0.7), Request("q", top_p=0.9), Request("q", top_k=3)):
            sample(engine, request)
        assert ["logprobs" in seen.body for seen in server.asked] == [True, False, False, False]
        assert server.asked[0].body["logprobs"] == 1


def test_a_server_without_token_id_prompts_is_one_sentence(tiny_model: Any) -> None:
    with FaultyServer(refuse=lambda _: (400, {"detail": "prompt must be a string."})) as server:
        error = failure_of(engine_at(server, api="completions", tokenizer=str(tiny_model)), Request("q"))
        assert isinstance(error, TeachableError) and "takes no token ids" in str(error)


def test_what_the_server_says_of_other_things_fails_the_request_alone() -> None:
    told = {"error": {"message": "the prompt stops the show and has no temperature"}}
    with FaultyServer(refuse=lambda _: (400, told)) as server:
        error = failure_of(engine_at(server), Request("q", temperature=0.5, stop=("x",)))
        assert isinstance(error, EngineFailure) and "stops the show" in str(error)
