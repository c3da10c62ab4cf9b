"""The program's functions, classes and objects as the tests see them.

A class of the program's is mirrored by a real class: `isinstance`, `type(x) is C`, `except C` and `pytest.raises(C)`
work as they do anywhere. It derives from mirrors of its bases and from builtin exceptions; where it adds nothing but
names to an immutable builtin (a named tuple, an IntEnum) it derives from that, and its objects *are* that plain value.
Every attribute and special method asks the program, under `rules`.
"""

from __future__ import annotations

import builtins
import sys
import types

from teachable.verify.programs.inside.codec import CodecError, imported
from teachable.verify.programs.inside.link import Link
from teachable.verify.programs.inside.operations import RUN
from teachable.verify.programs.inside.record import Untold
from teachable.verify.programs.inside.rules import About, Rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

_VALUES = {"int": int, "float": float, "complex": complex, "str": str, "bytes": bytes, "tuple": tuple}
_VALUES["frozenset"] = frozenset
_KEPT_BY_VALUE = {"call", "str", "repr", "format", "enter", "exit"}
_LIBRARY_TYPES = ("collections", "fractions", "decimal", "datetime")
_LIBRARY_EXCEPTIONS = ("json.decoder", "decimal", "re", "asyncio.exceptions", "struct", "binascii", "zlib", "queue")
_NEVER_IMPORTED = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "__main__", "test", "tests", "teachable"}
_NOT_FOLLOWED = {"__dataclass_fields__", "__signature__", "__wrapped__", "__reduce__", "__reduce_ex__"}
# What libraries on the tests' side would ask an object for, and then believe.
_PROTOCOLS = ("__array", "__torch", "__cuda", "__dlpack", "__dataframe", "__arrow", "__numpy")
_FOLLOWED = {"name", "qualname", "doc", "module", "dict", "annotations", "defaults", "kwdefaults", "code", "closure"}
_FOLLOWED |= {"self", "func", "slots", "members", "version", "init", "call", *RUN}

_link: Link
_mirrors: Mirrors


class MirrorType(type):
    """The class of mirrored classes: calling one makes an object in the program's process."""

    _making = False

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> MirrorType:
        if bases and not MirrorType._making:
            raise Untold("the tests derive a class from one of the program's")
        return super().__new__(cls, name, bases, space)

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return _link.request("call", _mirrors.number(cls), args, keywords)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_mirror"):
            raise AttributeError(name)
        return _mirrors.attribute(cls, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith("_mirror") or name in ("__abstractmethods__", "__module__"):
            super().__setattr__(name, value)
        else:
            _link.request("setattr", _mirrors.number(cls), name, value)

    def __delattr__(cls, name: str) -> None:
        _link.request("delattr", _mirrors.number(cls), name)

    def __iter__(cls) -> Any:
        return _link.request("op", _mirrors.number(cls), "iter", [])

    def __len__(cls) -> int:
        return int(_link.request("op", _mirrors.number(cls), "len", []))

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return _link.request("op", _mirrors.number(cls), "getitem", [key])

    def __contains__(cls, item: Any) -> bool:
        return any(item is member or item == member for member in cls)


class Mirror(metaclass=MirrorType):
    """An object in the program's process."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_mirror"):
            raise AttributeError(name)
        return _mirrors.attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(self, BaseException) and name.startswith("__"):
            object.__setattr__(self, name, value)  # the interpreter's own marks: traceback, cause, context
        else:
            _link.request("setattr", _mirrors.number(self), name, value)

    def __delattr__(self, name: str) -> None:
        _link.request("delattr", _mirrors.number(self), name)

    def __dir__(self) -> Any:
        return _link.request("op", _mirrors.number(self), "dir", [])

    def __copy__(self) -> Any:
        return _link.request("copy", _mirrors.number(self))

    def __deepcopy__(self, memo: Any) -> Any:
        return _link.request("copy", _mirrors.number(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise Untold("the tests take one of the program's objects apart")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return _mirrors.attribute(self, "__dict__")


class Function:
    """A function or method in the program's process."""

    def __init__(self, number: int, name: str, owner: Any = None) -> None:
        object.__setattr__(self, "_mirror_number", number)
        object.__setattr__(self, "_mirror_name", name)
        object.__setattr__(self, "_mirror_owner", owner)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        result = _link.request("call", self._mirror_number, args, keywords)
        if self._mirror_owner is None:
            return result
        return _mirrors.rules.method_result(self._mirror_owner, result, bool(args or keywords))

    def __getattr__(self, name: str) -> Any:
        return _mirrors.attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _link.request("setattr", self._mirror_number, name, value)

    def __repr__(self) -> str:
        return f"<function {self._mirror_name}>"

    @property
    def __signature__(self) -> Any:
        raise Untold("the tests look at the signature of one of the program's functions")

    @property
    def __name__(self) -> str:
        return str(self._mirror_name)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return _mirrors.attribute(self, "__doc__")


class Mirrors:
    """All mirrors by number, and the forms from which they are made."""

    def __init__(self, link: Link, may_import: Callable[[str], bool]) -> None:
        global _link, _mirrors
        _link, _mirrors = link, self
        self._link = link
        self._may_import = may_import
        self._classes: dict[int, type] = {}
        self._about: dict[type, About] = {Mirror: About(-1, _NOTHING)}
        self._objects: dict[int, Any] = {}
        self.rules = Rules(link, lambda this: self._about[type(this)], self.number)
        self.rules.is_mirror = self.is_mirror

    @staticmethod
    def is_mirror(value: Any) -> bool:
        """Whether a value lives in the program's process."""
        kind = type(value)
        return type(kind) is MirrorType or kind is MirrorType or kind is Function

    def number(self, value: Any) -> int:
        """The program's number of a mirror."""
        if type(value) is MirrorType:
            return self._about[value].number
        number: int = object.__getattribute__(value, "_mirror_number")
        return number

    def attribute(self, value: Any, name: str) -> Any:
        """An attribute, from the program."""
        if name in _NOT_FOLLOWED or name.startswith(_PROTOCOLS):
            raise Untold(f"the tests look at {name} of something of the program's")
        if name[:2] == "__" == name[-2:] and name[2:-2] not in _FOLLOWED:
            raise AttributeError(name)
        found = self._link.request("attr", self.number(value), name)
        if type(found) is Function and type(type(value)) is MirrorType:
            return Function(self.number(found), found._mirror_name, value)
        return found

    def named(self, name: str, value: Any) -> Any:
        """Note that the tests name a class, in the way in which classes are named."""
        if type(value) is MirrorType and name[:1].isupper():
            self._about[value].asked = True
            self.rules.about_classes = True
        return value

    def from_form(self, form: list[Any]) -> Any:
        """The mirror, or the tests' own value, of a form that is no plain data."""
        tag = form[0]
        if tag == "fn":
            return self._remembered(form[1], lambda: Function(form[1], str(form[2])))
        if tag == "o":
            return self._remembered(form[1], lambda: self._object(form))
        if tag in ("T", "S", "k"):
            return self.class_of(form)
        if tag == "ty":
            return _typing(str(form[1]))
        if tag == "m":
            return self._module(str(form[1]))
        if tag == "g":
            return self._remembered(form[1], lambda: self._generator(form[1]))
        if tag == "co":
            return self._coroutine(form[1])
        if tag == "np":
            return _array(form)
        raise CodecError("a message that no honest sender writes")

    def _remembered(self, number: Any, make: Callable[[], Any]) -> Any:
        if type(number) is not int:
            raise CodecError("a message that no honest sender writes")
        if number not in self._objects:
            self._objects[number] = make()
        return self._objects[number]

    def _module(self, name: str) -> Any:
        top = name.partition(".")[0]
        if top in _NEVER_IMPORTED or not (top in sys.stdlib_module_names or self._may_import(top)):
            raise Untold(f"the tests use the module {name[:60]} through the program")
        try:
            return imported(name)
        except ImportError:
            raise Untold(f"the module {name[:60]} can't be imported beside the tests") from None

    def _generator(self, number: int) -> Iterator[Any]:
        sent: Any = None
        while True:
            try:
                sent = yield (
                    self._link.request("op", number, "next", [])
                    if sent is None
                    else self._link.request("attr", number, "send")(sent)
                )
            except StopIteration:
                return

    async def _coroutine(self, number: int) -> Coroutine[Any, Any, Any]:
        return self._link.request("await", number)

    def class_of(self, form: Any) -> type:
        """The class of a form: a builtin, one of the standard library's, or a mirror."""
        if form[0] == "T":
            kind = vars(builtins)[form[1]]
        elif form[0] == "S":
            kind = getattr(imported(form[1]), form[2]) if self._is_library(form) else None
        elif form[0] == "k" and form[1] in self._classes:
            return self._classes[form[1]]
        elif form[0] == "k" and len(form) == 3 and type(form[1]) is int:
            return self._mirror_class(form[1], form[2])
        else:
            kind = None
        if not isinstance(kind, type):
            raise CodecError("a message that no honest sender writes")
        return kind

    @staticmethod
    def _is_library(form: Any) -> bool:
        return form[1] in _LIBRARY_TYPES or form[1] in _LIBRARY_EXCEPTIONS

    def _mirror_class(self, number: int, said: dict[str, Any]) -> type:
        about = About(number, said)
        bases = [self.class_of(base) for base in said["bases"]]
        kept = [base for base in bases if type(base) is MirrorType or issubclass(base, BaseException)]
        value = _VALUES.get(about.plain) if about.is_value else None
        special = about.special & _KEPT_BY_VALUE if value else about.special
        space: dict[str, Any] = {f"__{name}__": self.rules.method(name) for name in special}
        if about.unhashable and not value:
            space["__hash__"] = None
        elif "__eq__" in space and "__hash__" not in space:
            space["__hash__"] = object.__hash__
        space["__module__"] = about.module
        flat: list[type] = [Mirror, *[base for base in kept if type(base) is not MirrorType][:1]]
        flat += [value] if value and value not in flat else []
        has_mirror = any(type(base) is MirrorType for base in kept)
        full = [*([] if has_mirror else [Mirror]), *kept, *([value] if value else [])]
        made = self._make(about.name, full, flat, space)
        self._classes[number] = made
        self._about[made] = about
        return made

    @staticmethod
    def _make(name: str, full: list[type], flat: list[type], space: dict[str, Any]) -> type:
        MirrorType._making = True
        try:
            try:
                return MirrorType(name, tuple(full), dict(space))
            except TypeError:  # bases that can't be combined here: keep what matters
                return MirrorType(name, tuple(flat), dict(space))
        finally:
            MirrorType._making = False

    def _object(self, form: list[Any]) -> Any:
        kind: Any = self.class_of(form[2])
        base = form[3]
        decode = self._link._decode
        if issubclass(kind, BaseException):
            args, text = [decode(item) for item in base[0]], str(base[1])
            return self._exception(kind, args, text, form[1])
        if type(kind) is not MirrorType:
            raise CodecError("a message that no honest sender writes")
        about = self._about[kind]
        root: Any = _VALUES.get(about.plain) if about.is_value else None
        shell: Any = kind
        made: Any
        if root is not None:
            plain = decode(base[0])
            if type(plain) is not root:
                raise CodecError("a message that no honest sender writes")
            made = root.__new__(shell, plain)
        else:
            made = object.__new__(shell)
        object.__setattr__(made, "_mirror_number", form[1])
        return made

    def _exception(self, kind: Any, args: list[Any], text: str, number: int) -> BaseException:
        try:
            made = kind.__new__(kind, *args)
            if type(kind) is MirrorType:
                object.__setattr__(made, "_mirror_number", number)
            else:
                made.__init__(*args)
        except TypeError:  # a library's exception with a constructor of its own
            made = kind.__new__(kind)
            made.args = (text,)
        if not isinstance(made, BaseException):
            raise CodecError("a message that no honest sender writes")
        return made


_NOTHING: dict[str, Any] = {
    "name": "object",
    "module": "solution",
    "special": [],
    "unhashable": False,
    "plain": "",
    "value": False,
}


def _typing(name: str) -> Any:
    """A type of the module typing: none of its functions, nor what it imports."""
    typing = imported("typing")
    found = getattr(typing, name, None) if name in typing.__all__ else None
    if found is None or isinstance(found, types.FunctionType):
        raise CodecError("a message that no honest sender writes")
    return found


def _array(form: list[Any]) -> Any:
    """A numpy array or scalar of numbers or text, copied; never of objects."""
    try:
        import numpy
    except ImportError:
        raise Untold("the program returns numpy arrays, and there is no numpy beside the tests") from None
    kind = numpy.dtype(str(form[1]))
    if kind.kind not in "biufcSU":
        raise CodecError("a message that no honest sender writes")
    array = numpy.frombuffer(bytes.fromhex(form[3]), dtype=kind).reshape([int(n) for n in form[2]])
    return array.copy() if form[2] else array.copy()[()]


def solution_module(link: Link, name: str) -> types.ModuleType:
    """A module that stands for the program, for tests that import it or patch its names."""
    return _Shim(name, link)


class _Shim(types.ModuleType):
    def __init__(self, name: str, link: Link) -> None:
        super().__init__(name)
        self.__dict__["_mirror_link"] = link

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            link = self.__dict__["_mirror_link"]
            return [n for n in link.space if not n.startswith("_")]
        if name.startswith("__") or name == "_mirror_link":
            raise AttributeError(name)
        return _mirrors.named(name, self.__dict__["_mirror_link"].request("global", None, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            self.__dict__["_mirror_link"].request("setglobal", None, name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__["_mirror_link"].request("delglobal", None, name)
