"""The library itself: imported when it is needed, said to be missing in a sentence, and kept to one thread at a time.

Its tasks draw from Python's and NumPy's global random streams and may download on import; `contained` gives them
streams of their own and `building` refuses the download, so that a task is the same whenever it is built, and scoring
needs no network.
"""

from __future__ import annotations

import io
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError

MINIMUM = (0, 4, 13)
RANDOM_SEED = 0  # lm_eval.defaults.DEFAULT_RANDOM_SEED, with which `simple_evaluate` seeds Python's stream
OTHER_SEED = 1234  # lm_eval.defaults.DEFAULT_OTHER_SEED: NumPy's stream, and the draw of worked examples

_LOCK = threading.RLock()
_INSTALL = "Install it with pip install 'teachable[eval]'"


def version() -> str:
    """The installed version.

    Raises:
        TeachableError: it is not installed, or older than `MINIMUM`.
    """
    try:
        found = metadata.version("lm-eval")
    except metadata.PackageNotFoundError as error:
        raise TeachableError(
            "lm-evaluation-harness, whose prompts and scoring 'lm_eval' tasks use, is not installed", mend=_INSTALL
        ) from error
    parts = tuple(int(part) for part in found.split(".")[:3] if part.isdigit())
    if parts < MINIMUM:
        least = ".".join(map(str, MINIMUM))
        raise TeachableError(f"lm-evaluation-harness {found} is older than {least}", mend=_INSTALL)
    return found


@cache
def module(name: str) -> Any:
    """A module of the library, `lm_eval.NAME`, imported now.

    Raises:
        TeachableError: it is not installed, too old, or can't be imported.
    """
    version()
    try:
        return import_module(f"lm_eval.{name}")
    except ImportError as error:
        raise TeachableError(f"lm-evaluation-harness can't be imported ({error})", mend=_INSTALL) from error


@cache
def folder() -> Path:
    """Where the library's own tasks are."""
    return Path(module("tasks").__file__).resolve().parent


@contextmanager
def contained() -> Iterator[None]:
    """The library's code for one thread at a time, with random streams of its own."""
    with _LOCK:
        numpy = import_module("numpy").random
        states = random.getstate(), numpy.get_state()
        random.seed(RANDOM_SEED)
        numpy.seed(OTHER_SEED)
        try:
            yield
        finally:
            random.setstate(states[0])
            numpy.set_state(states[1])


@contextmanager
def building(*, nltk: bool = False) -> Iterator[None]:
    """The same where tasks are built and prompts are written: silently, and without nltk's downloads.

    Args:
        nltk: the code at hand may call `nltk.download`; as when that fails, it is then told that it did.
    """
    with contained():
        downloader: Any = import_module("nltk") if nltk else None
        download = getattr(downloader, "download", None)
        datasets = import_module("datasets")
        shown = not datasets.are_progress_bars_disabled()
        log = logging.getLogger("lm_eval")
        level = log.level
        log.setLevel(logging.ERROR)
        datasets.disable_progress_bars()
        if downloader is not None:
            downloader.download = lambda *names, **settings: False
        try:
            with redirect_stdout(io.StringIO()) if nltk else nullcontext():  # it says that it downloaded
                yield
        finally:
            log.setLevel(level)
            if shown:
                datasets.enable_progress_bars()
            if downloader is not None:
                downloader.download = download
