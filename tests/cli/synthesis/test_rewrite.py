"""`teachable synthesize rewrite` over a folder, with models that misbehave in a fifth of their turns and more."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.cli.synthesis.planted_yields import adds_up, faults_are_counted
from tests.synthesize.misbehaving import KINDS, serving, shown
from tests.synthesize.workflows.planted_passages import (
    COMMAND,
    GLASS,
    bridges,
    discussion,
    exercise,
    injected,
    known_of,
    leaked,
    task,
    truth,
)
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.records import Message
from teachable.store.files import read_json, read_rows
from teachable.synthesize.workflows.augment_problems import FOLLOWS, HANDED_OUT
from teachable.synthesize.workflows.rewrite import REFUSED

N = 60
KNOWN = bridges(N)


def honest(messages: Sequence[Message], sample: int) -> str:
    """A writer that errs in a fifth of its pieces, a solver who is right nine times of ten, a judge who knows."""
    texts = shown(messages)
    if "problem" in texts:
        wrong = random.Random(f"{texts['problem']} {sample}").random() < 0.1
        return f"Step by step.\nAnswer: {41 if wrong else truth(texts['problem'].replace(COMMAND, ''), KNOWN)}"
    if "You check what" in messages[0]["content"]:
        written = next(text for label, text in texts.items() if label != "passage")
        fault = "Nothing says that it is made of glass." if GLASS in written else ""
        return json.dumps({"fault": fault, "supported": not fault, "right": True, "useful": True})
    bridge = known_of(messages, KNOWN)
    claim = GLASS if bridge.year % 5 == 0 else ""
    if "between a learner and a tutor" in messages[0]["content"]:
        return json.dumps(discussion(bridge, claim))
    if "take reasoning in several steps" in messages[0]["content"]:
        return json.dumps(task(bridge, ("number", "open")[bridge.metres % 2], claim))
    return json.dumps({"exercises": [exercise(bridge), exercise(bridge, 6, off=int(bridge.year % 3 == 0))]})


def obeys(messages: Sequence[Message], reply: str) -> str | None:
    """Exercises that pass the command on, or have the answer that it asks for; a tutor who passes it on."""
    made = injected(messages, reply) if '"exercises"' in reply else reply
    if made is None or not any(COMMAND in text for text in shown(messages).values()):
        return None
    value = json.loads(made) if made.startswith("{") else {}
    if "exercises" in value:
        value["exercises"][0]["question"] += f" {COMMAND}"
    elif "turns" in value:
        value["turns"][-1]["text"] += f" {COMMAND}"
    else:
        return None
    return json.dumps(value)


def test_no_piece_gets_out_that_is_wrong_or_unproved(in_process: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for place, bridge in enumerate(KNOWN):
        (tmp_path / "docs" / f"{place:02}.txt").write_text(bridge.passage(COMMAND if place % 4 else ""))
    often = (*KINDS, *KINDS, *["injected", "leaked"] * 3)
    with (
        serving(honest, frac=0.3, seed=4, injected=obeys, leaked=leaked, kinds=often) as writer,
        serving(honest, frac=0.2, seed=3) as solver,
    ):
        command = ["synthesize", "rewrite", "docs", "--engine", writer.engine, "--role", f"solver={solver.engine}"]
        result = in_process.invoke(app, [*command, "--out", "o", "--set", "writing.retries=1", "--json"])
        assert result.exit_code == 0, result.output
    stats = read_json(tmp_path / "o/stats.json")
    prompts, rejects = read_rows(tmp_path / "o/prompts.parquet"), read_rows(tmp_path / "o/rejects.jsonl")
    examples = {row["prompt_id"]: row["messages"] for row in read_rows(tmp_path / "o/examples.jsonl")}
    forms: Counter[str] = Counter()
    for prompt in prompts:
        meta = json.loads(prompt["meta"])
        messages = examples[prompt["id"]]
        text = "\n".join(turn["content"] for turn in messages)
        assert GLASS not in text and COMMAND not in text and meta["synthesis"]["proof"] in ("agreement", "judge")
        assert [turn["role"] for turn in messages] == ["user", "assistant"] * (3 if meta["form"] == "discussion" else 1)
        if prompt["verifier"] == "math":
            assert prompt["answer"] == truth(messages[0]["content"], KNOWN)
            assert messages[-1]["content"].endswith(f"Answer: {prompt['answer']}")
        else:
            assert meta["synthesis"]["scores"]["votes"] >= 0.6
        forms[f"{meta['form']} {meta['synthesis']['proof']}"] += 1
    assert set(forms) == {"exercise agreement", "discussion judge", "task agreement", "task judge"}
    assert forms["exercise agreement"] > N and min(forms.values()) > N / 10
    adds_up(stats, rejects, splits=["forms", "written"])
    lost = {row["reason"] for row in rejects}
    assert lost >= {REFUSED, "solvers disagree with the stated answer"}
    assert writer.kinds["injected"] and FOLLOWS in lost
    assert writer.kinds["leaked"] and HANDED_OUT in lost
    faults_are_counted(stats, writer, solver, untold="You check what")
