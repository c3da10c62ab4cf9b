"""What a thing is, as 64 hexadecimal digits: of values, of files, of models.

Keys of stages and of the ledger are digests, so these functions must give the same answer on every machine
and in every version: changing one of them makes every cached result look new.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from teachable.errors import TeachableError
from teachable.store.files import plain

# What decides how a model answers: its shape, its weights, and how text becomes tokens.
_MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
)


def digest(obj: object) -> str:
    """The sha256 of a value's canonical JSON: sorted keys, no spaces, UTF-8.

    Raises:
        TypeError, ValueError: the value has no exact JSON form (see `files.plain`).
    """
    text = json.dumps(plain(obj), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Text from the wild may hold lone surrogates, which strict UTF-8 refuses.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that decide how it answers, by name."""
    folder = Path(folder)
    return sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.is_file()})


def model_digest(folder: Path) -> str:
    """The identity of a model folder: names and contents of its deciding files, not its place or dates.

    Raises:
        TeachableError: the folder holds no model.
    """
    files = model_files(folder)
    if not files:
        raise TeachableError("this folder holds no model", where=str(folder))
    return digest({path.name: file_digest(path) for path in files})
