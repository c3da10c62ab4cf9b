"""What a synthesis will ask and cost, said before it runs.

Each workflow says what one seed is expected to take (`graph.Calls`). Retries are added at a stated share, and the gates
are expected to leave a stated share of the outputs; both are guesses until a run has been seen, and `stats.json` has
the yield then.
"""

from __future__ import annotations

from teachable.engines.config import EngineConfig
from teachable.recipe.costs import BYTES_PER_TOKEN, ROW_BYTES
from teachable.recipe.named_workflow import workflow_of
from teachable.recipe.spec import Forecast, ForecastInput
from teachable.synthesize.config import SynthesizeConfig
from teachable.synthesize.graph import Calls, options_of

FRAC_RETRIED = 0.1  # replies that are sent back and asked for again
FRAC_PASSING = 0.6  # outputs that pass the gates
RULED_PER_S = 200  # outputs that rules write and check in a second


def synthesize(given: ForecastInput) -> Forecast:
    """Calls and tokens of all seeds, at the engines' prices."""
    config = given.config
    if not isinstance(config, SynthesizeConfig):
        raise TypeError(f"expected a SynthesizeConfig, got a {type(config).__name__}")
    workflow = workflow_of(config)
    options = options_of(workflow, config.options)
    if config.rules:
        n = len(workflow.rules.seeds(options, 0)) if workflow.rules is not None else 0
        n = min(n, config.limit or n)
        produced = {"n_pool": n, "n_outputs": n}
        return Forecast(prompts=n, disk_bytes=n * ROW_BYTES * 2, seconds=2 + n / RULED_PER_S, produces=produced)
    calls = workflow.calls(options)
    n_seeds = _n_seeds(given, config)
    return forecast_of(calls, n_seeds, given.engine, [*config.engines.values()])


def forecast_of(calls: Calls, n_seeds: int, engine: EngineConfig, others: list[EngineConfig]) -> Forecast:
    """The cost of n seeds.

    Args:
        engine: whose prices count; where other engines fill roles, the dearest price of all of them does, since
            nobody knows which role will write how much.
    """
    n_requests = n_seeds * calls.requests * (1 + FRAC_RETRIED)
    n_completions = round(n_seeds * calls.completions * (1 + FRAC_RETRIED))
    tokens_in, tokens = n_requests * calls.prompt_tokens, round(n_completions * calls.tokens)
    engines = [engine, *others]
    usd_in, usd_out = (max(getattr(one, f"usd_per_million_{way}") for one in engines) for way in ("in", "out"))
    n_outputs = round(n_seeds * calls.outputs * FRAC_PASSING)
    return Forecast(
        prompts=n_seeds,
        completions=n_completions,
        tokens=tokens,
        disk_bytes=round(n_completions * ROW_BYTES + tokens * BYTES_PER_TOKEN * 2),
        cost_usd=(tokens_in * usd_in + tokens * usd_out) / 1e6,
        seconds=5.0 if engine.is_local else 1.0,
        produces={"n_pool": n_outputs, "n_outputs": n_outputs},
    )


def _n_seeds(given: ForecastInput, config: SynthesizeConfig) -> int:
    """How many seeds there will be; a stage before it says, or is expected to make, so many."""
    n = given.count("seeds", "n_documents") or given.count("seeds", "n_pool")
    return min(n, config.limit or n)


def balance(given: ForecastInput) -> Forecast:
    """Rows of all sides, read and measured."""
    organic = given.count("organic", "n_pool")
    synthetic = sum(given.count(role, "n_pool") for role in given.inputs if role != "organic")
    n = organic + synthetic
    return Forecast(prompts=n, disk_bytes=n * ROW_BYTES, seconds=10 + n / 2000, produces={"n_pool": n})
