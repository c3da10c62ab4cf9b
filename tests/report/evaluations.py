"""What an evaluation of several models leaves, made through the real record types, the real store and a real ledger."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from teachable.records import Completion, Prompt, content_id, to_row
from teachable.store.files import read_json, read_records, read_rows, write_json, write_records, write_rows, write_text
from teachable.store.ledger import Ledger, Paid

ATTACK = '</pre></script><script>document.title="pwned"</script><img src=x onerror="document.title=1">\x00\u202e'
N_SAMPLES = 4
TASKS = {"gsm8k": 0.45, "gym:chain_sum": 0.6, "own_questions": 0.3}
MODELS = {
    "small-base": (0.0, "/home/somebody/models/small-base", 0.0),
    "small-tuned": (0.14, "/home/somebody/models/small-tuned", 0.0),
    "larger": (0.3, "http://localhost:8000/v1", 2.5),
}  # label -> what it adds to the rate, where it is, dollars a million sampled tokens
RECIPE = """\
name: evaluate
seed: 0
base: embedded
stages:
  tasks: {kind: tasks, needs: {}, source: none, benchmarks: [gsm8k=/home/somebody/gsm8k.jsonl, gym:chain_sum]}
  evaluate:
    kind: evaluate
    needs: {prompts: tasks}
    n_samples: 4
    beside:
    - {kind: openai, model: larger, base_url: http://localhost:8000/v1, api_key_env: LARGER_KEY}
  report: {kind: report, needs: {tasks: tasks, evaluate: evaluate}}
"""


def benchmark_facts(name: str, n: int) -> dict[str, Any]:
    """What `tasks/stats.json` and `determined_by` say of a benchmark."""
    return {
        "name": name,
        "title": f"The {name} questions",
        "source": "Somebody and others, 2021",
        "data": f"/home/somebody/{name}.jsonl",
        "data_digest": content_id(name) * 4,
        "n_rows": n + 3,
        "n_questions": n,
        "template": "Question: {question}\nAnswer:",
        "verifier": "math",
        "adapter": "teachable",
        "version": 1,
        "metric": "pass@1",
        "notes": ["three rows have no answer and are left out"],
    }


def _question(task: str, i: int) -> Prompt:
    text = f"{task} question no. {i}: what is {i * 17 % 91} and {i * 31 % 57} together?"
    return Prompt(
        id=content_id(task, text),
        domain=task,
        messages=({"role": "user", "content": text},),
        answer=str(i * 17 % 91 + i * 31 % 57),
        answer_source="organic",
        verifier="math",
        meta={"benchmark": task},
    )


def answered(
    model: str, arm: str, seed: int, prompt: Prompt, rate: float, rng: random.Random, usd: float = 0.0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row of scores.parquet and its rows of attempts.parquet, the greedy one among them."""
    verdicts = [rng.random() < rate for _ in range(N_SAMPLES + 1)]
    attempts: list[dict[str, Any]] = [
        {
            "model": model,
            "arm": arm,
            "seed": seed,
            "prompt_id": prompt.id,
            "sample": sample,
            "text": f"{arm} thinks aloud.\nThe answer is {prompt.answer if right else '0'}",
            "answer": prompt.answer if right else "0",
            "correct": right,
            "frac_passed": float(right),
            "reason": "equals the reference" if right else "differs from the reference",
            "finish_reason": "stop",
            "n_tokens": 20 + sample,
        }
        for sample, right in enumerate(verdicts, -1)
    ]
    n_tokens = sum(one["n_tokens"] for one in attempts)
    n_correct = sum(verdicts[1:])
    row = {
        "model": model,
        "arm": arm,
        "seed": seed,
        "task": prompt.meta.get("benchmark", "heldout"),
        "prompt_id": prompt.id,
        "domain": prompt.domain,
        "level": prompt.level,
        "n": N_SAMPLES,
        "n_correct": n_correct,
        "n_undecided": 0,
        "greedy": verdicts[0],
        "majority": n_correct > N_SAMPLES // 2,
        "score": n_correct / N_SAMPLES,
        "n_tokens": n_tokens,
        "n_prompt_tokens": 30,
        "cost_usd": n_tokens * usd / 1e6,
    }
    return row, attempts


def value(row: Mapping[str, Any], metric: str) -> float:
    """A score row's value on a metric, by the definitions in the text books."""
    if metric.startswith("pass@"):
        k = int(metric.removeprefix("pass@"))
        return 1 - comb(row["n"] - row["n_correct"], k) / comb(row["n"], k)
    return float(row[{"greedy": "greedy", "maj@k": "majority", "score": "score"}[metric]])


def by_question(rows: Sequence[Mapping[str, Any]], arm: str, metric: str) -> dict[str, float]:
    """Prompt id -> the mean over an arm's models."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["arm"] == arm:
            found.setdefault(row["prompt_id"], []).append(value(row, metric))
    return {one: mean(values) for one, values in sorted(found.items())}


def _interval(values: Sequence[float]) -> dict[str, float]:
    centre, half = mean(values), 1.96 * stdev(values) / len(values) ** 0.5
    return {"mean": centre, "low": centre - half, "high": centre + half}


def _pair(rows: Sequence[Mapping[str, Any]], arm: str, baseline: str, metric: str) -> dict[str, Any]:
    first, second = by_question(rows, arm, metric), by_question(rows, baseline, metric)
    found = _interval([first[one] - second[one] for one in first])
    clear = found["low"] > 0 or found["high"] < 0
    return {
        "arm": arm,
        "baseline": baseline,
        "metric": metric,
        "diff": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "p_value": 0.0004 if clear else 0.21,
        "p_holm": 0.0012 if clear else 0.63,
        "mcnemar_p": 0.011 if metric in ("greedy", "maj@k") else None,
        "se": (found["high"] - found["low"]) / 3.92,
        "df": 30.0,
        "n_questions": len(first),
        "n_seeds": 1,
    }


METRICS = ("pass@1", "greedy", "maj@k", "pass@2", "pass@4", "score")


def statistics(
    rows: Sequence[dict[str, Any]], pairs: Sequence[tuple[str, str]], reference: str, facts: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """A stats.json of these rows; its intervals are rough, its means and differences exact."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    domains = sorted({row["domain"] for row in rows})
    of = {arm: [row for row in rows if row["arm"] == arm] for arm in arms}

    def asked(mine: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return {
            "tokens_per_question": mean(row["n_tokens"] for row in mine),
            "prompt_tokens_per_question": mean(row["n_prompt_tokens"] for row in mine),
            "usd_per_question": mean(row["cost_usd"] for row in mine),
        }

    def inside(name: str, one: str) -> list[dict[str, Any]]:
        return [row for row in rows if row[name] == one]

    comparisons = [{**_pair(rows, a, b, m), "task": ""} for a, b in pairs for m in METRICS]
    comparisons += [{**_pair(inside("task", t), a, b, "pass@1"), "task": t} for t in tasks for a, b in pairs]
    main = next(one for one in comparisons if (one["arm"], one["baseline"]) == pairs[0])
    return {
        "n_questions": len({row["prompt_id"] for row in rows}),
        "n_samples": N_SAMPLES,
        "temperature": 1.0,
        "undecided_rate": 0.0,
        "arms": [
            {
                "arm": arm,
                "n_seeds": len({row["model"] for row in of[arm]}),
                "metrics": {m: _interval(list(by_question(rows, arm, m).values())) for m in METRICS},
            }
            for arm in arms
        ],
        "models": [
            {
                "arm": arm,
                "label": arm,
                "engine": {
                    **{"kind": "transformers", "model": MODELS.get(arm, (0, arm, 0))[1], "tokenizer": ""},
                    "names": [f"openai:{arm}"] * len({row["model"] for row in of[arm]}),
                },
                "n_seeds": len({row["model"] for row in of[arm]}),
                "completions": len(of[arm]) * (N_SAMPLES + 1),
                **asked(of[arm]),
            }
            for arm in arms
        ],
        "domains": [
            {
                "arm": arm,
                "domain": domain,
                "level": 0,
                "metric": "pass@1",
                "n_questions": len({row["prompt_id"] for row in inside("domain", domain)}),
                **_interval(list(by_question(inside("domain", domain), arm, "pass@1").values())),
            }
            for arm in arms
            for domain in domains
        ],
        "by_task": [
            {
                "arm": arm,
                "task": task,
                "metric": metric,
                "n_questions": len({row["prompt_id"] for row in inside("task", task)}),
                **_interval(list(by_question(inside("task", task), arm, metric).values())),
                **asked([row for row in of[arm] if row["task"] == task]),
            }
            for task in tasks
            for arm in arms
            for metric in METRICS
        ],
        "comparisons": comparisons,
        "domain_comparisons": [
            {**_pair(inside("domain", domain), arm, reference, "pass@1"), "domain": domain}
            for domain in domains
            for arm in arms
            if arm != reference
        ],
        "power": {
            "arm": pairs[0][0],
            "baseline": pairs[0][1],
            "smallest_detectable": 0.061,
            "sentence": "This test set can't tell apart models closer than 6.1 points.",
        },
        "power_by_task": [
            {
                "task": task,
                "arm": pairs[0][0],
                "baseline": pairs[0][1],
                "smallest_detectable": 0.104,
                "sentence": "This test set can't tell apart models closer than 10.4 points.",
            }
            for task in tasks
        ],
        "determined_by": {
            "tasks": list(facts),
            "sampling": {"n_samples": N_SAMPLES, "temperature": 1.0, "top_p": 1.0, "max_tokens": 128},
            "request_seed": 0,
            "verifier": {"name": "math", "version": 2},
            "judge": None,
            "engines": [{"kind": "transformers", "model": "/home/somebody/models/small-base"}],
            "packages": {"teachable": "0.1.0", "transformers": "5.0.0"},
        },
        "verdict": {
            "sentence": f"{main['arm']} scored {100 * main['diff']:+.1f} points against {main['baseline']}.",
            "outcome": "better" if main["low"] > 0 else "worse" if main["high"] < 0 else "no difference",
            "metric": "pass@1",
            **{name: main[name] for name in ("arm", "baseline", "diff", "low", "high")},
        },
    }


def evaluation(run: Path, n: int = 40, seed: int = 0) -> Path:
    """The folder of `teachable evaluate`: three models on three tasks, and nothing that was trained."""
    rng = random.Random(seed)
    questions = [_question(task, i) for task in TASKS for i in range(n)]
    ease = {one.id: min(0.9, max(0.05, rng.gauss(TASKS[one.domain], 0.25))) for one in questions}
    facts = [benchmark_facts(task, n) for task in TASKS]
    write_records(run / "tasks/prompts.parquet", [])
    write_rows(run / "tasks/heldout.parquet", [to_row(one) for one in questions])
    write_json(run / "tasks/stats.json", {"n_pool": 0, "n_heldout": len(questions), "benchmarks": facts})
    rows, attempts = [], []
    for label, (gain, _, usd) in MODELS.items():
        for one in questions:
            rate = min(0.97, ease[one.id] + gain)
            if one.domain == "own_questions" and label == "small-tuned":
                rate *= 0.15  # what tuning has cost it
            row, told = answered(label, label, 0, one, rate, rng, usd)
            rows.append(row)
            attempts += told
    attempts[0]["text"] = attempts[0]["reason"] = ATTACK
    write_rows(run / "evaluate/scores.parquet", rows)
    write_rows(run / "evaluate/attempts.parquet", attempts)
    pairs = [(b, a) for a, b in combinations(MODELS, 2)]
    write_json(run / "evaluate/stats.json", statistics(rows, pairs, "small-base", facts))
    write_text(run / "run.yaml", RECIPE)
    write_ledger(run, "evaluate", attempts, {label: usd for label, (_, _, usd) in MODELS.items()})
    completions = len(attempts)
    done: dict[str, Any] = {"status": "done", "version": 1, "tokens_in": 0, "tokens_out": 0, "cost_usd": 0.0}
    spent = {"tokens_in": 30 * len(rows), "tokens_out": sum(one["n_tokens"] for one in attempts)}
    write_json(
        run / "manifest.json",
        {
            "recipe": "evaluate",
            "format": 1,
            "stages": {
                "tasks": {"kind": "tasks", "key": "ab" * 32, "seconds": 0.4, **done, "prompts": len(questions)},
                "evaluate": {
                    **{"kind": "evaluate", "key": "cd" * 32, "seconds": 12.5, "prompts": len(questions)},
                    **{**done, **spent, "completions": completions},
                },
            },
        },
    )
    return run


def write_ledger(
    run: Path, stage: str, attempts: Sequence[Mapping[str, Any]], usd: Mapping[str, float], engine: str = ""
) -> None:
    """Every attempt as a paid completion; dollars are a million sampled tokens'."""
    with Ledger(run / "ledger.sqlite") as ledger:
        for arm in dict.fromkeys(one["arm"] for one in attempts):
            paid = [
                Paid(
                    key=content_id(one["model"], one["prompt_id"], one["sample"]),
                    completions=[
                        Completion(
                            text=one["text"].encode("utf-8", "replace").decode(),
                            token_ids=(1, 2),
                            token_logprobs=None,
                            finish_reason="stop",
                            n_tokens=one["n_tokens"],
                            n_prompt_tokens=6,
                        )
                    ],
                    costs_usd=[one["n_tokens"] * usd.get(arm, 0.0) / 1e6],
                )
                for one in attempts
                if one["arm"] == arm
            ]
            ledger.put_many(paid, stage=stage, engine=engine or f"openai:{arm}")


def stand_beside(run: Path, seed: int = 1) -> Path:
    """Give a finished recipe run what evaluations write now: attempts, a model beside the arms, and a ledger.

    A benchmark that no arm was trained for joins the questions; `beyond` has forgotten it.
    """
    rng = random.Random(seed)
    held = read_records(run / "tasks/heldout.parquet", Prompt)
    others = [_question("gsm8k", i) for i in range(40)]
    write_rows(run / "tasks/heldout.parquet", [to_row(one) for one in [*held, *others]])
    stats = read_json(run / "tasks/stats.json")
    facts = [benchmark_facts("gsm8k", len(others))]
    write_json(run / "tasks/stats.json", {**stats, "n_heldout": len(held) + len(others), "benchmarks": facts})
    models = list(dict.fromkeys((r["model"], r["arm"], r["seed"]) for r in read_rows(run / "evaluate/scores.parquet")))
    rates = {"base": 0.5, "teachable": 0.62, "random": 0.58, "mastered": 0.55, "beyond": 0.52, "larger": 0.8}
    rows, attempts = [], []
    for model, arm, number in [*models, ("larger", "larger", 0)]:
        for one in [*held, *others]:
            spoilt = 0.15 if arm == "beyond" and one.domain == "gsm8k" else rates[arm] - 0.1 * (one.level or 1)
            row, told = answered(model, arm, number, one, spoilt, rng, 2.5 if arm == "larger" else 0.0)
            rows.append(row)
            attempts += told
    write_rows(run / "evaluate/scores.parquet", rows)
    write_rows(run / "evaluate/attempts.parquet", attempts)
    arms = [arm for arm in rates if arm != "base"]
    pairs = [("teachable", "random"), *((arm, "base") for arm in arms)]
    pairs += [(a, b) for b, a in combinations(arms, 2) if (a, b) not in pairs]
    before = read_json(run / "evaluate/stats.json")
    write_json(run / "evaluate/stats.json", {**before, **statistics(rows, pairs, "base", facts)})
    write_ledger(run, "evaluate", attempts, {"larger": 2.5})
    manifest = read_json(run / "manifest.json")
    manifest["stages"]["evaluate"] |= {"completions": len(attempts) + 100, "prompts": len(held) + len(others)}
    write_json(run / "manifest.json", manifest)
    return run
