"""Merge model folders into one, without holding a model in memory and without leaving half of one.

The library for this, mergekit, would install: 0.1.5 is LGPL-3.0-only (and was under the BUSL until 0.1.4), fits our
pins and adds three packages; but it keeps a whole shard in memory, writes into the output folder in place and draws
DARE's masks from one global seed in the order of its tasks, so that what is promised here would have to be built
around it.

- **Memory**: a million numbers of each model at a time, with `ties` also the magnitudes of the largest tensor.
- **Whole or not at all**: see `output`.
- **Keyed**: `merge.json` records the method, its numbers and the digests of all parents. An output whose key is the
  same and whose files are as long as recorded is up to date; anything else in its place is refused.
- Each tensor keeps the type that it has in the base (without one, in the first model).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.merge.config import NEED_BASE, MergeConfig, merge_config
from teachable.merge.methods import Tensor, merged
from teachable.merge.output import RECORD, copy, is_there, unfinished
from teachable.merge.parents import Parent, agree, open_parent, shared_tensors
from teachable.merge.tensors import (
    INDEX,
    SINGLE,
    Raw,
    Stored,
    aligned,
    encode,
    plan_shards,
    read,
    write_shard,
)
from teachable.records import OnProgress, Progress
from teachable.store.digest import digest, model_digest
from teachable.store.files import write_json

VERSION = 1  # raise it when the same parents and settings would give other numbers
SHARD_BYTES = 5 * 10**9
# What is copied beside the weights, config.json apart, which is written last.
_FROM_REFERENCE = ("generation_config.json", "preprocessor_config.json", "*.py", "LICENSE*")
_FROM_TOKENIZER = (
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.jinja",
    "chat_template.json",
)  # fmt: skip


@dataclass(frozen=True)
class MergeResult:
    """What a merge has made, or found made already (`up_to_date`)."""

    folder: Path
    key: str
    deciding: Mapping[str, Any]  # method, weights, and what else the method looks at
    n_parameters: int
    n_bytes: int  # of the weights
    n_shards: int
    seconds: float
    up_to_date: bool


def merge(
    models: Sequence[Path | str],
    *,
    method: str,
    out: Path | str,
    base: Path | str | None = None,
    weights: Sequence[float] | None = None,
    scale: float = 1.0,
    density: float | None = None,
    seed: int = 0,
    max_shard_bytes: int = SHARD_BYTES,
    on_progress: OnProgress | None = None,
) -> MergeResult:
    """Merge model folders into the folder `out`.

    Args:
        models: folders of models of one architecture.
        method: one of `config.METHODS`; `methods` says what each does.
        base: the model that all were tuned from. Methods on differences need it; with the others it only gives its
            config and tokenizer, and the types of its tensors.
        weights: one a model; None: all 1.
        scale: what the whole change from the base is multiplied by.
        density: share of each delta that stays, for ties (None: 0.2), dare and dare_ties (None: 0.5).
        seed: of dare's choice.
        max_shard_bytes: the longest weight file; a tensor that is longer has one for itself.
        on_progress: told the numbers merged so far, after each piece.

    Raises:
        TeachableError: the settings don't fit, the models disagree, `out` holds something else, the disk is full, or a
            merged number is not finite.
    """
    started = time.monotonic()
    config = merge_config(method=method, weights=weights, scale=scale, density=density, seed=seed)
    out = Path(out)
    if not models:
        raise TeachableError("no model is named", where="merge", mend="Name the folders of the models to merge")
    deciding = config.deciding(len(models))
    if base is None and method in NEED_BASE:
        raise TeachableError(
            f"{method} merges what models differ by from a base, and none is named",
            where="merge",
            mend="Name the model that all were tuned from with --base",
        )
    parents = [open_parent(Path(model)) for model in ([] if base is None else [base]) + list(models)]
    named_by = agree(parents)
    tensors = shared_tensors(parents)
    key, record = _record(parents, deciding, tensors, base is not None)
    shards = plan_shards(tensors, max_shard_bytes)
    n_bytes = sum(tensor.n_bytes for tensor in tensors)
    up_to_date = is_there(out, key)
    if not up_to_date:
        with unfinished(out, n_bytes) as folder:
            _write_weights(folder, shards, parents, len(models), config, on_progress)
            copy(parents[0].folder, _FROM_REFERENCE, folder)
            copy(named_by, _FROM_TOKENIZER, folder)
            files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name[0] != "."}
            write_json(folder / RECORD, {**record, "files": files})
            copy(parents[0].folder, ("config.json",), folder)
    seconds = time.monotonic() - started
    return MergeResult(out, key, deciding, record["n_parameters"], n_bytes, len(shards), seconds, up_to_date)


def _record(
    parents: Sequence[Parent], deciding: Mapping[str, Any], tensors: Sequence[Stored], has_base: bool
) -> tuple[str, dict[str, Any]]:
    """The merge's key, and what `merge.json` says. Parents are named by their folders' names, which are no identity."""
    named = [{"name": parent.folder.resolve().name, "digest": model_digest(parent.folder)} for parent in parents]
    base, models = (named[0], named[1:]) if has_base else (None, named)
    identity = {
        "version": VERSION,
        "settings": deciding,
        "base": base and base["digest"],
        "models": [model["digest"] for model in models],
    }
    key = digest(identity)
    n_parameters = sum(tensor.size for tensor in tensors)
    facts = {"key": key, "version": VERSION, **deciding, "base": base, "models": models}
    return key, {**facts, "n_tensors": len(tensors), "n_parameters": n_parameters}


def _write_weights(
    folder: Path,
    shards: Sequence[Sequence[Stored]],
    parents: Sequence[Parent],
    n_models: int,
    config: MergeConfig,
    on_progress: OnProgress | None,
) -> None:
    """Write all shards, and the index where there are several."""
    total, done = sum(tensor.size for shard in shards for tensor in shard), 0

    def counted(pieces: Iterator[Raw]) -> Iterator[Raw]:
        nonlocal done
        for piece in pieces:
            yield piece
            done += len(piece)
            if on_progress is not None:
                on_progress(Progress(done, total, "parameters"))

    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        ordered = aligned(shard)
        places |= {tensor.name: name for tensor in ordered}
        pieces = (counted(_merged(tensor, parents, n_models, config)) for tensor in ordered)
        write_shard(folder / name, ordered, pieces)
    if len(shards) > 1:
        size = sum(tensor.n_bytes for shard in shards for tensor in shard)
        metadata = {"total_parameters": total, "total_size": size}
        write_json(folder / INDEX, {"metadata": metadata, "weight_map": dict(sorted(places.items()))})


def _merged(stored: Stored, parents: Sequence[Parent], n_models: int, config: MergeConfig) -> Iterator[Raw]:
    """The merged tensor's pieces as they go into the file; integers, which are equal everywhere, as they are."""
    name = stored.name
    if not stored.is_float:
        yield from parents[0].read_raw_spans(name)
        return
    parts = [partial(read, parent.tensors[name]) for parent in parents]
    base = parts[0] if len(parts) > n_models else None
    try:
        for piece in merged(Tensor(name, stored.size, tuple(parts[-n_models:]), base), config):
            yield encode(piece, stored.dtype)
    except OverflowError as error:
        raise TeachableError(
            f"the merged tensor {name} has numbers that are not finite in {stored.dtype}",
            where="merge",
            mend="See that no model holds NaN, or choose smaller weights or a smaller scale",
        ) from error
