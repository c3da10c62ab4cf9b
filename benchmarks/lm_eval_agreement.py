"""Do our scores equal lm-evaluation-harness's, to the last question? One tiny model, the same tasks, greedy, two ways.

    python benchmarks/lm_eval_agreement.py [--questions 100] [--model FOLDER] [--steps 400] [--json FILE]

One way is lm-evaluation-harness alone: `simple_evaluate` with its transformers model (`hf`, on the CPU, float32, one
question at a time). The other is ours: `teachable.tasks.benchmarks.load_benchmark("lm_eval:NAME=PATH")`, our engine,
`roll_out` with temperature 0, and the verifier `lm_eval`. Both read the same files, which this script writes in each
benchmark's own format, with questions of the families that the embedded base was pretrained on. Without `--model` that
base is taken from the user cache, or pretrained there first. It has never seen letters as answers, so for
`mmlu_generative` a copy of it is tuned for a few hundred steps, on other questions.

Compared question by question: what the model is given (the text, template applied), its response, and the task's score
of it. And, since a response may differ where two tokens are equally likely, our score of the very response that
lm-evaluation-harness got. Beside that our own adapters `gsm8k` and `mmlu` score those responses too, with the verifiers
`math` and `choice`: these are other protocols, and where they differ is counted and shown.

It ends with status 1 where a prompt or a score of the same response differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may need the network

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_rows import MAKERS, SUBJECTS, mmlu_rows
from teachable import verify
from teachable.chat import prompt_text
from teachable.engines.local import TransformersEngine
from teachable.recipe.config import Resources
from teachable.records import Attempt, Prompt
from teachable.rollouts import Sampling, roll_out
from teachable.store.files import write_json, write_rows
from teachable.tasks.benchmarks import Benchmark, load_benchmark
from teachable.train.config import PretrainConfig
from teachable.train.embedded import save_model
from teachable.train.pretrain import pretrain

CONTEXT = 2048  # tokens
N_SHOTS = 8  # rows of each split that worked examples are drawn from
SHOWN = 8  # disagreements of our own adapters that are written down


@dataclass(frozen=True)
class Case:
    """A task: how it is asked, where its data is, and the metric that both are to agree on."""

    name: str  # as lm-evaluation-harness calls it
    metric: str
    filter: str
    splits: Mapping[str, str]  # split -> file, in the task's folder
    chat: bool = False
    n_shots: int | None = None
    own: str = ""  # our adapter of the same benchmark

    @property
    def task(self) -> str:
        """The TASK without its path."""
        shots = "" if self.n_shots is None else f"+{self.n_shots}shot"
        return f"lm_eval:{self.name}{'+chat' if self.chat else ''}{shots}"


CASES = (
    Case("gsm8k", "exact_match", "flexible-extract", {"train": "train.jsonl", "test": "test.jsonl"}, own="gsm8k"),
    Case("gsm8k", "exact_match", "flexible-extract", {"train": "train.jsonl", "test": "test.jsonl"}, True, 0, "gsm8k"),
    Case("mmlu_generative", "exact_match", "get_response", {"test": "test.jsonl", "dev": "dev.jsonl"}, own="mmlu"),
    Case("drop", "f1", "none", {"train": "train.jsonl", "validation": "validation.jsonl"}, chat=True),
    Case(
        "triviaqa", "exact_match", "remove_whitespace", {"train": "train.jsonl", "validation": "validation.jsonl"}, True
    ),
    Case("gpqa_main_generative_n_shot", "exact_match", "flexible-extract", {"train": "train.jsonl"}, chat=True),
    Case("ifeval", "prompt_level_strict_acc", "none", {"train": "train.jsonl"}, chat=True),
)


@dataclass
class Agreement:
    """How one task's questions compare."""

    task: str
    n: int
    score_lm_eval: float
    score_ours: float
    n_right: int  # by lm-evaluation-harness, of the main metric
    n_partial: int
    same_prompts: int
    same_responses: int
    same_scores: int  # each side's own response
    same_scores_of_same_response: int
    differing: list[dict[str, Any]] = field(default_factory=list)
    own_adapter: dict[str, Any] = field(default_factory=dict)
    seconds_lm_eval: float = 0.0
    seconds_ours: float = 0.0


def write_data(folder: Path, n: int) -> None:
    """Each benchmark's files, the asked split last in `splits` or first by name, others of a few rows."""
    for case in CASES:
        asked = next(split for split in ("test", "validation", "train") if split in case.splits)
        for split, file in case.splits.items():
            rows = MAKERS[case.name](1 if split == asked else 2, n if split == asked else 4 * N_SHOTS)
            if case.name != "mmlu_generative":
                write_rows(folder / case.name / file, rows)
                continue
            for subject in SUBJECTS:
                mine = [row for row in rows if row["subject"] == subject]
                write_rows(folder / case.name / subject / file, mine)


def tuned_on_letters(base: Path, folder: Path, *, steps: int, rows_a_step: int = 16) -> Path:
    """A copy of the base that answers questions in mmlu_generative's words with a letter, right more often than not."""
    torch.manual_seed(0)
    draw = random.Random(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    texts = []
    for row in mmlu_rows(3, 2000):
        options = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", row["choices"], strict=True))
        about = (
            f"The following are multiple choice questions (with answers) about {row['subject'].replace('_', ' ')}.\n\n"
        )
        texts.append(
            (f"{about}{row['question']}\n{options}Answer:", f" {'ABCD'[row['answer']]}\n{tokenizer.eos_token}")
        )
    for _ in range(steps):
        batch = [(tokenizer.encode(ask), tokenizer.encode(reply)) for ask, reply in draw.sample(texts, rows_a_step)]
        width = max(len(ask) + len(reply) for ask, reply in batch)
        ids_B_T = torch.full((rows_a_step, width), tokenizer.pad_token_id)
        labels_B_T = torch.full((rows_a_step, width), -100)
        for row_ids, row_labels, (ask, reply) in zip(ids_B_T, labels_B_T, batch, strict=True):
            row_ids[: len(ask) + len(reply)] = torch.tensor(ask + reply)
            row_labels[len(ask) : len(ask) + len(reply)] = torch.tensor(reply)
        model(input_ids=ids_B_T, labels=labels_B_T).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(model, tokenizer, folder)
    return folder


def with_room(base: Path, folder: Path) -> Path:
    """A copy of the base with a longer context: ifeval asks for up to 1,280 tokens."""
    shutil.copytree(base, folder)
    config = folder / "config.json"
    write_json(config, {**json.loads(config.read_text()), "max_position_embeddings": CONTEXT})
    return folder


def task_manager(folder: Path) -> Any:
    """lm-evaluation-harness's index, with a group for each case: its own tasks, their data in our files."""
    from lm_eval.tasks import TaskManager

    def located(task: str, data: Path, case: Case) -> dict[str, Any]:
        files = {split: str(data / file) for split, file in case.splits.items()}
        return {"task": task, "dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}

    (folder / "groups").mkdir()
    for number, case in enumerate(CASES):
        data = folder / case.name
        if case.name == "mmlu_generative":
            members = [located(f"mmlu_{name}_generative", data / name, case) for name in SUBJECTS]
        else:
            members = [located(case.name, data, case)]
        weighed = [{"metric": case.metric, "weight_by_size": True, "filter_list": case.filter}]
        group = {"group": f"local_{number}", "task": members, "aggregate_metric_list": weighed}
        write_json(folder / "groups" / f"{number}.yaml", group)  # JSON is YAML
    return TaskManager(include_path=str(folder / "groups"))


def with_lm_eval(case: Case, model: Path, manager: Any) -> dict[str, Any]:
    """lm-evaluation-harness alone, with its own data loading."""
    from lm_eval import simple_evaluate

    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        tasks=[f"local_{CASES.index(case)}"],
        task_manager=manager,
        device="cpu",
        batch_size=1,
        num_fewshot=case.n_shots,
        apply_chat_template=case.chat,
        log_samples=True,
        bootstrap_iters=0,
    )
    assert found is not None
    return dict(found)


def with_ours(benchmark: Benchmark, model: Path) -> list[Attempt]:
    """Our engine and verifier, greedily."""
    engine = TransformersEngine(model, device="cpu", dtype="float32")
    greedy = Sampling(max_tokens=256, temperature=0.0)
    return asyncio.run(roll_out(benchmark.prompts, engine=engine, n=1, sampling=greedy, seed=0))


def compare(case: Case, model: Path, data: Path, manager: Any) -> Agreement:
    """Run one task both ways."""
    start = time.perf_counter()
    theirs = with_lm_eval(case, model, manager)
    between = time.perf_counter()
    benchmark = load_benchmark(f"{case.task}={data}")
    attempts = {attempt.prompt_id: attempt for attempt in with_ours(benchmark, model)}
    end = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(model)
    samples = {
        (task, sample["doc_id"]): sample
        for task, rows in theirs["samples"].items()
        for sample in rows
        if sample["filter"] == case.filter
    }
    scores = theirs["results"][f"local_{CASES.index(case)}"][f"{case.metric},{case.filter}"]
    found = Agreement(case.task, len(benchmark.prompts), float(scores), 0.0, 0, 0, 0, 0, 0, 0)
    assert len(samples) == found.n, (len(samples), found.n)
    total = 0.0
    for prompt in benchmark.prompts:
        needs = prompt.meta["lm_eval"]
        assert (needs["metric"], needs["filter"]) == (case.metric, case.filter)
        sample = samples[needs["task"], needs["doc_id"]]
        attempt = attempts[prompt.id]
        response, value = str(sample["resps"][0][0]), float(sample[case.metric])
        again = verify.get("lm_eval").verdict(response, prompt)  # type: ignore[attr-defined]
        given = prompt.text if prompt.meta.get("plain_text") else prompt_text(tokenizer, prompt.messages)
        same = {
            "prompt": given == sample["arguments"][0][0],
            "response": attempt.text == response,
            "score": attempt.frac_passed == value,
            "score_of_same_response": again.frac_passed == value,
        }
        total += attempt.frac_passed or 0.0
        found.n_right += value == 1.0
        found.n_partial += 0.0 < value < 1.0
        found.same_prompts += same["prompt"]
        found.same_responses += same["response"]
        found.same_scores += same["score"]
        found.same_scores_of_same_response += same["score_of_same_response"]
        if not all(same.values()):
            seen = {
                "lm_eval": response,
                "ours": attempt.text,
                "score_lm_eval": value,
                "score_ours": attempt.frac_passed,
            }
            found.differing.append({"question": prompt.text[-200:], **same, **seen})
    found.score_ours = total / found.n
    found.own_adapter = own_scores(case, data, samples) if case.own else {}
    found.seconds_lm_eval, found.seconds_ours = between - start, end - between
    return found


def own_scores(case: Case, data: Path, samples: Mapping[tuple[str, int], Mapping[str, Any]]) -> dict[str, Any]:
    """The same responses, scored by our own adapter of the benchmark."""
    prompts: dict[str, Prompt] = {}
    if case.own == "mmlu":
        whole = data / "all.jsonl"
        lines = [(data / subject / case.splits["test"]).read_text() for subject in SUBJECTS]
        whole.write_text("".join(lines))
        mine = load_benchmark(f"mmlu={whole}")
        whole.unlink()
    else:
        mine = load_benchmark(f"{case.own}={data / case.splits['test']}")
    for sample in samples.values():
        doc = sample["doc"]
        wanted = [doc["question"], *doc.get("choices", ())]
        prompts[str(doc)] = next(one for one in mine.prompts if all(part in one.text for part in wanted))
    counts = {"both_right": 0, "both_wrong": 0, "only_lm_eval": 0, "only_ours": 0, "ours_undecided": 0}
    differing = []
    for sample in samples.values():
        prompt = prompts[str(sample["doc"])]
        response = str(sample["resps"][0][0])
        verdict = asyncio.run(verify.verdict_of(verify.get(prompt.verifier), response, prompt))
        theirs = float(sample[case.metric]) == 1.0
        if verdict.correct is None:
            counts["ours_undecided"] += 1
        elif verdict.correct == theirs:
            counts["both_right" if theirs else "both_wrong"] += 1
        else:
            counts["only_ours" if verdict.correct else "only_lm_eval"] += 1
            differing.append({"response": response, "gold": prompt.answer, "ours": verdict.reason, "lm_eval": theirs})
    return {
        "adapter": case.own,
        "verifier": next(iter(prompts.values())).verifier,
        **counts,
        "differing": differing[:SHOWN],
    }


def table(found: Sequence[Agreement]) -> str:
    """Markdown."""
    lines = [
        "| task | questions | lm-evaluation-harness | ours | right, partly | same prompt | same response | same score |"
        " same score of their response |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{one.task}` | {one.n} | {one.score_lm_eval:.4f} | {one.score_ours:.4f} | {one.n_right}, {one.n_partial} |"
        f" {one.same_prompts} | {one.same_responses} | {one.same_scores} | {one.same_scores_of_same_response} |"
        for one in found
    ]
    lines += [
        "",
        "| task | our adapter, verifier | both right | both wrong | only theirs | only ours | undecided |",
    ]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for one in found:
        if own := one.own_adapter:
            counts = (own[key] for key in ("both_right", "both_wrong", "only_lm_eval", "only_ours", "ours_undecided"))
            lines.append(f"| `{one.task}` | `{own['adapter']}`, `{own['verifier']}` | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100, help="a task")
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face format with a chat template")
    parser.add_argument("--steps", type=int, default=400, help="of tuning on letters")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    base = given.model or pretrain(PretrainConfig(), Resources().cache_path()).path
    found = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_data(data, given.questions)
        base = with_room(base, data / "base")
        letters = tuned_on_letters(base, data / "letters", steps=given.steps)
        manager = task_manager(data)
        for case in CASES:
            model = letters if case.name == "mmlu_generative" else base
            found.append(compare(case, model, data / case.name, manager))
            print(asdict(found[-1]), flush=True)
    print(table(found))
    if given.json:
        write_json(given.json, {"questions": given.questions, "tasks": [asdict(one) for one in found]})
    wrong = [one.task for one in found if one.same_prompts < one.n or one.same_scores_of_same_response < one.n]
    sys.exit(f"no agreement on {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
