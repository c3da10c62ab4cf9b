"""A stand-in for pytest in the tests' process: `raises`, `approx`, `mark.parametrize`, `fail`. With `skip` and fixtures
it can't be told. The real one takes longer to import than a program takes to test, and may not be installed there.
"""

from __future__ import annotations

import types
from _collections_abc import Mapping, Sequence

from teachable.verify.programs.inside.codec import imported
from teachable.verify.programs.inside.record import Record, Untold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MARKS = "_teachable_cases"


class Failed(AssertionError):
    """What was to be raised was not."""


class _Raised:
    value: BaseException
    type: type[BaseException]

    def match(self, pattern: str) -> bool:
        """Whether the text of what was raised contains the pattern. Raises Failed if not."""
        if imported("re").search(pattern, str(self.value)) is None:
            raise Failed(f"{str(self.value)[:100]!r} does not match {pattern!r}")
        return True


class _Raises:
    def __init__(self, record: Record, expected: Any, match: str | None) -> None:
        self._record, self._expected, self._match, self._info = record, expected, match, _Raised()

    def __enter__(self) -> _Raised:
        return self._info

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            raise Failed(f"{self._expected} was not raised")
        if not isinstance(error, self._expected):
            return False
        self._info.value, self._info.type = error, type(error)
        if self._match is not None:
            self._info.match(self._match)
        self._record.passed()
        return True


class approx:
    """Numbers (also in lists, tuples and dicts) within a relative 1e-6 or an absolute 1e-12, as pytest has it."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> None:
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, actual: Any) -> bool:
        return self._close(self.expected, actual)

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def _close(self, expected: Any, actual: Any) -> bool:
        if isinstance(expected, Mapping):
            same = isinstance(actual, Mapping) and expected.keys() == actual.keys()
            return same and all(self._close(expected[key], actual[key]) for key in expected)
        if isinstance(expected, Sequence) and not isinstance(expected, str | bytes):
            same = isinstance(actual, Sequence) and len(expected) == len(actual)
            return same and all(self._close(a, b) for a, b in zip(expected, actual, strict=True))
        if expected == actual:
            return True
        if isinstance(actual, bool) or not isinstance(actual, int | float | complex) or isinstance(expected, str):
            return False
        if expected != expected or actual != actual:
            return self.nan_ok and expected != expected and actual != actual
        if abs(expected) == float("inf") or abs(actual) == float("inf"):
            return False
        absolute = 1e-12 if self.abs is None else self.abs
        relative = (1e-6 if self.rel is not None or self.abs is None else 0.0) if self.rel is None else self.rel
        return bool(abs(expected - actual) <= max(absolute, relative * abs(expected)))


class _Mark:
    """`pytest.mark`: only `parametrize` and `skip` mean anything."""

    def __getattr__(self, name: str) -> Any:
        if name == "parametrize":
            return _parametrize
        if name in ("skip", "skipif", "xfail", "usefixtures"):
            raise Untold(f"the tests use pytest.mark.{name}")
        return _passes_through


def _passes_through(*args: Any, **keywords: Any) -> Any:
    """A mark with or without arguments that changes nothing."""
    if len(args) == 1 and not keywords and callable(args[0]):
        return args[0]
    return lambda function: function


def _parametrize(names: str | Sequence[str], rows: Any, **_: Any) -> Callable[[Any], Any]:
    """Give a function its cases: it is called once a row."""
    fields = [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)

    def mark(function: Any) -> Any:
        cases = [dict(zip(fields, _values(row, len(fields)), strict=True)) for row in rows]
        before = getattr(function, MARKS, [{}])
        setattr(function, MARKS, [{**old, **new} for old in before for new in cases])
        return function

    return mark


class _Param:
    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values


def _values(row: Any, n_fields: int) -> Any:
    if isinstance(row, _Param):
        return row.values
    return row if n_fields > 1 else (row,)


def pytest_module(record: Record) -> types.ModuleType:
    """The stand-in, as a module."""
    module: Any = types.ModuleType("pytest")

    def raises(expected: Any, *args: Any, match: str | None = None, **keywords: Any) -> Any:
        context = _Raises(record, expected, match)
        if not args:
            return context
        with context as info:
            args[0](*args[1:], **keywords)
        return info

    def fail(reason: str = "", **_: Any) -> None:
        raise Failed(reason)

    def refused(*_: Any, **__: Any) -> Any:
        raise Untold("the tests use a part of pytest that is not there (fixtures, skip)")

    module.raises, module.approx, module.mark, module.fail = raises, approx, _Mark(), fail
    module.param = lambda *values, **_: _Param(values)
    module.skip = module.fixture = module.importorskip = module.warns = refused
    module.main = lambda *_: 0
    return module
