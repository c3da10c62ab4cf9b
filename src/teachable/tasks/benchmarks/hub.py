"""The rows of a benchmark from the hub.

A data set with configs is read by `datasets.load_dataset`; a set that only a loading script could read, or whose files
no loader reads as one table, is fetched file by file and read as local files are. Both libraries are imported when they
are needed: the rest of the package does without them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any, NoReturn

from teachable.errors import TeachableError
from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.files import local_rows
from teachable.tasks.benchmarks.spec import BenchmarkSpec

_REVISION = re.compile(r"@([0-9a-f]{40})\b")
_MAX_FAULT_CHARS = 200


def hub_rows(spec: BenchmarkSpec) -> tuple[list[Cells], str]:
    """The rows of a benchmark's split on the hub, and where they are from: the data set with its revision.

    Raises:
        TeachableError: the libraries are not installed, the hub or the data set can't be reached, or a file can't be
            read.
    """
    return _fetched(spec) if spec.hub.files else _loaded(spec)


def _loaded(spec: BenchmarkSpec) -> tuple[list[Cells], str]:
    datasets = _library("datasets", spec)
    rows: list[Cells] = []
    revisions: set[str] = set()
    for config in spec.hub.configs or (None,):
        try:
            table = datasets.load_dataset(spec.hub.id, config, split=spec.hub.split)
        except Exception as error:  # what the library raises is of many kinds, with no base of their own
            _unreachable(spec, error)
        revisions |= set(_REVISION.findall(" ".join(map(str, table.info.download_checksums or ()))))
        name = f"{spec.hub.id}{f' ({config})' if config else ''}"
        for number, row in enumerate(table, start=1):
            rows.append(Cells(row, name, f"{spec.hub.split} row {number}", PurePath(config or "")))
    return rows, _said(spec, revisions)


def _fetched(spec: BenchmarkSpec) -> tuple[list[Cells], str]:
    hub = _library("huggingface_hub", spec)
    rows: list[Cells] = []
    revisions: set[str] = set()
    try:
        fetched = [
            Path(hub.hf_hub_download(spec.hub.id, name, repo_type="dataset"))
            for name in (*spec.hub.files, *spec.hub.beside)
        ]
    except Exception as error:  # as above
        _unreachable(spec, error)
    for path in fetched[: len(spec.hub.files)]:
        revisions |= {part for part in path.parts if re.fullmatch(r"[0-9a-f]{40}", part)}
        rows += local_rows(spec, path)
    return rows, _said(spec, revisions)


def _library(name: str, spec: BenchmarkSpec) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TeachableError(
            f"loading a benchmark from the hub needs {name}, which is not installed",
            where=spec.name,
            mend=f"Install teachable[train], or name a local copy: {spec.name}=PATH",
        ) from error


def _unreachable(spec: BenchmarkSpec, error: Exception) -> NoReturn:
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    fault = f"{type(error).__name__}: {first}" if first else type(error).__name__
    raise TeachableError(
        f"the data set {spec.hub.id} could not be loaded from the hub ({fault[:_MAX_FAULT_CHARS]})",
        where=spec.name,
        mend=f"Check the network (and for a gated data set the login: hf auth login), or name a local copy: "
        f"{spec.name}=PATH",
    ) from error


def _said(spec: BenchmarkSpec, revisions: Iterable[str]) -> str:
    configs = f" ({', '.join(spec.hub.configs)})" if spec.hub.configs else ""
    at = "".join(f"@{revision}" for revision in sorted(revisions))
    return f"{spec.hub.id}{at}{configs}"
