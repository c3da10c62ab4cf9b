"""What a stage is to the recipe: its light half (`StageSpec`) and its heavy half (a `Runner`).

A spec holds everything that loading, planning and resuming need: kind, version, config class, inputs, costs.
It imports no model library, so that `teachable plan` and a finished run answer at once. The runner does the
work; the command line looks it up by kind, and imports it, only when a stage must run.

A runner is a function from a `StageContext` to a `StageOutcome`. It reads its inputs' folders, writes into
`ctx.folder` (and into the places that its spec names in `outside`), draws all randomness from `ctx.seed` and
its config, and reports through `ctx.on_progress`. It must leave the same bytes when it is killed and started
again: partial work of the same key is still in the folder then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.recipe.config import Resources
from teachable.records import OnProgress
from teachable.tasks.config import task_paths
from teachable.train.shapes import ModelShape

C = TypeVar("C", bound=BaseModel)


@dataclass(frozen=True)
class Forecast:
    """What a stage will cost, said before it runs.

    `tokens` are sampled or trained on; `disk_bytes` is what it adds to the run folder. `seconds` is the
    stated default for what does not grow with tokens, `cost_usd` the money at the engines' prices. `produces` are the
    counts that later stages will find in its `stats.json` (`n_pool`, `n_heldout`, ...), so that they can be forecast
    before it ran.

    Of a stage that trains: `steps` of the optimiser, all its models together; `n_devices` that each training is spread
    over; `device_bytes`, the memory that it needs on each, 0 where that is not known; `flops`, its arithmetic, and
    `work_s`, the seconds that this takes on the stated devices, 0 where tokens a second say it better. `basis` says
    what these rest on, or why they are not known.
    """

    prompts: int = 0
    completions: int = 0
    tokens: int = 0
    disk_bytes: int = 0
    seconds: float = 0.0
    produces: Mapping[str, Any] = field(default_factory=dict)
    cost_usd: float = 0.0
    steps: int = 0
    n_devices: int = 0
    device_bytes: int = 0
    flops: float = 0.0
    work_s: float = 0.0
    basis: str = ""


@dataclass(frozen=True)
class ForecastInput:
    """What a forecast may look at: the stage's config, and what each input has made or is expected to make.

    `shape` is the base's, or None, and `shape_from` says where it was found, or why it was not.
    """

    config: BaseModel
    base: str
    engine: EngineConfig
    inputs: Mapping[str, Mapping[str, Any]]
    resources: Resources = field(default_factory=lambda: Resources.model_validate({}))
    shape: ModelShape | None = None
    shape_from: str = ""

    def count(self, role: str, name: str, default: int = 0) -> int:
        """A count of an input's stats (a list counts as its length), or the default where it is not known."""
        value = self.inputs.get(role, {}).get(name, default)
        if isinstance(value, list | tuple):
            return len(value)
        return int(value) if isinstance(value, int | float) else default


@dataclass(frozen=True)
class SpendingLimits:
    """What a run folder may hold at most, over all stages and earlier runs; None is no limit.

    `max_cost_usd` is for prompt and sampled tokens together, `max_tokens` for sampled ones.
    """

    max_cost_usd: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Permissions:
    """What the user allows this time. A permission decides whether a stage is refused, never what it makes, so none
    enters a key.

    `refreeze` lists domains whose frozen set may be replaced.
    """

    refreeze: tuple[str, ...] = ()
    allow_regression: bool = False
    without_evidence: bool = False


@dataclass(frozen=True)
class StageContext:
    """Everything that a runner gets. `inputs` maps roles to the folders of complete stages.

    `on_interrupt` is to be told how many requests are still in flight when the user asks the stage to end, `say` gets
    sentences that the user should read whatever comes of the stage.
    """

    name: str
    config: BaseModel
    seed: int
    key: str
    base: str
    engine: EngineConfig
    resources: Resources
    run: Path
    folder: Path
    inputs: Mapping[str, Path]
    on_progress: OnProgress
    limits: SpendingLimits = field(default_factory=lambda: SpendingLimits())
    on_interrupt: Callable[[int], None] = lambda n_in_flight: None
    say: Callable[[str], None] = lambda sentence: None
    permissions: Permissions = field(default_factory=lambda: Permissions())

    @property
    def ledger_path(self) -> Path:
        """The run's ledger of completions."""
        return self.run / "ledger.sqlite"

    def config_as(self, kind: type[C]) -> C:
        """The config, with its type known to the reader and the type checker."""
        if not isinstance(self.config, kind):
            raise TypeError(f"stage {self.name} has a {type(self.config).__name__}, not a {kind.__name__}")
        return self.config

    def model_path(self, label: str) -> Path:
        """Where this stage keeps the model called `label` (covered by an `outside` of `models/{stage}-*`)."""
        return self.run / "models" / f"{self.name}-{label}"


@dataclass(frozen=True)
class StageOutcome:
    """What a stage reports of itself; its files speak for the rest.

    `tokens_in` and `tokens_out` are everything the result rests on; `tokens_spent` is what was really sampled
    or trained this time (None: all of it), which a resumed stage's rate is measured by. `requires` are paths
    that must still be there for the stage to be complete: absolute, or relative to the run folder. `model_digest`
    identifies the model made or found.
    """

    note: str = ""
    prompts: int = 0
    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_spent: int | None = None
    cost_usd: float = 0.0
    model_digest: str = ""
    requires: tuple[Path, ...] = ()


Runner: TypeAlias = Callable[[StageContext], StageOutcome]
RunnerFor: TypeAlias = Callable[[str], Runner]


def _no_cost(given: ForecastInput) -> Forecast:
    return Forecast()


@dataclass(frozen=True)
class StageSpec:
    """The light half of a stage.

    Args:
        kind: its name in recipes.
        version: an integer that is raised by hand when the same inputs give other outputs than before.
        config: its typed settings.
        needs: role -> the stage that fills it unless the recipe says otherwise.
        forecast: what it will cost.
        path_fields: config fields that name files or model folders (one or several); their contents enter the key.
        no_paths: values of such fields that are no paths.
        task_fields: config fields that hold tasks, such as `gsm8k=data/gsm8k.jsonl`; the contents of the files and
            folders that these name enter the key.
        uses_engine: it samples, so the recipe's `engine` enters the key.
        local_needs: roles that are filled only where the engine computes here, from the model that they hold.
        uses_base: it reads the recipe's `base` itself, so that enters the key.
        outside: patterns of what it writes outside its folder, `{stage}` standing for its name.
        tokens_per_s: the stated default rate, used until a run on this machine has measured one; 0 for a stage
            whose duration does not grow with tokens.
        optional: role -> the stage that fills it where the recipe has that stage; else the role is empty, unless the
            recipe names a stage for it.
        open_roles: a recipe may give it further inputs, under roles that it names itself.
    """

    kind: str
    version: int
    config: type[BaseModel]
    needs: Mapping[str, str] = field(default_factory=dict)
    forecast: Callable[[ForecastInput], Forecast] = _no_cost
    path_fields: tuple[str, ...] = ()
    no_paths: tuple[str, ...] = ()
    task_fields: tuple[str, ...] = ()
    uses_engine: bool = False
    local_needs: tuple[str, ...] = ()
    uses_base: bool = False
    outside: tuple[str, ...] = ()
    tokens_per_s: float = 0.0
    optional: Mapping[str, str] = field(default_factory=dict)
    open_roles: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a recipe may name a stage for."""
        return (*self.needs, *self.optional)

    def paths(self, config: BaseModel) -> list[Path]:
        """The files and model folders that a config names."""
        found: list[Path] = []
        for name in self.path_fields:
            value = getattr(config, name)
            items = value if isinstance(value, list | tuple) else [value]
            found += [Path(item) for item in items if item is not None and str(item) not in self.no_paths]
        tasks = [task for name in self.task_fields for task in getattr(config, name)]
        return [*found, *(Path(path) for task in tasks for path in task_paths(task))]

    def outside_of(self, stage: str) -> tuple[str, ...]:
        """The `outside` patterns for a stage of this name."""
        return tuple(pattern.replace("{stage}", stage) for pattern in self.outside)


Kinds: TypeAlias = Mapping[str, StageSpec]


def spec_of(kinds: Kinds, kind: str) -> StageSpec:
    """The spec of a kind.

    Raises:
        TeachableError: there is no such kind.
    """
    try:
        return kinds[kind]
    except KeyError as error:
        raise TeachableError(f"there is no stage kind {kind!r}; there are {', '.join(sorted(kinds))}") from error
