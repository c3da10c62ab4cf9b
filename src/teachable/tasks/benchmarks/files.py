"""The rows of a benchmark in a local file, or in a folder laid out as on the hub.

Of a folder's files those are read that belong to the benchmark:

1. files with a readable ending, hidden ones aside; of a benchmark with answers beside its questions only `question.*`;
2. where some lie in a folder of the name of the benchmark's config, or bear it themselves (`gpqa_diamond.csv`), these;
3. where some say which split they hold (`test-00000-of-00001.parquet`, `anatomy_test.csv`, `test/algebra/1.json`),
   those of the benchmark's split.

A file that is named is read whatever its name is.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from teachable.errors import TeachableError
from teachable.store.files import read_rows, require_file
from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.spec import BenchmarkSpec

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
QUESTIONS = "question"  # the file's stem, where answers lie beside the questions
PACKED = (".gz", ".zst", ".zip", ".bz2", ".xz", ".tar")
_SPLITS = {"train", "test", "validation", "valid", "val", "dev", "prompt", "auxiliary_train"}
_WORDS = re.compile(r"[A-Za-z]+")


def local_rows(spec: BenchmarkSpec, path: Path) -> list[Cells]:
    """The rows of a file or folder in the benchmark's own format, in the order of the files' names.

    Raises:
        TeachableError: nothing is there, nothing of the benchmark is in it, or a file can't be read.
    """
    root = path if path.is_dir() else path.parent
    rows: list[Cells] = []
    for file in _files(spec, path):
        beside = _beside(spec, file)
        place = file.relative_to(root)
        for number, row in enumerate(_rows(file, spec.columns), start=1):
            rows.append(Cells(row, str(file), f"row {number}", place, beside))
    if not rows:
        raise TeachableError(f"there are no rows of {spec.name}", where=str(path), mend="Name the file that has them")
    return rows


def _files(spec: BenchmarkSpec, path: Path) -> list[Path]:
    if not path.is_dir():
        require_file(path, FORMATS)
        if path.suffix not in FORMATS:
            mend = "Unpack it" if path.suffix in PACKED else "Write it as one of these"
            raise TeachableError(f"data is read from {', '.join(FORMATS)} files", where=str(path), mend=mend)
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.suffix in FORMATS and file.is_file()]
    found = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if spec.beside:
        found = [file for file in found if file.stem == QUESTIONS]
    if not found:
        raise TeachableError(
            f"no {', '.join(FORMATS)} file is in this folder", where=str(path), mend=f"Name the file of {spec.name}"
        )
    names = {*spec.hub.configs, *(PurePath(name).parent.name for name in spec.hub.files if spec.beside)}
    named = [file for file in found if names & {*file.relative_to(path).parent.parts, file.stem}]
    found = named or found
    said = {file: _split_said(file.relative_to(path)) for file in found}
    if not any(said.values()):
        return found
    chosen = [file for file in found if spec.hub.split in said[file]]
    if not chosen:
        there = ", ".join(sorted(set().union(*said.values())))
        raise TeachableError(
            f"this folder has no {spec.hub.split} split of {spec.name}, only {there}",
            where=str(path),
            mend="Name the file to be read",
        )
    return chosen


def _split_said(file: PurePath) -> set[str]:
    """The splits that a file's path names, as words of its own or of its folders' names."""
    words = {word.lower() for part in (*file.parent.parts, file.stem) for word in _WORDS.findall(part)}
    return words & _SPLITS


def _beside(spec: BenchmarkSpec, file: Path) -> dict[str, Sequence[dict[str, Any]]]:
    """The rows of the files in the folder beside the data, by stem."""
    if not spec.beside:
        return {}
    folder = file.parent / spec.beside
    files = sorted(one for one in folder.iterdir() if one.suffix in FORMATS) if folder.is_dir() else []
    if not files:
        raise TeachableError(
            f"{spec.name} needs the folder {spec.beside}, with a file of answers, beside its questions",
            where=str(file.parent),
            mend="Put the baseline's answers there",
        )
    return {one.stem: list(_rows(one, ())) for one in files}


def _rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if file.suffix in (".jsonl", ".parquet"):
        yield from read_rows(file)
    elif file.suffix == ".json":
        yield from _json_rows(file)
    else:
        yield from _table_rows(file, columns)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TeachableError(f"this file can't be read ({error.strerror})", where=str(file)) from error
    except UnicodeDecodeError as error:
        raise TeachableError(
            f"this file is not UTF-8 (byte {error.start + 1})", where=str(file), mend="Save it as UTF-8"
        ) from error


def _json_rows(file: Path) -> list[dict[str, Any]]:
    """The objects of a JSON list, the one object that a file holds, or one object a line."""
    text = _text(file)
    try:
        found = json.loads(text)
    except ValueError as error:
        try:
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError:
            raise TeachableError(f"this is no JSON ({error})", where=str(file), mend="Mend the file") from error
    rows = [found] if isinstance(found, dict) else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TeachableError(
            "this JSON is neither an object nor a list of objects", where=str(file), mend="Write one object a row"
        )
    return rows


def _table_rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a CSV or TSV file; in a TSV file a quotation mark is a character like any other.

    The first line is the header, unless the benchmark is published without one and the line does not name its columns.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    lines = io.StringIO(_text(file), newline="")
    tabs = file.suffix == ".tsv"
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines, strict=True)
    try:
        table = [cells for cells in reader if cells]
    except csv.Error as error:
        where = f"{file}, line {reader.line_num}"
        raise TeachableError(f"this line is no CSV ({error})", where=where, mend="Mend it") from error
    if not table:
        return
    header = [name.strip() for name in table[0]]
    if columns and columns[0].lower() not in {name.lower() for name in header}:
        header = list(columns)
    else:
        table = table[1:]
    for number, cells in enumerate(table, start=1):
        if len(cells) != len(header):
            raise TeachableError(
                f"this row has {len(cells)} cells, where {len(header)} columns are known",
                where=f"{file}, row {number}",
                mend="Mend the row",
            )
        yield dict(zip(header, cells, strict=True))
