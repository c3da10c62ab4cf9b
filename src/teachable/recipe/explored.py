"""What a search hands on: the recipe of the long run, the evidence beside it, and the check before that run.

The recipe is that of the run it comes from, as far as the search needed it, and a stage `scale` with the winner's mix
and settings. It has the run's name, so that the long run goes into the same folder and nothing before it is done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from teachable.errors import TeachableError
from teachable.explore.evidence import Gain, differences, normalised, settings_digest, settings_of
from teachable.explore.trial import PLAIN, Trial
from teachable.recipe.graph import ancestors
from teachable.recipe.spec import StageContext
from teachable.store.files import read_json
from teachable.train.tune_config import ScaleConfig, TrainingConfig

SCALE = "scale"
RECIPE, EVIDENCE = "recipe.yaml", "evidence.json"
AT_TOP = "explored.yaml"
EVALUATIONS = 20  # of a long run along the way, on the questions that steer
_HEAD = (
    "# What a search found, as a recipe: teachable scale {name}\n"
    "# The evidence is {evidence}, and is for these settings of scale alone.\n"
)


def recipe_text(ctx: StageContext, scale: Mapping[str, Any], *, file: str) -> str:
    """The recipe: the stages of this run that the search needed, and `scale`.

    Args:
        scale: the fields of the stage.
        file: what the recipe will be called.
    """
    document = read_yaml(ctx.run / "run.yaml")
    stages: dict[str, Any] = document["stages"]
    needs = {name: tuple((fields.get("needs") or {}).values()) for name, fields in stages.items()}
    wanted = ancestors(needs, ctx.name) - {ctx.name}
    kept = {name: fields for name, fields in stages.items() if name in wanted}
    filled = {role: folder.name for role, folder in ctx.inputs.items()}
    document["stages"] = {**kept, SCALE: {"kind": SCALE, "needs": filled, **scale}}
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return _HEAD.format(name=file, evidence=EVIDENCE) + body


def read_yaml(path: Path) -> dict[str, Any]:
    """A recipe's document as it stands."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def scale_fields(trial: Trial, *, n_tokens: int, n_examples: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The stage `scale` that takes a trial's settings further.

    Args:
        n_tokens: of the long run.
        n_examples: how many that makes, repeats included.
        asked: fields of the search that hold for the long run too, such as how questions are asked.
    """
    n_steps = -(-n_examples // trial.training.batch_size)
    return {
        "mix": normalised(trial.mix),
        "n_tokens": n_tokens,
        **trial.training.model_dump(mode="json"),
        "max_steps": n_steps,
        "max_epochs": 1,
        "eval_every": max(1, n_steps // EVALUATIONS),
        **asked,
        "evidence": EVIDENCE,
    }


def evidence_document(
    trial: Trial, base: str, gain: Gain, over_plain: Gain | None, told: Mapping[str, Any]
) -> dict[str, Any]:
    """What `check_evidence` reads, and what a reader wants to know.

    Args:
        base: the base model's digest.
        gain: of the winner over the base, on questions that chose nothing.
        over_plain: over the plain settings; None where these won, or could not be trained.
        told: further facts.
    """
    return {
        "sentence": sentence(trial, gain, over_plain),
        "consistent": gain.consistent,
        "gain": gain.document(),
        "over_plain": over_plain.document() if over_plain is not None else None,
        "trial": trial.number,
        "settings_digest": settings_digest(trial.mix, trial.training, base),
        "mix": normalised(trial.mix),
        "training": settings_of(trial.training),
        "base": base,
        **told,
    }


def sentence(trial: Trial, gain: Gain, over_plain: Gain | None) -> str:
    """What the search has shown."""
    who = f"Trial {trial.number}" if trial.number != PLAIN else "The plain settings"
    if gain.consistent:
        first = f"{who} won and gains over the base: {gain.sentence}, so a long run has evidence"
    else:
        first = (
            f"{who} won, but the gain over the base is not consistent: {gain.sentence}, so a long run has no evidence"
        )
    if over_plain is None and trial.number == PLAIN:
        return f"{first}. No trial beat the plain settings."
    if over_plain is None:
        return f"{first}. It can't be compared with the plain settings, whose training failed."
    if over_plain.consistent:
        return f"{first}. It is better than the plain settings: {over_plain.sentence}."
    if over_plain.high < 0:
        return f"{first}. But it is worse than the plain settings: {over_plain.sentence}."
    return f"{first}. It can't be told from the plain settings: {over_plain.sentence}."


def check_evidence(
    ctx: StageContext, config: ScaleConfig, mix: Mapping[str, float], base: str
) -> dict[str, Any] | None:
    """The evidence for these settings; None where there is none and the user allowed to go on without.

    Args:
        config: the long run's settings.
        mix: its mix as shares.
        base: the digest of its base model.

    Raises:
        TeachableError: there is none, it is for other settings, or the gain that it tells of is not above zero; and
            nobody allowed to go on.
    """
    fault = _fault(config.evidence, mix, config, base)
    if fault is None and config.evidence is not None:
        told: dict[str, Any] = read_json(config.evidence)
        return told
    if ctx.permissions.without_evidence:
        ctx.say(f"{fault}; the long run begins all the same, since that was allowed")
        return None
    raise TeachableError(
        str(fault),
        where=ctx.name,
        mend="Run `teachable explore` and scale the recipe that it writes, or allow it with --without-evidence",
    )


def _fault(path: Path | None, mix: Mapping[str, float], training: TrainingConfig, base: str) -> str | None:
    """What is wrong with the evidence at `path`, in words without a full stop; None where nothing is."""
    if path is None:
        return "this recipe names no evidence that its settings gain anything"
    told = read_json(path)
    gain = told.get("gain") if isinstance(told, dict) else None
    if not isinstance(gain, dict) or not isinstance(gain.get("low"), int | float) or "settings_digest" not in told:
        return f"{path} is no evidence of a search"
    if told["settings_digest"] != settings_digest(mix, training, base):
        changed = differences(told, mix, training, base)
        return f"the evidence is for other settings ({', '.join(changed[:4])}{', ...' if len(changed) > 4 else ''})"
    if not gain["low"] > 0:
        points = f"{100 * gain['mean']:+.1f} points ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        return f"the evidence is of no consistent gain: {points} over the base, an interval that is not above zero"
    return None
