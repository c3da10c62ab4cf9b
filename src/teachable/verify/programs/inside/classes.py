"""What the program's process says of a class: its special methods, and the builtin value that its objects hold."""

from __future__ import annotations

from teachable.verify.programs.inside.operations import RUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

IMMUTABLE = (int, float, complex, str, bytes, tuple, frozenset)
LIBRARY_EXCEPTIONS = ("json.decoder", "decimal", "re", "asyncio.exceptions", "struct", "binascii", "zlib", "queue")
LIBRARY_TYPES = ("collections", "fractions", "decimal", "datetime")
LIBRARY_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "Decimal": lambda root, value: root(value),
    "Fraction": lambda root, value: root(value.numerator, value.denominator),
    "deque": lambda root, value: root(root.__iter__(value), value.maxlen),
    "date": lambda root, value: root(value.year, value.month, value.day),
    "datetime": lambda root, value: root.combine(value.date(), value.timetz()),
    "timedelta": lambda root, value: root(value.days, value.seconds, value.microseconds),
}
MUTABLE = (list, dict, set, bytearray)
_COMPARED = {"add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge", "hash"}
_COMPARED |= {"radd", "rsub", "rmul", "getitem", "len", "iter", "contains", "bool", "abs", "neg", "float", "int"}


def special_names(kind: type) -> list[str]:
    """The special methods of a class that come from neither `object` nor a builtin exception nor `type`."""
    found: set[str] = set()
    for base in kind.__mro__:
        if base is object or base is type or (base.__module__ == "builtins" and issubclass(base, BaseException)):
            continue
        found.update(name[2:-2] for name, value in vars(base).items() if name[:2] == "__" and value is not None)
    return sorted(found & (RUN.keys() | {"call"}))


def plain_root(kind: type) -> str:
    """The builtin whose data an instance holds, empty where it holds none."""
    for root in kind.__mro__:
        if root in (*IMMUTABLE, *MUTABLE) or (root.__module__ in LIBRARY_TYPES and root.__name__ in LIBRARY_PLAIN):
            return root.__name__
    return ""


def immutable_root(kind: type) -> Any:
    """The immutable builtin that a class adds nothing to but names (a named tuple, an IntEnum), else None."""
    for base in kind.__mro__:
        if base in IMMUTABLE:
            return base
        if base.__module__ == "enum":
            continue
        if any(f"__{name}__" in vars(base) for name in _COMPARED):
            return None
    return None
