"""The stages that recipes may use: their light halves. The heavy halves are in `recipe.stages`, a module a kind.

Adding a stage: a config class in the room's `config.py`, a `StageSpec` here, a module with `run` there.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from teachable.evaluate.config import EvaluateConfig
from teachable.explore.config import ExploreConfig
from teachable.pivot.config import PivotConfig
from teachable.prefer.config import JudgePairsConfig
from teachable.probe.config import ProbeConfig
from teachable.recipe import costs, synthesis_costs, training_costs
from teachable.recipe.spec import Kinds, StageSpec
from teachable.report.config import ReportConfig
from teachable.select.config import SelectConfig
from teachable.synthesize.config import DocumentsConfig, SynthesizeConfig
from teachable.synthesize.mixing.balance_config import BalanceConfig
from teachable.tasks.config import BUILT_IN, NO_SOURCE, TasksConfig
from teachable.train.config import DpoConfig, PreferencesConfig, PretrainConfig, SftConfig
from teachable.train.tune_config import AblateConfig, AddConfig, ScaleConfig, TuneConfig


class ModelsConfig(BaseModel):
    """Models that are there already, to be evaluated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[Path, ...] = Field((), description="model folders")


class EstimatesConfig(BaseModel):
    """Estimates that are there already, of another run's probing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path | None = Field(None, description="an estimates.parquet")
    attempts: Path | None = Field(None, description="the attempts.parquet that they rest on; null: not known")


_SPECS = (
    StageSpec(
        "tasks",
        4,
        TasksConfig,
        forecast=costs.tasks,
        path_fields=("source",),
        no_paths=(BUILT_IN, NO_SOURCE),
        task_fields=("benchmarks",),
    ),
    StageSpec("documents", 1, DocumentsConfig, forecast=costs.documents, path_fields=("source",)),
    StageSpec(
        "synthesize",
        1,
        SynthesizeConfig,
        optional={"seeds": "documents", "heldout": "tasks", "base": "pretrain"},
        forecast=synthesis_costs.synthesize,
        path_fields=("templates", "file"),
        uses_engine=True,
        tokens_per_s=10_000,
        open_roles=True,
    ),
    StageSpec(
        "balance",
        1,
        BalanceConfig,
        needs={"organic": "tasks"},
        forecast=synthesis_costs.balance,
        path_fields=("tokenizer", "embedding"),
        open_roles=True,
    ),
    StageSpec("pretrain", 1, PretrainConfig, forecast=costs.pretrain, uses_base=True, tokens_per_s=20_000),
    StageSpec(
        "probe",
        3,
        ProbeConfig,
        needs={"prompts": "tasks", "base": "pretrain"},
        forecast=costs.probe,
        uses_engine=True,
        local_needs=("base",),
        tokens_per_s=10_000,
    ),
    StageSpec(
        "select",
        3,
        SelectConfig,
        needs={"prompts": "tasks", "estimates": "probe", "base": "pretrain"},
        forecast=costs.select,
        local_needs=("base",),
    ),
    StageSpec(
        "sft",
        2,
        SftConfig,
        needs={"examples": "select", "base": "pretrain"},
        optional={"heldout": "tasks"},
        forecast=costs.sft,
        outside=("models/{stage}-*",),
        tokens_per_s=12_000,
    ),
    StageSpec(
        "tune",
        1,
        TuneConfig,
        needs={"examples": "select", "prompts": "tasks", "base": "pretrain"},
        forecast=training_costs.tune,
        tokens_per_s=6_000,
    ),
    StageSpec(
        "add",
        1,
        AddConfig,
        needs={"tuned": "tune", "prompts": "tasks", "base": "pretrain"},
        forecast=training_costs.add,
        tokens_per_s=6_000,
    ),
    StageSpec(
        "explore",
        1,
        ExploreConfig,
        needs={"examples": "select", "prompts": "tasks", "base": "pretrain"},
        forecast=training_costs.explore,
        tokens_per_s=6_000,
    ),
    StageSpec(
        "scale",
        1,
        ScaleConfig,
        needs={"examples": "select", "prompts": "tasks", "base": "pretrain"},
        forecast=training_costs.scale,
        path_fields=("evidence",),
        tokens_per_s=6_000,
    ),
    StageSpec(
        "ablate",
        1,
        AblateConfig,
        needs={"examples": "select", "prompts": "tasks", "base": "pretrain"},
        forecast=training_costs.ablate,
        tokens_per_s=6_000,
    ),
    StageSpec("models", 1, ModelsConfig, forecast=costs.models, path_fields=("paths",)),
    StageSpec(
        "evaluate",
        3,
        EvaluateConfig,
        needs={"prompts": "tasks"},
        optional={"base": "pretrain", "models": "sft"},
        forecast=costs.evaluate,
        uses_engine=True,
        tokens_per_s=10_000,
    ),
    StageSpec(
        "estimates",
        1,
        EstimatesConfig,
        needs={"prompts": "tasks"},
        forecast=costs.own_file,
        path_fields=("source", "attempts"),
    ),
    StageSpec(
        "pivot",
        1,
        PivotConfig,
        needs={"prompts": "tasks", "base": "pretrain"},
        optional={"estimates": "probe"},
        forecast=costs.pivot,
        uses_engine=True,
        local_needs=("base",),
        tokens_per_s=8_000,
    ),
    StageSpec(
        "judge_pairs",
        1,
        JudgePairsConfig,
        needs={"prompts": "tasks", "base": "pretrain"},
        forecast=costs.judge_pairs,
        uses_engine=True,
        local_needs=("base",),
        tokens_per_s=10_000,
    ),
    StageSpec("preferences", 1, PreferencesConfig, forecast=costs.own_file, path_fields=("source",)),
    StageSpec(
        "dpo",
        2,
        DpoConfig,
        needs={"preferences": "pivot", "base": "pretrain"},
        optional={"heldout": "tasks"},
        forecast=costs.dpo,
        outside=("models/{stage}-*",),
        tokens_per_s=6_000,
    ),
    StageSpec(
        "judge_dpo",
        2,
        DpoConfig,
        needs={"preferences": "judge_pairs", "base": "dpo"},
        optional={"heldout": "tasks"},
        forecast=costs.dpo,
        outside=("models/{stage}-*",),
        tokens_per_s=6_000,
    ),
    StageSpec(
        "report",
        4,
        ReportConfig,
        needs={"tasks": "tasks"},
        optional={
            role: role
            for role in (
                *("pretrain", "probe", "select", "sft", "evaluate", "pivot", "dpo", "judge_pairs", "judge_dpo"),
                *("tune", "add", "explore", "scale", "ablate"),
            )
        },
        forecast=costs.report,
        outside=("report.html", "report.md", "report.json"),
    ),
)

STAGE_KINDS: Kinds = {spec.kind: spec for spec in _SPECS}
