"""What happened to the assertions, and the two ways in which a test ends without having failed or passed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


MAX_MESSAGES = 5
MAX_LINES = 1000


class Untold(BaseException):
    """The bridge can't express what the tests do, or would have to believe the program: no verdict on this assertion.

    `raised` remembers them all, so that one that the tests caught still counts.
    """

    raised: ClassVar[list[str]] = []

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        if len(Untold.raised) < MAX_MESSAGES:
            Untold.raised.append(reason)


class Gone(BaseException):
    """The program's process is gone, or does not keep to the protocol: every further assertion fails."""


class Record:
    """Counts of assertions, and the first few messages."""

    def __init__(self) -> None:
        self.n_passed = 0
        self.n_failed = 0
        self.untold: list[str] = []
        self.messages: list[str] = []
        self.cheats: list[str] = []
        self.gone = ""
        self.failed_lines: list[int] = []
        self.changed_arguments = False

    def passed(self) -> None:
        """One assertion holds."""
        self.n_passed += 1

    def failed(self, message: str, line: int = 0) -> None:
        """One assertion, in that line of the tests (0: no line of its own), does not hold."""
        self.n_failed += 1
        if len(self.failed_lines) < MAX_LINES and line not in self.failed_lines:
            self.failed_lines.append(line)
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(message[:300])

    def undecided(self, reason: str) -> None:
        """One assertion can't be decided."""
        self.untold.append(reason[:300])

    def error(self, where: str, error: BaseException) -> None:
        """One assertion raised."""
        if isinstance(error, Untold):
            self.undecided(str(error))
        elif isinstance(error, Gone):
            self.gone = self.gone or str(error)
        else:
            self.failed(f"{where}: {describe(error)}")

    def cheat(self, what: str) -> None:
        """The program was caught at something that no honest program does."""
        if len(self.cheats) < MAX_MESSAGES:
            self.cheats.append(what)

    @property
    def n_evaluated(self) -> int:
        """Assertions that were decided or given up, of whatever outcome."""
        return self.n_passed + self.n_failed + len(self.untold)


def describe(error: BaseException) -> str:
    """An exception on one line."""
    try:
        text = " ".join(str(error).split())[:200]
    except Exception:
        text = ""
    name = type.__getattribute__(type(error), "__name__")
    return f"{name}: {text}" if text else str(name)
