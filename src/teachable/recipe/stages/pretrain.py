"""The base model: pretrain the embedded one (or take it from the cache), or see that the user's own is whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.base import check_model_folder
from teachable.recipe.config import EMBEDDED
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.store.digest import model_digest
from teachable.store.files import write_json
from teachable.train.config import PretrainConfig
from teachable.train.pretrain import pretrain

_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]


def run(ctx: StageContext) -> StageOutcome:
    """Write where the base is and what it is."""
    if ctx.base != EMBEDDED:
        return _given(ctx)
    result = pretrain(ctx.config_as(PretrainConfig), ctx.resources.cache_path(), on_progress=ctx.on_progress)
    stats = {
        "base": ctx.base,
        "path": str(result.path),
        "digest": result.digest,
        "n_params": result.n_params,
        "n_tokens": result.n_tokens,
        "cached": result.cached,
        "curve": list(result.curve),
        "seconds": result.seconds,
    }
    write_json(ctx.folder / "stats.json", stats)
    how = "from the cache" if result.cached else f"read {result.n_tokens:,} tokens"
    return StageOutcome(
        note=f"{result.n_params:,} parameters, {how}",
        tokens_out=result.n_tokens,
        tokens_spent=0 if result.cached else result.n_tokens,
        model_digest=result.digest,
        requires=(result.path,),
    )


def _given(ctx: StageContext) -> StageOutcome:
    folder = Path(ctx.base) if Path(ctx.base).is_absolute() else _from_hub(ctx.base)
    check_model_folder(folder, f"base {ctx.base}")
    digest, n_params = model_digest(folder), count_parameters(folder)
    stats: dict[str, Any] = {"base": ctx.base, "path": str(folder), "digest": digest, "n_params": n_params}
    write_json(ctx.folder / "stats.json", {**stats, "n_tokens": 0, "cached": True, "curve": [], "seconds": 0.0})
    note = f"{ctx.base}: {n_params:,} parameters, nothing to pretrain"
    return StageOutcome(note=note, model_digest=digest, requires=(folder,))


def _from_hub(name: str) -> Path:
    """The model's folder in the hub's own cache, fetched if it is not there."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TeachableError(
            f"the base {name!r} is in no folder here and can't be fetched from the hub ({reason})",
            mend="Check the name and the network, or give the folder of a model",
        ) from error


def count_parameters(folder: Path) -> int:
    """The numbers in a folder's safetensors, read from their headers alone."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            try:
                header = json.loads(handle.read(length))
            except (json.JSONDecodeError, UnicodeDecodeError, MemoryError, OverflowError) as error:
                raise TeachableError("this is no safetensors file", where=str(path)) from error
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return total
