"""A benchmark's data in files of the user's own, as lm-evaluation-harness's tasks want it: rows by split.

A file stands for the split that is asked. A folder holds a file for each split, or several: named after the split
(`test.jsonl`, `test-00000-of-00002.parquet`), in the folder itself, in `data`, or in a folder named after the task's
configuration (`main`, `anatomy`), which is how the hub lays data sets out. Where one file holds the rows of several
configurations, a column `subject`, `category`, `config`, `subset`, `language` or `lang` says whose a row is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.verify.harness import NoRows

BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
_ALSO_CALLED = {"validation": ("validation", "val", "valid", "dev"), "dev": ("dev", "validation", "val", "valid")}
_CONFIG_COLUMNS = ("subject", "category", "config", "subset", "language", "lang")


def asked_split(settings: Mapping[str, Any]) -> str:
    """The split whose rows a task asks.

    Raises:
        TeachableError: it names none.
    """
    split = settings.get("test_split") or settings.get("validation_split")
    if not split:
        raise TeachableError(f"the task {settings.get('task')} names neither a test split nor a validation split")
    return str(split)


def examples_from(settings: Mapping[str, Any]) -> str | None:
    """The split that worked examples are drawn from; None where the task brings its own."""
    few_shot = settings.get("fewshot_config") or {}
    split = few_shot.get("split") or settings.get("fewshot_split")
    if split:
        return str(split)
    if few_shot.get("samples") is not None:
        return None
    return str(settings.get("training_split") or settings.get("validation_split") or asked_split(settings))


class LocalFiles:
    """The splits of one benchmark's tasks, read with the `datasets` builders that the library itself would use.

    Args:
        path: the file or folder.
        cache: a folder for what `datasets` keeps; the rows live there.
        several: the benchmark is a group whose tasks have configurations of their own.
    """

    def __init__(self, path: Path, cache: Path, *, several: bool) -> None:
        self.path = path
        self._cache = cache
        self._several = several
        self._read: dict[tuple[Path, ...], Any] = {}

    def splits(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The rows of every split that a task names.

        A split that there is no file for is empty, unless it is asked or worked examples come from it.

        Raises:
            NoRows: no row, or no folder, is of this task's configuration.
            TeachableError: a file is missing, of another kind, or can't be read.
        """
        asked = asked_split(settings)
        config = str(settings.get("dataset_name") or "")
        rows = {asked: self._rows(self._files(asked, config, asked), config)}
        n_shots = int(settings.get("num_fewshot") or 0)
        shots = examples_from(settings)
        few_shot = settings.get("fewshot_config") or {}
        named = [settings.get(key) for key in ("training_split", "validation_split", "fewshot_split")]
        for split in {str(name) for name in (*named, few_shot.get("split")) if name} - {asked}:
            files = self._files(split, config, asked)
            if files:
                rows[split] = self._rows(files, config)
            elif n_shots and split == shots:
                raise self._no_examples(settings, split, n_shots)
            else:
                rows[split] = rows[asked].select(range(0))
        if n_shots and shots is not None and len(rows[shots]) < n_shots + (shots == asked):
            raise TeachableError(
                f"the split '{shots}' has {len(rows[shots])} rows, too few for {n_shots} worked examples",
                where=str(self.path),
                mend=f"Add rows, or ask without them: +0shot after the task's name ({settings['task']}+0shot)",
            )
        return rows

    def _no_examples(self, settings: Mapping[str, Any], split: str, n_shots: int) -> TeachableError:
        task = settings["task"]
        return TeachableError(
            f"{task} puts {n_shots} worked examples from the split '{split}' before each question, and there is no file"
            " of them",
            where=str(self.path),
            mend=f"Name a folder with {split}.jsonl and {asked_split(settings)}.jsonl in it, or ask without examples:"
            f" {task}+0shot",
        )

    def _files(self, split: str, config: str, asked: str) -> tuple[Path, ...]:
        """The files of a split, by name; empty where a folder has none of another split than the one asked."""
        if not self.path.exists():
            raise TeachableError("there is neither a file nor a folder", where=str(self.path), mend="Correct the path")
        if self.path.is_file():
            return (_known(self.path),) if split == asked else ()
        own = self.path / config if config and (self.path / config).is_dir() else None
        for folder in filter(None, (own, self.path)):
            for place in (folder, folder / "data"):
                found = [file for file in sorted(place.iterdir()) if _is_of(file, split)] if place.is_dir() else []
                kinds = {file.suffix for file in found}
                if len(kinds) > 1:
                    raise TeachableError(
                        f"the split '{split}' is there as {' and as '.join(sorted(kinds))}",
                        where=str(place),
                        mend="Keep one of them",
                    )
                if found:
                    return tuple(found)
        if split != asked:
            return ()
        if (
            self._several
            and own is None
            and any((each / "data").is_dir() or _holds(each) for each in _folders(self.path))
        ):
            raise NoRows(f"there is no folder '{config}'", where=str(self.path))
        kinds_known = " or ".join(BUILDERS)
        raise TeachableError(
            f"there is no file of the split '{split}'",
            where=str(self.path),
            mend=f"Name it {split}.jsonl ({kinds_known}), or name the file itself",
        )

    def _rows(self, files: tuple[Path, ...], config: str) -> Any:
        if files not in self._read:
            self._read[files] = read(files, self._cache)
        rows = self._read[files]
        if not config or files[0].is_relative_to(self.path / config):
            return rows
        column = next((name for name in _CONFIG_COLUMNS if _same(config, _values(rows, name))), None)
        if column is not None:
            return rows.select([at for at, value in enumerate(rows[column]) if _same(config, [value])])
        if self._several and not any(name in rows.column_names for name in _CONFIG_COLUMNS):
            raise TeachableError(
                f"nothing says which rows are of '{config}', one of the group's tasks",
                where=str(files[0]),
                mend=f"Add a column subject with '{config}' in it, or put each task's files into a folder of its name",
            )
        if self._several:
            raise NoRows(f"no row is of '{config}'", where=str(files[0]))
        return rows


def read(files: Sequence[Path], cache: Path) -> Any:
    """Rows of files of one kind, with the types that `datasets` infers.

    Raises:
        TeachableError: they can't be read, or hold no row.
    """
    datasets = import_module("datasets")
    try:
        rows = datasets.load_dataset(
            BUILDERS[_known(files[0]).suffix],
            data_files={"train": [str(file) for file in files]},
            split="train",
            cache_dir=str(cache),
        )
    except Exception as error:
        cause = " ".join(str(error.__cause__ or error).split())[:300]
        raise TeachableError(f"this can't be read ({cause})", where=str(files[0]), mend="Mend the file") from error
    if len(rows) == 0:
        raise TeachableError("the file holds no rows", where=str(files[0]), mend="Write one JSON object a line")
    return rows


def _known(file: Path) -> Path:
    if file.suffix not in BUILDERS:
        raise TeachableError(
            f"data is read from {', '.join(BUILDERS)} files", where=str(file), mend="Write it as one of these"
        )
    return file


def _is_of(file: Path, split: str) -> bool:
    names = _ALSO_CALLED.get(split, (split,))
    stem = file.name.lower().removesuffix(file.suffix)
    return file.suffix in BUILDERS and any(stem == name or stem.startswith((f"{name}-", f"{name}_")) for name in names)


def _folders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()]


def _holds(folder: Path) -> bool:
    return any(file.suffix in BUILDERS for file in folder.iterdir())


def _values(rows: Any, column: str) -> set[Any]:
    return {value for value in rows[column] if isinstance(value, str)} if column in rows.column_names else set()


def _same(config: str, values: Sequence[Any] | set[Any]) -> bool:
    """Whether a configuration is among values, spaces and case aside."""
    wanted = config.lower().replace(" ", "_")
    return any(isinstance(value, str) and value.lower().replace(" ", "_") == wanted for value in values)
