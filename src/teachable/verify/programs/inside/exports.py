"""What of the tests' own process the program may reach: what they passed to it, and no further.

A function of the tests may be called and nothing else (no attribute of it, so no `__globals__`); functions of the
standard library and builtins travel by name and run in the program's process (or `f(eval)` would hand it ours). An
object of a class that the tests define shows its public attributes and the special methods that it has; so do text
streams and mocks. Generators and other iterators can only be advanced. Anything else is opaque.

A function of the tests that evaluates its argument as code (`lambda text: eval(text)`) would give it everything.
"""

from __future__ import annotations

import builtins
import sys
import types
from _collections_abc import Iterator

from teachable.verify.programs.inside.codec import CodecError, Encoder
from teachable.verify.programs.inside.mirrors import Function, Mirrors
from teachable.verify.programs.inside.operations import RUN
from teachable.verify.programs.inside.record import Untold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DATA = (list, dict, set, bytearray, str, bytes, tuple, frozenset, int, float)
_PLAIN_ROOTS: tuple[Any, ...] = (int, float, complex, str, bytes)
_OPEN_MODULES = ("_io", "io", "unittest.mock", "types", "collections")
_MAX_EXPORTS = 1_000_000


class Exports:
    """The numbered objects that were passed to the program, and how it may use them."""

    def __init__(self, mirrors: Mirrors, module: str) -> None:
        self._mirrors = mirrors
        self._module = module
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def _number(self, value: Any) -> int:
        known = self._numbers.get(id(value))
        if known is None:
            if len(self._objects) >= _MAX_EXPORTS:
                raise CodecError("more objects than any test passes")
            known = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return known

    def to_form(self, value: Any) -> Any:
        """The form of a value that is no plain data and goes to the program."""
        kind = type(value)
        if self._mirrors.is_mirror(value):
            return ["p", self._mirrors.number(value)]
        if kind is types.ModuleType or isinstance(value, types.ModuleType):
            return ["m", value.__name__]
        if isinstance(value, type):
            return self._class_form(value)
        if kind.__module__ == "typing" and getattr(value, "_name", None):
            return ["ty", "typing", value._name]
        if isinstance(value, BaseException):
            return self._error_form(value)
        if self._may_call(value):
            return ["cb", self._number(value)]
        if kind in (types.FunctionType, types.BuiltinFunctionType):
            return self._library_function(value)
        if kind.__module__ == "numpy" and hasattr(value, "tobytes") and value.dtype.kind in "biufcSU":
            return ["np", value.dtype.str, list(value.shape), value.tobytes().hex()]
        for root in _PLAIN_ROOTS:
            if isinstance(value, root):
                return _plain_form(root.__new__(root, str.__str__(value) if root is str else value))
        return ["y", self._number(value), kind.__name__, sorted(self._special(value))]

    def _class_form(self, value: type) -> Any:
        if getattr(builtins, value.__name__, None) is value:
            return ["T", value.__name__]
        if value.__module__ == self._module:
            return ["y", self._number(value), "type", ["call"]]
        if getattr(sys.modules.get(value.__module__), value.__name__, None) is value:
            return ["S", value.__module__, value.__name__]
        raise Untold("the tests pass a class that can't be handed to the program")

    def _error_form(self, error: BaseException) -> Any:
        kind = type(error)
        if self._mirrors.is_mirror(error):
            return ["p", self._mirrors.number(error)]
        base = next(base for base in kind.__mro__ if getattr(builtins, base.__name__, None) is base)
        args = [item if type(item) in (str, int, float, bool, type(None)) else str(item)[:1000] for item in error.args]
        simple = base if base.__name__ not in ("UnicodeDecodeError", "UnicodeEncodeError") else ValueError
        return ["x", self._number(error), ["T", simple.__name__], args]

    def _library_function(self, value: Any) -> Any:
        module = value.__module__ or "builtins"
        name = value.__name__
        if module != self._module and getattr(sys.modules.get(module), name, None) is value:
            return ["S", module, name]
        raise Untold("the tests pass a function that can't be handed to the program")

    def _may_call(self, value: Any) -> bool:
        """A function that the tests wrote, a method of an object of theirs, or of a container of theirs."""
        kind = type(value)
        if kind is types.FunctionType:
            return value.__module__ == self._module or value.__globals__ is vars(sys.modules[self._module])
        if kind is types.MethodType:
            return self._may_call(value.__func__) or type(value.__self__).__module__ in _OPEN_MODULES
        if kind is types.BuiltinMethodType:
            owner = value.__self__
            return type(owner) in _DATA or (owner is not None and type(owner).__module__ in ("_io", "collections"))
        if kind is getattr(sys.modules.get("functools"), "partial", None):
            return self._may_call(value.func) or isinstance(value.func, Function)
        return False

    def _is_open(self, value: Any) -> bool:
        """Whether the program may read the public attributes of an object."""
        kind = type(value)
        return kind.__module__ == self._module or (kind.__module__ in _OPEN_MODULES and not _is_internal(value))

    def _special(self, value: Any) -> set[str]:
        kind = type(value)
        if isinstance(value, Iterator) and kind.__module__ not in (self._module, *_OPEN_MODULES):
            return {"iter", "next"}
        if kind.__module__ not in (self._module, *_OPEN_MODULES, "itertools", "builtins", "array"):
            return set()
        names = {name[2:-2] for base in kind.__mro__ if base is not object for name in vars(base) if name[:2] == "__"}
        return names & (RUN.keys() | {"call"})

    def serve(self, number: Any, what: Any, args: list[Any], keywords: dict[str, Any]) -> Any:
        """Do what the program asks of something that was passed to it.

        Raises:
            CodecError: it was not passed, or what is asked is not allowed.
        """
        if type(number) is not int or not 0 <= number < len(self._objects) or type(args) is not list:
            raise CodecError("the program asks for what was not passed to it")
        value = self._objects[number]
        if what == "call":
            if self._may_call(value) or "call" in self._special(value) or self._is_tests_class(value):
                return value(*args, **keywords)
        elif what in ("getattr", "setattr"):
            name = args[0]
            if type(name) is str and not name.startswith("_"):
                if not self._is_open(value):
                    raise AttributeError(name)
                return getattr(value, name) if what == "getattr" else setattr(value, name, args[1])
            raise AttributeError("private")
        elif type(what) is str and what in self._special(value):
            return RUN[what](value, *args)
        raise CodecError("the program asks for what was not passed to it")

    def _is_tests_class(self, value: Any) -> bool:
        return isinstance(value, type) and value.__module__ == self._module

    def raised(self, number: Any) -> BaseException:
        """The exception of the tests' that went through the program and came back."""
        if type(number) is int and 0 <= number < len(self._objects):
            error = self._objects[number]
            if isinstance(error, BaseException):
                return error
        raise CodecError("a message that no honest sender writes")

    def from_form(self, form: list[Any]) -> Any:
        """The value of a form that came from the program and is no plain data."""
        if form[0] == "y":
            if type(form[1]) is not int or not 0 <= form[1] < len(self._objects):
                raise CodecError("a message that no honest sender writes")
            return self._objects[form[1]]
        return self._mirrors.from_form(form)


def _is_internal(value: Any) -> bool:
    return isinstance(value, types.FunctionType | types.CodeType | types.FrameType | types.TracebackType)


def _plain_form(value: Any) -> Any:
    return Encoder(lambda other: None).encode(value)
