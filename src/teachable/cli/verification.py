"""`teachable verify`: the command, its options, and what it prints.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.placing import engine_at
from teachable.cli.rubric import read_rubric
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.engines.config import EngineConfig
    from teachable.recipe.verification import Verified

N_REASONS = 8
MAX_REASON_CHARS = 100
# Which verifier a flag belongs to; one that concerns no row is worth a word.
_CONCERNS = {
    "fold_case": ("--fold-case", "exact"),
    "fold_articles": ("--fold-articles", "exact"),
    "tolerance": ("--tolerance", "exact"),
    "time_limit": ("--time-limit", "math"),
    "cpu_s": ("--cpu-s", "code"),
    "wall_s": ("--wall-s", "code"),
    "memory_mib": ("--memory-mib", "code"),
    "unsafe_no_sandbox": ("--unsafe-no-sandbox", "code"),
    "engine": ("--engine", "judge"),
    "rubric": ("--rubric", "judge"),
    "votes": ("--votes", "judge"),
}


def verify(
    context: typer.Context,
    answers: Annotated[
        Path, typer.Argument(metavar="ANSWERS", help="JSONL or Parquet with a column attempt, and answer or tests")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="where to write; made if it is not there")],
    verifier: Annotated[
        str, typer.Option("--verifier", metavar="NAME", help="who decides rows that name nobody and have no tests")
    ] = "math",
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="which column of ANSWERS holds a field; may be repeated"),
    ] = None,
    fold_case: Annotated[
        bool, typer.Option("--fold-case/--no-fold-case", help="exact: capitals make no difference")
    ] = True,
    fold_articles: Annotated[
        bool, typer.Option("--fold-articles", help="exact: a, an and the make no difference")
    ] = False,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, metavar="X", help="exact: how far apart equal numbers may lie")
    ] = 0.0,
    time_limit: Annotated[float, typer.Option("--time-limit", metavar="S", help="math: seconds for one answer")] = 5.0,
    cpu_s: Annotated[float, typer.Option("--cpu-s", metavar="S", help="code: processor seconds of one program")] = 10.0,
    wall_s: Annotated[float, typer.Option("--wall-s", metavar="S", help="code: seconds of one program")] = 20.0,
    memory_mib: Annotated[
        int, typer.Option("--memory-mib", min=1, metavar="N", help="code: memory of one program, in MiB")
    ] = 512,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="code: run programs with all rights that you have")
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="judge: who judges: transformers:MODEL, openai:MODEL@URL, or scripted:TABLE.json",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="engine.B=C", help="judge: set a field of the engine; may be repeated"),
    ] = None,
    rubric: Annotated[
        Path | None, typer.Option("--rubric", metavar="FILE", help="judge: how to judge, as text")
    ] = None,
    votes: Annotated[int, typer.Option("--votes", min=1, metavar="K", help="judge: replies to each question")] = 3,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="judge every row, and compare with labels or with the row's verifier")
    ] = False,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", min=0, metavar="USD", help="stop when the folder holds this much paid work"),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="stop when this many tokens have been sampled in the folder"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout, for machines")] = False,
) -> None:
    """Decide for every attempt of a file whether it is right, and say why."""
    with ending(out):
        from teachable.cli.show import print_json, tell, watching
        from teachable.cli.work import mapped
        from teachable.recipe.spec import SpendingLimits
        from teachable.recipe.verification import VerifyOptions, verify_file
        from teachable.verify.programs import Bounds

        options = VerifyOptions(
            verifier=verifier,
            columns=mapped(columns)["tasks"]["columns"] if columns else {},
            fold_case=fold_case,
            fold_articles=fold_articles,
            tolerance=tolerance,
            limit_s=time_limit,
            bounds=Bounds(cpu_s=cpu_s, wall_s=wall_s, memory_mib=memory_mib),
            unsafe_no_sandbox=unsafe_no_sandbox,
            engine=_engine(engine, sets or []),
            rubric=read_rubric(rubric),
            votes=votes,
            calibrate=calibrate,
        )
        around, watcher = watching()
        with around:
            done = verify_file(answers, out, options, watcher=watcher, limits=SpendingLimits(max_cost, max_tokens))
        for note in _notes(context, done.stats, calibrate=calibrate):
            tell(note)
        if as_json:
            print_json({"out": str(out), "up_to_date": done.up_to_date, **done.stats})
        else:
            print(verified_text(done))


def _engine(text: str | None, sets: list[str]) -> EngineConfig | None:
    """The settings of the engine that judges.

    Raises:
        TeachableError: it is no engine, has no model, or a setting is none of an engine.
    """
    from teachable.cli.work import engine_settings
    from teachable.recipe.source import Source, overridden

    mend = "Write --set engine.FIELD=VALUE, such as engine.api_key_env=MY_KEY"
    if text is None:
        if sets:
            raise TeachableError("there is no engine to set a field of", where=f"--set {sets[0]}", mend="Add --engine")
        return None
    document = overridden(Source({"engine": engine_settings(text, "--engine")}, {}, "--engine"), sets, ()).document
    settings = document.pop("engine")
    if document or not isinstance(settings, dict):
        raise TeachableError("verify has no other settings than the engine's", where="--set", mend=mend)
    return engine_at(settings, "--set" if sets else "--engine", mend)


def _notes(context: typer.Context, stats: Mapping[str, Any], *, calibrate: bool) -> list[str]:
    """What the user should know of how the file and the flags were taken."""
    columns = stats["columns"]
    notes = ["columns: " + ", ".join(f"{field} <- {column}" for field, column in columns.items())]
    used = {*stats["verifiers"], *(stats.get("calibration") or {}).get("labels_from", {})}
    used |= {"judge"} if used & {"graded", "duel"} else set()
    for name, (flag, concerned) in _CONCERNS.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and concerned not in used:
            notes.append(f"note: {flag} is for the verifier {concerned}, which decided no row")
    if stats["rows_mended"]:
        notes.append(f"note: {stats['rows_mended']:,} rows held half a character, which was replaced by U+FFFD")
    if stats["failed_requests"]:
        notes.append(
            f"note: {stats['failed_requests']:,} requests to the engine failed; the same command asks them again"
        )
    if calibrate and not stats["calibration"]["n"]:
        notes.append("note: no row has a label, or another verifier that could tell")
    return notes


# ---- for people ----


def verified_text(done: Verified) -> str:
    """The summary: a table of the verifiers, the most frequent reasons, the calibration, where the verdicts are."""
    stats = done.stats
    parts = [_table(stats), _reasons(stats)]
    if "calibration" in stats:
        parts.append(_calibration(stats["calibration"]))
    took = f"{stats['rows']:,} rows in {stats['wall_seconds']:,.1f} s"
    per_s = stats["rows_per_s"]
    rate = f" ({per_s:,.{0 if per_s >= 10 else 1}f} rows/s)" if per_s else ""
    how = "everything is up to date" if done.up_to_date else f"{took}{rate}"
    parts.append(f"verify: {how}, verdicts in {done.folder / 'verdicts.parquet'}")
    return "\n\n".join(part for part in parts if part)


def _table(stats: Mapping[str, Any]) -> str:
    named = list(stats["verifiers"].items())
    rows = [(name, counts) for name, counts in named] + ([("all", stats)] if len(named) > 1 else [])
    with_tests = any(counts["mean_frac_passed"] is not None for _, counts in rows)
    head = ["verifier", "rows", "right", "wrong", "could not tell", "right of decided (95%)"]
    lines = [head + (["tests passed"] if with_tests else [])]
    for name, counts in rows:
        undecided = f"{counts['undecided']:,} ({counts['frac_undecided']:.1%})"
        line = [name, f"{counts['rows']:,}", f"{counts['right']:,}", f"{counts['wrong']:,}", undecided, _share(counts)]
        mean = counts["mean_frac_passed"]
        lines.append(line + ([f"{mean:.1%}" if mean is not None else ""] if with_tests else []))
    from teachable.cli.show import aligned

    return aligned(lines)


def _share(counts: Mapping[str, Any]) -> str:
    if counts["accuracy"] is None:
        return "none decided"
    return f"{counts['accuracy']:.1%} ({counts['accuracy_low']:.1%} to {counts['accuracy_high']:.1%})"


def _reasons(stats: Mapping[str, Any]) -> str:
    words = {True: "right", False: "wrong", None: "could not tell"}
    shown = stats["reasons"][:N_REASONS]
    width = max((len(f"{one['rows']:,}") for one in shown), default=0)
    lines = []
    for one in shown:
        reason = one["reason"].removeprefix("could not tell: ")
        short = reason if len(reason) <= MAX_REASON_CHARS else f"{reason[: MAX_REASON_CHARS - 3]}..."
        lines.append(f"{one['rows']:>{width},}  {words[one['correct']]}: {short}")
    return "\n".join(["most frequent reasons", *lines])


def _calibration(found: Mapping[str, Any]) -> str:
    """The judge against the labels: agreement, kappa, and the table of both."""
    by = ", ".join(f"{n:,} from {'labels' if name == 'label' else name}" for name, n in found["labels_from"].items())
    right = f"{found['true_positives']:>10,}  {found['false_negatives']:>10,}"
    wrong = f"{found['false_positives']:>10,}  {found['true_negatives']:>10,}"
    lines = [
        f"the judge compared on {found['n']:,} rows" + (f" ({by})" if by else ""),
        found["text"],
        f"{'':14}{'accepted':>10}  {'refused':>10}",
        f"{'label right':14}{right}",
        f"{'label wrong':14}{wrong}",
    ]
    return "\n".join(lines)
