"""Invented rows in each benchmark's own columns, and how its data is laid out in files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.store.files import write_rows

Rows = Sequence[Mapping[str, Any]]

_MATH = [
    {
        "problem": "Find all $x$ with $2x + 3 = 4$.",
        "level": "Level 2",
        "type": "Algebra",
        "solution": r"A first guess is \boxed{1}, which fails. Then $2x = 1$, so $x = \boxed{\frac{1}{2}}$.",
    },
    {
        "problem": "In how many ways can three books stand on a shelf?",
        "level": "Level 1",
        "type": "Counting & Probability",
        "solution": r"There are $3! = \boxed{6}$ ways.",
    },
    {
        "problem": "What is the interval on which $(x - 2)(x - 5) < 0$?",
        "level": "Level ?",
        "type": "Intermediate Algebra",
        "solution": r"Between the roots: \boxed{(2,5)}.",
    },
]
_GPQA = [
    {
        "Question": f"Which of four particles has the charge number {charge}?",
        "Correct Answer": f"particle {charge}\n",
        "Incorrect Answer 1": f"particle {charge + 1}",
        "Incorrect Answer 2": f"particle {charge + 2}",
        "Incorrect Answer 3": f"particle {charge + 3}",
        "Explanation": "By counting, and by no other means.",
        "High-level domain": "Physics",
        "Subdomain": "Particle physics",
    }
    for charge in range(12)
]
_HUMANEVAL = [
    {
        "task_id": "HumanEval/900",
        "prompt": "from typing import List\n\n\ndef largest_gap(numbers: List[int]) -> int:\n"
        '    """The largest difference of neighbours.\n    >>> largest_gap([1, 4, 6])\n    3\n    """\n',
        "canonical_solution": "    return max(b - a for a, b in zip(numbers, numbers[1:]))\n",
        "test": "\n\nMETADATA = {\n    'author': 'nobody',\n    'dataset': 'test'\n}\n\n\ndef check(candidate):\n"
        "    assert candidate([1, 4, 6]) == 3\n    assert candidate([0, 0]) == 0\n    assert candidate([5, 9]) == 4\n",
        "entry_point": "largest_gap",
    },
    {
        "task_id": "HumanEval/901",
        "prompt": "import math\n\n\ndef line(a: float, b: float, x: float) -> float:\n"
        '    """The value of a + b x."""\n    return math.fsum((a, b * x))\n\n\n'
        'def root(a: float, b: float) -> float:\n    """Where the line with a and b is zero."""\n',
        "canonical_solution": "    return -a / b\n",
        "test": "def check(candidate):\n    for a, b in ((2.0, 1.0), (-3.0, 0.5)):\n"
        "        assert abs(line(a, b, candidate(a, b))) < 1e-6\n    assert candidate(0.0, 4.0) == 0\n",
        "entry_point": "root",
    },
]
_PLUS_TEST = """

import numpy as np


def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    return isinstance(x, (list, tuple)) and all(isinstance(i, float) for i in x)


def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        np.testing.assert_allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match


def check(candidate):
    inputs = INPUTS
    results = RESULTS
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(candidate(*inp), exp, 0)
"""
# HumanEval+ has hundreds of inputs a question, as literals, and compares floats with NumPy.
_HUMANEVAL_PLUS = [
    {
        **_HUMANEVAL[0],
        "test": _PLUS_TEST.replace("INPUTS", str([[[n, 3 * n]] for n in range(300)])).replace(
            "RESULTS", str([2 * n for n in range(300)])
        ),
    },
    {
        **_HUMANEVAL[1],
        "test": _PLUS_TEST.replace("INPUTS", str([[float(n), 3.0] for n in range(300)])).replace(
            "RESULTS", str([round(-n / 3, 8) for n in range(300)])
        ),
    },
]
_MBPP = [
    {
        "task_id": 11,
        "text": "Write a python function to double every number of a list.",
        "code": "def doubled(numbers):\r\n    return [2 * n for n in numbers]",
        "test_list": ["assert doubled([1, 2]) == [2, 4]", "assert doubled([]) == []", "assert doubled([-3]) == [-6]"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    {
        "task_id": 510,
        "text": "Write a function to find the area of a circle.",
        "code": "import math\ndef area(r):\n    return math.pi * r * r",
        "test_list": ["assert math.isclose(area(1), math.pi)", "assert area(0) == 0"],
        "test_setup_code": "import math",
        "challenge_test_list": ["assert area(2) > 12"],
    },
    {
        "task_id": 601,
        "text": "Write a function of the training split.",
        "code": "def f():\n    return 1",
        "test_list": ["assert f() == 1"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
]

ROWS: Mapping[str, Rows] = {
    "gsm8k": [
        {"question": "Ada has 3 pens and buys 4. How many has she?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
        {
            "question": "A farm sells 1,200 eggs at $2. What is paid?",
            "answer": "1200 * 2 = $<<1200*2=2400>>2400\n#### 2,400",
        },
    ],
    "mmlu": [
        {
            "question": "Which planet is the largest?",
            "subject": "astronomy",
            "choices": ["Mars", "Jupiter", "Venus", "Earth"],
            "answer": 1,
        },
        {
            "question": "Which of these is prime?\nI. 9\nII. 11",
            "subject": "elementary_mathematics",
            "choices": ["I only", "Both, that is A and B", "II only", "Neither"],
            "answer": 2,
        },
    ],
    "mmlu_pro": [
        {
            "question_id": 70,
            "question": "A firm's price rises from 4 to 5. By how much?",
            "options": ["5%", "10%", "15%", "20%", "25%", "30%", "35%", "40%", "45%", "50%"],
            "answer": "E",
            "answer_index": 4,
            "cot_content": "",
            "category": "business",
            "src": "made-up",
        },
        {
            "question_id": 71,
            "question": "Which gas do plants take up?",
            "options": ["oxygen", "carbon dioxide", "helium", "N/A", "N/A"],
            "answer": "B",
            "answer_index": 1,
            "cot_content": "",
            "category": "biology",
            "src": "made-up",
        },
    ],
    "gpqa": _GPQA,
    "gpqa_main": _GPQA,
    "gpqa_extended": _GPQA,
    "math": _MATH,
    "math500": [
        {
            "problem": "What is $7 \\cdot 8$?",
            "solution": r"It is $\boxed{56}$.",
            "answer": "56",
            "subject": "Prealgebra",
            "level": 1,
            "unique_id": "test/prealgebra/900.json",
        },
        {
            "problem": "Write $0.75$ as a fraction.",
            "solution": r"$\boxed{\frac34}$",
            "answer": r"\frac{3}{4}",
            "subject": "Prealgebra",
            "level": 2,
            "unique_id": "test/prealgebra/901.json",
        },
    ],
    "mgsm": [
        {"question": 'Ein "Korb" hat 3 Äpfel, ein anderer 5. Wie viele sind es?', "answer": "8"},
        {"question": "Ein Zug fährt 1.000 km in 10 Stunden. Wie viele km je Stunde?", "answer": "100"},
    ],
    "aime24": [
        {"ID": "2024-I-90", "Problem": "Find the remainder of $2^{10}$ by $1000$.", "Solution": "So.", "Answer": 24},
        {"ID": "2024-II-90", "Problem": "Find the sum of the first 40 numbers.", "Solution": "So.", "Answer": 820},
    ],
    "aime25": [
        {"problem": "Find the number of divisors of $720$.", "answer": "30", "id": "90"},
        {"question": "Find $\\gcd(900, 648)$.", "answer": "36"},
    ],
    "omni_math": [
        {
            "domain": ["Mathematics -> Geometry -> Plane Geometry -> Triangulations"],
            "difficulty": 4.5,
            "problem": "A triangle has the sides $3$, $4$ and $5$. Find its area.",
            "solution": "It has a right angle.",
            "answer": "6",
            "source": "made_up",
        },
        {
            "domain": ["Mathematics -> Algebra -> Other"],
            "difficulty": 7.0,
            "problem": "Prove that $1 < 2$.",
            "solution": "It is so.",
            "answer": "",
            "source": "made_up",
        },
        {
            "domain": ["Mathematics -> Number Theory -> Other"],
            "difficulty": 9.25,
            "problem": "Find all $n$ with $n^2 = 4$.",
            "solution": "They are $\\pm 2$.",
            "answer": "$n = 2$ or $n = -2$",
            "source": "made_up",
        },
    ],
    "humaneval": _HUMANEVAL,
    "humaneval_plus": _HUMANEVAL_PLUS,
    "mbpp": _MBPP,
    "mbpp_sanitized": [
        {
            "source_file": "Benchmark Questions Verification V2.ipynb",
            "task_id": 14,
            "prompt": "Write a function to find the square root of a number.",
            "code": "import math\ndef root(n):\n    return math.sqrt(n)",
            "test_imports": ["import math"],
            "test_list": ["assert root(9) == 3", "assert math.isclose(root(2), 2 ** 0.5)"],
        }
    ],
    "simpleqa": [
        {
            "metadata": "{'topic': 'Geography', 'answer_type': 'Place', 'urls': ['https://example.org/a']}",
            "problem": "Into which sea does the invented river Oll flow?",
            "answer": "The Grey Sea",
        }
    ],
    "arena_hard": [
        {
            "question_id": "a1",
            "category": "arena-hard-v0.1",
            "cluster": "Knots & Ropes",
            "turns": [{"content": "Explain how to tie a bowline."}],
        }
    ],
    "arena_hard_v2": [
        {
            "uid": "b1",
            "category": "hard_prompt",
            "subcategory": "coding",
            "language": "English",
            "prompt": "Sort a list without loops.",
        },
        {
            "uid": "b2",
            "category": "creative_writing",
            "subcategory": "creative_writing",
            "language": "English",
            "prompt": "A poem on knots, please.",
        },
    ],
}

BESIDE: Mapping[str, Mapping[str, Rows]] = {
    "arena_hard": {
        "gpt-4-0314": [
            {
                "question_id": "a1",
                "answer_id": "x",
                "model_id": "gpt-4-0314",
                "choices": [{"index": 0, "turns": [{"content": "Make a loop first.", "token_len": 4}]}],
                "tstamp": 1.0,
            }
        ]
    },
    "arena_hard_v2": {
        model: [
            {
                "uid": uid,
                "ans_id": "x",
                "model": model,
                "messages": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "content": {"answer": f"{model} on {uid}"}},
                ],
                "tstamp": 1.0,
            }
            for uid in ("b1", "b2")
        ]
        for model in ("o3-mini-2025-01-31", "gemini-2.0-flash-001")
    },
}


def write(path: Path, rows: Rows, *, header: bool = True) -> Path:
    """Rows in the format of the path's ending; lists in CSV are JSON, in TSV nothing is quoted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".jsonl", ".parquet"):
        write_rows(path, rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
    else:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = [[_cell(row.get(name)) for name in columns] for row in rows]
        table = [columns, *table] if header else table
        if path.suffix == ".tsv":
            path.write_text("".join("\t".join(line) + "\n" for line in table), encoding="utf-8")
        else:
            with path.open("w", encoding="utf-8", newline="") as handle:
                csv.writer(handle).writerows(table)
    return path


def _cell(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else "" if value is None else str(value)


def write_benchmark(folder: Path, name: str, suffix: str = ".jsonl") -> Path:
    """The data of a benchmark in one file of that ending, with what must lie beside it."""
    for model, rows in BESIDE.get(name, {}).items():
        write(folder / "model_answer" / f"{model}.jsonl", rows)
    stem = {"mgsm": "mgsm_de"}.get(name, "question" if name.startswith("arena") else name)
    return write(folder / f"{stem}{suffix}", ROWS[name])
