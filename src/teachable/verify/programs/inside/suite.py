"""The process that holds the tests: it runs them statement by statement, and tells the verifier what came of each.

The tests come as code objects that `programs/rewriting.py` made, with every assertion reporting to the hooks below. The
outcome leaves over a descriptor that the program's process does not have.
"""

from __future__ import annotations

import builtins
import io
import marshal
import os
import sys
import types

from teachable.verify.programs.inside.codec import imported
from teachable.verify.programs.inside.exports import Exports
from teachable.verify.programs.inside.link import Link
from teachable.verify.programs.inside.marks import MARKS, pytest_module
from teachable.verify.programs.inside.mirrors import Mirrors, solution_module
from teachable.verify.programs.inside.record import Gone, Record, Untold, describe
from teachable.verify.programs.inside.usual import chosen, usual_names
from teachable.verify.programs.inside.wire import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODULE = "tests_of_solution"


class Suite:
    """One run of the tests against one program (or against nothing, to see whether they can fail)."""

    def __init__(self, tests: dict[str, Any], link: Link | None) -> None:
        self.tests = tests
        self.link = link
        self.record = link.record if link is not None else Record()
        self.module = types.ModuleType(MODULE)
        self.space = vars(self.module)
        self.fault = ""

    def run(self, names: dict[str, Any]) -> None:
        """Run all of it with those names of the program's at hand."""
        sys.modules[MODULE] = self.module
        sys.modules["pytest"] = pytest_module(self.record)
        self.space["__builtins__"] = builtins
        self.space.update(usual_names(self.tests["wanted"]))
        self.space.update(names)
        if self.link is not None:
            self.link.space = self.space
            if self.tests["seeds"]:
                self._carry_seed(self.link)
        self.space.update(self._hooks())
        try:
            for kind, line, code in self.tests["units"]:
                self._guard(f"line {line}", lambda code=code: exec(code, self.space), kind)  # type: ignore[misc]
            self._call_what_is_there()
        except Gone:
            return  # the program has ended; what held until then is in the record

    @staticmethod
    def _carry_seed(link: Link) -> None:
        """Have `random.seed` seed the program's random numbers as well."""
        random = imported("random")
        original = random.seed

        def seed(*value: Any) -> None:
            original(*value)
            if not link.record.gone:
                link.request("seed", None, *value)

        random.seed = seed

    def _guard(self, where: str, work: Callable[[], Any], kind: str = "") -> bool:
        """Do one part; whatever it raises is recorded. Whether it raised nothing."""
        try:
            work()
        except Gone:
            raise
        except SystemExit as end:
            if self._is_ours(end) and not end.code:
                return True
            self.record.failed(f"{where}: exit")
            return False
        except ImportError as error:
            if kind == "import":
                self.fault = self.fault or f"{where}: {describe(error)}"
            self.record.error(where, error)
            return False
        except BaseException as error:
            self.record.error(where, error)
            return False
        return True

    def _is_ours(self, end: BaseException) -> bool:
        """Whether the tests themselves, and not the program, called for the end."""
        trace = end.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        return trace is not None and trace.tb_frame.f_globals.get("__name__") in (
            MODULE,
            "unittest.main",
            "_sitebuiltins",
        )

    def _hooks(self) -> dict[str, Any]:
        record = self.record

        def failed(line: int, *message: Any) -> None:
            record.failed(f"line {line}: the assertion does not hold{_said(message)}", line)

        def failed_inside(line: int, *message: Any) -> None:
            failed(line, *message)
            raise AssertionError(*message)

        def raised(line: int) -> None:
            error = sys.exc_info()[1]
            if isinstance(error, Gone | GeneratorExit):
                raise error
            if error is not None:
                record.error(f"line {line}", error)

        hooks = {"passed": record.passed, "failed": failed, "failed_inside": failed_inside, "raised": raised}
        return {f"__teachable_{name}__": hook for name, hook in hooks.items()} | {"__teachable_any__": BaseException}

    # -- tests that nobody calls

    def _call_what_is_there(self) -> None:
        called = set(self.tests["called"])
        check = self.space.get("check")
        if "check" in self.tests["functions"] and "check" not in called and callable(check):
            self._check(check)
        for name in self.tests["functions"]:
            if name.startswith("test") and name not in called:
                self._test_function(name, self.space.get(name))
        for name in self.tests["classes"]:
            self._test_class(name, self.space.get(name))

    def _check(self, check: Callable[..., Any]) -> None:
        entry = self.tests["entry"]
        if not entry or entry not in self.space:
            if not entry:
                self.fault = self.fault or "check(candidate) is never called, and no entry_point says for what"
            self.record.failed(f"the program defines no {entry or 'function'}")
            return
        self._counted("check", lambda: check(self.space[entry]))

    def _counted(self, name: str, work: Callable[[], Any]) -> None:
        """Run a test function; one without assertions counts as one itself."""
        before = self.record.n_evaluated
        if self._guard(name, lambda: _finish(work())) and self.record.n_evaluated == before:
            self.record.passed()

    def _test_function(self, name: str, function: Any) -> None:
        if not callable(function):
            return
        for case in getattr(function, MARKS, [{}]):
            missing = [p for p in _required(function) if p not in case]
            if missing == ["capsys"]:
                self._counted(name, lambda case=case: function(capsys=_Captured(), **case))  # type: ignore[misc]
            elif missing:
                self.record.undecided(f"{name} needs the fixture {missing[0]}")
            else:
                self._counted(name, lambda case=case: function(**case))  # type: ignore[misc]

    def _test_class(self, name: str, kind: Any) -> None:
        unittest = sys.modules.get("unittest")
        if unittest is not None and isinstance(kind, type) and issubclass(kind, unittest.TestCase):
            self._guard(name, lambda: self._unittest(unittest, kind))
        elif isinstance(kind, type) and name.startswith("Test"):
            for method in [m for m in vars(kind) if m.startswith("test")]:
                self._guard(f"{name}.{method}", lambda method=method: self._test_method(kind, method))  # type: ignore[misc]

    def _test_method(self, kind: type, method: str) -> None:
        made = kind()
        if hasattr(made, "setup_method"):
            made.setup_method()
        self._test_function(method, getattr(made, method))

    def _unittest(self, unittest: Any, kind: type) -> None:
        """Run a TestCase: each of its methods is one test, unless it fails more than once on plain assertions."""
        result = unittest.TestResult()
        record = self.record

        def note(test: Any, error: Any) -> None:
            record.error(str(getattr(test, "_testMethodName", test))[:100], error[1])

        def note_part(test: Any, part: Any, error: Any) -> None:
            if error is not None:
                note(test, error)

        before = record.n_failed + len(record.untold)
        result.addError = result.addFailure = note
        result.addSubTest = note_part
        passed: list[int] = []
        result.addSuccess = lambda test: passed.append(record.n_failed + len(record.untold))
        result.addUnexpectedSuccess = lambda test: record.failed("an unexpected success")
        result.addExpectedFailure = lambda test, error: passed.append(before)
        unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
        for n_bad in passed:
            if n_bad == before:
                record.passed()


def _said(message: tuple[Any, ...]) -> str:
    try:
        return f": {str(message[0])[:150]}" if message else ""
    except Exception:
        return ""


def _finish(result: Any) -> None:
    """Wait for a test that is a coroutine."""
    if isinstance(result, types.CoroutineType):
        asyncio = imported("asyncio")
        asyncio.run(result)


def _required(function: Any) -> list[str]:
    """The parameters of a test function that have no default."""
    method = isinstance(function, types.MethodType)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    names = code.co_varnames[: code.co_argcount][1 if method else 0 :]
    n_defaults = len(function.__defaults__ or ())
    return list(names[: len(names) - n_defaults] if n_defaults else names)


class _Sink(io.TextIOBase):
    """Takes text and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)


class _Captured:
    """pytest's `capsys`: what was printed since it was last asked."""

    def __init__(self) -> None:
        self._output = sys.stdout = io.StringIO()

    def readouterr(self) -> Any:
        text = self._output.getvalue()
        self._output = sys.stdout = io.StringIO()
        return types.SimpleNamespace(out=text, err="")


class _Nothing:
    """Stands for a program: without a name (`empty`), or one whose every name is a function that returns None."""

    @staticmethod
    def names(wanted: list[str], kind: str) -> dict[str, Any]:
        def nothing(*_: Any, **__: Any) -> None:
            return None

        usual = usual_names(wanted) if kind != "empty" else {}
        return {} if kind == "empty" else {name: nothing for name in wanted if name not in usual}


def _outcome(suite: Suite, started: list[str]) -> dict[str, Any]:
    record = suite.record
    untold = record.untold or Untold.raised
    return {
        "started": started,
        "n_passed": record.n_passed,
        "n_failed": record.n_failed,
        "n_untold": len(untold),
        "untold": untold[:3],
        "messages": record.messages,
        "cheats": record.cheats,
        "failed_lines": record.failed_lines,
        "changed_arguments": record.changed_arguments,
        "gone": record.gone,
        "fault": suite.fault,
    }


def _against_program(tests: dict[str, Any], bridge: int) -> tuple[Suite, list[str]]:
    record = Record()
    link = Link(bridge, record, tests["write_back"])
    paths = tests["paths"]
    mirrors = Mirrors(link, lambda top: bool(paths))
    link.values = Exports(mirrors, MODULE)
    suite = Suite(tests, link)
    try:
        started, found = link.start([*tests["wanted"], *tests["shadows"]])
    except Gone:
        return suite, ["gone"]
    if started == ["ready"]:
        for name in tests["modules"]:
            sys.modules[name] = solution_module(link, name)
        names = chosen(found, tests, record)
        suite.run({name: mirrors.named(name, value) for name, value in names.items()})
    return suite, started


def _against_nothing(tests: dict[str, Any], kind: str) -> tuple[Suite, list[str]]:
    names = _Nothing.names([*tests["wanted"], *tests["shadows"]], kind)
    for name in tests["modules"]:
        module: Any = types.ModuleType(name)
        if kind != "empty":
            module.__getattr__ = lambda _: lambda *_, **__: None
        sys.modules[name] = module
    Untold.raised.clear()
    sys.stdout = sys.stderr = _Sink()
    suite = Suite(tests, None)
    suite.run(names)
    return suite, ["ready"]


def _all_passed(outcome: dict[str, Any]) -> bool:
    bad = outcome["n_failed"] or outcome["n_untold"] or outcome["gone"] or outcome["fault"] or outcome["cheats"]
    return outcome["started"] == ["ready"] and bool(outcome["n_passed"]) and not bad


def _say(result: int, what: Any) -> None:
    data = dumps(what)
    os.write(result, len(data).to_bytes(4, "big") + data)


def main(bridge: int, result: int) -> None:
    """Run the tests in `suite.bin` and say the outcome; where all passed and it is asked, say what nothing passes."""
    with open("suite.bin", "rb") as file:
        tests: dict[str, Any] = marshal.load(file)
    os.remove("suite.bin")
    sys.path.extend(tests["paths"])
    sys.argv = ["tests.py"]
    sys.stdout = sys.stderr = _Sink()  # what nobody captures is nobody's
    suite, started = _against_program(tests, bridge)
    outcome = _outcome(suite, started)
    _say(result, outcome)
    if tests["probe"] and _all_passed(outcome):
        suite.record.gone = "the program is no longer asked"  # whatever the tests kept of it is dead
        _say(result, [_outcome(*_against_nothing(tests, kind)) for kind in ("empty", "stubs")])
    os._exit(0)
