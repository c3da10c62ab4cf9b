"""Benchmarks from the hub without a network: folders laid out as there, the hub's cache, and what is said else."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.benchmarks.rows import BESIDE, ROWS, write

from teachable.errors import TeachableError
from teachable.tasks.benchmarks.catalog import BENCHMARKS
from teachable.tasks.benchmarks.load import load_catalog

pytest.importorskip("datasets")
CARD = """---
configs:
{configs}
---
# A data set
"""
SHA = "0123456789abcdef0123456789abcdef01234567"


def on_the_hub(folder: Path, name: str) -> Path:
    """A folder that `load_dataset` opens like the benchmark's data set: a card with configs, and Parquet files."""
    hub = BENCHMARKS[name].hub
    lines = []
    for config in hub.configs or ("default",):
        path = f"{config}/{hub.split}-00000-of-00001.parquet"
        rows = [{key: value for key, value in row.items() if value != []} for row in ROWS[name]]
        write(folder / path, rows)
        lines += [f"- config_name: {config}", "  data_files:", f"  - split: {hub.split}", f"    path: {path}"]
        if config == "default":
            lines += ["  default: true"]
    (folder / "README.md").write_text(CARD.format(configs="\n".join(lines)))
    return folder


LOADED = [name for name, spec in BENCHMARKS.items() if not spec.hub.files and name != "aime25"]


@pytest.mark.parametrize("name", ["gsm8k", "gpqa", "math", "mbpp", "omni_math"])
def test_a_data_set_is_opened_by_its_config_and_split(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    assert name in LOADED
    spec = BENCHMARKS[name]
    published = replace(spec, hub=replace(spec.hub, id=str(on_the_hub(tmp_path / "set", name))))
    found = load_catalog(published, None)
    local = load_catalog(spec, write(tmp_path / f"{name}.jsonl", ROWS[name]))
    assert [p.id for p in found.prompts] == [p.id for p in local.prompts]
    assert found.facts["data_digest"] == local.facts["data_digest"]
    assert found.facts["n_rows"] == len(ROWS[name]) * max(1, len(spec.hub.configs))
    assert str(found.facts["data"]).startswith(str(tmp_path / "set"))
    [step] = found.prompts[0].lineage
    assert step.parent.startswith(str(tmp_path / "set")) and step.params == f"{spec.hub.split} row 1"


def test_a_bad_row_of_the_hub_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setitem(ROWS, "gsm8k", [*ROWS["gsm8k"], {"question": "How many?", "answer": "7"}])  # type: ignore[arg-type]
    spec = BENCHMARKS["gsm8k"]
    published = replace(spec, hub=replace(spec.hub, id=str(on_the_hub(tmp_path / "set", "gsm8k"))))
    with pytest.raises(TeachableError, match=r"\(main\), test row 3: the field `answer` does not end with"):
        load_catalog(published, None)


def cached(cache: Path, name: str) -> None:
    """The hub's own cache as it is after a benchmark's files were fetched."""
    hub = BENCHMARKS[name].hub
    folder = cache / f"datasets--{hub.id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(SHA)
    for file in hub.files:
        write(folder / "snapshots" / SHA / file, ROWS[name], header=False)
    for file in hub.beside:
        write(folder / "snapshots" / SHA / file, BESIDE[name][Path(file).stem])


def offline(code: str, cache: Path) -> str:
    """What a fresh Python says that may not use the network and has this cache."""
    settings = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_that_no_loader_reads_are_fetched_one_by_one(tmp_path: Path) -> None:
    for name in ("mgsm", "arena_hard_v2"):
        cached(tmp_path, name)
    said = offline(
        """
        from teachable.tasks.benchmarks import load_benchmark
        for name in ("mgsm", "arena_hard_v2"):
            found = load_benchmark(name)
            subjects = sorted({str(p.meta["subject"]) for p in found.prompts})
            print(found.facts["data"], found.facts["n_rows"], len(found.prompts), " ".join(subjects))
            print([p.answer for p in found.prompts][:2])
        """,
        tmp_path,
    )
    assert said.splitlines() == [
        f"juletxara/mgsm@{SHA} 22 2 bn",
        "['8', '100']",
        f"lmarena-ai/arena-hard-auto@{SHA} 2 2 creative_writing hard_prompt",
        "['o3-mini-2025-01-31 on b1', 'gemini-2.0-flash-001 on b2']",
    ]


def test_without_a_network_there_is_one_sentence_for_each(tmp_path: Path) -> None:
    said = offline(
        """
        from teachable.errors import TeachableError
        from teachable.tasks.benchmarks.catalog import BENCHMARKS
        from teachable.tasks.benchmarks import load_benchmark
        for name in BENCHMARKS:
            try:
                load_benchmark(name)
            except TeachableError as error:
                print(error)
        """,
        tmp_path,
    )
    lines = said.splitlines()
    assert len(lines) == len(BENCHMARKS)
    for name, line in zip(BENCHMARKS, lines, strict=True):
        shape = rf"{name}: the data set {re.escape(BENCHMARKS[name].hub.id)} could not be loaded from the hub \(.+\)\. "
        assert re.fullmatch(shape + rf"Check the network .* or name a local copy: {name}=PATH\.", line), line


def test_without_the_library_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *rest: Any) -> Any:
        if name in ("datasets", "huggingface_hub"):
            raise ImportError(name)
        return importlib.__import__(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    for name, library in (("gsm8k", "datasets"), ("mgsm", "huggingface_hub")):
        with pytest.raises(TeachableError) as caught:
            load_catalog(BENCHMARKS[name], None)
        assert str(caught.value) == (
            f"{name}: loading a benchmark from the hub needs {library}, which is not installed. "
            f"Install teachable[train], or name a local copy: {name}=PATH."
        )
