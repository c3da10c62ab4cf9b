"""Mix organic and synthetic rows, of files or of folders: `teachable balance`, and what the stage shares with it.

A row is a prompt, with its response where it has one. A folder is one that a stage or `teachable synthesize` has
written (`prompts.parquet`, with `examples.jsonl` or `solutions.parquet` beside it); a file is JSONL or Parquet of
prompts, read as everywhere. The output has the form of synthesis: `prompts.parquet`, and `examples.jsonl` with
`messages`, each row with the side that it comes from as `origin`.

An output folder is one mix of the same inputs under one set of settings: it is complete when its manifest says so under
the key of both, and then nothing is done again.
"""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import teachable
from teachable.errors import TeachableError
from teachable.recipe.base import content_identity
from teachable.recipe.config import Resources
from teachable.recipe.run import Watcher
from teachable.recipe.spec import Forecast
from teachable.recipe.synthesizing import STATS, seeds_in
from teachable.records import Message, Prompt, content_id, to_row
from teachable.store.digest import digest
from teachable.store.files import read_json, read_rows, schema_of, write_json, write_rows
from teachable.store.manifest import RunFolder, StageEntry
from teachable.synthesize.mixing.balance import (
    ORGANIC,
    SYNTHETIC,
    Row,
    diversity_of,
    diversity_row,
    mixed,
    warnings_of,
)
from teachable.synthesize.mixing.balance_config import BalanceConfig
from teachable.synthesize.mixing.diversity_embedding import Embedder
from teachable.synthesize.tables import EXAMPLES, PROMPTS
from teachable.tasks.load import read_prompts

NAME = "balance"
VERSION = 1  # raised by hand when the same rows and settings get another mix or other files
CHARS_PER_TOKEN = 4  # of a model whose tokenizer is not here


@dataclass(frozen=True)
class BalancedFile:
    """What came of it: the folder, its `stats.json`, and whether nothing had to be done."""

    folder: Path
    stats: Mapping[str, Any]
    up_to_date: bool


def balance_files(
    organic: Sequence[Path],
    synthetic: Sequence[Path],
    out: Path,
    config: BalanceConfig,
    *,
    watcher: Watcher,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> BalancedFile:
    """Mix files and folders of both sides into a folder.

    Args:
        organic, synthetic: JSONL, Parquet, or folders that a stage or `teachable synthesize` has written.
        out: the folder, new or of the same command. It gets `prompts.parquet`, `examples.jsonl` and `stats.json`.
        columns: field -> column of the files.

    Raises:
        TeachableError: a mistake in the files or the settings, or a folder of something else.
    """
    run = RunFolder(out)
    with run.locked(NAME):
        made = _ingredients(organic, synthetic, columns, config, seed)
        key = digest(made)
        if run.is_complete(NAME, key):
            return BalancedFile(out, read_json(out / STATS), up_to_date=True)
        natural, artificial = (
            [row for path in paths for row in rows_of(path, columns)] for paths in (organic, synthetic)
        )
        # From here on the folder is not complete, whatever it held.
        run.complete(NAME, StageEntry(kind=NAME, key="", version=VERSION, status="working"))
        watcher.started(NAME, "", Forecast(), 0.0)
        stats = balance_into(
            out, natural, artificial, config, seed=seed, say=lambda sentence: watcher.said(NAME, sentence)
        )
        seconds, n = stats["seconds"], stats["n_prompts"]
        entry = StageEntry(NAME, key, VERSION, seconds=seconds, prompts=n, note=note_of(stats), ingredients=made)
        run.complete(NAME, entry, outside=(PROMPTS, EXAMPLES, STATS))
        watcher.finished(NAME, entry)
    return BalancedFile(out, stats, up_to_date=False)


def _ingredients(
    organic: Sequence[Path],
    synthetic: Sequence[Path],
    columns: Mapping[str, str] | None,
    config: BalanceConfig,
    seed: int,
) -> dict[str, Any]:
    """What the folder's contents depend on."""
    cache = Resources().cache_path()
    models = [path for path in (config.tokenizer, config.embedding) if path is not None]
    for path in (*organic, *synthetic, *models):
        if not path.exists():
            raise TeachableError("there is no such file or folder", where=str(path), mend="Correct the path")
    return {
        "kind": NAME,
        "version": VERSION,
        "package": teachable.__version__,
        **{
            side: [content_identity(file.resolve(), cache) for path in paths for file in _files(path)]
            for side, paths in ((ORGANIC, organic), (SYNTHETIC, synthetic))
        },
        "columns": dict(columns or {}),
        "seed": seed,
        "config": config.model_dump(mode="json", exclude={"tokenizer", "embedding"}),
        "models": [content_identity(path.resolve(), cache) for path in models],
    }


def _files(path: Path) -> list[Path]:
    """What of a path is read."""
    if not path.is_dir():
        return [path]
    return [file for name in (PROMPTS, EXAMPLES, "solutions.parquet") if (file := path / name).is_file()]


# ---- reading ----


def rows_of(path: Path, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a file, or of a folder that a stage or `teachable synthesize` has written.

    Raises:
        TeachableError: there is nothing of the kind, or it can't be read.
    """
    if path.is_dir():
        return rows_in(path)
    file = read_prompts(path, columns=columns)
    histories = _histories(path)
    rows = []
    for prompt in file.prompts:
        history = histories.get(content_id(prompt.messages), {})
        rows += [_row(prompt, response, history) for response in file.responses.get(prompt.id, ("",))]
    return rows


def rows_in(folder: Path) -> list[Row]:
    """The rows of a folder.

    Raises:
        TeachableError: it holds no prompts.
    """
    if not (folder / PROMPTS).is_file():
        raise TeachableError(
            f"there is no {PROMPTS} in this folder", where=str(folder), mend="Name a file, or a folder of synthesize"
        )
    seeds, _ = seeds_in(folder, ("prompt",))
    return [_row(seed.prompt, seed.response, {}) for seed in seeds if seed.prompt is not None]


def _row(prompt: Prompt, response: str, history: Mapping[str, Any]) -> Row:
    known = history or prompt.meta.get("synthesis") or {}
    return Row(prompt, response, str(known.get("workflow", "")) if isinstance(known, Mapping) else "", known)


def _histories(path: Path) -> dict[str, Mapping[str, Any]]:
    """Digest of a prompt's messages -> how it was made, for rows of an `examples.jsonl` of ours."""
    if path.suffix != ".jsonl":
        return {}
    return {
        content_id(tuple(Message(role=one["role"], content=one["content"]) for one in row["messages"][:-1])): history
        for row in read_rows(path)
        if isinstance(history := row.get("synthesis"), Mapping) and isinstance(row.get("messages"), list)
    }


# ---- mixing ----


def balance_into(
    folder: Path,
    organic: Sequence[Row],
    synthetic: Sequence[Row],
    config: BalanceConfig,
    *,
    seed: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Mix, write the files and `stats.json` into the folder, and return the counts.

    Args:
        say: gets a sentence for each thing that the user should know of.

    Raises:
        TeachableError: a side that the share needs is empty, or a model's folder holds none.
    """
    begun = time.perf_counter()
    embed = Embedder(config.embedding) if config.embedding is not None else None
    mix = mixed(organic, synthetic, config, seed=seed, size_of=_size_of(config))
    found = diversity_of(organic, synthetic, mix, config, seed=seed, embed=embed)
    prompts: dict[str, Prompt] = {}
    examples = []
    for side, row in mix.rows:
        prompts.setdefault(row.prompt.id, replace(row.prompt, meta={**row.prompt.meta, "origin": side}))
        if row.response:
            examples.append(_example(side, row))
    write_rows(folder / PROMPTS, [to_row(prompt) for prompt in prompts.values()], schema_of(Prompt))
    write_rows(folder / EXAMPLES, examples)
    warnings = warnings_of(mix, found, config)
    stats = {
        "n_organic": len(organic),
        "n_synthetic": len(synthetic),
        "n_rows": len(mix.rows),
        "n_prompts": len(prompts),
        "n_pool": len(prompts),
        "n_examples": len(examples),
        "rows": dict(sorted(Counter(side for side, _ in mix.rows).items())),
        "unit": _unit(config),
        "sizes": dict(mix.sizes),
        "share": round(mix.share, 6),
        "wanted_share": config.share,
        "strata": mix.strata,
        "left_out": mix.left_out,
        "diversity": diversity_row(found, config.least_diversity),
        "collapsed": [one.measure for one in found.collapsed],
        "warnings": warnings,
        "seconds": round(time.perf_counter() - begun, 3),
    }
    write_json(folder / STATS, stats)
    for sentence in warnings:
        say(sentence)
    return stats


def _size_of(config: BalanceConfig) -> Callable[[Row], int]:
    """A row's size in the config's unit."""
    if config.unit == "examples":
        return lambda row: 1
    if config.unit == "characters":
        return lambda row: len(row.text)
    if config.tokenizer is None:
        return lambda row: -(-len(row.text) // CHARS_PER_TOKEN)
    try:
        tokenizer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(str(config.tokenizer))
    except (ImportError, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TeachableError(f"this tokenizer can't be loaded ({first})", where=str(config.tokenizer)) from error
    return lambda row: len(tokenizer.encode(row.text, add_special_tokens=False))


def _unit(config: BalanceConfig) -> str:
    """What sizes are counted in, for people."""
    counted = config.unit != "tokens" or config.tokenizer is not None
    return config.unit if counted else f"characters / {CHARS_PER_TOKEN}"


def _example(side: str, row: Row) -> dict[str, Any]:
    """A row that trainers read."""
    prompt = row.prompt
    made = f"{row.workflow}: {row.history.get('proof', '')}".rstrip(": ") if row.workflow else ""
    return {
        "prompt_id": prompt.id,
        "messages": list(row.messages),
        "origin": side,
        "domain": prompt.domain,
        "level": prompt.level,
        "answer": prompt.answer,
        "verifier": prompt.verifier,
        "why": made or side,
        **({"synthesis": dict(row.history)} if row.history else {}),
        "lineage": to_row(prompt)["lineage"],
    }


def note_of(stats: Mapping[str, Any]) -> str:
    """The counts in a line."""
    rows = stats["rows"]
    note = f"{rows.get(ORGANIC, 0):,} organic and {rows.get(SYNTHETIC, 0):,} synthetic rows, {stats['share']:.1%}"
    return note + (f"; collapsed by {', '.join(stats['collapsed'])}" if stats["collapsed"] else "")
