"""Plain data as JSON lists with a tag, by exact type, and back: what may cross between the two processes by value.

Never pickle: reading builds builtin values and a few of the standard library's data types, and runs nothing of the
sender's. An instance of a subclass (an `int` that lies about `==`) is not plain: the `other` hook decides about it, as
about functions, classes and objects.

Where `keep` is given, mutable containers get numbers in the order in which they are met, a second meeting is a
reference (so that shared and cyclic arguments arrive as they are), and both sides end up with the same list of
containers: that is how changes to arguments are written back. Without it a cyclic value raises CodecError.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Hook = Callable[[Any], Any]

MAX_DEPTH = 150
MAX_SMALL = 1 << 62


class CodecError(Exception):
    """A value that can't cross (too deep, cyclic), or a message that no honest sender writes."""


_COLLECTIONS = {"Counter": "C", "OrderedDict": "O", "defaultdict": "dd", "deque": "q"}
_DATES = ("date", "time", "datetime", "timedelta")
_FACTORIES = {kind.__name__: kind for kind in (list, dict, set, int, float, str, tuple, bool, bytes, frozenset)}
_VIEWS = {type({}.keys()): "k", type({}.values()): "v", type({}.items()): "i"}


class Encoder:
    """Turns values into JSON lists; `keep` collects the mutable containers that were met, in order."""

    def __init__(self, other: Hook, keep: list[Any] | None = None) -> None:
        self._other = other
        self._keep = keep
        self._numbers: dict[int, int] = {} if keep is None else {id(value): n for n, value in enumerate(keep)}
        self._open: set[int] = set()

    def encode(self, value: Any) -> Any:
        """The JSON form of `value`. Raises CodecError where it is too deep, or cyclic and not numbered."""
        kind = type(value)
        if value is None or kind is bool or kind is float or kind is str:
            return value
        if kind is int:
            return value if -MAX_SMALL < value < MAX_SMALL else ["I", hex(value)]
        if kind is list or kind is dict or kind is set or kind is bytearray:
            return self._numbered(value, _MUTABLE[kind])
        if kind is tuple:
            return ["t", self._items(value)]
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        if kind is frozenset or kind is slice or kind in _VIEWS:
            return self._composed(value, kind)
        library = _library_form(self, value, kind)
        return self._other(value) if library is None else library

    def contents(self, value: Any) -> Any:
        """What stands in a container that was numbered, its parts by reference where they are numbered too."""
        tag, form = _MUTABLE.get(type(value)) or _library_mutable(type(value))
        return [tag, *form(self, value)]

    def _numbered(self, value: Any, how: tuple[str, Any]) -> Any:
        tag, form = how
        if self._keep is None:
            return self._guarded(value, lambda: [tag, *form(self, value)])
        known = self._numbers.get(id(value))
        if known is not None:
            return ["@", known]
        self._numbers[id(value)] = number = len(self._keep)
        self._keep.append(value)
        return self._guarded(value, lambda: [tag, *form(self, value), number])

    def _guarded(self, value: Any, make: Callable[[], Any]) -> Any:
        if id(value) in self._open:
            raise CodecError("a value contains itself")
        if len(self._open) >= MAX_DEPTH:
            raise CodecError("a value is nested too deeply")
        self._open.add(id(value))
        try:
            return make()
        finally:
            self._open.discard(id(value))

    def _items(self, values: Any) -> list[Any]:
        return self._guarded(values, lambda: [self.encode(item) for item in values])

    def _pairs(self, value: Any) -> list[Any]:
        return [[self.encode(key), self.encode(item)] for key, item in value.items()]

    def _composed(self, value: Any, kind: type) -> Any:
        if kind is frozenset:
            return ["f", self._items(value)]
        if kind is slice:
            return ["sl", self.encode(value.start), self.encode(value.stop), self.encode(value.step)]
        return ["v", _VIEWS[kind], self._guarded(value, lambda: [self.encode(item) for item in value])]


def _plain_items(encoder: Encoder, value: Any) -> list[Any]:
    return [[encoder.encode(item) for item in value]]


def _plain_pairs(encoder: Encoder, value: Any) -> list[Any]:
    return [encoder._pairs(value)]


_MUTABLE: dict[type, tuple[str, Any]] = {
    list: ("l", _plain_items),
    set: ("s", _plain_items),
    dict: ("d", _plain_pairs),
    bytearray: ("a", lambda _, value: [value.hex()]),
}
_SCALARS: dict[type, Callable[[Any], Any]] = {
    bytes: lambda value: ["b", value.hex()],
    memoryview: lambda value: ["b", bytes(value).hex()],
    complex: lambda value: ["c", value.real, value.imag],
    range: lambda value: ["r", hex(value.start), hex(value.stop), hex(value.step)],
    type(Ellipsis): lambda value: ["E"],
    type(NotImplemented): lambda value: ["N"],
}


def _of(module: str, name: str) -> Any:
    """A class of the standard library if its module is loaded: if it is not, no value can be of that class."""
    return getattr(sys.modules.get(module), name, None)


def _library_mutable(kind: type) -> tuple[str, Any]:
    if kind is _of("collections", "deque"):
        return "q", lambda encoder, value: [[encoder.encode(item) for item in value], value.maxlen]
    if kind is _of("collections", "defaultdict"):
        return "dd", lambda encoder, value: [_factory_name(value.default_factory), encoder._pairs(value)]
    if kind is _of("collections", "Counter"):
        return "C", _plain_pairs
    if kind is _of("collections", "OrderedDict"):
        return "O", _plain_pairs
    raise CodecError(f"a {kind.__name__} has no contents to write back")


def _factory_name(factory: Any) -> str | None:
    return factory.__name__ if factory in _FACTORIES.values() else None


def _library_form(encoder: Encoder, value: Any, kind: type) -> Any:
    if kind.__module__ == "collections" and kind.__name__ in _COLLECTIONS:
        if kind is _of("collections", kind.__name__):
            return encoder._numbered(value, _library_mutable(kind))
    elif kind is _of("fractions", "Fraction"):
        return ["F", hex(value.numerator), hex(value.denominator)]
    elif kind is _of("decimal", "Decimal"):
        return ["D", str(value)]
    elif kind.__module__ == "datetime" and kind.__name__ in _DATES and kind is _of("datetime", kind.__name__):
        return _date_form(value, kind.__name__)
    return None


def _date_form(value: Any, name: str) -> Any:
    if name == "timedelta":
        return ["td", value.days, value.seconds, value.microseconds]
    if name == "date":
        return ["dt", [value.year, value.month, value.day]]
    zone = value.tzinfo
    if zone is not None:
        if type(zone) is not _of("datetime", "timezone"):
            return None
        shift = zone.utcoffset(None)
        zone = [shift.days, shift.seconds, shift.microseconds]
    clock = [value.hour, value.minute, value.second, value.microsecond]
    return ["tm", [] if name == "time" else [value.year, value.month, value.day], clock, zone, value.fold]


class Decoder:
    """Builds values from JSON lists; `keep` collects the mutable containers that were numbered, in order."""

    def __init__(self, other: Hook, keep: list[Any] | None = None) -> None:
        self._other = other
        self._keep = keep

    def decode(self, form: Any) -> Any:
        """The value of a JSON form. Raises CodecError for a form that no encoder writes."""
        try:
            return self._decode(form)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
            raise CodecError("a message that no honest sender writes") from error

    def fill(self, value: Any, form: Any) -> None:
        """Give a container the contents that `Encoder.contents` wrote, in place."""
        try:
            new = self._decode(form)
            if type(new) is not type(value):
                raise CodecError("a container changed its type")
            if isinstance(value, list | bytearray):
                value[:] = new
            else:
                value.clear()
                (value.extend if form[0] == "q" else value.update)(new)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CodecError("a message that no honest sender writes") from error

    def _decode(self, form: Any) -> Any:
        if type(form) is not list:
            if type(form) is dict:
                raise CodecError("a message that no honest sender writes")
            return form
        tag = form[0]
        if tag in _CONTAINERS:
            return self._container(tag, form)
        if tag == "@":
            if self._keep is None:
                raise CodecError("a reference where none can be")
            return self._keep[form[1]]
        if tag == "t":
            return tuple([self._decode(item) for item in form[1]])
        if tag == "f":
            return frozenset([self._decode(item) for item in form[1]])
        if tag == "sl":
            return slice(*[self._decode(item) for item in form[1:4]])
        if tag == "v":
            return self._view(form[1], [self._decode(item) for item in form[2]])
        build = _BUILDERS.get(tag)
        return self._other(form) if build is None else build(*form[1:])

    def _container(self, tag: str, form: list[Any]) -> Any:
        new = _CONTAINERS[tag](form)
        if self._keep is not None and type(form[-1]) is int and len(form) == _LENGTHS.get(tag, 2) + 1:
            if form[-1] != len(self._keep):
                raise CodecError("containers are numbered in order")
            self._keep.append(new)
        if tag in ("l", "q"):
            new.extend([self._decode(item) for item in form[1]])
        elif tag == "s":
            new.update([self._decode(item) for item in form[1]])
        elif tag != "a":
            for key, item in form[2 if tag == "dd" else 1]:
                new[self._decode(key)] = self._decode(item)
        return new

    @staticmethod
    def _view(kind: str, items: list[Any]) -> Any:
        if kind == "k":
            return dict.fromkeys(items).keys()
        return dict(items).items() if kind == "i" else dict(enumerate(items)).values()


def imported(name: str) -> Any:
    """A module by its dotted name, without `importlib`, which takes its time. Raises ImportError."""
    __import__(name)
    return sys.modules[name]


def _collection(name: str, *args: Any) -> Any:
    return getattr(imported("collections"), name)(*args)


def _fraction(numerator: str, denominator: str) -> Any:
    return imported("fractions").Fraction(int(numerator, 16), int(denominator, 16))


def _decimal(text: str) -> Any:
    return imported("decimal").Decimal(text)


def _moment(day: list[int], clock: list[int], zone: Any, fold: int) -> Any:
    dates = imported("datetime")
    tzinfo = None if zone is None else dates.timezone(dates.timedelta(*zone))
    hour, minute, second, microsecond = clock
    if not day:
        return dates.time(hour, minute, second, microsecond, tzinfo, fold=fold)
    return dates.datetime(day[0], day[1], day[2], hour, minute, second, microsecond, tzinfo, fold=fold)


def _date(day: list[int]) -> Any:
    return imported("datetime").date(*day)


def _span(days: int, seconds: int, microseconds: int) -> Any:
    return imported("datetime").timedelta(days, seconds, microseconds)


_LENGTHS = {"q": 3, "dd": 3}
_CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "l": lambda form: [],
    "s": lambda form: set(),
    "d": lambda form: {},
    "a": lambda form: bytearray.fromhex(form[1]),
    "C": lambda form: _collection("Counter"),
    "O": lambda form: _collection("OrderedDict"),
    "q": lambda form: _collection("deque", (), form[2]),
    "dd": lambda form: _collection("defaultdict", _FACTORIES.get(form[1])),
}
_BUILDERS: dict[str, Callable[..., Any]] = {
    "I": lambda text: int(text, 16),
    "b": bytes.fromhex,
    "c": complex,
    "r": lambda *ends: range(*[int(end, 16) for end in ends]),
    "E": lambda: Ellipsis,
    "N": lambda: NotImplemented,
    "F": _fraction,
    "D": _decimal,
    "td": _span,
    "dt": _date,
    "tm": _moment,
}
