"""What the stages that train by domains will cost: tokens, steps, memory on each device, device-hours, disk.

Steps are the most that a stage may take; a plateau ends most trainings sooner. Before the selection has been made, an
example is counted at a stated number of tokens, and a pack as one example as long as it is wide, which is the most that
its attention can cost. The sampled answers that steer and judge a training are not counted.

Arithmetic becomes time by the peak of a device and the share of it that a training reaches; both are stated here, and
the plan says that it rests on them until a training on this machine has been timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from teachable.explore.config import ExploreConfig
from teachable.recipe.accelerating import n_devices, n_shards
from teachable.recipe.costs import BYTES_PER_PARAMETER, PROMPT_TOKENS
from teachable.recipe.spec import Forecast, ForecastInput
from teachable.train.config import SMALL_PARAMS, LoraConfig
from teachable.train.memory import Layout, memory_needed, train_flops
from teachable.train.tune_config import AblateConfig, AddConfig, ScaleConfig, TrainingConfig, TuneConfig

C = TypeVar("C", bound=BaseModel)

LAUNCHED = ("tune", "add", "explore", "scale")  # kinds whose trainings may be spread over several devices
EXAMPLE_TOKENS = 2 * PROMPT_TOKENS  # of a prompt and its response, before any has been counted
USUAL_DOMAINS = 4
USUAL_WIDTH = 1024  # of a pack, where max_length is 0
DEVICE_TFLOPS = 989.0  # an NVIDIA H100 (SXM) in bf16 without sparsity, by its data sheet
UTILISATION = 0.4  # of that peak: 38 to 43 % for Llama 3 405B (arXiv:2407.21783, table 4)


def _config(given: ForecastInput, kind: type[C]) -> C:
    if not isinstance(given.config, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(given.config).__name__}")
    return given.config


def _n_params(given: ForecastInput) -> int:
    return given.count("base", "n_params") or (given.shape.n_params if given.shape else 1_000_000)


def _disk(given: ForecastInput, n_models: int) -> int:
    return n_models * _n_params(given) * BYTES_PER_PARAMETER


def _selected(given: ForecastInput) -> tuple[int, int]:
    """Examples of the pool, and their tokens, once these are counted; 0 and 0 before."""
    selected = given.inputs.get("examples", {}).get("selected")
    return (int(selected["n"]), int(selected["n_tokens"])) if isinstance(selected, Mapping) else (0, 0)


def _length(given: ForecastInput, config: TrainingConfig) -> int:
    """Tokens of an example, on average: counted ones, else a stated number; of packs that nobody has counted, all."""
    n, n_tokens = _selected(given)
    width = _width(given, config)
    usual = n_tokens // n if n else width if config.packing else EXAMPLE_TOKENS
    return max(1, min(usual, width))


def _width(given: ForecastInput, config: TrainingConfig) -> int:
    """Tokens of the longest row: as asked for, but no more than the base reads."""
    return min(config.max_length or USUAL_WIDTH, (given.shape.context if given.shape else 0) or 2**62)


def _in_bf16(given: ForecastInput) -> bool:
    """Whether a GPU computes; where that is left open, a small model is taken to stay on the CPU."""
    device = given.resources.device
    return device == "cuda" or (device == "auto" and _n_params(given) >= SMALL_PARAMS)


def _step_tokens(given: ForecastInput, config: TrainingConfig) -> int:
    """Tokens of one optimiser step: of packs their whole width, of examples their length."""
    return config.batch_size * (_width(given, config) if config.packing else _length(given, config))


def _training(
    given: ForecastInput, config: TrainingConfig, *, steps: int, tokens: int, n_models: int, **produces: Any
) -> Forecast:
    """What trainings of `steps` and `tokens` altogether need, one after the other, that leave `n_models`."""
    n, shards = n_devices(given.resources), n_shards(given.resources)
    a_device = -(-config.batch_size // n)
    rows = min(config.rows_at_once or a_device, a_device)
    layout = Layout(
        rows=rows,
        length=_width(given, config),
        n_processes=shards if shards > 1 else n,
        sharded=shards > 1,
        checkpointing=config.gradient_checkpointing,
        lora_r=config.lora.r,
        bf16=_in_bf16(given),
        packed=config.packing,
        accumulated=rows < a_device,
    )
    length = _length(given, config)
    return _forecast(given, layout, config.lora, n, steps, tokens, length, n_models, produces)


def _forecast(
    given: ForecastInput,
    layout: Layout,
    lora: LoraConfig,
    n: int,
    steps: int,
    tokens: int,
    length: int,
    n_models: int,
    produces: Mapping[str, Any],
) -> Forecast:
    shape, flops, work_s, needed = given.shape, 0.0, 0.0, 0
    basis = f"memory and arithmetic are not known: {given.shape_from}"
    if shape is not None:
        flops = train_flops(shape, tokens, length, lora=lora.r > 0)
        needed = memory_needed(shape, layout).total
        basis = f"{shape.n_params:,} parameters, {given.shape_from}"
        if shape.n_params >= SMALL_PARAMS:  # smaller ones wait for other things than arithmetic
            peak = given.resources.device_tflops or DEVICE_TFLOPS
            done = train_flops(shape, tokens, length, lora=lora.r > 0, checkpointing=layout.checkpointing)
            work_s = done / (n * peak * 1e12 * UTILISATION)
            basis += f"; {peak:g} TFLOP/s a device, {UTILISATION:.0%} of it reached"
    return Forecast(
        tokens=tokens,
        disk_bytes=_disk(given, n_models),
        seconds=10,
        produces=produces,
        steps=steps,
        n_devices=n,
        device_bytes=needed,
        flops=flops,
        work_s=work_s,
        basis=basis,
    )


def tune(given: ForecastInput) -> Forecast:
    """The most steps of every domain and seed."""
    config = _config(given, TuneConfig)
    n_runs = (len(config.domains) or USUAL_DOMAINS) * config.seeds
    n_examples, n_tokens = _selected(given)
    steps, tokens = n_runs * config.max_steps, n_runs * config.max_steps * _step_tokens(given, config)
    if n_examples and not config.packing:  # each domain's share of the examples, as often as they are allowed
        by_epochs = config.seeds * config.max_epochs * n_tokens
        steps, tokens = min(steps, -(-steps * by_epochs // max(tokens, 1))), min(tokens, by_epochs)
    produces = {"n_runs": n_runs, "tokens_max": tokens, "settings": config.model_dump(mode="json")}
    return _training(given, config, steps=steps, tokens=tokens, n_models=n_runs, **produces)


def add(given: ForecastInput) -> Forecast:
    """Domains added to those before: trained on as much as these were, or merged without training."""
    config = _config(given, AddConfig)
    n_runs = given.count("tuned", "n_runs", USUAL_DOMAINS)
    if config.way == "weights":
        return Forecast(disk_bytes=_disk(given, n_runs), seconds=10, produces={"n_runs": n_runs})
    settings = given.inputs.get("tuned", {}).get("settings")
    known = {name: value for name, value in (settings or {}).items() if name in TrainingConfig.model_fields}
    training = TrainingConfig.model_validate(known)
    tokens = given.count("tuned", "tokens") or given.count("tuned", "tokens_max")
    steps = -(-tokens // _step_tokens(given, training))
    return _training(given, training, steps=steps, tokens=tokens, n_models=n_runs, n_runs=n_runs)


def explore(given: ForecastInput) -> Forecast:
    """Every round has the same tokens, on fewer trials; the winner and the plain settings are confirmed."""
    config = _config(given, ExploreConfig)
    last = config.first_tokens * config.eta ** (config.n_rounds - 1)
    tokens = config.n_rounds * config.n_trials * config.seeds * config.first_tokens + 2 * config.confirm_seeds * last
    steps = -(-tokens // _step_tokens(given, config.training))
    return _training(given, config.training, steps=steps, tokens=tokens, n_models=1)


def scale(given: ForecastInput) -> Forecast:
    """The long run: its tokens, or the most steps."""
    config = _config(given, ScaleConfig)
    a_step = _step_tokens(given, config)
    a_run = min(config.n_tokens or 2**62, config.max_steps * a_step)
    steps, tokens = config.seeds * -(-a_run // a_step), config.seeds * a_run
    return _training(given, config, steps=steps, tokens=tokens, n_models=config.seeds, n_runs=config.seeds)


def ablate(given: ForecastInput) -> Forecast:
    """One training a set of examples, on one device."""
    config = _config(given, AblateConfig)
    tokens = given.count("examples", "arms", 1) * given.count("examples", "budget_tokens")
    rows = max(1, config.tokens_per_step // EXAMPLE_TOKENS)
    layout = Layout(rows=rows, length=EXAMPLE_TOKENS, bf16=_in_bf16(given))
    steps = -(-tokens // config.tokens_per_step)
    return _forecast(given, layout, LoraConfig(), 1, steps, tokens, EXAMPLE_TOKENS, 0, {})
