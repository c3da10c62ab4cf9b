"""The tests' end of the bridge: one request at a time to the program, whose every word is checked for its form.

While a request is under way the program may call back: functions and objects that the tests passed to it (`exports`),
and `input()`. A message that is no honest one ends the link for good (`Gone`).
"""

from __future__ import annotations

import builtins
import sys
from _thread import RLock

from teachable.verify.programs.inside.codec import CodecError, Decoder, Encoder
from teachable.verify.programs.inside.record import Gone, Record, Untold
from teachable.verify.programs.inside.wire import Wire, WireError, dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Values(Protocol):
        """Who turns what is no plain data into forms, and back."""

        def to_form(self, value: Any) -> Any: ...
        def from_form(self, form: list[Any]) -> Any: ...
        def serve(self, number: Any, what: Any, args: list[Any], keywords: dict[str, Any]) -> Any: ...
        def raised(self, number: Any) -> BaseException: ...


MAX_LIVE = 32  # containers of the program's that the tests may change; the most recent ones
MAX_TOTAL_BYTES = 128 * 1024 * 1024


def _may_name(name: Any, wanted: list[str]) -> bool:
    """Whether the program may put something under that name into the tests' space (`*`: any public one)."""
    if type(name) is not str:
        return False
    free = "*" in wanted and name.isidentifier() and not name.startswith("_")
    return name in wanted or (free and name not in vars(builtins))


class Link:
    """The connection to the program's process."""

    values: Values

    def __init__(self, fd: int, record: Record, write_back: bool = True) -> None:
        self.record = record
        self._write_back = write_back
        self.space: dict[str, Any] = {}
        self._given: dict[str, Any] = {}
        self._live: list[list[Any]] = []
        self._wire = Wire(fd, MAX_TOTAL_BYTES)
        self._lock = RLock()
        self._pending: BaseException | None = None

    def start(self, wanted: list[str]) -> tuple[list[str], dict[str, Any]]:
        """Wait for the program to have run; how that went, and its values under the names that are wanted."""
        try:
            self._wire.send([wanted, self._write_back])
            *outcome, names, printed = self._wire.receive()
            self._print(printed)
            found = {}
            for name, form in names:
                if not _may_name(name, wanted):
                    raise CodecError("a name that was not asked for")
                try:
                    found[name] = self._given[name] = self._decode(form)
                except Untold as reason:
                    self.record.undecided(str(reason))
            return [str(part) for part in outcome], found
        except (WireError, CodecError, TypeError, ValueError) as error:
            raise self._lost(error) from None

    def request(self, what: str, number: int | None, *arguments: Any) -> Any:
        """Have the program do something; its result, or the exception that it raised.

        Raises:
            Gone: there is no program any more.
            Untold: something in it can't cross.
        """
        with self._lock:
            if self.record.gone:
                raise Gone(self.record.gone)
            if self._live:
                self._hand_on()
            return self._exchange(what, number, arguments)

    def _hand_on(self) -> None:
        """Tell the program what the tests did to containers that its objects hold (`tree.children.append(...)`)."""
        live, self._live = self._live[-MAX_LIVE:], []
        for entry in live:
            value, number, before = entry
            entry[2] = self._snapshot(value)
            if entry[2] != before:
                self._exchange("fill", number, (value,))
        self._live[:0] = live

    def _snapshot(self, value: Any) -> bytes | None:
        try:
            return dumps(Encoder(self.values.to_form).encode(value))
        except CodecError:  # it holds itself by now, and stays as the program has it
            return None

    def _exchange(self, what: str, number: int | None, arguments: tuple[Any, ...]) -> Any:
        keep: list[Any] = []
        encoder = Encoder(self.values.to_form, keep)
        try:
            forms = [encoder.encode(item) for item in arguments]
        except CodecError as error:
            raise Untold(f"an argument can't be handed to the program: {error}") from None
        try:
            self._wire.send([what, number, *forms])
            return self._outcome(what, keep)
        except (WireError, CodecError) as error:
            raise self._lost(error) from None

    def _outcome(self, what: str, keep: list[Any]) -> Any:
        while True:
            message = self._wire.receive()
            if type(message) is not list or len(message) < 2:
                raise CodecError("a message that no honest sender writes")
            if message[0] in ("back", "input", "stdin"):
                self._print(message[-1])
                self._wire.send(self._answer(message))
                continue
            break
        if len(message) != 5:
            raise CodecError("a message that no honest sender writes")
        tag, form, changes, new_globals, printed = message
        self._print(printed)
        value = self._result(tag, form, keep)
        if changes and tag == "ok" and value is not None:
            self.record.changed_arguments = True
            changes = changes if self._write_back else []
        self._apply(keep, changes, new_globals)
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending
        if tag in ("ok", "live"):
            return value
        if tag == "cannot":
            raise Untold(f"a result can't be handed to the tests: {str(form)[:100]}")
        raise self._exception(tag, form, what)

    def _result(self, tag: str, form: Any, keep: list[Any]) -> Any:
        if tag == "live":
            number, inner = form
            value = self._decode(inner)
            self._live.append([value, number, self._snapshot(value)])
            return value
        if tag != "ok":
            return None
        return Decoder(self.values.from_form, keep if self._write_back else None).decode(form)

    def _exception(self, tag: str, form: Any, what: str) -> BaseException:
        error = self.values.raised(form) if tag == "again" else self._decode(form)
        if not isinstance(error, BaseException) or isinstance(error, Untold | Gone):
            raise CodecError("a message that no honest sender writes")
        if isinstance(error, StopIteration) and what != "op":  # it would end a loop of the tests without a word
            return RuntimeError("the program raised StopIteration")
        return error

    def _decode(self, form: Any) -> Any:
        return Decoder(self.values.from_form).decode(form)

    def _apply(self, keep: list[Any], changes: Any, new_globals: Any) -> None:
        """Write back what the program did to the arguments, and to its own global values that the tests use."""
        if type(changes) is not list or type(new_globals) is not dict:
            raise CodecError("a message that no honest sender writes")
        decoder = Decoder(self.values.from_form, keep)
        for change in changes:
            if type(change) is not list or len(change) != 2 or type(change[0]) is not int:
                raise CodecError("a message that no honest sender writes")
            if not 0 <= change[0] < len(keep):
                raise CodecError("a message that no honest sender writes")
            decoder.fill(keep[change[0]], change[1])
        for name, form in new_globals.items():
            value = self._decode(form)
            if name in self._given and self.space.get(name) is self._given[name]:
                self.space[name] = self._given[name] = value

    def _answer(self, message: list[Any]) -> list[Any]:
        """Answer the program: call what the tests passed to it, or read a line for it."""
        try:
            if message[0] == "back":
                args, keywords = message[3]
                result = self.values.serve(message[1], message[2], self._decode(args), self._decode(keywords))
                return ["value", Encoder(self.values.to_form, []).encode(result)]
            return ["value", self._read(message)]
        except CodecError:
            raise
        except Exception as error:
            return ["raised", self.values.to_form(error)]
        except BaseException as error:
            self._pending = error
            return ["raised", self.values.to_form(RuntimeError("the tests can't go on"))]

    @staticmethod
    def _read(message: list[Any]) -> str:
        if message[0] == "input":
            return str(builtins.input(str(message[1])))
        return str(sys.stdin.read() if message[1] == "read" else sys.stdin.readline())

    @staticmethod
    def _print(text: Any) -> None:
        if type(text) is not str:
            raise CodecError("a message that no honest sender writes")
        if text:
            sys.stdout.write(text)

    def _lost(self, error: Exception) -> Gone:
        if isinstance(error, WireError):
            self.record.gone = f"the program ended before the tests did ({error})"
        else:
            self.record.gone = "the program's side of the bridge sent what no honest program does"
            self.record.cheat(self.record.gone)
        return Gone(self.record.gone)
