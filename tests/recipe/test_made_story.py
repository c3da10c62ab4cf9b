"""How a synthetic prompt came to be, and what became of a seed: in a folder of the command, and in a run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.synthesize.flows import answer, run_toy, seeds

from teachable.engines.scripted import ScriptedEngine
from teachable.errors import TeachableError
from teachable.recipe.story import story, story_text
from teachable.store.files import read_rows
from teachable.store.manifest import RunFolder, StageEntry


@pytest.fixture(params=["", "asks"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of the command, or a run with a stage of the kind `synthesize`."""
    folder = RunFolder(tmp_path / "run")
    out = folder.path / request.param
    named = [replace(seed, id=f"seed-{seed.id}") for seed in seeds(12)]
    with folder.locked("toy"):
        asyncio.run(run_toy(ScriptedEngine(answer, frac_garbage=0.7), out, seeds=named))
        folder.complete(request.param or "synthesize", StageEntry(kind="synthesize", key="k", version=1))
    return folder.path


def made(run: Path) -> Path:
    return next(run.rglob("rejects.jsonl")).parent


def test_a_prompt_tells_where_it_comes_from_and_what_proves_it(run: Path) -> None:
    row = read_rows(made(run) / "prompts.parquet")[0]
    text = story_text(story(run, row["id"][:8]))
    assert text.splitlines()[0].startswith(f"{row['id']}  accepted by ") and "proof: grounded" in text
    assert row["messages"][0]["content"] in text and f"decided by exact): {row['answer']}" in text
    assert f"came from {row['lineage'][-1]['parent']} by toy" in text and "templates: toy/asked " in text


def test_a_seed_tells_what_became_of_it(run: Path) -> None:
    reject = read_rows(made(run) / "rejects.jsonl")[0]
    told = story(run, reject["seed"])
    assert any(one["reason"] == reject["reason"] for one in told["dropped"])
    assert f"at {reject['step']}: {reject['reason']}" in story_text(told)


def test_an_id_that_nobody_knows_is_said(run: Path) -> None:
    with pytest.raises(TeachableError):
        story(run, "nobody")
