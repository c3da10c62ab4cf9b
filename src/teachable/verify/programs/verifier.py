"""The verifier `code`: runs the program of a response, in a sandbox, against tests or stdin/stdout cases.

How the tests are run without the program being able to pass them by anything but its results is said in `suites`,
`inside/rules` and `inside/exports`. A verdict is False where the program is at fault (wrong, too slow, too large,
caught cheating), None where the tests are (they do not compile, they can't fail, the bridge can't express them), and
True only if every assertion that was reached holds, and one was.

What it does not protect against, as no test could: tests that are too weak; helpers that tests use and leave to the
program; a class that calls all its own objects equal; an argument that the program keeps and the tests change later
(it keeps a copy). Tests that need one process with the program (files, a patched clock) can't be told where they fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from teachable.records import Prompt, Verdict
from teachable.verify.programs.cases import ENDINGS, Case, cases_in, command_of, run_cases
from teachable.verify.programs.program import program_in
from teachable.verify.programs.rewriting import Tests, prepared
from teachable.verify.programs.sandbox import Bounds, Sandbox, find_sandbox
from teachable.verify.programs.stopping import Stoppable, in_thread
from teachable.verify.programs.suites import Outcome, run_suite

NO_PROGRAM = "no program found"
CHANGES_ARGUMENTS = "could not tell: the tests pass only because the program changes its arguments"


@dataclass(frozen=True)
class Code:
    """Right when the program of a response passes all tests.

    The tests are `meta["tests"]` of the prompt if that is there, else its answer: Python source with assertions (bare,
    in test functions, in `check(candidate)`, in unittest classes), or a list of `{"stdin", "stdout"}` cases, also as
    JSON text. `meta["entry_point"]` names the function that `check` is called with and `meta["module"]` a module name
    under which tests import the program (`solution` and `main` always work). For cases `meta["file"]`,
    `meta["compile"]` and `meta["command"]` run other languages: the file in which the program is stored (`main.py`),
    what compiles it, what runs it.

    Args:
        bounds: of each run of a program.
        unsafe_no_sandbox: run without a sandbox where none can be had: whatever a model wrote then does as it likes.
        site_packages: whether programs and tests may import the packages that are installed beside teachable.
    """

    bounds: Bounds = field(default_factory=Bounds)
    unsafe_no_sandbox: bool = False
    site_packages: bool = True
    name = "code"
    answer_is_gold: ClassVar[bool] = False

    def ready(self) -> None:
        """Find and try the sandbox.

        Raises:
            TeachableError: none can be had; the message says how to get one.
        """
        find_sandbox(unsafe_no_sandbox=self.unsafe_no_sandbox)

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Run the program of `attempt` on threads of our own, one a core.

        Raises:
            TeachableError: no sandbox can be had; the message says how to get one.
        """
        return await in_thread(lambda runs: self._verdict(attempt, prompt, runs))

    def verdict(self, attempt: str, prompt: Prompt) -> Verdict:
        """The same, blocking; from any thread.

        Raises:
            TeachableError: no sandbox can be had; the message says how to get one.
        """
        return self._verdict(attempt, prompt, Stoppable())

    def _verdict(self, attempt: str, prompt: Prompt, runs: Stoppable) -> Verdict:
        given: Any = prompt.meta.get("tests") or prompt.answer
        if not given:
            return Verdict(None, None, "there are no tests")
        cases = cases_in(given)
        if cases is None and not isinstance(given, str):
            return Verdict(None, None, "the tests are neither source code nor cases with stdin and stdout")
        command = command_of(prompt.meta, self.site_packages)
        program = program_in(attempt, python=command.file.endswith(".py"))
        if program is None:
            return Verdict(False, None, NO_PROGRAM, 0.0)
        sandbox = runs.within(find_sandbox(unsafe_no_sandbox=self.unsafe_no_sandbox))
        if cases is not None:
            return self._by_cases(sandbox, program, cases, prompt)
        entry, module = (str(prompt.meta.get(name) or "") for name in ("entry_point", "module"))
        return self._by_tests(sandbox, program, prepared(given, entry, module))

    def _by_cases(self, sandbox: Sandbox, program: str, cases: tuple[Case, ...], prompt: Prompt) -> Verdict:
        if all(not case.stdout.strip() for case in cases):
            return Verdict(None, program, "these tests cannot fail: no case expects any output")
        done = run_cases(
            sandbox,
            program,
            cases,
            command_of(prompt.meta, self.site_packages),
            self.bounds,
            site_packages=self.site_packages,
        )
        if done.fault:
            return Verdict(None, program, done.fault)
        passed = f"{done.n_passed} of {done.n_total} cases pass"
        reason = f"{passed}; {done.reason}" if done.reason else passed
        return Verdict(done.n_passed == done.n_total, program, reason, done.n_passed / done.n_total)

    def _by_tests(self, sandbox: Sandbox, program: str, tests: Tests) -> Verdict:
        if tests.fault:
            return Verdict(None, program, tests.fault)
        done = run_suite(sandbox, program, tests, self.bounds, site_packages=self.site_packages)
        if not done.all_passed:
            return _refused(done, program, tests.shares)
        if done.worthless:
            return Verdict(None, program, done.worthless)
        if done.changed_arguments and not self._passes_untouched(sandbox, program, tests):
            return Verdict(None, program, CHANGES_ARGUMENTS, 1.0)
        return Verdict(True, program, f"{done.n_passed} of {done.n_total} tests pass", 1.0)

    def _passes_untouched(self, sandbox: Sandbox, program: str, tests: Tests) -> bool:
        """Whether tests that pass do so for what is returned, and not because expected values were changed in place.

        They are run again with no argument changed by a call that gives a result. What then fails must compare with a
        literal, which no program can change: those tests are about the argument itself.
        """
        again = run_suite(sandbox, program, tests, self.bounds, site_packages=self.site_packages, write_back=False)
        return again.all_passed or (
            bool(again.failed_lines)
            and again.failed_lines <= tests.literal_lines
            and not (again.gone or again.cheats or again.n_untold or again.silent)
        )


def _refused(done: Outcome, program: str, shares: str) -> Verdict:
    """The verdict where not everything passed, with the most telling reason."""
    share = done.n_passed / done.n_total if done.n_total else 0.0
    passed = f"{done.n_passed} of {done.n_total} tests pass"
    if done.silent:
        return Verdict(None, program, f"the tests ended without a result ({ENDINGS.get(done.ended, done.ended)})")
    if done.fault:
        return Verdict(None, program, f"the tests are at fault: {done.fault}")
    if done.cheats:
        return Verdict(False, program, f"refused: {done.cheats[0]}", 0.0)
    if done.started != ("ready",):
        return Verdict(False, program, _not_started(done), 0.0)
    if done.gone:
        why = ENDINGS.get(done.ended, "") if done.ended not in ("exit", "killed") else ""
        return Verdict(False, program, f"{passed}; {why or done.gone}", share)
    n_failed = done.n_total - done.n_passed - done.n_untold
    if n_failed and shares:
        return Verdict(None, program, f"could not tell: {passed}, and they count on sharing {shares[:60]}", share)
    if n_failed:
        return Verdict(False, program, f"{passed}; {done.messages[0] if done.messages else 'it fails'}", share)
    if done.n_untold:
        return Verdict(None, program, f"could not tell: {done.untold[0] if done.untold else 'not expressible'}", share)
    return Verdict(None, program, "no assertion was evaluated")


def _not_started(done: Outcome) -> str:
    """Why the program did not get as far as the tests."""
    how, *why = done.started or ("gone",)
    text = " ".join(why)[:200]
    if how == "syntax":
        return f"the program does not compile: {text}"
    if how == "fails":
        return f"the program fails before the tests: {text}"
    if how == "exits":
        return "the program exits before the tests"
    ending = ENDINGS.get(done.ended, "") if done.ended != "killed" else ""
    return f"the program ends before the tests{': ' + ending if ending else ''}"
