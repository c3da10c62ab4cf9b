"""A few rows in the format of benchmarks that lm-evaluation-harness asks, and its own scores of canned responses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

GSM8K = [
    {"question": f"Tom has {n} apples and buys {n + 3}. How many?", "answer": f"{n} + {n + 3}\n#### {2 * n + 3}"}
    for n in range(12)
]
_DATE = {"day": "", "month": "", "year": ""}
DROP = [
    {
        "section_id": "s",
        "query_id": str(n),
        "passage": f"The Reds won {n + 20} to {n} against the Blues",
        "question": question,
        "answer": {"number": number, "date": _DATE, "spans": spans, "worker_id": "", "hit_id": ""},
        "validated_answers": {
            "number": ["", number],
            "date": [_DATE, _DATE],
            "spans": [["Reds", "Blues"], spans],
            "worker_id": ["", ""],
            "hit_id": ["", ""],
        },
    }
    for n in range(3)
    for question, number, spans in (("By how many points?", "20", []), ("Who won?", "", ["The Reds"]))
]
IFEVAL = [
    {"key": 1, "prompt": "Say no comma", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {
        "key": 2,
        "prompt": "In JSON, with the word tree",
        "instruction_id_list": ["detectable_format:json_format", "keywords:existence"],
        "kwargs": [{}, {"keywords": ["tree"]}],
    },
    {
        "key": 3,
        "prompt": "Fewer than five words",
        "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"relation": "less than", "num_words": 5}],
    },
]
TRIVIAQA = [
    {"question": "Capital of France", "answer": {"value": "Paris", "aliases": ["Paris", "City of Paris"]}},
    {"question": "Two and two", "answer": {"value": "4", "aliases": ["4", "Four", "iv"]}},
]
MMLU = [
    {
        "question": f"What is {n} + {n}?",
        "subject": subject,
        "choices": [str(2 * n + shift) for shift in range(4)],
        "answer": 0,
    }
    for n in range(4)
    for subject in ("anatomy", "high_school_physics")
]
HOSTILE = [
    "",
    " ",
    "\n",
    "The answer is 3.",
    "#### 3",
    "#### 1,005",
    "\\boxed{3} #### -3.",
    "$3",
    "[invalid]",
    "none of these",
    "THE REDS",
    "the reds, the Blues",
    "Paris",
    "paris!",
    "['Paris']",
    "FOUR",
    "20.0",
    '{"tree": 1}',
    "```json\n[]\n```",
    "one two three four five six",
    "A",
    "a.",
    " (A)\nB",
    "0" * 400,
    "\x00\x1b[31m",
    "<|end|></s>",
    "𝟛 ３ ٣",
    "NaN",
    "[" * 300,
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27",
]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def located(folder: Path, yaml: str, files: Mapping[str, Path], name: str) -> dict[str, Any]:
    """The library's own task of that YAML file with its data in files, as its documentation has one write it."""
    from lm_eval import tasks

    data = {split: str(file) for split, file in files.items()}
    settings = {
        "include": str(Path(tasks.__file__).parent / yaml),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": data},
    }
    path = folder / "theirs" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(settings))
    return settings


def manager(folder: Path) -> Any:
    """The library's index of these tasks alone."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False, include_path=str(folder / "theirs"))


def canned(responses: Mapping[str, str] | str) -> Any:
    """A model of the library's that answers always the same, and remembers what it was asked."""
    from lm_eval.api.model import LM

    class Canned(LM):
        asked: list[str] = []  # noqa: RUF012

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            self.asked += [request.args[0] for request in requests]
            return [responses if isinstance(responses, str) else responses[request.args[0]] for request in requests]

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            raise AssertionError

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
            raise AssertionError

    return Canned()
