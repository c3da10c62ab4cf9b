"""The shape of a recipe's base, found without loading it: what a plan says of memory and arithmetic rests on it."""

from __future__ import annotations

import os
from pathlib import Path

from teachable.recipe.base import read_known
from teachable.recipe.config import EMBEDDED
from teachable.train.config import PretrainConfig
from teachable.train.shapes import ModelShape, published_shape, shape_from


def base_shape(base: str, pretrain: PretrainConfig | None = None) -> tuple[ModelShape | None, str]:
    """The shape, and where it comes from; or None, and why it is not known.

    Args:
        base: as `resolve_base` gives it.
        pretrain: how the embedded base is made; None for the usual way.
    """
    if base == EMBEDDED:
        return embedded_shape(pretrain or PretrainConfig.model_validate({})), "the settings of pretrain"
    path = Path(base) / "config.json" if Path(base).is_absolute() else cached_config(base)
    if path is not None:
        shape = shape_from(read_known(path))
        where = str(path) if Path(base).is_absolute() else f"the config.json of {base} in the hub's cache"
        return shape, where if shape is not None else f"{where} is of a kind of model that is not known here"
    shape = published_shape(base)
    if shape is not None:
        return shape, f"the published shape of {base}"
    return None, f"{base} is neither in the hub's cache nor among the shapes that are known here"


def embedded_shape(config: PretrainConfig) -> ModelShape:
    """The shape of the base that `pretrain` makes; its tokenizer may stay a little below the words asked for."""
    return ModelShape(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads,
        head_dim=config.hidden_size // config.n_heads,
        vocab=config.vocab_size,
        tied=True,
    )


def cached_config(name: str) -> Path | None:
    """The config.json of a hub id in the hub's own cache, where its client would look for the main revision."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    folder = hub / f"models--{name.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    path = folder / "snapshots" / revision / "config.json"
    return path if path.is_file() else None
