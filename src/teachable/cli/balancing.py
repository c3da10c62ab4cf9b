"""`teachable balance`: the command, its options, and what it prints.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Json, Map
from teachable.cli.placing import validated
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.recipe.balanced_file import BalancedFile
    from teachable.synthesize.mixing.balance_config import BalanceConfig

_SETTABLE = "balance.FIELD"


def balance(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="where to write; made if it is not there")],
    organic: Annotated[
        list[Path] | None,
        typer.Option("--organic", metavar="FILE", help="JSONL, Parquet, or a stage's folder; may be repeated"),
    ] = None,
    synthetic: Annotated[
        list[Path] | None,
        typer.Option("--synthetic", metavar="FILE", help="the same, or a folder of synthesize; may be repeated"),
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", min=0, max=1, help="of synthetic rows in the mix; 0.5")
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="UNIT", help="of the share: examples, characters or tokens")
    ] = None,
    total: Annotated[int | None, typer.Option("--total", min=1, help="size of the mix, in that unit")] = None,
    embedding: Annotated[
        Path | None, typer.Option("--embedding", metavar="DIR", help="an embedding model, for the spread of meanings")
    ] = None,
    columns: Map = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help=f"set a field: {_SETTABLE}; may be repeated"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the choice and of the order")] = 0,
    as_json: Json = False,
) -> None:
    """Mix organic and synthetic rows by a stated share, and report diversity before and after."""
    with ending(out):
        from teachable.cli.show import print_json, watching
        from teachable.cli.work import mapped
        from teachable.recipe.balanced_file import balance_files

        given = {"share": share, "unit": unit, "total": total, "embedding": embedding}
        config = settings({name: value for name, value in given.items() if value is not None}, sets or [])
        around, watcher = watching()
        with around:
            done = balance_files(
                organic or [],
                synthetic or [],
                out,
                config,
                watcher=watcher,
                columns=mapped(columns)["tasks"]["columns"] if columns else {},
                seed=seed,
            )
        if as_json:
            print_json({"out": str(out), "up_to_date": done.up_to_date, **done.stats})
        else:
            print(balanced_text(done))


def settings(fields: Mapping[str, Any], sets: Sequence[str]) -> BalanceConfig:
    """The settings that the options stand for.

    Args:
        fields: of the config, by options of their own.
        sets: the `--set` options, laid over all the others.

    Raises:
        TeachableError: a field that there is not, or a value that it can't have.
    """
    from teachable.recipe.source import Source, overridden
    from teachable.synthesize.mixing.balance_config import BalanceConfig

    document = overridden(Source({"balance": dict(fields)}, {}, "balance"), sets, ()).document
    unknown = [name for name in document if name != "balance"]
    if unknown or not isinstance(document["balance"], Mapping):
        name = unknown[0] if unknown else "balance"
        raise TeachableError(f"there is no {name!r} to set", where="--set", mend=f"There is {_SETTABLE}")
    fields_there = f"Its fields: {', '.join(BalanceConfig.model_fields)}"
    return validated(BalanceConfig, document["balance"], "--set" if sets else "balance", fields_there)


# ---- for people ----


def balanced_text(done: BalancedFile) -> str:
    """The summary: diversity, what went in by stratum, the warnings, where the mix is."""
    stats = done.stats
    how = "everything is up to date" if done.up_to_date else f"{stats['seconds']:,.1f} s"
    rows = stats["rows"]
    last = (
        f"balance: {how}; {rows.get('organic', 0):,} of {stats['n_organic']:,} organic and "
        f"{rows.get('synthetic', 0):,} of {stats['n_synthetic']:,} synthetic rows, {stats['share']:.1%} synthetic by "
        f"{stats['unit']}, in {done.folder / 'examples.jsonl'}"
    )
    parts = [_strata(stats), _diversity(stats), "\n".join(f"! {one}" for one in stats["warnings"]), last]
    return "\n\n".join(part for part in parts if part)


def _strata(stats: Mapping[str, Any]) -> str:
    from teachable.cli.show import aligned

    lines = [["side", "domain", "rows"]]
    for side, strata in stats["strata"].items():
        lines += [[side, name, f"{n:,}"] for name, n in strata.items()]
    return aligned(lines, left=(0, 1)) if len(lines) > 1 else ""


def _diversity(stats: Mapping[str, Any]) -> str:
    """Every measure of both sides and of the mix at equal size, with the ratio's interval."""
    from teachable.cli.show import aligned

    found = stats["diversity"]
    if not found["n_texts"]:
        return ""
    lines = [["diversity", "organic", "synthetic", "mixed", "synthetic / organic", ""]]
    for one in found["measures"]:
        numbers = ["" if one[name] is None else f"{one[name]:.3g}" for name in ("organic", "synthetic", "mixed")]
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.0%} ({one['low']:.0%} to {one['high']:.0%})"
        lines.append([one["measure"], *numbers, ratio, "collapsed" if one["collapsed"] else ""])
    covered = f"; synthetic rows reach the topics of {found['coverage']:.0%} of the organic ones"
    return f"{aligned(lines)}\nat {found['n_texts']:,} texts a side{covered}"
