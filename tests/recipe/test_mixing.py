"""The examples of a mix: the shares that were asked for, no repeat before its turn, the same every time."""

from __future__ import annotations

from collections import Counter

import pytest

from teachable.errors import TeachableError
from teachable.recipe.domains import Domain
from teachable.recipe.mixing import Mixed, mixed, selected_shares
from teachable.records import Example


def domain(name: str, n: int, n_tokens: int = 10) -> Domain:
    turns = [({"role": "user", "content": f"{name} {i}?"}, {"role": "assistant", "content": str(i)}) for i in range(n)]
    rows = tuple(Example(f"{name}{i}", one, name, 0, "teachable", "", n_tokens) for i, one in enumerate(turns))
    return Domain(name, rows, (), ())


DOMAINS = [domain("a", 20), domain("b", 10), domain("c", 10, n_tokens=25)]


def counted(found: Mixed) -> Counter[str]:
    return Counter(example.prompt_id for example in found.examples)


def test_the_shares_are_met_within_half_an_example() -> None:
    found = mixed(DOMAINS, {"a": 1, "b": 2, "c": 1}, 1000, "k")
    assert dict(found.n_tokens) == {"a": 250, "b": 500, "c": 250}
    assert dict(found.n_epochs) == {"a": 1.25, "b": 5.0, "c": 1.0}
    for shares in ({"a": 0.31, "b": 0.62, "c": 0.07}, {"a": 0.999, "b": 0.001}):
        got = mixed(DOMAINS, shares, 777, "k").n_tokens
        for one in DOMAINS:
            assert abs(got[one.name] - 777 * shares.get(one.name, 0)) <= one.examples[0].n_tokens / 2


def test_no_example_comes_again_before_all_have_come() -> None:
    times = counted(mixed(DOMAINS, {"b": 1.0}, 270, "k"))
    assert sorted(times.values()) == [2] * 3 + [3] * 7


def test_the_key_decides_and_the_order_tells_no_domain() -> None:
    first, again = (mixed(DOMAINS, {}, 300, "k") for _ in range(2))
    assert first == again
    other = mixed(DOMAINS, {}, 300, "l")
    assert counted(other) != counted(first)
    order = [example.domain for example in first.examples]
    assert order != sorted(order)


def test_an_empty_mix_is_the_selection() -> None:
    assert selected_shares(DOMAINS) == pytest.approx({"a": 200 / 550, "b": 100 / 550, "c": 250 / 550}, abs=1e-6)
    assert dict(mixed(DOMAINS, {}, 5500, "k").n_epochs) == {"a": 10, "b": 10, "c": 10}
    once = mixed(DOMAINS, {}, 0, "k")
    assert set(counted(once).values()) == {1} and len(once.examples) == 40
    assert mixed(DOMAINS, selected_shares(DOMAINS), 0, "k") == once


def test_what_cannot_be_mixed_is_a_sentence() -> None:
    with pytest.raises(TeachableError, match="'d', which is no domain here; there are a, b, c"):
        mixed(DOMAINS, {"d": 1.0}, 100, "k")
    with pytest.raises(TeachableError, match="needs to know of how many tokens"):
        mixed(DOMAINS, {"a": 1.0, "b": 1.0}, 0, "k")
    with pytest.raises(TeachableError, match="4 training tokens are not one example"):
        mixed(DOMAINS, {"a": 1.0}, 4, "k")
