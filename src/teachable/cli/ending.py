"""How a command ends: well, with one sentence and an exit code, or with a traceback that is a defect of ours."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from teachable.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, Stopped, TeachableError

_FULL_DISK_TEXTS = ("no space left on device", "os error 28", "disk quota exceeded", "disk is full")


@contextmanager
def ending(run: Path | None = None) -> Iterator[None]:
    """Turn what the user can mend, and an interrupt, into a sentence on stderr and an exit code.

    Args:
        run: the run folder, where the command has one, to say where the finished work is kept.

    Raises:
        SystemExit: with the exit code.
    """
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    except Stopped as error:
        _leave(error.sentence(), error.exit_code)
    except TeachableError as error:
        _leave(f"error: {error.sentence()}", error.exit_code)
    except KeyboardInterrupt:
        kept = f"what was finished is kept in {run}" if run is not None else "what was finished is kept"
        _leave(f"stopped: {kept}, and the same command goes on from there", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if not _is_full_disk(error):
            raise
        mend = "Free some space or choose another folder with --out, then run the same command again"
        _leave(f"error: no space is left on the disk ({error}). {mend}; what was finished is kept.", EXIT_BAD_INPUT)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as ctrl-C, through the handler that asyncio may have put in place."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
    else:  # a background job is started with SIGINT ignored
        raise KeyboardInterrupt


def _is_full_disk(error: BaseException) -> bool:
    """Libraries wrap a full disk in exceptions of their own, which only their text gives away."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(text in str(error).lower() for text in _FULL_DISK_TEXTS)


def _leave(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(code) from None
