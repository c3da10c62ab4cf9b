"""Stages come after what they need, in a stable order, and a circle is named."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.recipe.graph import ancestors, descendants, order

DIAMOND = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}


def test_needs_come_first_and_ties_keep_the_listed_order() -> None:
    assert order(DIAMOND) == ["a", "b", "c", "d"]
    assert order({"z": [], "y": [], "x": ["z"]}) == ["z", "y", "x"]


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"a": ["a"]}, "a -> a"),
        ({"free": [], "x": ["a", "free"], "a": ["b"], "b": ["c"], "c": ["a"]}, "a -> b -> c -> a"),
    ],
)
def test_a_circle_is_named(needs: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(TeachableError) as caught:
        order(needs)
    assert f"in a circle: {circle}." in caught.value.sentence()


def test_an_unlisted_need_is_named() -> None:
    with pytest.raises(TeachableError, match="stage 'a' needs 'b', which is no stage"):
        order({"a": ["b"]})


def test_ancestors_and_descendants() -> None:
    assert ancestors(DIAMOND, "b") == {"a", "b"}
    assert descendants(DIAMOND, "b") == {"b", "d"}
    assert ancestors(DIAMOND, "a") == {"a"}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Graphs without circles, listed in any order."""
    names = [f"s{i}" for i in range(draw(st.integers(1, 8)))]
    needs = {name: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)}
    return {name: needs[name] for name in draw(st.permutations(names))}


@settings(max_examples=100, deadline=None)
@given(needs=graphs())
def test_every_order_respects_the_needs(needs: dict[str, list[str]]) -> None:
    found = order(needs)
    assert sorted(found) == sorted(needs)
    assert all(found.index(one) < found.index(stage) for stage in needs for one in needs[stage])


@settings(max_examples=100, deadline=None)
@given(needs=graphs(), draw=st.data())
def test_one_more_edge_back_makes_a_circle_of_real_needs(needs: dict[str, list[str]], draw: st.DataObject) -> None:
    stage = draw.draw(st.sampled_from(sorted(needs)))
    below = draw.draw(st.sampled_from(sorted(ancestors(needs, stage))))
    closed = {**needs, below: [*needs[below], stage]}
    with pytest.raises(TeachableError) as caught:
        order(closed)
    circle = caught.value.what.rpartition(": ")[2].split(" -> ")
    assert circle[0] == circle[-1]
    assert all(after in closed[before] for before, after in itertools.pairwise(circle))
