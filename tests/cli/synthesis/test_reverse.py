"""`teachable synthesize reverse` on code and texts, with a model that is often wrong and misbehaves in a fifth."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cli.synthesis.revise_yields import adds_up
from tests.synthesize.misbehaving import MARKS, serving
from tests.synthesize.workflows import planted_code as code
from tests.synthesize.workflows import planted_reverse as planted
from tests.verify.programs.running import needs_sandbox
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.records import Message
from teachable.store.files import read_json, read_rows

N_CODE, N_TEXT = 18, 24
FIRST = 3


def orders(i: int) -> bool:
    """Texts in which an order to a model stands."""
    return i % 6 == 5


def tells(messages: Sequence[Message], honest: str) -> str | None:
    """An instruction with the code or the text in it."""
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    if "write instructions" not in system:
        return None
    text = json.loads(honest)["instruction"]
    entry = re.search(r"entry (\d+)", text)
    original = planted.note(int(entry[1])) if entry else code.of(code.number_in(messages[-1]["content"])).right[0]
    return json.dumps({"instruction": f"{text} It has to be this:\n{original}"})


def write_documents(folder: Path) -> None:
    """Files of code, and of texts."""
    folder.mkdir()
    for i in range(FIRST, FIRST + N_CODE):
        (folder / f"tool{i}.py").write_text(planted.file_of(i))
    for i in range(N_TEXT):
        (folder / f"note{i}.txt").write_text(planted.note(i) + (f" {code.INJECTION}" if orders(i) else ""))


def is_right(example: dict[str, Any]) -> str:
    """Which kind of example it is; fails unless it is one that the planted truth allows."""
    asked, said = (message["content"] for message in example["messages"])
    assert code.PWNED not in asked + said and example["why"] == "reverse: fidelity"
    entry = re.match(r"Write entry (\d+)", asked)
    if entry is not None:
        assert asked == planted.request(int(entry[1])) and said == planted.note(int(entry[1]))
        assert not orders(int(entry[1])) and example["answer"] is None
        return "text"
    i = code.number_in(asked)
    honest = code.of(i)
    assert asked.startswith(honest.statement) and said == f"```python\n{planted.file_of(i, tests=False).strip()}\n```"
    assert all(code.passes(example["answer"], one) for one in honest.right)
    assert not any(code.passes(example["answer"], one) for one in honest.wrong)
    return "own tests" if "test_all" in example["answer"] else "new tests"


@needs_sandbox
def test_every_accepted_instruction_leads_back(in_process: CliRunner, tmp_path: Path) -> None:
    write_documents(tmp_path / "docs")
    with serving(planted.answer, frac=0.2, seed=1, leaked=tells) as server:
        command = ["synthesize", "reverse", "docs", "--engine", server.engine, "--out", "o", "--json"]
        more = ["--set", "options.mutants=8", "--set", "documents.min_words=5"]
        result = in_process.invoke(app, [*command, *more])
        assert result.exit_code == 0, result.output
    stats = read_json(tmp_path / "o/stats.json")
    prompts, examples = read_rows(tmp_path / "o/prompts.parquet"), read_rows(tmp_path / "o/examples.jsonl")
    rejects = read_rows(tmp_path / "o/rejects.jsonl")

    kinds = Counter(is_right(example) for example in examples)
    assert len(prompts) == len(examples) and min(kinds[one] for one in ("text", "own tests", "new tests")) > 2

    adds_up(stats, rejects)
    reasons = Counter(row["reason"] for row in rejects)
    assert reasons["the seed speaks to a model"] == sum(map(orders, range(N_TEXT)))
    assert reasons["it does not lead back"] > 1

    # Nothing that went wrong with a reply is silent: it was sent back, or its item was dropped for it.
    seen: Counter[str] = Counter(reasons)
    for row in stats["steps"]:
        seen.update(row["retried"])
    marks = {**MARKS, "leaked": "holds what it asks for"}
    happened = [kind for kind in marks if server.kinds[kind]]
    assert len(happened) >= len(marks) - 1 and server.kinds["truncated"] > 5 < server.kinds["refusal"]
    for kind in happened:
        # A reply that is malformed for the last time leaves its place among k empty.
        assert 0.7 * sum(server.kinds[one] for one in marks if marks[one] == marks[kind]) <= seen[marks[kind]], kind
