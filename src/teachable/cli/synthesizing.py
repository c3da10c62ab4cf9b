"""`teachable synthesize`: the command, its options, and what it prints.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import ENGINE, Json, Map, MaxCost, MaxTokens
from teachable.cli.placing import engine_at, validated
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.engines.config import EngineConfig
    from teachable.recipe.synthesized_file import SynthesizedFile
    from teachable.synthesize.config import SynthesizeConfig


RULES = "rules"
_SETTABLE = "options.FIELD, writing.FIELD, gates.FIELD, documents.FIELD, engine.FIELD"
_MEND = f"What may be set: {_SETTABLE}"
_PARTS = ("options", "writing", "gates", "documents", "engine")


def synthesize(
    workflow: Annotated[
        str | None,
        typer.Argument(
            metavar="WORKFLOW",
            help="questions, rewrite, augment, revise, agents, reverse, verifiable, answers, responses, code, "
            "translate, safety, or FILE.py:NAME",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT", help="a folder of documents, a document, or JSONL or Parquet of documents or prompts"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where to write; made if it is not there")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="ENGINE", help=f"who writes: {ENGINE}, or rules (verifiable)")
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE=ENGINE", help="an engine of its own for a role; may be repeated"),
    ] = None,
    templates: Annotated[
        Path | None, typer.Option("--templates", metavar="DIR", help="templates that go before the packaged ones")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export-templates", metavar="DIR", help="write the packaged templates into DIR, no more"),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="most seeds that are worked on")] = None,
    heldout: Annotated[
        list[str] | None,
        typer.Option("--heldout", metavar="TASK", help="questions that nothing may overlap; may be repeated"),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="DIR", help="outputs that nothing may repeat; may be repeated"),
    ] = None,
    chat: Annotated[
        str | None,
        typer.Option("--chat", metavar="FORM", help="a column text beside messages: chatml, or base. messages: none"),
    ] = None,
    columns: Map = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help=f"set a field: {_SETTABLE}; may be repeated"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of everything that is asked")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what it would ask and cost; ask nothing")] = False,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    as_json: Json = False,
) -> None:
    """Make prompts and examples of documents, prompts or code, each proved as far as it can be."""
    with ending(out):
        if export is not None:
            _export(export, as_json=as_json)
            return
        if workflow is None or (out is None and not dry_run):
            raise TeachableError(
                "no workflow is named" if workflow is None else "nowhere to write",
                where="synthesize",
                mend="Write teachable synthesize WORKFLOW INPUT --engine ENGINE --out DIR",
            )
        from teachable.cli.show import print_json, watching
        from teachable.cli.work import mapped
        from teachable.recipe.spec import Forecast, SpendingLimits
        from teachable.recipe.synthesized_file import GivenSeeds, forecast_text, synthesize_file

        fields = {"templates": templates, "limit": limit, "chat": chat}
        config, documents, writer = settings(workflow, engine, roles or [], fields, sets or [])
        given = GivenSeeds(source, documents, mapped(columns)["tasks"]["columns"] if columns else {})
        around, watcher = watching()
        with around:
            done = synthesize_file(
                given,
                out or Path(),
                config,
                watcher=watcher,
                engine=writer,
                heldout=heldout or [],
                against=against or [],
                seed=seed,
                limits=SpendingLimits(max_cost, max_tokens),
                dry_run=dry_run,
            )
        if isinstance(done, Forecast):
            names = ("prompts", "completions", "tokens", "cost_usd")
            expected = {"seeds" if name == "prompts" else name: getattr(done, name) for name in names}
            print_json(expected) if as_json else print(forecast_text(done))
        elif as_json:
            print_json({"out": str(out), "up_to_date": done.up_to_date, **done.stats})
        else:
            print(synthesized_text(done))


def _export(folder: Path, *, as_json: bool) -> None:
    from teachable.cli.show import print_json
    from teachable.synthesize.templates import export_templates, packaged_templates

    written = export_templates(folder)
    if as_json:
        print_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    n_kept = len(packaged_templates()) - len(written)
    kept = f"; {n_kept} were there already and stay as they are" if n_kept else ""
    print(f"{len(written)} templates written to {folder}{kept}; use them with --templates {folder}")


def settings(
    workflow: str, engine: str | None, roles: Sequence[str], fields: Mapping[str, Any], sets: Sequence[str]
) -> tuple[SynthesizeConfig, Any, EngineConfig | None]:
    """The settings that the options stand for: of the workflow, of reading documents, and who writes.

    Raises:
        TeachableError: one of them is no engine, has no model, or sets a field that there is not.
    """
    from teachable.cli.work import engine_settings
    from teachable.recipe.source import Source, overridden
    from teachable.synthesize.config import DocumentsConfig, SynthesizeConfig

    document: dict[str, Any] = {name: {} for name in _PARTS}
    by_rules = engine == RULES
    if engine is not None and not by_rules:
        document["engine"] = engine_settings(engine, "--engine")
    document = overridden(Source(document, {}, "synthesize"), sets, ()).document
    if unknown := [name for name in document if name not in _PARTS]:
        raise TeachableError(f"there is no {unknown[0]!r} to set", where="--set", mend=f"There are {_SETTABLE}")
    for name in _PARTS:
        if not isinstance(document[name], Mapping):
            raise TeachableError(f"{name} is no field but holds fields", where="--set", mend=f"There are {_SETTABLE}")
    file, colon, name = workflow.rpartition(":")
    own = bool(colon) and file.endswith(".py")
    values = {key: value for key, value in fields.items() if value is not None}
    values |= {"workflow": name if own else workflow, "rules": by_rules}
    if own:
        values["file"] = Path(file).resolve()
    values |= {part: document[part] for part in ("options", "writing", "gates")}
    given = [(role, engine_settings(text, "--role")) for role, text in _roles(roles)]
    values["engines"] = {role: engine_at(one, "--role", _MEND) for role, one in given}
    config = validated(SynthesizeConfig, values, "--set" if sets else "synthesize", _MEND)
    documents = validated(DocumentsConfig, document["documents"], "--set", _MEND)
    if not document["engine"]:
        return config, documents, None
    return config, documents, engine_at(document["engine"], "--engine", _MEND)


def _roles(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Role and engine of every --role."""
    found = []
    for text in texts:
        role, equals, engine = text.partition("=")
        if not equals or not role.strip() or not engine.strip():
            raise TeachableError(f"{text!r} gives no role an engine", where="--role", mend="Write ROLE=ENGINE")
        found.append((role.strip(), engine.strip()))
    return found


# ---- for people ----


def synthesized_text(done: SynthesizedFile) -> str:
    """The summary: the yield table, what it cost, where the files are."""
    stats = done.stats
    cost = f", ${stats['cost_usd']:,.2f}" if stats["cost_usd"] else ""
    how = "everything is up to date" if done.up_to_date else f"{stats['n_seeds']:,} seeds in {stats['seconds']:,.1f} s"
    asked = f", {stats['completions']:,} completions, {stats['tokens']:,} tokens{cost}" if stats["completions"] else ""
    n_examples = f", {stats['n_examples']:,} of them with a response in examples.jsonl" if stats["n_examples"] else ""
    review = f"; {stats['n_review']:,} rows to look at in review.jsonl" if stats["n_review"] else ""
    end = (
        f"synthesize {stats['workflow']}: {how}{asked}; {stats['n_outputs']:,} prompts in "
        f"{done.folder / 'prompts.parquet'}{n_examples}{review}"
    )
    return f"{yield_table(stats['steps'])}\n\n{end}"


def yield_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where items were lost: what went into each step and each gate, what came out, and why the rest did not."""
    from teachable.cli.show import aligned

    lines = [["step", "in", "out", "retried", "failed", "dropped because"]]
    for row in rows:
        if row["kind"] == "gate" and not row["in"]:
            continue
        retried = sum(row["retried"].values())
        reasons = "; ".join(f"{reason} ({n:,})" for reason, n in row["dropped"].items())
        counts = [f"{row['in']:,}", f"{row['out']:,}", f"{retried:,}" if retried else "", f"{row['failed'] or ''}"]
        name = row["step"] if row["kind"] == "step" else f"gate: {row['step']}"
        lines.append([name, *counts, reasons])
    return aligned(lines, left=(0, 5))
