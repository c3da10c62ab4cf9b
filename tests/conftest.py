"""What every test runs under: one thread, no network for model hubs, and a cache of its own.

The environment is set when pytest imports this file, before any test module imports torch or a Hugging Face
library, since both read it only once. Worker processes of pytest-xdist inherit the first process's cache folder, so
that a base model that one worker has trained is there for the others.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

_OURS = "TEACHABLE_TEST_CACHE"


def _isolate() -> None:
    """Set the environment of this process and of all that it starts."""
    if _OURS not in os.environ:
        folder = tempfile.mkdtemp(prefix="teachable-tests-")
        os.environ[_OURS] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cache = os.environ[_OURS]
    os.environ.update(
        XDG_CACHE_HOME=cache,
        HF_HOME=os.path.join(cache, "huggingface"),
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TRANSFORMERS_OFFLINE="1",
        TRANSFORMERS_VERBOSITY="error",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="false",
        NO_COLOR="1",
        COLUMNS="120",
    )
    for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the CPU, unless somebody names a device
    # A setting of the user's own must not reach a test.
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "FORCE_COLOR"):
        os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("TEACHABLE_") and name != _OURS]:
        del os.environ[name]


_isolate()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in capitals how many tests were left out for want of a browser: a skip is easily overlooked."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "browser" in str(r.longrepr).lower()]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} BROWSER TESTS WERE SKIPPED: is Chromium here? (make system)", red=True
        )
