"""Quotas: never exceeded, filled where that can be done at all, and the first by preference within them."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.select.quotas import allot, counts

DOMAINS, LEVELS = "abc", (1, 2, 3)
Kinds = list[tuple[str, int]]

kinds = st.lists(st.tuples(st.sampled_from(DOMAINS), st.sampled_from(LEVELS)), max_size=40)
domain_quotas = st.dictionaries(st.sampled_from(DOMAINS), st.integers(0, 12))
level_quotas = st.dictionaries(st.sampled_from(LEVELS), st.integers(0, 12))
sizes = st.none() | st.integers(1, 30)


def taken(candidates: Kinds, domains: dict[str, int], levels: dict[int, int], size: int | None) -> Kinds:
    flags = allot(candidates, domains=domains, levels=levels, size=size).taken
    return [kind for kind, inside in zip(candidates, flags, strict=True) if inside]


@given(kinds, domain_quotas, level_quotas, sizes)
@settings(max_examples=300, deadline=None)
def test_nothing_is_exceeded_and_who_is_out_had_no_room(
    candidates: Kinds, domains: dict[str, int], levels: dict[int, int], size: int | None
) -> None:
    given_ = allot(candidates, domains=domains, levels=levels, size=size)
    inside = [kind for kind, flag in zip(candidates, given_.taken, strict=True) if flag]
    of_domain, of_level = Counter(d for d, _ in inside), Counter(v for _, v in inside)
    assert all(of_domain[d] <= n for d, n in domains.items())
    assert all(of_level[v] <= n for v, n in levels.items())
    assert size is None or len(inside) <= size
    assert given_.full_domains == {d for d, n in domains.items() if of_domain[d] == n}
    assert given_.full_levels == {v for v, n in levels.items() if of_level[v] == n}
    for (domain, level), flag in zip(candidates, given_.taken, strict=True):
        full = domain in given_.full_domains or level in given_.full_levels or len(inside) == size
        assert flag or full


@given(kinds, domain_quotas, sizes)
@settings(max_examples=100, deadline=None)
def test_with_quotas_of_domains_alone_each_domain_gives_its_first(
    candidates: Kinds, domains: dict[str, int], size: int | None
) -> None:
    size = None if size is None else max(size, sum(domains.values()), 1)
    flags = allot(candidates, domains=domains, levels={}, size=size).taken
    reserved = sum(min(n, sum(d == name for d, _ in candidates)) for name, n in domains.items())
    room = {**domains, None: 10**6 if size is None else size - reserved}
    expected = []
    for domain, _ in candidates:
        key = domain if domain in domains else None
        expected.append(room[key] > 0)
        room[key] -= room[key] > 0
    assert list(flags) == expected


def best_by_brute_force(
    candidates: Kinds, domains: dict[str, int], levels: dict[int, int], size: int | None
) -> tuple[int, int]:
    """The most places under quotas of domains, and the most places in all, of any choice within the bounds."""
    available = Counter(candidates)
    cells = sorted(available)
    best_named = best_all = 0
    for ns in itertools.product(*(range(available[cell] + 1) for cell in cells)):
        of_domain: Counter[str] = Counter()
        of_level: Counter[int] = Counter()
        for (domain, level), n in zip(cells, ns, strict=True):
            of_domain[domain] += n
            of_level[level] += n
        if (
            all(of_domain[d] <= n for d, n in domains.items())
            and all(of_level[v] <= n for v, n in levels.items())
            and (size is None or sum(ns) <= size)
        ):
            best_named = max(best_named, sum(of_domain[d] for d in domains))
            best_all = max(best_all, sum(ns))
    return best_named, best_all


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((1, 2))), max_size=9),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)),
    st.dictionaries(st.sampled_from((1, 2)), st.integers(0, 4)),
    st.none() | st.integers(1, 8),
)
@settings(max_examples=250, deadline=None)
def test_no_other_choice_fills_more(
    candidates: Kinds, domains: dict[str, int], levels: dict[int, int], size: int | None
) -> None:
    inside = taken(candidates, domains, levels, size)
    best_named, best_all = best_by_brute_force(candidates, domains, levels, size)
    assert len(inside) == best_all
    assert sum(d in domains for d, _ in inside) == best_named


def test_an_exchange_gives_a_domain_the_level_that_it_needs() -> None:
    """The surest are b's at level 1, which is all that a has: first come, first served would leave a with none."""
    candidates = [("b", 1)] * 5 + [("b", 2)] * 5 + [("a", 1)] * 5
    inside = taken(candidates, {"a": 5, "b": 5}, {1: 5, 2: 5}, 10)
    assert Counter(inside) == {("a", 1): 5, ("b", 2): 5}


def test_levels_are_filled_by_domains_that_have_a_quota() -> None:
    """All of a's places can be filled at level 2, but level 1 has a quota too and nobody else can fill it."""
    candidates = [("a", 2)] * 5 + [("a", 1)] * 5
    assert Counter(taken(candidates, {"a": 5}, {1: 3}, None)) == {("a", 1): 3, ("a", 2): 2}


def test_what_a_domain_can_not_fill_goes_to_those_without_a_quota() -> None:
    candidates = [("c", 1)] * 20 + [("a", 1)] * 2 + [("b", 1)] * 20
    assert Counter(d for d, _ in taken(candidates, {"a": 5, "b": 5}, {}, 20)) == {"a": 2, "b": 5, "c": 13}
    assert len(taken(candidates[20:], {"a": 5, "b": 5}, {}, 20)) == 7


@given(kinds, domain_quotas, level_quotas, sizes, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_numbers_depend_on_preference_but_never_on_the_names(
    candidates: Kinds, domains: dict[str, int], levels: dict[int, int], size: int | None, rng: random.Random
) -> None:
    turned_domains = dict(sorted(domains.items(), reverse=True))
    turned_levels = dict(sorted(levels.items(), reverse=True))
    assert taken(candidates, domains, levels, size) == taken(candidates, turned_domains, turned_levels, size)
    shuffled = list(candidates)
    rng.shuffle(shuffled)
    assert len(taken(candidates, domains, levels, size)) == len(taken(shuffled, domains, levels, size))


@pytest.mark.parametrize(
    ("wanted", "size", "available", "found"),
    [
        ({"a": 3, "b": 0}, None, {}, {"a": 3, "b": 0}),
        ({"a": 0.3, "b": 0.2}, 10, {}, {"a": 3, "b": 2}),
        ({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 10, {}, {"a": 4, "b": 3, "c": 3}),
        ({"a": 0.29, "b": 0.71}, 100, {}, {"a": 29, "b": 71}),
        ({"a": 0.5, "b": 2}, 5, {}, {"a": 2, "b": 2}),
        ({"a": 1.0}, 7, {}, {"a": 7}),
        ("equal", 10, {"a": 2, "b": 50, "c": 50}, {"a": 2, "b": 4, "c": 4}),
        ("equal", 10, {"a": 50, "b": 50, "c": 50}, {"a": 3, "b": 3, "c": 4}),
        ("equal", 10, {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ("equal", 10, {}, {}),
    ],
)
def test_quotas_in_prompts(
    wanted: dict[str, int | float] | str, size: int | None, available: dict[str, int], found: dict[str, int]
) -> None:
    assert counts(wanted, size, available) == found


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 200))
@settings(max_examples=200, deadline=None)
def test_shares_are_rounded_to_whole_prompts_without_loss(weights: list[float], size: int) -> None:
    total = sum(weights) or 1.0
    wanted = {str(i): weight / total for i, weight in enumerate(weights)}
    found = counts(wanted, size, {})
    assert sum(found.values()) == (size if sum(weights) else 0)
    assert all(abs(found[name] - wanted[name] * size) < 1 + 1e-6 for name in wanted)


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40)), st.integers(1, 100))
@settings(max_examples=200, deadline=None)
def test_equal_is_as_even_as_can_be(available: dict[str, int], size: int) -> None:
    found = counts("equal", size, available)
    assert sum(found.values()) == min(size, sum(available.values()))
    for one, other in itertools.permutations(found, 2):
        # Only who has no more to give gets noticeably less than another.
        assert found[one] >= found[other] - 1 or found[one] == available[one]
