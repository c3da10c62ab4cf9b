"""What each kind of stage will cost, said before it runs, from its config and its inputs' counts.

Token counts per completion are not known before sampling, so a completion is counted at a stated share of its
longest; a plan is a guide for whether to start, and the manifest tells afterwards what was spent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from teachable.engines.config import EngineConfig
from teachable.evaluate.config import EvaluateConfig
from teachable.probe.config import ProbeConfig
from teachable.recipe.config import EMBEDDED
from teachable.recipe.spec import Forecast, ForecastInput
from teachable.select.config import SelectConfig
from teachable.tasks.config import BUILT_IN, TasksConfig
from teachable.train.config import PretrainConfig

C = TypeVar("C", bound=BaseModel)

ROW_BYTES = 400  # a compressed row of prompts, attempts or scores, beside its tokens
BYTES_PER_TOKEN = 4  # a sampled token in the ledger and in the attempts: id, log-probability, text
USUAL_SAMPLES = 16  # attempts at a prompt that adaptive probing takes on average, on a pool of all zones
PROMPT_TOKENS = 150  # tokens of a prompt, before any has been counted
FRAC_OF_LONGEST = 0.2  # answers rarely use up `max_tokens`
BYTES_PER_PARAMETER = 4  # float32 weights


def _config(given: ForecastInput, kind: type[C]) -> C:
    if not isinstance(given.config, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(given.config).__name__}")
    return given.config


def tasks(given: ForecastInput) -> Forecast:
    """Questions are cheap; most of the time is loading the library."""
    config = _config(given, TasksConfig)
    n_pool, n_heldout = config.sizes(_lines(Path(config.source)) if config.source != BUILT_IN else None)
    n = n_pool + n_heldout
    produces = {"n_pool": n_pool, "n_heldout": n_heldout, "n_solutions": n_pool}
    seconds = 3 + n / 500 if config.source == BUILT_IN else 2 + n / 5000
    return Forecast(prompts=n, disk_bytes=n * 2 * ROW_BYTES, seconds=seconds, produces=produces)


def _lines(path: Path) -> int | None:
    """The lines of a JSONL file that hold something; None for another kind of file."""
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    with path.open("rb") as handle:
        return sum(bool(line.strip()) for line in handle)


def pretrain(given: ForecastInput) -> Forecast:
    """The tokens to read; nothing for a base of the user's own."""
    config = _config(given, PretrainConfig)
    if given.base != EMBEDDED:
        return Forecast(seconds=2)
    # 12 h^2 a layer is a transformer's usual count, embeddings apart.
    n_params = config.n_layers * 12 * config.hidden_size**2 + config.vocab_size * config.hidden_size
    return Forecast(tokens=config.n_tokens, disk_bytes=64 * 1024, seconds=5, produces={"n_params": n_params})


def probe(given: ForecastInput) -> Forecast:
    """Samples at every prompt of the pool, and the teacher's answers."""
    config = _config(given, ProbeConfig)
    n = given.count("prompts", "n_pool")
    usual = config.n_samples or min(config.max_samples, USUAL_SAMPLES)
    each = usual if config.samples_per_prompt is None else min(usual, config.samples_per_prompt)
    # How many requests bring them depends on what they tell; few samples come at a time.
    asked = _sampling(n, round(n * each), config.max_tokens, given, given.engine, n_requests=round(n * each / 2))
    if config.teacher is None:
        return asked
    taught = _sampling(n, n * config.teacher_samples, config.teacher_max_tokens, given, config.teacher, n_requests=n)
    return Forecast(
        prompts=n,
        completions=asked.completions + taught.completions,
        tokens=asked.tokens + taught.tokens,
        disk_bytes=asked.disk_bytes + taught.disk_bytes,
        seconds=asked.seconds + taught.seconds,
        cost_usd=asked.cost_usd + taught.cost_usd,
    )


def _sampling(
    n_prompts: int,
    n_completions: int,
    max_tokens: int,
    given: ForecastInput,
    engine: EngineConfig,
    *,
    n_requests: int,
) -> Forecast:
    n_tokens = round(n_completions * max_tokens * FRAC_OF_LONGEST)
    # Once in the ledger, once in the attempts.
    disk = 2 * (n_completions * ROW_BYTES + n_tokens * BYTES_PER_TOKEN)
    loading = 1.0 if not engine.is_local else 5.0 if given.base == EMBEDDED else 30.0
    millions_in, millions_out = n_requests * PROMPT_TOKENS / 1e6, n_tokens / 1e6
    return Forecast(
        prompts=n_prompts,
        completions=n_completions,
        tokens=n_tokens,
        disk_bytes=disk,
        seconds=loading,
        cost_usd=millions_in * engine.usd_per_million_in + millions_out * engine.usd_per_million_out,
    )


def select(given: ForecastInput) -> Forecast:
    """A decision a prompt, and the examples of every set."""
    config = _config(given, SelectConfig)
    n, n_sets = given.count("prompts", "n_pool"), len(config.arms) * len(config.seed_list)
    disk = n * ROW_BYTES + n_sets * config.budget_tokens * 2 * BYTES_PER_TOKEN
    produces = {"arms": n_sets, "budget_tokens": config.budget_tokens}
    return Forecast(prompts=n, disk_bytes=disk, seconds=5 + n / 1000, produces=produces)


def sft(given: ForecastInput) -> Forecast:
    """One model a set of examples."""
    n_runs = given.count("examples", "arms", 1)
    tokens = n_runs * given.count("examples", "budget_tokens")
    disk = n_runs * given.count("base", "n_params", 1_000_000) * BYTES_PER_PARAMETER
    return Forecast(tokens=tokens, disk_bytes=disk, seconds=5, produces={"n_runs": n_runs})


def models(given: ForecastInput) -> Forecast:
    """Nothing but a look at the models that are there."""
    paths = getattr(given.config, "paths", ())
    return Forecast(seconds=2, produces={"n_runs": len(paths)})


def evaluate(given: ForecastInput) -> Forecast:
    """Samples, and a greedy answer, of the base and of every trained model at every held-out question."""
    config = _config(given, EvaluateConfig)
    n, n_models = given.count("prompts", "n_heldout"), 1 + given.count("models", "n_runs")
    n_completions = n * n_models * (config.n_samples + config.greedy)
    return _sampling(n, n_completions, config.max_tokens, given, given.engine, n_requests=n * n_models)


def report(given: ForecastInput) -> Forecast:
    """A page."""
    return Forecast(disk_bytes=4 * 2**20, seconds=5)
