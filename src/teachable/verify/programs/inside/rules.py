"""What is believed of an object that lives in the program's process.

Plain data came over whole before it was compared with anything, so comparing it is safe. An object of the program's is
different: whatever it is asked, the program answers, and it may answer to please. Hence:

- What the tests merely ask for (an attribute, a call, an item, a length, text) is believed like any result.
- Compared with plain data: an object of a class that extends a builtin (`class Money(float)`) is compared by that
  builtin's value, which it must name before it learns what it is compared with. Otherwise "equal" is never believed.
- Calculating with plain data (`f(x) - 1.5`) tells the program the number that is expected. Objects of a class that the
  tests name (`Vector(1, 2) * 2`) may do it, as long as what comes out is an object again, and that one's truth, number
  or size are no longer believed. For any other object it is a TypeError, as if its class had no such operator.
- The same holds for a method that is given arguments (`f(x).equals(expected)`).
- Two objects of the program's: its class decides, unless it claims to equal an object that it has never seen.

"Not believed" is `Untold` where an honest program may have such objects (its class is named by the tests, or belongs to
a library), and unequal or a TypeError where the tests asked for plain data and got an object of the program's own.
What this does not see: a class whose `__eq__` calls all its own objects equal, which only the tests can refute.
"""

from __future__ import annotations

from teachable.verify.programs.inside.link import Link
from teachable.verify.programs.inside.operations import BINARY, COMPARISONS, CONVERSIONS, REFLECTED, RUN
from teachable.verify.programs.inside.record import Untold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Stranger:
    """An object that the program has never seen: nothing honest equals it."""


class About:
    """What the program says of one of its classes; `asked`: the tests name it, as one names a class."""

    def __init__(self, number: int, said: dict[str, Any]) -> None:
        self.number = number
        self.name = str(said["name"])
        self.module = str(said["module"])
        self.special = {str(name) for name in said["special"]} & (RUN.keys() | {"call"})
        self.unhashable = bool(said["unhashable"])
        self.plain = str(said["plain"])
        self.is_value = bool(said["value"])
        self.asked = False

    @property
    def own(self) -> bool:
        """The program defined it itself, rather than a library."""
        return self.module in ("solution", "__main__", "builtins")


class Rules:
    """The special methods of mirrored objects."""

    def __init__(self, link: Link, about: Callable[[Any], About], number: Callable[[Any], int]) -> None:
        self._link = link
        self._about = about
        self._number = number
        self._tainted: set[int] = set()
        self.about_classes = False  # the tests name a class, so methods of the program's own classes are what they test
        self.is_mirror: Callable[[Any], bool]

    def method(self, name: str) -> Callable[..., Any]:
        """The special method `__name__` of a mirrored class."""
        if name == "call":
            return lambda this, *args, **keywords: self._link.request("call", self._number(this), args, keywords)
        if name in COMPARISONS:
            return lambda this, other: self._compare(name, this, other)
        if name in BINARY or name in REFLECTED:
            return lambda this, other, *more: self._calculate(name, this, other, *more)
        if name in CONVERSIONS:
            return lambda this, *args: self._convert(name, this, *args)
        if name == "contains":
            return lambda this, other: self._contains(this, other)
        if name == "exit":
            return lambda this, *error: self._exit(this, *error)
        return lambda this, *args: self._ask(name, this, *args)

    def _ask(self, name: str, this: Any, *args: Any) -> Any:
        return self._link.request("op", self._number(this), name, list(args))

    def _content(self, this: Any) -> Any:
        """The builtin value that an object extends, which the program must say before it knows what for."""
        value = self._link.request("plain", self._number(this))
        if self.is_mirror(value):
            raise Untold("an object's plain value is no plain value")
        return value

    def _compare(self, name: str, this: Any, other: Any) -> Any:
        about = self._about(this)
        if self.is_mirror(other):
            said = self._ask(name, this, other)
            claims_equal = type(said) is bool and name in ("eq", "ne") and said is (name == "eq")
            if claims_equal and other is not this and self._accepts_stranger("eq", this):
                self._link.record.cheat(f"{about.name} claims to equal an object that it has never seen")
                return name == "ne"
            return self._taint(said)
        if about.plain:
            return RUN[name](self._content(this), other)
        if name in ("eq", "ne"):
            if other is None or isinstance(other, type):
                return name == "ne"
            if not about.asked and about.own:
                return name == "ne"
            if about.asked and self._ask(name, this, other) is (name == "ne"):
                return name == "ne"
            raise Untold(f"an object of class {about.name} claims to equal plain data, which can't be believed")
        if about.asked or not about.own:
            raise Untold(f"an object of class {about.name} is compared with plain data by its own rules")
        return NotImplemented

    def _calculate(self, name: str, this: Any, other: Any, *more: Any) -> Any:
        about = self._about(this)
        if self.is_mirror(other):
            result = self._ask(name, this, other, *more)
            tainted = self._tainted & {self._number(this), self._number(other)}
            return self._taint(result) if tainted else result
        if about.plain and not about.asked:
            return RUN[name](self._content(this), other, *more)
        if about.own and not about.asked:
            return NotImplemented
        if about.asked:
            result = self._ask(name, this, other, *more)
            return self._taint(None if type(result) is bool else result)
        raise Untold(f"an object of class {about.name} calculates with plain data by its own rules")

    def method_result(self, this: Any, result: Any, told: bool) -> Any:
        """What a method of an object gives; `told`: it was given arguments, which may be what is expected.

        Where the tests name a class, methods are what they are about. Else `f(x).equals(expected)` is not believed.
        """
        tainted = self._number(this) in self._tainted
        about = self._about(this)
        believed = about.asked or (about.own and self.about_classes)
        if self.is_mirror(result):
            if tainted or (told and not believed):
                self._tainted.add(self._number(result))
        elif tainted and isinstance(result, bool | int | float):
            raise Untold("an object of the program's is asked for its value after it was told a value")
        elif told and type(result) is bool and not believed:
            raise Untold(f"an object of class {about.name} says itself whether plain data suits it")
        return result

    def _taint(self, result: Any) -> Any:
        """A result of which the program knew what it would be compared with."""
        if type(result) is bool or result is NotImplemented:
            return result
        if not self.is_mirror(result):
            raise Untold("an object of the program's turns plain data into plain data by its own rules")
        self._tainted.add(self._number(result))
        return result

    def _convert(self, name: str, this: Any, *args: Any) -> Any:
        if name != "hash" and self._number(this) in self._tainted:
            raise Untold("an object of the program's is asked for its value after it was told a value")
        return self._ask(name, this, *args)

    def _contains(self, this: Any, other: Any) -> Any:
        about = self._about(this)
        if self.is_mirror(other):
            return self._ask("contains", this, other)
        if about.plain:
            return other in self._content(this)
        if "iter" in about.special:
            return any(item is other or item == other for item in this)
        if not about.asked:
            raise Untold(f"an object of class {about.name} says itself what is in it")
        said = self._ask("contains", this, other)
        if said is True and self._accepts_stranger("contains", this):
            self._link.record.cheat(f"{about.name} claims to contain an object that it has never seen")
            return False
        return said

    def _accepts_stranger(self, name: str, this: Any) -> bool:
        try:
            return self._ask(name, this, Stranger()) is True
        except Exception:  # an honest class may well refuse it
            return False

    def _exit(self, this: Any, kind: Any, error: Any, trace: Any) -> bool:
        """Leave a context of the program's; it may swallow what it raised itself, never a failed assertion."""
        swallow = self._ask("exit", this, kind, error, None)
        return bool(swallow) and isinstance(error, Exception) and not isinstance(error, AssertionError)
