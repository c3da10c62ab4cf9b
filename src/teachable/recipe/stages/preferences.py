"""Preference pairs of the user's own, checked, in the shape in which the pivot stage hands on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.store.files import write_json, write_rows
from teachable.train.config import PreferencesConfig
from teachable.train.preferences import FILE, SIDES, Preference, Said, read_preferences


def run(ctx: StageContext) -> StageOutcome:
    """Read a file of pairs and write `preferences.parquet`, a row a pair, in the file's order.

    Raises:
        TeachableError: no file is named, it holds no pairs, or one of its rows is none.
    """
    source = ctx.config_as(PreferencesConfig).source
    if source is None:
        raise TeachableError("no file of preference pairs is named", where=f"{ctx.name}.source", mend="Name one")
    pairs = read_preferences(source)
    if not pairs:
        raise TeachableError("the file holds no preference pairs", where=str(source), mend="Name another one")
    _check_one_shape(pairs, source)
    write_rows(ctx.folder / FILE, [_row(pair) for pair in pairs])
    n_ids = sum(pair.token_ids is not None for pair in pairs)
    write_json(ctx.folder / "stats.json", {"source": str(source), "n_pairs": len(pairs), "n_with_token_ids": n_ids})
    return StageOutcome(note=f"{len(pairs):,} pairs of {source.name}", prompts=len(pairs))


def _check_one_shape(pairs: Sequence[Preference], source: Path) -> None:
    """A Parquet column is text or messages; a JSONL file may have been written with both."""
    shapes = [isinstance(pair.prompt, str) for pair in pairs]
    if len(set(shapes)) > 1:
        names = {True: "text", False: "messages"}
        odd = shapes.index(not shapes[0])
        raise TeachableError(
            f"this row holds {names[shapes[odd]]} and the first one {names[shapes[0]]}",
            where=pairs[odd].where,
            mend="Write all rows in one of the two ways",
        )


def _row(pair: Preference) -> Mapping[str, Any]:
    ids = pair.token_ids or (None, None, None)
    return {
        **{name: _plain(getattr(pair, name)) for name in SIDES},
        **{f"{name}_token_ids": list(its) if its else None for name, its in zip(SIDES, ids, strict=True)},
        "kind": "given",
    }


def _plain(said: Said) -> str | list[dict[str, str]]:
    if isinstance(said, str):
        return said
    return [{"role": message["role"], "content": message["content"]} for message in said]
