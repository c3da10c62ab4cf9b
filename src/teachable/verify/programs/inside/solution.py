"""The process that holds the program: it runs it, then does what the tests' process asks, one request at a time.

Everything in here is in the program's hands: it may patch, forge or kill any of it. It is therefore written to serve an
honest program well, and to protect nothing; what protects is that the expected values are in another process, and that
the other side believes plain data only (`rules`).
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import types
from _thread import RLock

from teachable.verify.programs.inside.classes import (
    IMMUTABLE,
    LIBRARY_EXCEPTIONS,
    LIBRARY_PLAIN,
    LIBRARY_TYPES,
    MUTABLE,
    immutable_root,
    plain_root,
    special_names,
)
from teachable.verify.programs.inside.codec import CodecError, Decoder, Encoder
from teachable.verify.programs.inside.operations import RUN
from teachable.verify.programs.inside.wire import Wire, WireError, dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MODULE = "solution"
MAX_OUTPUT = 1 << 20


class Program:
    """The program's module, the objects that the tests hold, and the wire to the tests."""

    def __init__(self, wire: Wire, module_names: list[str]) -> None:
        self.wire = wire
        self.module = types.ModuleType(MODULE)
        for name in (MODULE, *module_names):
            sys.modules[name] = self.module
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.classes: dict[int, int] = {}
        self.foreign: dict[int, Any] = {}
        self.foreign_numbers: dict[int, int] = {}
        self.watched: dict[str, bytes] = {}
        self.lock = RLock()
        self.n_calls = 0
        self.by_reference = True
        self.output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogatepass", write_through=True)
        sys.stdout = self.output
        sys.stdin = _Stdin(self)
        builtins.input = self.input

    def printed(self) -> str:
        """What was printed since the last message."""
        buffer: Any = self.output.buffer
        text = buffer.getvalue()[:MAX_OUTPUT].decode("utf-8", "replace")
        buffer.seek(0)
        buffer.truncate()
        return str(text)

    def input(self, prompt: object = "") -> Any:
        """`input()` as the tests' process has it, where they may have replaced it."""
        return self.ask(["input", str(prompt)])

    def ask(self, question: list[Any]) -> Any:
        """Ask the tests' process while a call of its is under way, and answer what it asks meanwhile."""
        with self.lock:
            if not self.n_calls:
                raise EOFError("nothing is there to be read before the tests call")
            self.wire.send([*question, self.printed()])
            while True:
                reply = self.wire.receive()
                if reply[0] == "value":
                    return self.decode(reply[1])
                if reply[0] == "raised":
                    raise self.decode(reply[1])
                self.serve(reply)

    # -- values

    def encode(self, value: Any, keep: list[Any] | None = None) -> Any:
        """The form of a value that goes to the tests."""
        return Encoder(self.other, keep).encode(value)

    def decode(self, form: Any, keep: list[Any] | None = None) -> Any:
        """The value of a form that came from the tests."""
        return Decoder(self.from_tests, keep).decode(form)

    def number(self, value: Any) -> int:
        """The number under which the tests hold an object."""
        known = self.numbers.get(id(value))
        if known is None:
            known = self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return known

    def other(self, value: Any) -> Any:
        """The form of what is no plain data."""
        kind = type(value)
        if id(value) in self.foreign_numbers:
            return ["y", self.foreign_numbers[id(value)]]
        if kind is types.ModuleType:
            return ["m", value.__name__]
        if isinstance(value, type):
            return self.class_form(value)
        if kind.__module__ == "typing" and getattr(value, "_name", None):
            return ["ty", value._name]
        if isinstance(value, _FUNCTIONS):
            return ["fn", self.number(value), str(getattr(value, "__name__", "")), bool(_is_async(value))]
        if kind is types.GeneratorType:
            return ["g", self.number(value)]
        if kind is types.CoroutineType:
            return ["co", self.number(value)]
        if kind.__module__ == "numpy" and hasattr(value, "tobytes") and value.dtype.kind in "biufcSU":
            return ["np", value.dtype.str, list(value.shape), value.tobytes().hex()]
        return self.object_form(value)

    def object_form(self, value: Any) -> Any:
        """An object by number, with its class and, where its class adds to an immutable builtin, that one's value."""
        kind = type(value)
        base = None
        if isinstance(value, BaseException):
            base = [[self.try_encode(item) for item in value.args], _text(value)]
        else:
            root = immutable_root(kind)
            if root is not None:
                base = [self.encode(root.__new__(root, root.__str__(value) if root is str else value))]
        return ["o", self.number(value), self.class_form(kind, isinstance(value, BaseException)), base]

    def try_encode(self, value: Any) -> Any:
        """The form of a part of an exception; of what can't cross, its text."""
        try:
            return self.encode(value)
        except CodecError:
            return _text(value)

    def class_form(self, kind: type, by_name: bool = True) -> Any:
        """A class by name where the tests have it too (unless it is to be mirrored), else by number, with all about it
        the first time.
        """
        name, module = kind.__name__, kind.__module__
        if by_name and getattr(builtins, name, None) is kind:
            return ["T", name]
        exception = issubclass(kind, BaseException)
        if by_name and module in (LIBRARY_EXCEPTIONS if exception else LIBRARY_TYPES):
            return ["S", module, name]
        number = self.number(kind)
        if number in self.classes:
            return ["k", number]
        self.classes[number] = number
        about = {
            "name": name,
            "module": module,
            "bases": [self.class_form(base) for base in kind.__bases__ if base is not object],
            "special": special_names(kind),
            "meta": special_names(type(kind)) if type(kind) is not type else [],
            "unhashable": kind.__hash__ is None,
            "plain": plain_root(kind),
            "value": immutable_root(kind) is not None,
        }
        return ["k", number, about]

    def from_tests(self, form: list[Any]) -> Any:
        """The value of a form that is no plain data."""
        tag, value = form[0], form[1]
        if tag == "p":
            return self.objects[value]
        if tag == "T":
            return getattr(builtins, value)
        if tag == "m":
            return __import__(value, fromlist=["*"])
        if tag in ("S", "ty"):
            return getattr(__import__(value if tag == "S" else "typing", fromlist=["*"]), form[-1])
        if tag == "np":
            import numpy

            return numpy.frombuffer(bytes.fromhex(form[3]), dtype=value).reshape(form[2]).copy()
        if tag == "x":
            error = self.decode(form[2])(*[self.decode(item) for item in form[3]])
            error._from_tests = value
            return error
        if value not in self.foreign:
            made = _callback(self, value) if tag == "cb" else _foreign(self, value, form[2], form[3])
            self.foreign[value] = made
            self.foreign_numbers[id(made)] = value
        return self.foreign[value]

    # -- requests

    def serve(self, request: list[Any]) -> None:
        """Do one request and send its outcome."""
        keep: list[Any] = []
        before: list[bytes] = []
        self.n_calls += 1
        try:
            work = _REQUESTS[request[0]]
            arguments = [self.decode(item, keep) for item in request[2:]]
            before = [dumps(Encoder(self.other, keep).contents(item)) for item in keep]
            result = self.result(request, work(self, request[1], *arguments), keep)
        except WireError:
            raise
        except CodecError as error:
            result = ["cannot", str(error)]
        except BaseException as error:
            result = self.raised(error)
        try:
            changes = self.changes(keep, before)
        except CodecError as error:
            result, changes = ["cannot", str(error)], []
        self.n_calls -= 1
        self.wire.send([*result, changes, self.globals_changed(), self.printed()])

    def result(self, request: list[Any], value: Any, keep: list[Any]) -> list[Any]:
        """The outcome of a request. A container that an object or a container holds goes with its number, so that the
        tests may change it; elsewhere arguments that come back are sent as what they are, the tests' own.
        """
        holds = request[0] == "attr" or (request[0] == "op" and request[2] == "getitem")
        if holds and type(value) in (*MUTABLE, _deque()):
            return ["live", [self.number(value), self.encode(value)]]
        return ["ok", self.encode(value, keep if self.by_reference else None)]

    def raised(self, error: BaseException) -> list[Any]:
        """The outcome of a request that raised."""
        known = getattr(error, "_from_tests", None)
        return ["again", known] if known is not None else ["error", self.object_form(error)]

    def changes(self, keep: list[Any], before: list[bytes]) -> list[Any]:
        """The new contents of the arguments that were changed."""
        changed = []
        for place, old in enumerate(before):
            new = Encoder(self.other, keep).contents(keep[place])
            if dumps(new) != old:
                changed.append([place, new])
        return changed

    def globals_changed(self) -> dict[str, Any]:
        """Plain values of the program's module that the tests use, and that are not what they were."""
        new = {}
        for name, old in self.watched.items():
            form = self.try_encode(vars(self.module).get(name))
            if dumps(form) != old:
                self.watched[name] = dumps(form)
                new[name] = form
        return new

    def names(self, _: None, wanted: list[str]) -> list[Any]:
        """What the program's module holds under those names (`*` stands for all public ones), as pairs with forms."""
        space = vars(self.module)
        star = "*" in wanted
        public = [n for n in space if not n.startswith("_") and n not in vars(builtins)] if star else []
        found = []
        for name in dict.fromkeys([*wanted, *public]):
            if name in space and not (name.startswith("__") and name.endswith("__")):
                form = self.try_encode(space[name])
                found.append([name, form])
                if type(form) is not list or form[0] in ("l", "d", "s", "t", "I", "F", "D", "C", "O", "dd", "q"):
                    self.watched[name] = dumps(form)
        return found


def _call(program: Program, number: int, args: Any, keywords: Any) -> Any:
    return program.objects[number](*args, **keywords)


def _operate(program: Program, number: int, name: str, operands: Any) -> Any:
    return RUN[name](program.objects[number], *operands)


def _attribute(program: Program, number: int, name: str) -> Any:
    return getattr(program.objects[number], name)


def _plain(program: Program, number: int) -> Any:
    value = program.objects[number]
    for root in type(value).__mro__:
        if root.__module__ in LIBRARY_TYPES and root.__name__ in LIBRARY_PLAIN:
            return LIBRARY_PLAIN[root.__name__](root, value)
        if root in (*IMMUTABLE, *MUTABLE):
            break
    return root(root.__iter__(value)) if root in (list, set) else root(value)


def _fill(program: Program, number: int, new: Any) -> None:
    """Give a container the contents that the tests gave their copy of it."""
    value = program.objects[number]
    if isinstance(value, list | bytearray):
        value[:] = new
    else:
        value.clear()
        (value.update if hasattr(value, "update") else value.extend)(new)


def _deque() -> Any:
    return getattr(sys.modules.get("collections"), "deque", None)


def _await(program: Program, number: int) -> Any:
    import asyncio

    async def wait() -> Any:
        return await program.objects[number]

    return asyncio.run(wait())


def _copy(program: Program, number: int) -> Any:
    import copy

    return copy.deepcopy(program.objects[number])


_REQUESTS: dict[str, Callable[..., Any]] = {
    "call": _call,
    "op": _operate,
    "attr": _attribute,
    "setattr": lambda program, number, name, value: setattr(program.objects[number], name, value),
    "delattr": lambda program, number, name: delattr(program.objects[number], name),
    "plain": _plain,
    "fill": _fill,
    "await": _await,
    "copy": _copy,
    "seed": lambda program, _, *seed: __import__("random").seed(*seed),
    "global": lambda program, _, name: getattr(program.module, name),
    "setglobal": lambda program, _, name, value: setattr(program.module, name, value),
    "delglobal": lambda program, _, name: delattr(program.module, name),
}

_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    type("".join),
    type(str.join),
    type(object().__str__),
)


def _is_async(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return bool(code is not None and code.co_flags & 0x80)


def _text(value: Any) -> str:
    try:
        return str(value)[:10_000]
    except Exception:
        return f"<{type(value).__name__}>"


def _callback(program: Program, number: int) -> Any:
    """A function that calls the tests' function of that number."""

    def call(*args: Any, **keywords: Any) -> Any:
        return program.ask(["back", number, "call", [program.encode(list(args)), program.encode(keywords)]])

    return call


def _foreign(program: Program, number: int, name: str, special: list[str]) -> Any:
    """An object of the tests' process: its attributes and the special methods that it has, asked for over the wire."""

    def ask(what: str, *args: Any) -> Any:
        return program.ask(["back", number, what, [program.encode(list(args)), program.encode({})]])

    def method(what: str) -> Callable[..., Any]:
        return lambda self, *args: ask(what, *args)

    space: dict[str, Any] = {f"__{what}__": method(what) for what in special}
    space["__getattr__"] = lambda self, attribute: ask("getattr", attribute)
    space["__setattr__"] = lambda self, attribute, value: ask("setattr", attribute, value)
    space.setdefault("__hash__", lambda self: number)
    return type(name, (), space)()


class _Stdin:
    """`sys.stdin` of the tests' process, read line by line."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def readline(self, *_: int) -> str:
        return str(self._program.ask(["stdin", "readline"]))

    def read(self, *_: int) -> str:
        return str(self._program.ask(["stdin", "read"]))

    def readlines(self, *_: int) -> list[str]:
        return list(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


def main(fd: int, module_names: list[str], paths: list[str]) -> None:
    """Run the program in `program.py`, tell the tests how it went, and serve them until they hang up."""
    sys.path[:0] = ["."]
    sys.path.extend(paths)
    program = Program(Wire(fd), module_names)
    with open("program.py", encoding="utf-8") as file:
        source = file.read()
    try:
        exec(compile(source, "program.py", "exec", dont_inherit=True), vars(program.module))
        start = ["ready"]
    except SystemExit:
        start = ["exits"]
    except SyntaxError as error:
        start = ["syntax", _text(error)]
    except BaseException as error:
        start = ["fails", f"{type(error).__name__}: {_text(error)}"]
    try:
        wanted, program.by_reference = program.wire.receive()
        program.wire.send([*start, program.names(None, wanted), program.printed()])
        while True:
            program.serve(program.wire.receive())
    except WireError:  # the tests have hung up
        os._exit(0)
