"""The recipe's `base`: what it may be, whether a folder really holds a model, and who that model is.

Looked at before anything runs, with nothing but the standard library: a missing tokenizer must not be found
out after ten minutes of work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.config import EMBEDDED
from teachable.store.digest import digest, file_digest, model_digest, model_files
from teachable.store.files import read_json, write_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


def resolve_base(base: str, folder: Path, where: str, *, what: str = "base") -> str:
    """The base as the run will use it: `embedded`, the absolute path of a model folder, or a hub id.

    Args:
        base: as the recipe says it.
        folder: what a relative path is relative to.
        where: the place to name in an error.
        what: what to call it there.

    Raises:
        TeachableError: a folder without a model, or a text that is neither a folder nor a hub id.
    """
    if base == EMBEDDED:
        return base
    path = (folder / Path(base).expanduser()).resolve()
    if path.exists():
        check_model_folder(path, where, what=what)
        return str(path)
    if _HUB_ID.fullmatch(base):
        return base
    raise TeachableError(
        f"the {what} {base!r} is no folder that exists and no hub id",
        where=where,
        mend="Write `embedded`, the folder of a model, or a hub id such as org/name",
    )


def check_model_folder(path: Path, where: str, *, what: str = "base") -> None:
    """See that a folder holds a config, weights and a tokenizer.

    Raises:
        TeachableError: it lacks one of them (which one is said), or it is no folder.
    """
    mend = "A model folder holds config.json, *.safetensors and tokenizer.json, as save_pretrained writes them"
    if not path.is_dir():
        raise TeachableError(f"the {what} {path} is a file, not a model folder", where=where, mend=mend)
    if not (path / "config.json").is_file():
        raise TeachableError(f"the {what} folder {path} holds no config.json", where=where, mend=mend)
    if not any(path.glob("*.safetensors")):
        raise TeachableError(f"the {what} folder {path} holds no weights (*.safetensors)", where=where, mend=mend)
    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise TeachableError(f"the {what} folder {path} holds no tokenizer", where=where, mend=mend)


def base_identity(base: str, cache: Path) -> str:
    """What a base contributes to keys: a folder's contents, whatever its place; else its name."""
    return content_identity(Path(base), cache) if Path(base).is_absolute() else base


def content_identity(path: Path, cache: Path) -> str:
    """The digest of a file, of a model folder, or of all that lies below any other folder.

    Weights take long to hash, so what was hashed is remembered in the cache by path, size and time of change;
    the digest itself knows of contents alone.

    Raises:
        TeachableError: there is nothing at `path`.
    """
    if not path.exists():
        raise TeachableError("there is no such file or folder", where=str(path))
    files = _deciding_files(path)
    stats = [(str(file.resolve()), file.stat()) for file in files]
    signature = digest([[name, s.st_size, s.st_mtime_ns, s.st_ino] for name, s in stats])
    memory = cache / "digests.json"
    known: dict[str, Any] = read_known(memory)
    if isinstance(known.get(signature), str):
        return str(known[signature])
    identity = _identity(path, files)
    remember(memory, {**known, signature: identity})
    return identity


def _deciding_files(path: Path) -> list[Path]:
    """The file itself; a model folder's deciding files; all files below a folder that holds no model."""
    if not path.is_dir():
        return [path]
    if _is_model(path):
        return model_files(path)
    return sorted(file for file in path.rglob("*") if file.is_file())


def _identity(path: Path, files: Sequence[Path]) -> str:
    if not path.is_dir():
        return file_digest(path)
    if _is_model(path):
        return model_digest(path)
    return digest({file.relative_to(path).as_posix(): file_digest(file) for file in files})


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def read_known(path: Path) -> dict[str, Any]:
    """A JSON object kept in the cache; empty if it is missing or broken, since a cache may always be lost."""
    try:
        known = read_json(path)
    except (TeachableError, OSError):
        return {}
    return known if isinstance(known, dict) else {}


def remember(path: Path, known: dict[str, Any]) -> None:
    """Keep a JSON object in the cache. A cache that can't be written costs time, never the run."""
    try:
        write_json(path, known)
    except (TeachableError, OSError):
        return
