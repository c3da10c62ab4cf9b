"""What each kind of stage will cost, said before it runs, from its config and its inputs' counts.

Token counts per completion are not known before sampling, so a completion is counted at a stated share of its
longest; a plan is a guide for whether to start, and the manifest tells afterwards what was spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from teachable.engines.config import EngineConfig
from teachable.evaluate.config import EvaluateConfig
from teachable.pivot.config import PivotConfig
from teachable.prefer.config import JudgePairsConfig
from teachable.probe.config import ProbeConfig
from teachable.recipe.config import EMBEDDED
from teachable.recipe.spec import Forecast, ForecastInput
from teachable.select.config import SelectConfig
from teachable.synthesize.config import DocumentsConfig
from teachable.tasks.config import BUILT_IN, NO_SOURCE, TasksConfig, task_paths
from teachable.train.config import DpoConfig, PretrainConfig

C = TypeVar("C", bound=BaseModel)

ROW_BYTES = 400  # a compressed row of prompts, attempts or scores, beside its tokens
BYTES_PER_TOKEN = 4  # a sampled token in the ledger and in the attempts: id, log-probability, text
BENCHMARK_QUESTIONS = 1000  # of a benchmark that nobody has counted
USUAL_SAMPLES = 16  # attempts at a prompt that adaptive probing takes on average, on a pool of all zones
PROMPT_TOKENS = 150  # tokens of a prompt, before any has been counted
BYTES_PER_WORD = 6
FRAC_OF_LONGEST = 0.2  # answers rarely use up `max_tokens`
BYTES_PER_PARAMETER = 4  # float32 weights
FRAC_IN_RANGE = 0.4  # of a pool of all zones: prompts whose success probability the search takes, before any is known
USUAL_SEARCH = 120  # completions that the search of one solution buys, where no more than one or two tokens are pivotal
PAIRS_PER_SOLUTION = 1.0
FRAC_JUDGED_TO_PAIRS = 0.6  # prompts whose best and worst responses differ by the margin
JUDGED_TOKENS = 600  # a judge's question beside the prompt: rubric and response
REPLY_TOKENS = 120  # a judge's reply
JUDGED = ("judge", "graded", "duel")  # verifiers that ask a judge
CONTINUATION_TOKENS = 40  # of a pair: single tokens in pivotal pairs, whole responses in judged ones


def _config(given: ForecastInput, kind: type[C]) -> C:
    if not isinstance(given.config, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(given.config).__name__}")
    return given.config


def tasks(given: ForecastInput) -> Forecast:
    """Questions are cheap; most of the time is loading the library."""
    config = _config(given, TasksConfig)
    n_rows = None if config.source in (BUILT_IN, NO_SOURCE) else _lines(Path(config.source))
    n_pool, n_heldout = config.sizes(n_rows)
    n_heldout += sum(_benchmark_questions(task, config.limit) for task in config.benchmarks)
    n = n_pool + n_heldout
    produces = {"n_pool": n_pool, "n_heldout": n_heldout, "n_solutions": n_pool}
    seconds = 3 + n / 500 if config.source == BUILT_IN else 2 + n / 5000
    return Forecast(prompts=n, disk_bytes=n * 2 * ROW_BYTES, seconds=seconds, produces=produces)


def _benchmark_questions(task: str, limit: int | None) -> int:
    """How many questions a benchmark is expected to have."""
    counts = [_lines(Path(path)) for path in task_paths(task)]
    n = sum(count for count in counts if count) or BENCHMARK_QUESTIONS
    return min(n, limit or n)


def _lines(path: Path) -> int | None:
    """The lines of a JSONL file that hold something; None for another kind of file."""
    if path.suffix != ".jsonl" or not path.is_file():
        return None
    with path.open("rb") as handle:
        return sum(bool(line.strip()) for line in handle)


def documents(given: ForecastInput) -> Forecast:
    """Passages, guessed from the size of what is read, since nothing is opened for a plan."""
    config = _config(given, DocumentsConfig)
    sizes = [path.stat().st_size for path in files_below(config.source)] if config.source is not None else []
    n_bytes = sum(sizes)
    n = sum(-(-size // (config.max_words * BYTES_PER_WORD)) for size in sizes)
    n = min(n, config.limit or n)
    return Forecast(
        prompts=n, disk_bytes=n_bytes, seconds=1 + n_bytes / 20e6, produces={"n_documents": n, "n_chars": n_bytes}
    )


def files_below(path: Path) -> list[Path]:
    """The file, or the files of a folder, hidden ones left out."""
    if not path.is_dir():
        return [path]
    found = (one for one in path.rglob("*") if one.is_file())
    return sorted(one for one in found if not any(part.startswith(".") for part in one.relative_to(path).parts))


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


def _summed(n_prompts: int, parts: Sequence[Forecast], produces: Mapping[str, Any] | None = None) -> Forecast:
    """What several engines' parts cost together, for the same prompts."""
    return Forecast(
        prompts=n_prompts,
        completions=sum(one.completions for one in parts),
        tokens=sum(one.tokens for one in parts),
        disk_bytes=sum(one.disk_bytes for one in parts),
        seconds=sum(one.seconds for one in parts),
        cost_usd=sum(one.cost_usd for one in parts),
        produces=produces or {},
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


def own_file(given: ForecastInput) -> Forecast:
    """A file of the user's own, read and checked."""
    source = getattr(given.config, "source", None)
    return Forecast(seconds=2, produces={"n_pairs": (_lines(Path(source)) or 0) if source is not None else 0})


def pivot(given: ForecastInput) -> Forecast:
    """Whole samples that gate every prompt, then the search of the solutions of those in the range.

    Estimates say which prompts these are, so that no other one is sampled.
    """
    config = _config(given, PivotConfig)
    n = given.count("prompts", "n_pool")
    n_searched = round(n * FRAC_IN_RANGE)
    n_gated = n_searched if "estimates" in given.inputs else n
    n_solutions = n_searched * config.n_solutions
    n_completions = n_gated * config.n_gate + n_solutions * min(config.max_samples, USUAL_SEARCH)
    n_requests = n_gated + round(n_completions / config.batch)
    asked = _sampling(n, n_completions, config.max_tokens, given, given.engine, n_requests=n_requests)
    return replace(asked, produces={"n_pairs": round(n_solutions * PAIRS_PER_SOLUTION)})


def judge_pairs(given: ForecastInput) -> Forecast:
    """Every engine's responses to every prompt, and the judge's replies."""
    config = _config(given, JudgePairsConfig)
    n = given.count("prompts", "n_pool")
    answering = [*([given.engine] if config.own else []), *config.engines]
    n_each = n * config.n_responses
    parts = [_sampling(n, n_each, config.max_tokens, given, one, n_requests=n) for one in answering]
    k = len(answering) * config.n_responses
    # Each response alone, or each two of them in both orders.
    n_questions = n * (k if config.mode == "pointwise" else k * (k - 1))
    judge = config.judge or given.engine
    parts.append(_judging(n_questions, config, given, judge))
    return _summed(n, parts, {"n_pairs": round(n * FRAC_JUDGED_TO_PAIRS) if k > 1 else 0})


def _judging(n_questions: int, config: JudgePairsConfig, given: ForecastInput, judge: EngineConfig) -> Forecast:
    n_replies = n_questions * config.votes
    tokens = n_replies * min(REPLY_TOKENS, config.judge_max_tokens)
    tokens_in = n_questions * (PROMPT_TOKENS + JUDGED_TOKENS)
    dollars = (tokens_in * judge.usd_per_million_in + tokens * judge.usd_per_million_out) / 1e6
    return Forecast(
        completions=n_replies, tokens=tokens, disk_bytes=n_replies * ROW_BYTES, cost_usd=dollars, seconds=2.0
    )


def dpo(given: ForecastInput) -> Forecast:
    """Both continuations of every pair, each with its prompt, as often as they are used."""
    config = _config(given, DpoConfig)
    n_params = given.count("base", "n_params", 1_000_000)
    n_used = config.n_steps * config.pairs_per_step or given.count("preferences", "n_pairs") * config.n_epochs
    tokens = 2 * config.seeds * n_used * (PROMPT_TOKENS + CONTINUATION_TOKENS)
    disk = config.seeds * n_params * BYTES_PER_PARAMETER
    produces = {"n_runs": config.seeds, "n_params": n_params}
    return Forecast(tokens=tokens, disk_bytes=disk, seconds=10, produces=produces)


def evaluate(given: ForecastInput) -> Forecast:
    """Samples, and a greedy answer, of every model at every held-out question, and the judge's replies to them."""
    config = _config(given, EvaluateConfig)
    n = given.count("prompts", "n_heldout")
    # Models of the run are sampled from in process, whatever engine probing asks.
    own = given.engine if given.engine.is_local else EngineConfig.model_validate({})
    n_own = ("base" in given.inputs) + given.count("models", "n_runs")
    each = n * config.n_answers
    n_requests = n * ((config.n_samples > 0) + config.greedy)
    asked = [(own, n_own)] if n_own else []
    parts = [
        _sampling(n, n_models * each, config.max_tokens, given, engine, n_requests=n_models * n_requests)
        for engine, n_models in [*asked, *((engine, 1) for engine in config.beside)]
    ]
    if config.judge is not None:
        n_replies = _n_judged(given, n) * config.n_answers * (n_own + len(config.beside)) * config.votes
        parts.append(_replies(n_replies, config.votes, config.judge_max_tokens, config.judge))
    return _summed(n, parts)


def _n_judged(given: ForecastInput, n_questions: int) -> int:
    """Questions that a judge decides: those of the benchmarks that say so, or all where nobody has looked yet.

    A duel counts twice, for both orders are asked.
    """
    benchmarks = given.inputs.get("prompts", {}).get("benchmarks")
    if not isinstance(benchmarks, list):
        return n_questions
    verifiers = [{*str(one.get("verifier", "")).split(", ")} for one in benchmarks]
    times = [(1 + ("duel" in names)) * bool(set(JUDGED) & names) for names in verifiers]
    return sum(n * int(one.get("n_questions", 0)) for n, one in zip(times, benchmarks, strict=True))


def _replies(n_replies: int, votes: int, longest: int, judge: EngineConfig) -> Forecast:
    """A judge's replies, `votes` of which share one reading of what is judged."""
    tokens = n_replies * min(REPLY_TOKENS, longest)
    tokens_in = n_replies // votes * (PROMPT_TOKENS + JUDGED_TOKENS)
    dollars = (tokens_in * judge.usd_per_million_in + tokens * judge.usd_per_million_out) / 1e6
    return Forecast(
        completions=n_replies, tokens=tokens, disk_bytes=n_replies * ROW_BYTES, cost_usd=dollars, seconds=2.0
    )


def report(given: ForecastInput) -> Forecast:
    """A page."""
    return Forecast(disk_bytes=4 * 2**20, seconds=5)
