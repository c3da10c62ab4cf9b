"""Files written as their rows come, for what need not fit into memory.

Such a file grows under a name of its own beside its place (`.NAME.part`), which a process that is killed leaves behind
and the next one overwrites: so only one process may write into a folder, which the lock of a run folder sees to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from teachable.store.files import flush, mending, schema_of

ROWS_AT_ONCE = 1000  # a row group of Parquet


@contextmanager
def growing(path: Path) -> Iterator[Path]:
    """The path to write to; what was written takes the place of `path` when the block ends well, else it goes.

    Raises:
        TeachableError: the disk is full or the folder can't be written.
    """
    path = Path(path)
    with mending(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            yield part
            flush(part)
            part.replace(path)
            flush(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


class RowWriter:
    """A Parquet file of records of one kind, written row by row; it takes its place whole when the block ends well.

    The bytes depend on the rows alone.

    Args:
        path: `.parquet`.
        kind: of the records whose rows (`records.to_row`) are written.

    Raises:
        TeachableError: the disk is full or the folder can't be written.
    """

    def __init__(self, path: Path, kind: type[Any]) -> None:
        self._path, self._schema = Path(path), schema_of(kind)
        self._rows: list[dict[str, Any]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        import pyarrow.parquet as pq

        temporary = self._stack.enter_context(growing(self._path))
        with mending(self._path):
            writer = pq.ParquetWriter(temporary, self._schema, compression="zstd")
        self._writer = self._stack.enter_context(writer)
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(dict(row))
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            with mending(self._path):
                self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                self._flush()
                return
            self._stack.pop_all().__exit__(kind, error, trace)
