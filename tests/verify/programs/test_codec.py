"""The codec between program and tests: every plain value arrives as it was, and no message does more than raise."""

from __future__ import annotations

import contextlib
import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.verify.programs.inside.codec import CodecError, Decoder, Encoder
from teachable.verify.programs.inside.wire import WireError, dumps, loads

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**5000)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 3))
)
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.frozensets(st.integers())
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(KEYS, inner).map(OrderedDict)
        | st.lists(inner).map(lambda items: deque(items, 50))
        | st.sets(KEYS)
        | st.frozensets(KEYS)
        | st.binary().map(bytearray)
        | st.lists(KEYS).map(Counter)
        | st.dictionaries(KEYS, st.lists(inner)).map(lambda items: defaultdict(list, items))
    ),
    max_leaves=20,
)


def refuse(form: Any) -> Any:
    raise CodecError("nothing but plain data is expected")


def types_of(value: Any) -> Any:
    """The types of a value and of all within it."""
    if isinstance(value, dict):
        return type(value), sorted(repr((type(key), types_of(item))) for key, item in value.items())
    if isinstance(value, list | tuple | deque):
        return type(value), [types_of(item) for item in value]
    return type(value)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    back = Decoder(refuse).decode(loads(dumps(Encoder(refuse).encode(value))))
    assert back == value and types_of(back) == types_of(value)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_numbered_values_arrive_as_they_were(value: Any) -> None:
    sent: list[Any] = []
    received: list[Any] = []
    form = Encoder(refuse, sent).encode([value, value])
    back = Decoder(refuse, received).decode(loads(dumps(form)))
    assert back == [value, value] and len(sent) == len(received)
    assert all(type(a) is type(b) for a, b in zip(sent, received, strict=True))


TAGS = [*"lstdfabcrvOCFDIqEN@", "dd", "tm", "td", "dt", "sl"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TAGS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@settings(max_examples=800, deadline=None)
@given(JSON, st.booleans())
def test_no_message_does_more_than_raise(form: Any, numbered: bool) -> None:
    with contextlib.suppress(CodecError):
        Decoder(refuse, [] if numbered else None).decode(form)


@given(st.binary())
def test_no_bytes_do_more_than_raise(data: bytes) -> None:
    with contextlib.suppress(WireError):
        loads(data)


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2020, 1, 1, 2, 3, 4, 5, datetime.timezone(datetime.timedelta(hours=2)), fold=1),
        Fraction(1, 3),
        Decimal("1.50"),
        float("-inf"),
        "\ud800",
        -0.0,
        {1: 2}.items(),
        slice(1, None, 2),
    ],
)
def test_odd_values(value: Any) -> None:
    assert repr(Decoder(refuse).decode(loads(dumps(Encoder(refuse).encode(value))))) == repr(value)


def test_what_is_no_plain_data_is_left_to_the_hook() -> None:
    class Loud(int):
        def __eq__(self, other: object) -> bool:
            return True

    for value in (Loud(9), object(), print, type("T", (list,), {})(), [Loud(9)]):
        with pytest.raises(CodecError):
            Encoder(refuse).encode(value)


def test_too_deep_and_cyclic_values_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    for value in (deep, cyclic):
        with pytest.raises(CodecError):
            Encoder(refuse).encode(value)
