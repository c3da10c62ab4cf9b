"""Instructions for code and texts that exist: kept where they lead back, dropped with a reason where they do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.synthesize.workflows import planted_code as code
from tests.synthesize.workflows import planted_reverse as planted
from tests.synthesize.workflows.small_runs import Ran, Told, run
from tests.verify.programs.running import needs_sandbox

from teachable.records import Document, Message
from teachable.synthesize.items import seed_of_document
from teachable.synthesize.workflows.reverse import WORKFLOW
from teachable.synthesize.workflows.reverse_code import interface_of

EVEN, ODD = 4, 7  # with tests of its own, and without
RIGHT, WRONG = code.of(EVEN).right, code.of(EVEN).wrong


def told(again: Sequence[str] | None = None, instruction: str | None = None, suite: str | None = None) -> Told:
    """The planted model, or one whose replies at a step are these."""

    def answer(messages: list[Message], sample: int) -> str:
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        if system and "write tests" not in system:
            return planted.answer(messages, sample) if instruction is None else json.dumps({"instruction": instruction})
        if system:
            return planted.answer(messages, sample) if suite is None else suite
        return planted.answer(messages, sample) if again is None else again[sample % len(again)]

    return Told(answer)


def ran(tmp_path: Path, document: Document, engine: Told | None = None, **options: Any) -> Ran:
    return run(WORKFLOW, [seed_of_document(document)], tmp_path, {"": engine or told()}, **options)


def fenced(program: str) -> str:
    return f"```python\n{program.strip()}\n```"


@needs_sandbox
def test_code_with_tests_of_its_own_is_answered_by_itself(tmp_path: Path) -> None:
    result = ran(tmp_path, planted.document(EVEN), told([*map(fenced, RIGHT), fenced(WRONG[0])]))
    (example,), (prompt,) = result.examples, result.prompts
    name = code.of(EVEN).name
    assert prompt.text == f"{code.of(EVEN).statement}\n\nWrite it in Python, with these names:\n\n```python\n" + (
        f"def {name}(numbers):\n    ...\n```"
    )
    assert example["messages"][-1]["content"] == fenced(planted.file_of(EVEN, tests=False))
    assert example["why"] == "reverse: fidelity" and prompt.answer_source == "organic" and prompt.verifier == "code"
    assert "def test_all():" in str(prompt.answer) and prompt.meta["reverse"] == {
        "n_again": 3,
        "n_right": 2,
        "own_tests": True,
    }
    assert prompt.meta["synthesis"]["scores"] == {"agreement": pytest.approx(2 / 3, abs=1e-5)}


@needs_sandbox
def test_code_without_tests_gets_some_that_it_passes_and_wrong_code_does_not(tmp_path: Path) -> None:
    result = ran(tmp_path, planted.document(ODD), told([fenced(code.of(ODD).right[1])]))
    (prompt,) = result.prompts
    answer = str(prompt.answer)
    assert all(code.passes(answer, one) for one in code.of(ODD).right) and prompt.answer_source == "teacher"
    assert not any(code.passes(answer, one) for one in code.of(ODD).wrong)
    assert "is None" not in answer and not prompt.meta["reverse"]["own_tests"]


@needs_sandbox
def test_tests_may_come_beside_the_code_and_what_was_written_again_may_be_the_response(tmp_path: Path) -> None:
    name = code.of(ODD).name
    meta = {"code": "python", "tests": f"from tool import {name}\n" + "\n".join(code.of(ODD).tests), "module": "tool"}
    document = Document(id="d", text=planted.file_of(ODD), source="tool.py", meta=meta)
    again = [fenced(one) for one in code.of(ODD).right]
    result = ran(tmp_path, document, told(again), k=2, response="again")
    (example,) = result.examples
    assert example["messages"][-1]["content"] == min(again, key=len) and result.prompts[0].meta["module"] == "tool"


@needs_sandbox
def test_a_text_is_kept_where_its_numbers_and_names_come_back(tmp_path: Path) -> None:
    engine = told([planted.note_again(3, 0, 0.0)])
    result = ran(tmp_path, planted.text_document(3), engine)
    (example,) = result.examples
    assert [message["content"] for message in example["messages"]] == [planted.request(3), planted.note(3)]
    assert example["synthesis"]["scores"]["similarity"] > 0.6 and example["answer"] is None
    wrong_years = (
        planted.note_again(3, 0, 0.0).replace("1703", "1907").replace("21", "12").replace("Entry 3", "Entry 5")
    )
    assert ran(tmp_path / "2", planted.text_document(3), told([wrong_years])).dropped == {
        ("again", "it does not lead back"): 1
    }


@needs_sandbox
def test_saying_the_instruction_again_does_not_lead_back(tmp_path: Path) -> None:
    result = ran(tmp_path, planted.text_document(3), told([planted.request(3)]), min_similarity=0.1)
    assert result.dropped == {("again", "it does not lead back"): 1}
    assert result.rejects[0]["detail"].startswith("0 of 3 lead back")


BAD_TESTS = fenced("def test_a():\n    assert 1")
WEAK_TESTS = fenced(code.of(ODD).tests[1])  # of an empty list


@needs_sandbox
@pytest.mark.parametrize(
    ("document", "engine", "options", "step", "reason"),
    [
        ({"text": "fn main() {}", "meta": {"code": "rust"}}, {}, {}, "tests", "not Python"),
        ({"text": "def f(:", "meta": {"code": "python"}}, {}, {}, "tests", "not Python"),
        ({"text": "x = 1\nprint(x)\n", "meta": {"code": "python"}}, {}, {}, "tests", "defines nothing to call"),
        (
            {"text": "def _f(x):\n    return x\n", "meta": {"code": "python"}},
            {},
            {},
            "tests",
            "defines nothing to call",
        ),
        (
            {"text": "def f(x):\n    return x\n\ndef test_f():\n    assert f(1) == 2\n", "meta": {"code": "python"}},
            {},
            {},
            "tests",
            "its own tests fail on it",
        ),
        ({"text": f"{planted.note(3)} {code.INJECTION}"}, {}, {}, "tests", "the seed speaks to a model"),
        (
            {"text": f"{code.of(EVEN).right[0]}# {code.INJECTION}\n", "meta": {"code": "python"}},
            {},
            {},
            "tests",
            "the seed speaks to a model",
        ),
        (ODD, {"suite": BAD_TESTS}, {}, "tests", "too few tests"),
        (ODD, {"suite": WEAK_TESTS}, {"min_tests": 1, "min_killed": 0.8}, "tests", "weak tests"),
        (EVEN, {"again": [fenced(WRONG[0]), fenced(WRONG[1]), fenced(RIGHT[1])]}, {}, "again", "it does not lead back"),
        (EVEN, {"again": ["I would rather not write code.", "def (", ""]}, {}, "again", "it does not lead back"),
        (EVEN, {"instruction": f"Write exactly this:\n{RIGHT[0]}"}, {}, "instruction", "holds what it asks for"),
        (3, {"instruction": f"Write: {planted.note(3)}"}, {}, "instruction", "holds what it asks for"),
        (3, {"instruction": "Write about a clockmaker in some town. " * 12}, {}, "instruction", "as long as the text"),
        (3, {"again": [planted.note_again(3, 0, 1.0)]}, {}, "again", "it does not lead back"),
    ],
)
def test_what_is_not_proved_is_dropped(
    tmp_path: Path, document: Any, engine: dict[str, Any], options: dict[str, Any], step: str, reason: str
) -> None:
    if isinstance(document, int):
        made = planted.text_document(3) if document == 3 else planted.document(document)
    else:
        made = Document(id="d", source="d", **document)
    result = ran(tmp_path, made, told(**engine), **options)
    assert not result.prompts and result.dropped == {(step, reason): 1}


@needs_sandbox
def test_an_instruction_that_gives_the_code_away_is_sent_back(tmp_path: Path) -> None:
    def answer(messages: list[Message], sample: int) -> str:
        text = messages[-1]["content"]
        if messages[0]["role"] == "system" and "gives the code away" not in text:
            return json.dumps({"instruction": f"Write exactly this:\n{RIGHT[0]}"})
        return planted.answer(messages, 0) if messages[0]["role"] == "system" else fenced(RIGHT[1])

    result = run(WORKFLOW, [seed_of_document(planted.document(EVEN))], tmp_path, {"": Told(answer)}, retries=1)
    assert len(result.examples) == 1 and result.row("instruction")["retried"] == {"holds what it asks for": 1}


@needs_sandbox
def test_the_same_seeds_give_the_same_bytes(tmp_path: Path) -> None:
    seeds = [seed_of_document(planted.document(i)) for i in (3, 4)]
    seeds += [seed_of_document(planted.text_document(i)) for i in range(3)]
    for name in ("1", "2"):
        run(WORKFLOW, seeds, tmp_path / name, {"": Told(planted.answer)})
    for file in ("examples.jsonl", "rejects.jsonl", "prompts.parquet"):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_an_interface_is_first_lines_without_what_they_do() -> None:
    program = (
        "class Stack(list):\n    'Doc.'\n    top = 3\n    def __init__(self, n: int = 2):\n        self.n = n\n"
        "    def _hidden(self): pass\n    def peek(self) -> int:\n        return self[-1]\n\n"
        "def f(a, *, b=1) -> 'int':\n    '''Doc.'''\n    return a + b\n"
    )
    assert interface_of(program, ["Stack", "f", "g"]) == (
        "class Stack(list):\n\n    def __init__(self, n: int=2):\n        ...\n\n    def peek(self) -> int:\n"
        "        ...\n\ndef f(a, *, b=1) -> 'int':\n    ..."
    )
