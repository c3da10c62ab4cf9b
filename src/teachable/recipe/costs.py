"""What each kind of stage will cost, said before it runs, from its config and its inputs' counts.

Token counts per completion are not known before sampling, so a completion is counted at a stated share of its
longest; a plan is a guide for whether to start, and the manifest tells afterwards what was spent.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from teachable.recipe.config import EMBEDDED
from teachable.recipe.spec import Forecast, ForecastInput
from teachable.tasks.config import BUILT_IN, TasksConfig
from teachable.train.config import PretrainConfig

C = TypeVar("C", bound=BaseModel)

ROW_BYTES = 400  # a compressed row of prompts, attempts or scores, beside its tokens
BYTES_PER_TOKEN = 4  # a sampled token in the ledger and in the attempts: id, log-probability, text
BYTES_PER_PARAMETER = 4  # float32 weights


def _config(given: ForecastInput, kind: type[C]) -> C:
    if not isinstance(given.config, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(given.config).__name__}")
    return given.config


def tasks(given: ForecastInput) -> Forecast:
    """Questions are cheap; most of the time is loading the library."""
    config = _config(given, TasksConfig)
    n = config.n_pool + config.n_heldout
    produces = {"n_pool": config.n_pool, "n_heldout": config.n_heldout, "n_solutions": config.n_pool}
    seconds = 3 + n / 500 if config.source == BUILT_IN else 2 + n / 5000
    return Forecast(prompts=n, disk_bytes=n * 2 * ROW_BYTES, seconds=seconds, produces=produces)


def pretrain(given: ForecastInput) -> Forecast:
    """The tokens to read; nothing for a base of the user's own."""
    config = _config(given, PretrainConfig)
    if given.base != EMBEDDED:
        return Forecast(seconds=2)
    # 12 h^2 a layer is a transformer's usual count, embeddings apart.
    n_params = config.n_layers * 12 * config.hidden_size**2 + config.vocab_size * config.hidden_size
    return Forecast(tokens=config.n_tokens, disk_bytes=64 * 1024, seconds=5, produces={"n_params": n_params})


def sft(given: ForecastInput) -> Forecast:
    """One model a set of examples."""
    n_runs = given.count("examples", "arms", 1)
    tokens = n_runs * given.count("examples", "budget_tokens")
    disk = n_runs * given.count("base", "n_params", 1_000_000) * BYTES_PER_PARAMETER
    return Forecast(tokens=tokens, disk_bytes=disk, seconds=5, produces={"n_runs": n_runs})


def report(given: ForecastInput) -> Forecast:
    """A page."""
    return Forecast(disk_bytes=4 * 2**20, seconds=5)
