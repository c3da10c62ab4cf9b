"""One row of a benchmark's data, and its cells as what they should be; a sentence where one is something else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NoReturn

from teachable.errors import TeachableError
from teachable.tasks.columns import is_empty

_SHOWN = 12  # columns that a sentence names


@dataclass(frozen=True)
class Cells:
    """A row and where it stands. A cell is asked for under the names that it has in the field, the first there counts.

    Attributes:
        row: column -> value.
        file: where the row is from, a path or a data set, for sentences; `at` is its place there ("row 3").
        place: the file, relative to what the user named, or the data set's config.
        beside: the rows of the files beside the data, by the file's stem.
    """

    row: Mapping[str, Any]
    file: str
    at: str
    place: PurePath
    beside: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """File and row, for sentences."""
        return f"{self.file}, {self.at}"

    def has(self, *names: str) -> bool:
        """Does the row have something under one of these names?"""
        return self._find(names)[1] is not None

    def text(self, *names: str) -> str:
        """A text that must be there; a number counts as the text that it is.

        Raises:
            TeachableError: there is none, or something else.
        """
        name, value = self._find(names)
        if value is None:
            self._lacks(names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.refuse(name, f"is a {type(value).__name__}, where a text is needed")
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a table with a gap holds whole numbers as 42.0
        return str(value)

    def optional(self, *names: str) -> str:
        """A text, or an empty one where there is none.

        Raises:
            TeachableError: it is something else.
        """
        return self.text(*names) if self.has(*names) else ""

    def whole(self, *names: str) -> int:
        """A whole number that must be there, also one written as text.

        Raises:
            TeachableError: there is none, or something else.
        """
        text = self.text(*names).strip()
        try:
            return int(text)
        except ValueError:
            self.refuse(self._find(names)[0], f"is {text[:40]!r}, where a whole number is needed")

    def texts(self, *names: str) -> list[str]:
        """A list of texts that must be there, also as JSON.

        Raises:
            TeachableError: there is none, or something else.
        """
        name, value = self._find(names)
        if value is None:
            self._lacks(names)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except ValueError as error:
                self.refuse(name, f"is no JSON list ({error})")
        if (
            not isinstance(value, Sequence)
            or isinstance(value, str)
            or not all(isinstance(each, str) for each in value)
        ):
            self.refuse(name, f"is a {type(value).__name__}, where a list of texts is needed")
        return list(value)

    def value(self, *names: str) -> Any:
        """Whatever stands there, None for nothing."""
        return self._find(names)[1]

    def refuse(self, name: str, what: str, mend: str = "Mend the row, or leave it out of the file") -> NoReturn:
        """Say what is wrong with a field.

        Raises:
            TeachableError: always.
        """
        raise TeachableError(f"the field `{name}` {what}", where=self.where, mend=mend)

    def _find(self, names: Sequence[str]) -> tuple[str, Any]:
        """The first of these columns that holds something, case aside, and what it holds."""
        by_name = {str(column).strip().lower(): column for column in self.row}
        for name in names:
            column = by_name.get(name.lower())
            if column is not None and not is_empty(self.row[column]):
                return str(column), self.row[column]
        return names[0], None

    def _lacks(self, names: Sequence[str]) -> NoReturn:
        there = [str(column) for column in self.row]
        shown = ", ".join(there[:_SHOWN]) + (" and more" if len(there) > _SHOWN else "")
        wanted = " or ".join(f"`{name}`" for name in names)
        raise TeachableError(
            f"the field {wanted} is missing or empty: the row has {shown or 'nothing'}",
            where=self.where,
            mend="Give the data in the benchmark's own format, which docs/benchmarks.md lists",
        )
