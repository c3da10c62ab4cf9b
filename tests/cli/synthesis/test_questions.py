"""`teachable synthesize questions` over a folder, with models that misbehave in a fifth of their turns and more."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from tests.cli.synthesis.planted_yields import adds_up, faults_are_counted
from tests.synthesize.misbehaving import KINDS, serving, shown
from tests.synthesize.workflows.planted_passages import (
    COMMAND,
    Bridge,
    bridges,
    chain,
    injected,
    known_of,
    leaked,
    lies,
    questions,
    truth,
)
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.records import Message
from teachable.store.files import read_json, read_rows
from teachable.synthesize.checks.grounding import INJECTED, NO_NUMBER, NOT_VERBATIM
from teachable.synthesize.workflows.augment_problems import FOLLOWS, HANDED_OUT
from teachable.synthesize.workflows.questions import UNANSWERED
from teachable.synthesize.workflows.questions_asked import ASIDE, NO_CHAIN

N = 60
KNOWN = bridges(N)


def documents(folder: Path) -> list[Bridge]:
    """A document for each bridge; three of four bear a command."""
    folder.mkdir()
    for place, bridge in enumerate(KNOWN):
        text = bridge.passage(COMMAND if place % 4 else "")
        (folder / f"{place:02}.md").write_text(f"# The {bridge.name} Bridge\n\n{text}\n")
    return KNOWN


def honest(messages: Sequence[Message], sample: int) -> str:
    """A writer of whose three questions one is a lie, and a solver who is right nine times of ten."""
    texts = shown(messages)
    if "question" in texts:
        if random.Random(f"{texts} {sample}").random() < 0.1:
            return "I take it from there.\nAnswer: 41"
        return f"This is how it is.\nAnswer: {truth(texts['question'], KNOWN) if ' Bridge' in texts['question'] else 5}"
    bridge = known_of(messages, KNOWN)
    if "You look for reasoning" in messages[0]["content"]:
        return json.dumps({"chains": [chain(bridge)] if bridge.parts % 2 else []})
    lie = lies(bridge)[bridge.year % 3]
    return json.dumps({"questions": [*questions(bridge), lie]})


def test_no_question_gets_out_that_is_wrong_or_not_grounded(in_process: CliRunner, tmp_path: Path) -> None:
    documents(tmp_path / "docs")
    often = (*KINDS, *KINDS, *["injected", "leaked"] * 3)
    with (
        serving(honest, frac=0.3, seed=13, injected=injected, leaked=leaked, kinds=often) as writer,
        serving(honest, frac=0.2, seed=3, injected=injected) as solver,
    ):
        command = ["synthesize", "questions", "docs", "--engine", writer.engine, "--role", f"solver={solver.engine}"]
        result = in_process.invoke(app, [*command, "--out", "o", "--set", "writing.retries=1", "--json"])
        assert result.exit_code == 0, result.output
    stats = read_json(tmp_path / "o/stats.json")
    prompts, rejects = read_rows(tmp_path / "o/prompts.parquet"), read_rows(tmp_path / "o/rejects.jsonl")
    assert stats["n_seeds"] == N and len(prompts) > N
    n_chains = 0
    for prompt in prompts:
        text, meta = prompt["messages"][0]["content"], json.loads(prompt["meta"])
        assert prompt["answer"] == truth(text, KNOWN) != "1999"
        bridge = next(one for one in KNOWN if f"{one.name} Bridge" in text)
        assert meta["evidence"] in bridge.passage() and COMMAND not in text and "Answer" not in text
        assert meta["synthesis"]["proof"] == "grounded" and meta["synthesis"]["scores"]["agreement"] >= 0.75
        assert text.endswith("?") and text.startswith("\n".join(meta.get("premises", ())))
        n_chains += "premises" in meta
    assert 0 < n_chains < len(prompts) / 2
    for example in read_rows(tmp_path / "o/examples.jsonl"):
        assert example["messages"][-1]["content"] == f"This is how it is.\nAnswer: {example['answer']}"
    adds_up(stats, rejects, splits=["parts", "written"])
    faults_are_counted(stats, writer, solver)
    lost = {row["reason"] for row in rejects}
    assert lost >= {NO_CHAIN, NO_NUMBER, NOT_VERBATIM, ASIDE, UNANSWERED}
    assert writer.kinds["injected"] and lost & {INJECTED, FOLLOWS}
    assert writer.kinds["leaked"] and HANDED_OUT in lost
