"""Models that the user names, in the shape in which the sft stage hands on its own."""

from __future__ import annotations

from pathlib import Path

from teachable.recipe.base import check_model_folder
from teachable.recipe.kinds import ModelsConfig
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.store.digest import digest, model_digest
from teachable.store.files import write_json, write_rows


def run(ctx: StageContext) -> StageOutcome:
    """Write one row a model; its arm is its folder's name, made unlike the others' by a number where need be."""
    config = ctx.config_as(ModelsConfig)
    rows: list[dict[str, object]] = []
    for path in config.paths:
        check_model_folder(path, f"model {path}")
        rows.append({"arm": _unlike(path.name, rows), "seed": 0, "path": str(path), "digest": model_digest(path)})
    write_rows(ctx.folder / "runs.parquet", rows)
    write_json(ctx.folder / "stats.json", {"arms": [row["arm"] for row in rows], "seeds": [0], "n_runs": len(rows)})
    return StageOutcome(
        note=f"{len(rows)} models",
        model_digest=digest([row["digest"] for row in rows]),
        requires=tuple(Path(path) for path in config.paths),
    )


def _unlike(name: str, rows: list[dict[str, object]]) -> str:
    taken = {row["arm"] for row in rows}
    # "base" is what the scores call the base model.
    candidates = [name, *(f"{name}.{n}" for n in range(2, len(rows) + 3))]
    return next(one for one in candidates if one not in taken and one != "base")
