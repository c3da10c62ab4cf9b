"""The card of a data set that the run has made: selected examples, or preference pairs with what they rest on.

Its head names every table as a configuration, so that `datasets.load_dataset(folder, name)` opens each of them; but for
tables in another format than the first: `datasets` reads all configurations of a folder with one reader.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.report.cards.columns import COLUMNS, Shape, shape_of
from teachable.report.cards.source import Source, heldout, overlaps, source_of
from teachable.report.gathering.load import RunReader
from teachable.report.markdown.page import reproduction
from teachable.report.markdown.text import blocks, code, fence, table, text
from teachable.report.markup import count
from teachable.report.terms import said

Facts = Mapping[str, Any]
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
APART = "The held-out questions were set apart from these prompts."
PAIRS = {
    "pivot": (
        "at pivotal tokens: single tokens of a model's own solutions that change the chance of a right answer",
        {
            "preferences": "a pair: one prefix, a token after it that helps and one that hurts",
            "pivots": "a pivotal token, with the change that was measured and its interval",
            "solutions": "a solution that was searched, token by token",
            "gates": "a prompt, and what became of it",
        },
    ),
    "judge_pairs": (
        "judged: several answers to a prompt, and which of them a judge prefers",
        {
            "preferences": "a pair: one prompt, the preferred response and the other",
            "responses": "a response, with the judge's scores and the verifier's word",
            "comparisons": "a comparison of two responses",
        },
    ),
}


@dataclass(frozen=True)
class Table:
    """A table: its name, its file relative to the card, what a row is, the file's shape, and if the head names it."""

    name: str
    file: str
    row: str
    shape: Shape
    is_config: bool


def data_cards(reader: RunReader, facts: Facts) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(folder relative to the run, front matter, text) of every data set that a finished stage of the run has made."""
    finished = reader.manifest.get("stages") or {}
    source = source_of(reader)
    for kind in ("select", *PAIRS):
        for stage in reader.stages_of(kind):
            tables = _tables(reader, stage, kind) if stage in finished else []
            if any(one.is_config for one in tables):
                yield stage, _head(facts, source, kind, tables), _body(reader, facts, source, stage, kind, tables)


def _tables(reader: RunReader, stage: str, kind: str) -> list[Table]:
    """The tables that are there and hold a row; the first is what `load_dataset` opens by default."""
    folder = reader.run / stage
    if kind == "select":
        named = [("pool", folder / "examples.jsonl", "an example of the pool, the surest first")]
        files = sorted((folder / "examples").glob("*.jsonl"), key=lambda path: _arm_key(path.stem))
        named += [(path.stem, path, "an example of that arm and seed, in training order") for path in files]
        named.append(("decisions", folder / "decisions.parquet", "a prompt that was probed, in or out, and why"))
    else:
        named = [(name, folder / f"{name}.parquet", row) for name, row in PAIRS[kind][1].items()]
    there = [(name, path, row, shape_of(path)) for name, path, row in named if path.is_file()]
    return [
        Table(name, path.relative_to(folder).as_posix(), row, shape, path.suffix == named[0][1].suffix)
        for name, path, row, shape in there
        if shape.n_rows
    ]


def _arm_key(label: str) -> tuple[bool, str, int]:
    """Arm and seed of a set, the taught arm's first."""
    arm, _, seed = label.rpartition("-")
    return (arm != "teachable", arm, int(seed) if seed.isdigit() else 0)


def _head(facts: Facts, source: Source, kind: str, tables: list[Table]) -> dict[str, Any]:
    named = [one for one in tables if one.is_config]
    configs = [
        {
            "config_name": one.name,
            "data_files": [{"split": "train", "path": one.file}],
            "default": True if one is named[0] else None,
        }
        for one in named
    ]
    what = "selected examples" if kind == "select" else "preference pairs"
    size = next((name for most, name in SIZES if named[0].shape.n_rows < most), "n>10M")
    return {
        "pretty_name": f"{facts['name']}: {what}",
        "language": source.language,
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "tags": ["teachable", *(["sft"] if kind == "select" else ["dpo", "preference"]), *source.tags],
        "configs": configs,
    }


def _body(reader: RunReader, facts: Facts, source: Source, stage: str, kind: str, tables: list[Table]) -> str:
    lead = (
        "Prompts that a base model almost solves, each with a response that was verified, and why it is in."
        if kind == "select"
        else f"Preference pairs {PAIRS[kind][0]}."
    )
    chosen = _selection(reader, source, stage) if kind == "select" else _pairing(reader, source, stage)
    return blocks(
        [
            f"# {text(facts['name'])}: {code(stage)}",
            f"{lead} Made for the base model {code(_base(facts))}: for another model the choice would be another.",
            table(
                ("table", "file", "rows", "a row is"),
                [(code(one.name), code(one.file), count(one.shape.n_rows), text(one.row)) for one in tables],
                2,
                1,
            ),
            fence(snippet(stage, tables), "python"),
            "## Where it comes from",
            source.sentence,
            heldout(source),
            _origins(reader, source),
            "## How it was chosen" if kind == "select" else "## How it was made",
            *chosen,
            "## How it was verified",
            *_verification(reader),
            "## Columns",
            *_columns(tables),
            "## Overlap with tests",
            *_overlap(reader, facts, source, stage),
            "## What is not known",
            "**Licence.** None is stated, because the run was told none. Questions and responses keep the rights and "
            "terms of where they come from (above), those of the models that wrote responses included. Choose a "
            "licence that they allow, and add it to the head of this file as `license:`.",
            _personal(source),
            "## How to reproduce it",
            *reproduction(facts.get("reproduce") or {}, (facts.get("stages") or {}).get("rows") or []),
        ]
    )


def snippet(stage: str, tables: list[Table]) -> str:
    """Python that opens the first table, and one of those that the head does not name."""
    first = next(one for one in tables if one.is_config)
    lines = [
        "from datasets import load_dataset",
        "",
        f"folder = {json.dumps(stage)}  # this folder, or the repository that it was uploaded to",
        f'{first.name} = load_dataset(folder, {json.dumps(first.name)}, split="train")',
    ]
    for one in tables:
        if not one.is_config:
            lines.append(f'{one.name} = load_dataset(folder, data_files={json.dumps(one.file)}, split="train")')
    return "\n".join(lines)


def _base(facts: Facts) -> str:
    base = str(facts.get("base") or "unknown")
    return Path(base).name if Path(base).is_absolute() else base


def _origins(reader: RunReader, source: Source) -> str | None:
    rows = reader.table(f"{reader.folders['tasks']}/solutions.parquet", ("source",), note=False)
    if not rows:
        return None
    counts = ", ".join(f"{code(name)} ({count(n)})" for name, n in Counter(row["source"] for row in rows).most_common())
    return f"Worked responses that came with the questions, by source: {counts}."


def _selection(reader: RunReader, source: Source, stage: str) -> list[str | None]:
    probe = source.stages.get(reader.needs(stage).get("estimates") or reader.folders["probe"]) or {}
    config = source.stages.get(stage) or {}
    rows = reader.table(f"{stage}/decisions.parquet", ("zone", "decision"), note=False)
    counts = Counter((row["zone"] or "not probed", row["decision"]) for row in rows)
    zones = list(dict.fromkeys(zone for zone, _ in sorted(counts, key=lambda one: -counts[one])))
    stats = reader.json(f"{stage}/stats.json", note=False)
    dropped = [(text(one.get("reason")), count(one.get("count"))) for one in stats.get("dropped") or []]
    told: list[str | None] = [
        "The base model answered every prompt several times, and each answer was verified. From that each prompt has a "
        "posterior of its pass rate, and a zone:",
        table(("zone", "in", "out"), [(text(z), count(counts[z, "in"]), count(counts[z, "out"])) for z in zones]),
    ]
    if probe.get("low") is not None and probe.get("high") is not None:
        told.append(
            f"Below a pass rate of {probe['low']:g} a prompt is beyond the model, above {probe['high']:g} it is "
            "mastered, between them teachable; ambiguous ones have no key to judge by."
        )
    told.append("In are teachable prompts with a verified response; `why` says so of each, `decisions` of all.")
    names = ("size", "min_confidence", "responses", "near_duplicate_threshold", "allow_suspect", "budget_tokens")
    settings = [(code(name), code(said(config[name]))) for name in names if name in config]
    return [
        *told,
        table(("setting", ""), settings, 2) if settings else None,
        "Left out, by reason:" if dropped else None,
        table(("reason", "count"), dropped) if dropped else None,
    ]


def _pairing(reader: RunReader, source: Source, stage: str) -> list[str | None]:
    stats = reader.json(f"{stage}/stats.json", note=False)
    config = source.stages.get(stage) or {}
    settings = [
        (code(name), code(said(value)))
        for name, value in config.items()
        if name not in ("kind", "needs") and not isinstance(value, dict | list)
    ]
    left_out = [(text(reason), count(n)) for reason, n in (stats.get("pairs_left_out") or {}).items()]
    early = "The run was stopped before its end: this is what was found until then."
    return [
        f"{count(stats.get('n_pairs'))} pairs from {count(stats.get('n_prompts'))} prompts, "
        f"{count(stats.get('completions'))} completions.",
        early if stats.get("complete") is False else None,
        table(("setting", ""), settings, 2) if settings else None,
        "Pairs that were left out, by reason:" if left_out else None,
        table(("reason", "count"), left_out) if left_out else None,
    ]


def _verification(reader: RunReader) -> list[str | None]:
    rows = reader.table(f"{reader.folders['tasks']}/prompts.parquet", ("verifier", "answer_source"), note=False)
    told: list[str | None] = [
        "An answer is right, wrong, or undecided; what could not be decided counts neither way. A response is in only "
        "if its prompt's verifier accepted it, or, where the prompt has no answer of its own, if it gives the key that "
        "most answers of the reference model, or of the base itself, agree on. Verifiers err: a wrong response that "
        "ends in the right answer passes."
    ]
    if rows:
        verifiers = Counter((row["verifier"], row.get("answer_source") or "") for row in rows)
        found = [(code(name), text(origin), count(n)) for (name, origin), n in verifiers.most_common()]
        told.append(table(("verifier", "answers are", "prompts"), found, 2))
    return told


def _columns(tables: list[Table]) -> list[str | None]:
    """A table of columns for each shape; configurations of one shape share it."""
    by_shape: dict[tuple[tuple[str, str], ...], list[Table]] = {}
    for one in tables:
        by_shape.setdefault(one.shape.columns, []).append(one)
    parts: list[str | None] = []
    for columns, sharing in by_shape.items():
        names = ", ".join(code(one.name) for one in sharing)
        rows = [(code(name), code(kind), text(COLUMNS.get(name, ""))) for name, kind in columns]
        parts += [f"{names}:", table(("column", "type", "what it is"), rows, 3)]
    lineage = (
        "`prompt_id` is the first 16 hexadecimal digits of a SHA-256 over the prompt, or the id that its file gave; by "
        "it rows of all tables, and of the run that made them, belong together. "
        "The run's `tasks/prompts.parquet` has each prompt's `lineage`."
    )
    return [*parts, lineage]


def _overlap(reader: RunReader, facts: Facts, source: Source, stage: str) -> list[str | None]:
    trained = [one for one in source.stages if stage in reader.needs(one).values()]
    checked = list(dict.fromkeys(said for one in trained if (said := overlaps(reader, one))))
    rejected = [(text(one.get("reason")), count(one.get("count"))) for one in facts.get("rejected") or []]
    return [
        *((checked or [APART]) if source.n_heldout else []),
        "No other test set was compared with it, so test sets that are not named above may overlap."
        if source.n_heldout
        else "No questions were held out, and no test set was compared with it: any may overlap.",
        "Questions that were dropped before the split, by reason:" if rejected else None,
        table(("reason", "count"), rejected) if rejected else None,
    ]


def _personal(source: Source) -> str:
    if source.built_in:
        return (
            "**Personal data.** The questions were generated by program, some from passages that reasoning-gym ships. "
            "Nothing was searched for personal data."
        )
    return (
        "**Personal data.** Nothing was searched for personal data, or for secrets and offensive text. Whether there "
        "is any depends on where the questions come from, which only whoever brought them knows."
    )
