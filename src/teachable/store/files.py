"""Files that survive a crash: every file appears whole or not at all, and equal rows make equal bytes.

A file is written beside its place under a temporary name, flushed to the disk and then renamed. A process
killed half-way leaves a `.NAME.*.tmp` and nothing else. Parquet is for tables that stages hand on, JSONL for
what other trainers read; `datasets.load_dataset` opens both. pyarrow is imported on first use, so that the
command line can look at a finished run without it.

Not protected against: a disk that lies about `fsync`, and two processes writing the same path (the last
rename wins, each file whole); a run folder's lock prevents the latter.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teachable.errors import TeachableError
from teachable.records import Attempt, Document, Estimate, Prompt, Record, Solution, T, from_row, to_row

if TYPE_CHECKING:
    import pyarrow as pa

ROW_FORMATS = (".jsonl", ".parquet")  # the endings that rows are read from and written to

_PLAIN = frozenset({str, int, bool, type(None)})
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def disk_full(folder: Path) -> TeachableError:
    """The sentence for a disk without room (or a quota that is used up)."""
    return TeachableError(
        "no space is left on the disk",
        where=str(folder),
        mend="Free some space or choose another folder with --out, then run the same command again; "
        "what was finished is kept",
    )


def explain_os_error(error: OSError, path: Path) -> TeachableError | None:
    """The sentence for what a user can mend (disk full, no permission); None for anything else."""
    if error.errno in _FULL:
        return disk_full(path.parent)
    if error.errno in _DENIED:
        return TeachableError(
            "this folder can't be written", where=str(path.parent), mend="Choose another one with --out"
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST}:
        return TeachableError("a file is in the place of a folder", where=str(path), mend="Choose another folder")
    return None


@contextlib.contextmanager
def mending(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission met in the block into a `TeachableError` that names the folder."""
    try:
        yield
    except OSError as error:
        sentence = explain_os_error(error, path)
        if sentence is None:
            raise
        raise sentence from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it takes the place of `path` when the block ends well, else it goes.

    Raises:
        TeachableError: the disk is full or the folder can't be written.
    """
    path = Path(path)
    with mending(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp makes files private; an output is as readable as any other file of this user.
            temporary.chmod(0o666 & ~_umask())
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@functools.cache
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def flush(path: Path) -> None:
    """Have a file, or a folder's list of names, on the disk and not only in its cache."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain(value: object) -> Any:
    """A value as JSON holds it: mappings, lists, text, numbers, booleans and None.

    Dataclasses, pydantic models, paths and NumPy numbers are turned; a key that is no text, a set or a NaN is
    refused, since it would not come back as it went.

    Raises:
        TypeError: the value has no JSON form.
        ValueError: a number is NaN or infinite.
    """
    kind = type(value)
    if kind in _PLAIN:  # nearly all values, and the tests below take long for so many
        return value
    if kind is dict and all(type(key) is str for key in value):  # type: ignore[attr-defined]
        return {key: plain(item) for key, item in value.items()}  # type: ignore[attr-defined]
    if kind is list or kind is tuple:
        return [plain(item) for item in value]  # type: ignore[attr-defined]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("JSON has no NaN and no infinity: write None and say why")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a JSON object's keys are text, not {type(key).__name__}: {key!r}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return plain(dump(mode="json"))
    to_list = getattr(value, "tolist", None)  # NumPy's scalars and arrays both have it
    if callable(to_list):
        return plain(to_list())
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all."""
    with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
        handle.write(text)


def write_json(path: Path, obj: object) -> None:
    """Write one JSON document, indented, whole or not at all."""
    write_text(path, json.dumps(plain(obj), indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON document at `path`.

    Raises:
        TeachableError: the file is missing or is no JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TeachableError("this file is missing", where=str(path)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 0)
        raise TeachableError(f"this is no JSON ({error})", where=f"{path}:{line}" if line else str(path)) from error


def require_file(path: Path, formats: Sequence[str]) -> None:
    """Refuse a folder and a path where nothing is. `formats` are the endings that are looked for in the folder.

    Raises:
        TeachableError: it is one of these.
    """
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in formats)
        mend = f"Name a file in it, such as {path / files[0]}" if files else f"Name a {' or '.join(formats)} file"
        raise TeachableError("this is a folder", where=str(path), mend=mend)
    if not path.exists():
        raise TeachableError("this file is missing", where=str(path), mend="Correct the path")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None = None) -> None:
    """Write rows as `.parquet` or `.jsonl`, by the path's ending. Equal rows make equal bytes.

    Without a schema the columns are the union of the rows' keys in order of appearance, their types inferred.

    Raises:
        TeachableError: the disk is full or the folder can't be written.
        ValueError: the ending is neither.
    """
    path = Path(path)
    if path.suffix == ".jsonl":
        lines = (json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(lines)
        return
    if path.suffix != ".parquet":
        raise ValueError(f"rows are written as .parquet or .jsonl, not as {path.name}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    if schema is None:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    else:
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a `.parquet` or `.jsonl` file. Blank lines of JSONL are passed over.

    Raises:
        TeachableError: the file is missing, a folder, or broken; for JSONL with the line.
    """
    path = Path(path)
    if path.is_dir():
        raise TeachableError("this is a folder", where=str(path), mend="Name a file in it")
    if not path.is_file():
        raise TeachableError("this file is missing", where=str(path))
    if path.suffix == ".jsonl":
        return list(_json_lines(path))
    if path.suffix != ".parquet":
        raise ValueError(f"rows are read from .parquet or .jsonl, not from {path.name}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A ParquetFile reads this one file; read_table would look for partitions in the folder's name.
        with pq.ParquetFile(path) as source:
            rows: list[dict[str, Any]] = source.read().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TeachableError(f"this is no Parquet file that can be read ({error})", where=str(path)) from error
    return rows


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        handle = path.open("rb")
    except OSError as error:
        raise TeachableError(f"this file can't be read ({error.strerror})", where=str(path)) from error
    with handle:
        first = True
        for number, line in enumerate(handle, start=1):
            if line.strip():
                yield _json_line(line, f"{path}:{number}", first=first)
                first = False


def _json_line(line: bytes, where: str, *, first: bool) -> dict[str, Any]:
    """The object on one line of JSONL.

    Args:
        line: its bytes.
        where: file and line, for the sentence.
        first: nothing stands before it in the file, so that it tells what kind of file this is.
    """
    if first:
        line = line.removeprefix(codecs.BOM_UTF8)
    row: object = None
    fault = ""
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        wide = first and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise TeachableError(
            f"this line is not UTF-8: byte {error.start + 1} of it is 0x{line[error.start]:02x}",
            where=where,
            mend=f"Save the file as UTF-8{' (it looks like UTF-16)' if wide else ''}",
        ) from error
    except (ValueError, RecursionError) as error:  # ValueError also stands for a number of thousands of digits
        fault = str(error)
    if isinstance(row, dict):
        return row
    is_array = isinstance(row, list) and any(isinstance(item, dict) for item in row)
    if first and (is_array or (fault and line.lstrip().startswith(b"["))):
        raise TeachableError(
            "this file is one JSON array, where every line should hold one object",
            where=where,
            mend="Convert it: jq -c '.[]' OLD.json > NEW.jsonl",
        )
    what = f"no JSON ({fault})" if fault else f"no JSON object but a {type(row).__name__}"
    raise TeachableError(f"this line is {what}", where=where, mend="Write one JSON object a line")


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write records of one kind as rows; Parquet gets the kind's own schema, whatever the values."""
    kinds = {type(record) for record in records}
    if len(kinds) > 1:
        raise TypeError(f"one file holds one kind of record, not {sorted(kind.__name__ for kind in kinds)}")
    schema = schema_of(kinds.pop()) if kinds and Path(path).suffix == ".parquet" else None
    write_rows(path, [to_row(record) for record in records], schema)


def read_records(path: Path, kind: type[T]) -> list[T]:
    """The records of `kind` in a file that `write_records` made.

    Raises:
        TeachableError: the file is missing, broken, or holds another kind of row.
    """
    try:
        return [from_row(kind, row) for row in read_rows(path)]
    except KeyError as error:
        raise TeachableError(str(error.args[0]), where=str(path)) from error


def schema_of(kind: type[Any]) -> pa.Schema | None:
    """The Parquet schema of a kind of record; None for a kind whose columns are inferred.

    Inference would type a column by its values: an `answer` that is always None would have another type than
    in the next run, and two files of the same kind could not be read as one data set.
    """
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    step = pa.struct([("parent", pa.string()), ("transform", pa.string()), ("params", pa.string())])
    special: dict[str, pa.DataType] = {
        "messages": pa.list_(message),
        "lineage": pa.list_(step),
        "token_ids": pa.list_(pa.int32()),
        "correct": pa.bool_(),
        "suspect": pa.bool_(),
    }
    for name in ("level", "sample", "seed", "n", "successes", "n_undecided", "n_tokens"):
        special[name] = pa.int64()
    masses = ("zone_mass", "p_beyond", "p_teachable", "p_mastered")
    for name in ("posterior_a", "posterior_b", "agreement", "key_agreement", "frac_passed", "quality", *masses):
        special[name] = pa.float64()
    if kind not in (Document, Prompt, Solution, Attempt, Estimate):
        return None
    return pa.schema([(f.name, special.get(f.name, pa.string())) for f in fields(kind)])
