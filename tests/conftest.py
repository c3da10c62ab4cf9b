"""What every test runs under: one thread, no network for model hubs, and a cache of its own; the embedded tokenizer.

The environment is set when pytest imports this file, before any test module imports torch or a Hugging Face
library, since both read it only once. Worker processes of pytest-xdist inherit the first process's cache folder, so
that a base model that one worker has trained is there for the others.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from teachable.train import embedded
from teachable.train.config import PretrainConfig

_OURS = "TEACHABLE_TEST_CACHE"


def _isolate() -> None:
    """Set the environment of this process and of all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs with ctrl-C ignored, and all that they start would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
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

# Tests share a machine with each other and with much else: a turn that comes late is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("patient"), derandomize=True)  # for .ci/run
settings.load_profile("patient")


@pytest.fixture(scope="session")
def small_config() -> PretrainConfig:
    """An embedded model that is read into being in a second: 6,000 tokens, 7 thousand parameters."""
    return PretrainConfig(
        hidden_size=16,
        n_layers=1,
        n_heads=2,
        n_kv_heads=1,
        intermediate_size=32,
        vocab_size=320,
        n_tokens=6000,
        tokens_per_step=500,
    )


@pytest.fixture(scope="session")
def few_tokenizer_texts() -> Any:
    """The tokenizer learns from fewer texts, which is most of the time of a small model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "N_TOKENIZER_TEXTS", 300)
        yield


@pytest.fixture(scope="session")
def tokenizer(small_config: PretrainConfig, few_tokenizer_texts: None) -> Any:
    """The embedded model's tokenizer."""
    pytest.importorskip("reasoning_gym")
    return embedded.build_tokenizer(small_config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in capitals how many tests were left out for want of a browser or a sandbox: a skip is easily overlooked."""
    skipped = [str(report.longrepr).lower() for report in terminalreporter.stats.get("skipped", [])]
    for word, needed in (("browser", "Chromium"), ("sandbox", "bubblewrap")):
        n = sum(word in reason for reason in skipped)
        if n:
            terminalreporter.write_line(f"{n} {word.upper()} TESTS SKIPPED: is {needed} here? (make system)", red=True)
