"""The recipes and starter files that come with the package."""

from __future__ import annotations

from pathlib import Path

from teachable.errors import TeachableError
from teachable.store.files import write_text

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
STARTER = RECIPES / "starter"
# The recipe first: it is what `teachable init` names as the next step.
_STARTER_FILES = ("recipe.yaml", "prompts.jsonl", "README.md")


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
    targets = [folder / name for name in _STARTER_FILES]
    for target in targets:
        if target.exists():
            raise TeachableError(
                f"{target.name} is there already and would be overwritten",
                where=str(folder),
                mend="Choose a new folder",
            )
    for target in targets:
        write_text(target, (STARTER / target.name).read_text(encoding="utf-8"))
    return targets
