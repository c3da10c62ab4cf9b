"""What ends training from outside, as one sentence: memory that runs out, and a disk that is full.

Libraries tell of both in exceptions of their own, which often only their text gives away. What is neither keeps its
traceback.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from teachable.errors import TeachableError
from teachable.store.files import disk_full, explain_os_error

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
_NO_SPACE = ("no space left on device", "os error 28", "disk quota exceeded", "os error 122")
# torch's writer tells that a write failed, and not why: it is taken for a full disk where little room is left.
_FAILED_WRITE = ("pytorchstreamwriter failed", "inline_container", "unexpected pos")
_LITTLE = 0.01  # of the disk


@contextmanager
def in_one_sentence(folder: Path, *, computing: str = "", mend: str = "") -> Iterator[None]:
    """Turn memory or disk space that runs out in the block into a `TeachableError`.

    Args:
        folder: where the block writes to.
        computing: what memory ran out for, such as "4 rows of up to 1,024 tokens at once".
        mend: how to need less memory.
    """
    try:
        yield
    except TeachableError:
        raise
    except (RuntimeError, MemoryError, OSError, SafetensorError) as error:
        sentence = explain(error, folder, computing, mend)
        if sentence is None:
            raise
        raise sentence from error


def explain(error: BaseException, folder: Path, computing: str = "", mend: str = "") -> TeachableError | None:
    """The sentence for an error of memory or disk space; None for any other. Arguments as of `in_one_sentence`."""
    text = str(error).lower()
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(part in text for part in _NO_SPACE) or (_is_failed_write(text) and _is_full(folder)):
        return disk_full(folder)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(part in text for part in _NO_MEMORY):
        return TeachableError(
            f"memory ran out{f' for {computing}' if computing else ''}",
            mend=mend or "Close other programs, or take a smaller model",
        )
    if isinstance(error, OSError) and error.filename:
        return explain_os_error(error, folder / "file")
    return None


def _is_failed_write(text: str) -> bool:
    return any(part in text for part in _FAILED_WRITE)


def _is_full(folder: Path) -> bool:
    """Whether little room is left where `folder` is, or is to be."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(there)
    return usage.free < max(_LITTLE * usage.total, 1)
