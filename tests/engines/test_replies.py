"""Completions from servers' JSON, in all the shapes that servers give it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.engines.replies import MalformedReply, read_reply, shared_out
from teachable.records import Completion, Request

RAW = Request("q", temperature=1.0)


def chat(content: Any = "an answer", reason: Any = "stop", **rest: Any) -> dict[str, Any]:
    extra = {name: rest.pop(name) for name in ("reasoning", "reasoning_content") if name in rest}
    return {"message": {"role": "assistant", "content": content, **extra}, "finish_reason": reason, **rest}


def read(choices: Any, usage: Any = None, request: Request = RAW) -> list[Completion]:
    return read_reply({"choices": choices, "usage": usage}, request, prompt_length=10, in_tokens=False)


def test_both_interfaces_are_read() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    expected = [Completion("an answer", (), None, "stop", n_tokens=4, n_prompt_tokens=9)]
    assert read([chat()], usage) == expected
    assert read([{"text": "an answer", "finish_reason": "stop"}], usage) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("eos_token", "stop"), ("end_turn", "stop"), ("length", "length"), ("MAX_TOKENS", "length")],
)
def test_reasons_have_two_names(reason: str, expected: str) -> None:
    assert read([chat(reason=reason)])[0].finish_reason == expected


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        (None, "no choices"),
        ([], "no choices"),
        ("text", "no choices"),
        ([None], "no object"),
        ([chat(None)], "no text"),
        ([chat(7)], "no text"),
        ([{"finish_reason": "stop"}], "no text"),
        ([chat(reason=None)], "no finish reason"),
        ([chat(reason="content_filter")], "finish reason 'content_filter'"),
        ([chat(reason="abort")], "finish reason 'abort'"),
        ([{"message": {}, "finish_reason": "length"}], "no text"),
    ],
)
def test_a_choice_that_cannot_be_graded_is_malformed(choices: Any, why: str) -> None:
    with pytest.raises(MalformedReply, match=why):
        read(choices)


def test_the_good_choices_of_a_reply_are_kept() -> None:
    got = read([chat("a" * 8), chat(None), chat("b" * 4)], {"prompt_tokens": 5, "completion_tokens": 999})
    assert [(c.text, c.n_tokens, c.n_prompt_tokens) for c in got] == [("a" * 8, 2, 5), ("b" * 4, 1, 0)]


def test_an_answer_that_ends_at_once_is_an_answer() -> None:
    assert read([chat("")])[0].text == ""
    assert read([chat(None, "length")])[0].finish_reason == "length"  # all tokens went into unseen thought


def test_reasoning_stands_before_the_answer() -> None:
    assert read([chat("\n\n4", reasoning_content="2 and 2")])[0].text == "<think>2 and 2</think>\n\n4"
    assert read([chat("4", reasoning="2 and 2")])[0].text == "<think>2 and 2</think>4"
    assert read([chat(None, "length", reasoning="2 and")])[0].text == "<think>2 and"


def test_content_in_parts_is_joined() -> None:
    assert read([chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])])[0].text == "ab"


def test_a_stop_string_that_the_server_left_in_is_cut() -> None:
    request = Request("q", stop=("###", "!"))
    [got] = read([chat("yes! no ### x", "length")], request=request)
    assert (got.text, got.finish_reason) == ("yes", "stop")


def test_counts_are_shared_out_by_length_and_sum_to_the_servers() -> None:
    got = read([chat("a" * 10), chat("b" * 10), chat("c" * 20)], {"prompt_tokens": 3, "completion_tokens": 13})
    assert [c.n_tokens for c in got] == [3, 3, 7]
    assert [c.n_prompt_tokens for c in got] == [3, 0, 0]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_shares_are_whole_and_near(total: int, weights: list[int]) -> None:
    shares = shared_out(total, weights)
    assert sum(shares) == total
    if sum(weights):
        exact = [total * weight / sum(weights) for weight in weights]
        assert all(abs(share - e) < 1 for share, e in zip(shares, exact, strict=True))


def test_without_counts_four_characters_are_a_token() -> None:
    for usage in (None, {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"completion_tokens": "many"}, "much"):
        [got] = read([chat("a" * 9)], usage)
        assert (got.n_tokens, got.n_prompt_tokens) == (3, 3)
    [counted] = read_reply({"choices": [chat()]}, RAW, prompt_length=10, in_tokens=True)
    assert counted.n_prompt_tokens == 10


def test_token_ids_count_exactly() -> None:
    choices = [chat("aaaa", token_ids=[5, 6, 7]), chat("b", token_ids=[8])]
    got = read(choices, {"prompt_tokens": 2, "completion_tokens": 4})
    assert [(c.token_ids, c.n_tokens) for c in got] == [((5, 6, 7), 3), ((8,), 1)]
    assert read([chat("a", token_ids=[1, "x"])])[0].token_ids == ()


LOGPROBS = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}]}


def test_log_probabilities_of_both_interfaces() -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 2}
    assert read([chat("ab", logprobs=LOGPROBS)], usage)[0].token_logprobs == (-0.5, -1.0)
    legacy = {"text": "ab", "finish_reason": "stop", "logprobs": {"token_logprobs": [-0.5, -1.0]}}
    assert read([legacy], usage)[0].logprob == -1.5


@pytest.mark.parametrize(
    "request_", [Request("q", temperature=0.7), Request("q", top_p=0.9), Request("q", top_k=5), Request("q", min_p=0.1)]
)
def test_log_probabilities_of_another_distribution_are_not_handed_on(request_: Request) -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 2}
    assert read([chat("ab", logprobs=LOGPROBS)], usage, request_)[0].token_logprobs is None


def test_log_probabilities_that_do_not_fit_the_tokens_are_not_handed_on() -> None:
    for usage in ({"completion_tokens": 3}, {"completion_tokens": 1}):
        assert read([chat("ab", logprobs=LOGPROBS)], usage)[0].token_logprobs is None
    broken = {"content": [{"logprob": -0.5}, {"logprob": None}]}
    assert read([chat("ab", logprobs=broken)], {"completion_tokens": 2})[0].token_logprobs is None
    infinite = {"content": [{"logprob": -0.5}, {"logprob": float("-inf")}]}
    assert read([chat("ab", logprobs=infinite)], {"completion_tokens": 2})[0].token_logprobs is None
