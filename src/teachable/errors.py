"""The one exception that a user may see, written as a sentence: what is wrong, where, and how to mend it.

Everything else that escapes is a defect of ours and keeps its traceback. The command line prints a
`TeachableError` without a traceback and exits with its `exit_code`.
"""

from __future__ import annotations

EXIT_BAD_INPUT = 2
EXIT_LIMIT_REACHED = 3
EXIT_INTERRUPTED = 130


class TeachableError(Exception):
    """A mistake that the user can mend.

    Args:
        what: what is wrong, a sentence without its full stop.
        where: the file, line, field or stage that it concerns; empty when `what` says it.
        mend: what to do about it, in the imperative.
        exit_code: the exit status of the command line.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "", exit_code: int = EXIT_BAD_INPUT) -> None:
        self.what = what
        self.where = where
        self.mend = mend
        self.exit_code = exit_code
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """The whole message on one line."""
        start = f"{self.where}: {self.what}" if self.where else self.what
        return f"{start}. {self.mend}." if self.mend else f"{start}."

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Survive the trip back from a worker process."""
        return _rebuild, (type(self), self.what, self.where, self.mend, self.exit_code)


class Stopped(TeachableError):
    """The work ended before it was done though nothing is wrong: a limit was reached, or the user interrupted it.

    Nothing is in flight when it is raised, so nothing that was paid for is lost. `exit_code` is
    `EXIT_LIMIT_REACHED` or `EXIT_INTERRUPTED`.
    """


def _rebuild(kind: type[TeachableError], what: str, where: str, mend: str, exit_code: int) -> TeachableError:
    return kind(what, where=where, mend=mend, exit_code=exit_code)
