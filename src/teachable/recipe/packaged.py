"""The recipes and starter files that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.starter import starter_recipe
from teachable.store.files import write_text

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
STARTER = RECIPES / "starter"
_RECIPE = "recipe.yaml"
# What an own recipe needs other than by default: its prompts, and sizes that ten of them can fill, so that they can
# be seen going through all stages.
_STARTER_VALUES: dict[str, dict[str, Any]] = {
    "tasks": {"source": "prompts.jsonl", "heldout_frac": 0.3},
    "probe": {"max_tokens": 128},
    "select": {"arms": ["teachable", "random"], "budget_tokens": 1000, "max_epochs": 100},
    "sft": {"tokens_per_step": 128},
    "evaluate": {"max_tokens": 128},
}
_STARTER_STAGES = ("tasks", "pretrain", "probe", "select", "sft", "evaluate", "report")


def packaged_recipe(name: str, *, fast: bool = False) -> tuple[Path, list[Path]]:
    """A packaged recipe and the layers to lay over it: with `fast`, NAME.fast.yaml."""
    return RECIPES / f"{name}.yaml", [RECIPES / f"{name}.fast.yaml"] if fast else []


def write_starter(folder: Path) -> list[Path]:
    """Write the starter's files into a folder, made if it is not there. Nothing is overwritten.

    Raises:
        TeachableError: one of the files is there already, or the folder can't be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise TeachableError("this is a file, not a folder", where=str(folder), mend="Choose another folder")
    kinds = {kind: STAGE_KINDS[kind] for kind in _STARTER_STAGES}
    recipe = starter_recipe(kinds, _STARTER_VALUES, name="my-recipe", file=_RECIPE)
    # The recipe first: it is what `teachable init` names as the next step.
    texts = {folder / _RECIPE: recipe}
    texts |= {folder / path.name: path.read_text(encoding="utf-8") for path in sorted(STARTER.iterdir())}
    for target in texts:
        if target.exists():
            raise TeachableError(
                f"{target.name} is there already and would be overwritten",
                where=str(folder),
                mend="Choose a new folder",
            )
    for target, text in texts.items():
        write_text(target, text)
    return list(texts)
