"""Every named benchmark from tiny files in its own format: what is asked, what is right, what is said of a bad row."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.benchmarks.rows import BESIDE, ROWS, write, write_benchmark

from teachable.errors import TeachableError
from teachable.records import Prompt, from_row, to_row
from teachable.store.files import plain, write_rows
from teachable.tasks.benchmarks import Benchmark, benchmark_names, data_path, load_benchmark
from teachable.tasks.benchmarks.catalog import BENCHMARKS, HARNESS_ALIASES
from teachable.tasks.benchmarks.load import parse_task
from teachable.tasks.benchmarks.making import template
from teachable.verify import get, near_miss, verdict_of
from teachable.verify import names as verifier_names
from teachable.verify.programs import find_sandbox

LEFT_OUT = {"mbpp": 1, "omni_math": 1}
JUDGED = ("graded", "duel")
FACTS = {"title", "source", "data", "data_digest", "n_rows", "n_questions", "template", "verifier", "adapter"}
FACTS |= {"version", "metric", "notes"}


def load(folder: Path, name: str, suffix: str = ".jsonl", **options: Any) -> Benchmark:
    return load_benchmark(f"{name}={write_benchmark(folder, name, suffix)}", **options)


def as_asked(prompt: Prompt, answer: str) -> str:
    """A response of the shape that the prompt asks for."""
    if prompt.verifier == "code":
        return f"Here it is.\n\n```python\n{answer}```\n"
    if prompt.verifier == "choice":
        return f"A is tempting, B and C are too.\nAnswer: {answer}"
    return rf"First, 17 is wrong. So it is $\boxed{{{answer}}}$."


def verdict(prompt: Prompt, text: str) -> bool | None:
    return asyncio.run(verdict_of(get(prompt.verifier), text, prompt)).correct


def test_the_rows_of_every_name_are_tried() -> None:
    assert set(ROWS) == set(BENCHMARKS)
    assert set(benchmark_names()) == set(ROWS) | set(HARNESS_ALIASES)
    assert {spec.verifier for spec in BENCHMARKS.values()} <= set(verifier_names())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_has_its_questions_and_facts(name: str, tmp_path: Path) -> None:
    found = load(tmp_path, name)
    n = len(ROWS[name]) - LEFT_OUT.get(name, 0)
    spec = BENCHMARKS[name]
    assert (found.name, len(found.prompts), len({p.id for p in found.prompts})) == (name, n, n)
    assert set(found.facts) >= FACTS and json.dumps(plain(found.facts))
    assert (found.facts["n_rows"], found.facts["n_questions"]) == (len(ROWS[name]), n)
    assert found.facts["template"] == template(spec.template)
    assert (found.facts["verifier"], found.facts["adapter"]) == (spec.verifier, "teachable")
    for prompt in found.prompts:
        assert (prompt.domain, prompt.meta["benchmark"], prompt.verifier) == (name, name, spec.verifier)
        assert prompt.answer and prompt.text.strip() and "{question}" not in prompt.text
        assert from_row(Prompt, to_row(prompt)) == prompt


@pytest.mark.parametrize("name", [name for name, spec in BENCHMARKS.items() if spec.verifier not in JUDGED])
def test_the_verifier_accepts_the_reference_and_nothing_beside_it(name: str, tmp_path: Path) -> None:
    if BENCHMARKS[name].verifier == "code":
        try:
            find_sandbox()
        except TeachableError as error:
            pytest.skip(f"no sandbox here: {error}")
    for prompt in load(tmp_path, name).prompts:
        assert prompt.answer is not None
        assert verdict(prompt, as_asked(prompt, prompt.answer)) is True, prompt
        if prompt.verifier == "code":
            wrong = prompt.answer.replace("return ", "return 1 and not ", 1).replace("return -a", "return 1 - a")
        elif prompt.verifier == "choice":
            wrong = "A" if prompt.answer != "A" else "B"
        else:
            wrong = near_miss(prompt.answer)[0]
        assert verdict(prompt, as_asked(prompt, wrong)) is False, (wrong, prompt)
        assert verdict(prompt, "I do not know.") is False


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in BESIDE and name != "aime25"])
def test_the_format_of_the_file_makes_no_difference(name: str, suffix: str, tmp_path: Path) -> None:
    found = load(tmp_path / "a", name, suffix)
    same = load(tmp_path / "b", name)
    assert [(p.id, p.level, p.meta) for p in found.prompts] == [(p.id, p.level, p.meta) for p in same.prompts]
    assert found.facts["data_digest"] == same.facts["data_digest"]


def test_what_is_asked_and_what_is_right(tmp_path: Path) -> None:
    def first(name: str) -> Prompt:
        return load(tmp_path / name, name).prompts[0]

    assert first("gsm8k").text.startswith("Ada has 3 pens") and r"\boxed{}" in first("gsm8k").text
    assert [p.answer for p in load(tmp_path / "c", "gsm8k").prompts] == ["7", "2,400"]
    assert first("mmlu").text.startswith("Which planet is the largest?\n\nA. Mars\nB. Jupiter\nC. Venus\nD. Earth\n\n")
    assert (first("mmlu").answer, first("mmlu").meta["subject"]) == ("B", "astronomy")
    pro = load(tmp_path / "d", "mmlu_pro").prompts
    assert [(p.answer, len(p.meta["choices"]), p.meta["subject"]) for p in pro] == [
        ("E", 10, "business"),
        ("B", 3, "biology"),
    ]
    found = [(p.answer, p.level, p.meta["subject"]) for p in load(tmp_path / "e", "math").prompts]
    assert found[0] == (r"\frac{1}{2}", 2, "Algebra") and found[1:] == [
        ("6", 1, "Counting & Probability"),
        ("(2,5)", 0, "Intermediate Algebra"),
    ]
    omni = [(p.answer, p.level, p.meta["subject"]) for p in load(tmp_path / "f", "omni_math").prompts]
    assert omni == [("6", 4, "Geometry"), ("$n = 2$ or $n = -2$", 9, "Number Theory")]
    assert first("simpleqa").text == "Into which sea does the invented river Oll flow?"
    assert (first("simpleqa").answer, first("simpleqa").meta["subject"]) == ("The Grey Sea", "Geography")
    assert "assert doubled([]) == []" in first("mbpp").text and "```python\nassert" in first("mbpp").text
    assert "def largest_gap" in first("humaneval").text and "METADATA" not in first("humaneval").text


def test_options_of_gpqa_are_shuffled_by_content_alone(tmp_path: Path) -> None:
    prompts = load(tmp_path / "a", "gpqa").prompts
    assert len({p.answer for p in prompts}) > 2, "the right option is not always in one place"
    for prompt in prompts:
        assert prompt.meta["choices"][prompt.answer] == f"particle {prompt.text.split('?')[0].split()[-1]}"
    write(tmp_path / "b.jsonl", ROWS["gpqa"][::-1])
    again = load_benchmark(f"gpqa={tmp_path / 'b.jsonl'}", seed=7)
    assert {p.id: p.meta["choices"] for p in again.prompts} == {p.id: p.meta["choices"] for p in prompts}


def test_the_baseline_of_arena_hard_is_that_of_the_category(tmp_path: Path) -> None:
    [prompt] = load(tmp_path / "a", "arena_hard").prompts
    assert (prompt.text, prompt.answer) == ("Explain how to tie a bowline.", "Make a loop first.")
    answers = [p.answer for p in load(tmp_path / "b", "arena_hard_v2").prompts]
    assert answers == ["o3-mini-2025-01-31 on b1", "gemini-2.0-flash-001 on b2"]
    (tmp_path / "b" / "model_answer" / "gemini-2.0-flash-001.jsonl").unlink()
    only = load_benchmark(f"arena_hard_v2={tmp_path / 'b'}")
    assert [p.answer for p in only.prompts] == ["o3-mini-2025-01-31 on b1", "o3-mini-2025-01-31 on b2"]
    for name in ("one", "two"):
        write(tmp_path / "b" / "model_answer" / f"{name}.jsonl", BESIDE["arena_hard_v2"]["gemini-2.0-flash-001"])
    with pytest.raises(TeachableError, match=r"whose baseline gemini-2\.0-flash-001 is not among o3-mini"):
        load_benchmark(f"arena_hard_v2={tmp_path / 'b'}")


def test_both_versions_of_arena_hard_may_lie_in_one_folder(tmp_path: Path) -> None:
    for name, folder in (("arena_hard", "arena-hard-v0.1"), ("arena_hard_v2", "arena-hard-v2.0")):
        write_benchmark(tmp_path / "data" / folder, name)
        write(
            tmp_path / "data" / folder / "model_judgment" / "judge" / "some-model.jsonl", [{"uid": "b1", "games": []}]
        )
    assert [len(load_benchmark(f"{name}={tmp_path}").prompts) for name in ("arena_hard", "arena_hard_v2")] == [1, 2]


def test_mmlu_as_its_authors_publish_it(tmp_path: Path) -> None:
    row = {"q": "Which planet is the largest?", "a": "Mars", "b": "Jupiter", "c": "Venus", "d": "Earth", "r": "B"}
    write(tmp_path / "data" / "test" / "high_school_physics_test.csv", [row], header=False)
    write(tmp_path / "data" / "dev" / "high_school_physics_dev.csv", [row | {"q": "Another?"}], header=False)
    found = load_benchmark(f"mmlu={tmp_path / 'data'}")
    [prompt] = found.prompts
    assert (prompt.answer, prompt.meta["subject"]) == ("B", "high school physics")
    assert prompt.meta["choices"] == {"A": "Mars", "B": "Jupiter", "C": "Venus", "D": "Earth"}


def test_an_answer_of_mmlu_may_be_a_letter_beside_its_choices(tmp_path: Path) -> None:
    rows = [{**row, "answer": "ABCD"[row["answer"]]} for row in ROWS["mmlu"]]
    found = load_benchmark(f"mmlu={write(tmp_path / 'a.jsonl', rows)}")
    assert [p.id for p in found.prompts] == [p.id for p in load(tmp_path / "b", "mmlu").prompts]


def test_mgsm_as_its_authors_publish_it(tmp_path: Path) -> None:
    write(tmp_path / "mgsm_de.tsv", ROWS["mgsm"], header=False)
    write(tmp_path / "mgsm_en.tsv", [{"question": "A basket has 3 apples. How many?", "answer": "3"}], header=False)
    found = load_benchmark(f"mgsm={tmp_path}")
    assert [(p.answer, p.meta["subject"]) for p in found.prompts] == [("8", "de"), ("100", "de"), ("3", "en")]
    assert found.prompts[0].text.startswith('Ein "Korb" hat 3 Äpfel')
    rows = [{"question": "Combien?", "answer": None, "answer_number": 5, "equation_solution": None}]
    write(tmp_path / "hub" / "fr" / "test-00000-of-00001.parquet", rows)
    write(tmp_path / "hub" / "fr" / "train-00000-of-00001.parquet", [{**rows[0], "question": "Pour apprendre?"}])
    [prompt] = load_benchmark(f"mgsm={tmp_path / 'hub'}").prompts
    assert (prompt.answer, prompt.meta["subject"]) == ("5", "fr")


def test_math_as_its_authors_publish_it(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS["math"]):
        for split in ("test", "train"):
            path = tmp_path / "MATH" / split / "algebra" / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**row, "problem": f"{split}: {row['problem']}"}))
    found = load_benchmark(f"math={tmp_path / 'MATH'}")
    assert [p.text.partition(":")[0] for p in found.prompts] == ["test"] * 3


def test_a_folder_of_the_hub_gives_the_config_and_the_split(tmp_path: Path) -> None:
    folder = tmp_path / "gsm8k"
    for config in ("main", "socratic"):
        for split in ("test", "train"):
            rows = [{**row, "question": f"{config} {split} {row['question']}"} for row in ROWS["gsm8k"]]
            write(folder / config / f"{split}-00000-of-00001.parquet", rows)
    write(folder / ".cache" / "test.jsonl", ROWS["gsm8k"])
    found = load_benchmark(f"gsm8k={folder}")
    assert [p.text.split(" Ad")[0].split(" A ")[0] for p in found.prompts] == ["main test"] * 2
    write(tmp_path / "gpqa" / "gpqa_main.csv", ROWS["gpqa"][:2])
    write(tmp_path / "gpqa" / "gpqa_diamond.csv", ROWS["gpqa"][:1])
    assert len(load_benchmark(f"gpqa={tmp_path / 'gpqa'}").prompts) == 1
    assert len(load_benchmark(f"gpqa_main={tmp_path / 'gpqa'}").prompts) == 2


def test_the_whole_file_of_mbpp_gives_its_test_split(tmp_path: Path) -> None:
    found = load(tmp_path, "mbpp")
    assert found.facts["left_out"] == {"of another split (the test split has the task ids 11 to 510)": 1}
    assert [p.meta["tests"].splitlines()[0] for p in found.prompts] == [
        "assert doubled([1, 2]) == [2, 4]",
        "import math",
    ]


def test_repeated_rows_are_counted_and_kept_once(tmp_path: Path) -> None:
    path = write(tmp_path / "gsm8k.jsonl", [*ROWS["gsm8k"], ROWS["gsm8k"][0]])
    found = load_benchmark(f"gsm8k={path}")
    assert [p.answer for p in found.prompts] == ["7", "2,400"]
    assert (found.facts["n_rows"], found.facts["n_questions"], found.facts["n_repeated"]) == (3, 2, 1)


def test_a_limit_takes_by_content_and_not_the_head_of_the_file(tmp_path: Path) -> None:
    rows = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(40)]
    forwards = f"gsm8k={write(tmp_path / 'a.jsonl', rows)}"
    backwards = f"gsm8k={write(tmp_path / 'b.jsonl', rows[::-1])}"
    ten = load_benchmark(forwards, limit=10)
    assert ten.facts["n_questions"] == 10 and ten.facts["n_rows"] == 40
    assert {p.id for p in ten.prompts} == {p.id for p in load_benchmark(backwards, limit=10).prompts}
    assert {p.id for p in ten.prompts} > {p.id for p in load_benchmark(forwards, limit=4).prompts}
    assert [p.text for p in ten.prompts] != [p.text for p in load_benchmark(forwards).prompts[:10]]
    assert ten.facts["data_digest"] == load_benchmark(backwards).facts["data_digest"]
    with pytest.raises(TeachableError, match="a limit of 0 questions leaves none"):
        load_benchmark(forwards, limit=0)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("gsm8k", {"answer": "so 7"}, "the field `answer` does not end with a line `#### ` and the answer."),
        ("gsm8k", {"question": " "}, "the field `question` is missing or empty: the row has question, answer."),
        ("gsm8k", {"question": ["a"]}, "the field `question` is a list, where a text is needed."),
        ("mmlu", {"answer": 4}, "the field `answer` is 4, while there are 4 options, counted from 0."),
        ("mmlu", {"choices": "A or B"}, "the field `choices` is a str, where a list of texts is needed."),
        ("mmlu_pro", {"answer": "C"}, "the field `answer` is 'C', while `answer_index` says E."),
        ("gpqa", {"Incorrect Answer 3": None}, "the field `Incorrect Answer 3` is missing or empty"),
        ("math", {"solution": "It is 5."}, r"the field `solution` has no \boxed{...} with the answer."),
        ("mgsm", {"answer": "acht"}, "the field `answer` is 'acht', where a number is needed."),
        (
            "aime24",
            {"Answer": None},
            "the field `answer` is missing or empty: the row has ID, Problem, Solution, Answer.",
        ),
        ("omni_math", {"difficulty": "hard"}, "the field `difficulty` is 'hard', where a number is needed."),
        ("humaneval", {"test": "assert True"}, "the field `test` defines no function `check(candidate)`."),
        ("mbpp", {"test_list": "assert f()"}, "the field `test_list` is a str, where a list of texts is needed."),
        ("mbpp", {"task_id": "eleven"}, "the field `task_id` is 'eleven', where a whole number is needed."),
        ("arena_hard", {"question_id": "zz"}, "the field `uid` is 'zz', for which gpt-4-0314 has no response."),
        ("arena_hard", {"turns": [{"content": "a"}, {"content": "b"}]}, "the field `turns` is no list of one turn."),
    ],
)
def test_a_row_that_cannot_be_read_is_one_sentence(
    name: str, change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = write_benchmark(tmp_path, name)
    lines = path.read_text().splitlines()
    lines.append(json.dumps({**json.loads(lines[0]), **change}))
    path.write_text("\n".join(lines))
    with pytest.raises(TeachableError) as caught:
        load_benchmark(f"{name}={path}")
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}, row {len(lines)}: {said}") and "\n" not in sentence
    assert sentence.removeprefix(f"{path}, row {len(lines)}: {said}").strip()


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    def sentence(task: str) -> str:
        with pytest.raises(TeachableError) as caught:
            load_benchmark(task)
        return str(caught.value).replace(str(tmp_path), ".")

    assert sentence(f"gsm8k={tmp_path / 'no.jsonl'}") == "./no.jsonl: this file is missing. Correct the path."
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(b"")
    assert sentence(f"humaneval={tmp_path / 'HumanEval.jsonl.gz'}").endswith(".parquet files. Unpack it.")
    assert sentence(f"gsm8k={tmp_path}").startswith(".: no .jsonl, .json, .csv, .tsv, .parquet file is in this folder")
    write(tmp_path / "train" / "train.jsonl", ROWS["gsm8k"])
    assert sentence(f"gsm8k={tmp_path}").startswith(".: this folder has no test split of gsm8k, only train.")
    (tmp_path / "a.json").write_text("{")
    assert sentence(f"gsm8k={tmp_path / 'a.json'}").startswith("./a.json: this is no JSON (")
    (tmp_path / "a.json").write_text("[1]")
    assert "neither an object nor a list of objects" in sentence(f"gsm8k={tmp_path / 'a.json'}")
    (tmp_path / "a.csv").write_bytes("question,answer\nä,1\n".encode("latin-1"))
    assert sentence(f"gsm8k={tmp_path / 'a.csv'}").startswith("./a.csv: this file is not UTF-8 (byte 17)")
    (tmp_path / "a.csv").write_text('question,answer\n"a",1,2\n')
    assert sentence(f"gsm8k={tmp_path / 'a.csv'}").startswith("./a.csv, row 1: this row has 3 cells, where 2 columns")
    (tmp_path / "a.csv").write_text('question,answer\n"a"b,1\n')
    assert sentence(f"gsm8k={tmp_path / 'a.csv'}").startswith("./a.csv, line 2: this line is no CSV")
    (tmp_path / "a.jsonl").write_text("")
    assert sentence(f"gsm8k={tmp_path / 'a.jsonl'}").startswith("./a.jsonl: there are no rows of gsm8k.")
    write(tmp_path / "question.jsonl", ROWS["arena_hard"])
    assert "needs the folder model_answer" in sentence(f"arena_hard={tmp_path / 'question.jsonl'}")
    write(tmp_path / "mbpp.jsonl", ROWS["mbpp"][2:])
    assert sentence(f"mbpp={tmp_path / 'mbpp.jsonl'}").startswith(
        "./mbpp.jsonl: none of the 1 rows is a question of mbpp: 1 of another split"
    )


def test_a_prompt_says_which_row_it_is_from(tmp_path: Path) -> None:
    found = load(tmp_path, "gsm8k")
    assert [(p.lineage[0].parent, p.lineage[0].params) for p in found.prompts] == [
        ("gsm8k.jsonl", "row 1"),
        ("gsm8k.jsonl", "row 2"),
    ]


def test_own_prompts_bring_their_verifiers(tmp_path: Path) -> None:
    rows = [
        {"prompt": "What is 1 + 1?", "answer": "2", "domain": "sums", "level": 1},
        {"prompt": "Capital of France?", "answer": "Paris", "verifier": "exact", "domain": "places", "level": 2},
        {"prompt": "Which?", "choices": ["no", "yes"], "answer": "B", "level": 1},
        {"prompt": "Which?", "choices": ["no", "yes"], "answer": "B", "level": 1},
    ]
    path = tmp_path / "mine.parquet"
    write_rows(path, rows)
    found = load_benchmark(str(path))
    assert (found.name, len(found.prompts)) == ("mine", 3)
    assert [p.verifier for p in found.prompts] == ["math", "exact", "choice"]
    assert [(p.domain, p.meta["benchmark"], p.meta.get("subject")) for p in found.prompts] == [
        ("mine", "mine", "sums"),
        ("mine", "mine", "places"),
        ("mine", "mine", None),
    ]
    assert (found.facts["n_rows"], found.facts["n_repeated"]) == (4, 1)
    assert found.facts["verifier"] == "choice, exact, math"
    assert verdict(found.prompts[1], "Answer: paris") is True
    with pytest.raises(TeachableError, match="this file is missing"):
        load_benchmark(str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("text", "adapter", "name", "path"),
    [
        ("gsm8k", "catalog", "gsm8k", None),
        ("gsm8k=data/gsm8k.jsonl", "catalog", "gsm8k", "data/gsm8k.jsonl"),
        ("gpqa=a=b.csv", "catalog", "gpqa", "a=b.csv"),
        ("gym:chain_sum", "gym", "chain_sum", None),
        ("lm_eval:gsm8k_cot", "lm_eval", "gsm8k_cot", None),
        ("lm_eval:arc=arc.jsonl", "lm_eval", "arc", "arc.jsonl"),
        ("drop", "lm_eval", "drop", None),
        ("ifeval+chat", "lm_eval", "ifeval+chat", None),
        ("ifeval=input_data.jsonl", "lm_eval", "ifeval", "input_data.jsonl"),
        ("folder/mine.jsonl", "own", "mine", "folder/mine.jsonl"),
    ],
)
def test_a_task_is_taken_apart(text: str, adapter: str, name: str, path: str | None) -> None:
    task = parse_task(text)
    assert (task.adapter, task.name, task.path) == (adapter, name, Path(path) if path else None)
    assert data_path(text) == (Path.cwd() / path if path else None)


def test_a_task_of_ones_own_for_the_harness_is_local_data_too() -> None:
    assert data_path("lm_eval:folder/mine.yaml+chat") == Path.cwd() / "folder" / "mine.yaml"
    assert data_path("lm_eval:folder/mine.yaml=rows.jsonl") == Path.cwd() / "rows.jsonl"


def test_what_is_no_task_is_one_sentence() -> None:
    def sentence(text: str) -> str:
        with pytest.raises(TeachableError) as caught:
            load_benchmark(text)
        return str(caught.value)

    assert sentence("MMLU-Pro").startswith(
        "tasks: there is no task 'MMLU-Pro'. Did you mean mmlu_pro? Name one of aime24"
    )
    assert sentence("gsm9k=a.jsonl").startswith("tasks: there is no task 'gsm9k=a.jsonl'. Did you mean gsm8k?")
    assert sentence("gsm8k=") == "tasks: the task 'gsm8k=' names no path. Write gsm8k=PATH, or gsm8k."
    assert sentence("mine.csv").startswith("tasks: there is no task 'mine.csv'.")


def test_ifeval_by_its_short_name_is_the_harness_s_task(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    ifeval = [
        {
            "key": number,
            "prompt": f"Write {number} words without a comma.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        }
        for number in (3, 4)
    ]
    path = write(tmp_path / "input_data.jsonl", ifeval)
    found = load_benchmark(f"ifeval={path}")
    assert found.name.removeprefix("lm_eval:") == "ifeval" and found.facts["adapter"] == "lm_eval"
    assert [p.verifier for p in found.prompts] == ["lm_eval", "lm_eval"]
    assert "Write 3 words without a comma." in {p.text for p in found.prompts}
    assert verdict(found.prompts[0], "one two three") is True
    assert verdict(found.prompts[0], "one, two, three") is False
