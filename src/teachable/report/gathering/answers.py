"""Held-out questions with the answers of each model, for a reader who wants to see what a score is made of.

The questions on which the models differ most come first, and take three places of four; equals take turns over the
tasks, within each by a hash of the question's id. One model speaks for an arm: that of its first seed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from teachable.records import Prompt, content_id, from_row
from teachable.report.config import ReportConfig
from teachable.report.gathering.load import Row, RunReader
from teachable.report.gathering.models import HELDOUT, Order
from teachable.report.gathering.pivots import cut

Facts = dict[str, Any]
MOST_ANSWERS = 3  # of a model to a question: the greedy one, then the first samples
COLUMNS = ("model", "prompt_id", "sample", "text", "answer", "correct", "frac_passed", "reason", "finish_reason")


def answer_facts(reader: RunReader, config: ReportConfig, scores: list[Row], order: Order) -> list[Facts]:
    """Up to `n_examples` questions; none where the run keeps no attempts of its evaluation.

    Args:
        scores: the rows of scores.parquet.
    """
    file = f"{reader.folders['evaluate']}/attempts.parquet"
    speakers = _speakers(scores, order)
    by_question: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in scores:
        if speakers.get(row["arm"]) == row["model"]:
            by_question[row["prompt_id"]][row["arm"]] = row
    chosen = _chosen(by_question, config.n_examples) if (reader.run / file).is_file() else []
    ids = set(chosen)
    prompts = {
        row["id"]: from_row(Prompt, row)
        for row in reader.rows("tasks", "heldout.parquet", ("id", "domain", "messages", "answer"), ("id", ids))
    }
    attempts: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in reader.table(file, COLUMNS, ("prompt_id", ids), note=False):
        attempts[row["prompt_id"], row["model"]].append(row)
    return [
        {
            "prompt_id": one,
            "task": _task(next(iter(by_question[one].values()))),
            "domain": next(iter(by_question[one].values()))["domain"],
            "question": cut(prompts[one].text, config.max_chars) if one in prompts else None,
            "answer": _cut(prompts[one].answer if one in prompts else None, config),
            "agreement": _agreement(by_question[one]),
            "models": [
                _told(by_question[one][arm], attempts[one, speakers[arm]], config)
                for arm in speakers
                if arm in by_question[one]
            ],
        }
        for one in chosen
    ]


def _speakers(scores: list[Row], order: Order) -> dict[str, str]:
    """Arm -> the model of its first seed, in the page's order."""
    models = {(row["arm"], int(row.get("seed") or 0), row["model"]) for row in scores}
    found: dict[str, str] = {}
    for arm, _, model in sorted(models, key=lambda one: (order(one[0]), one[1], one[2])):
        found.setdefault(arm, model)
    return found


def _share(row: Row) -> float | None:
    """The share of right answers, or the greedy answer where nothing was sampled."""
    if row.get("n"):
        return float(row["n_correct"] / row["n"])
    return None if row.get("greedy") is None else float(row["greedy"])


def _shares(rows: dict[str, Row]) -> list[float]:
    return [found for row in rows.values() if (found := _share(row)) is not None]


def _agreement(rows: dict[str, Row]) -> str:
    """What the models make of a question, by the share of right answers of each."""
    shares = _shares(rows)
    if not shares:
        return "undecided"
    if max(shares) - min(shares) > 0:
        return "models differ"
    return "all right" if min(shares) == 1 else "all wrong" if max(shares) == 0 else "right in part"


def _chosen(by_question: dict[str, dict[str, Row]], n: int) -> list[str]:
    """The ids of the questions to show."""
    spread: dict[str, float] = {}
    for one, rows in by_question.items():
        shares = _shares(rows)
        spread[one] = round(max(shares) - min(shares), 9) if shares else -1.0
    task = {one: _task(next(iter(rows.values()))) for one, rows in by_question.items()}
    turns: dict[tuple[str, float], int] = defaultdict(int)
    keys: list[tuple[float, int, str, str]] = []
    for one in sorted(by_question, key=content_id):
        place = task[one], spread[one]
        keys.append((-spread[one], turns[place], task[one], one))
        turns[place] += 1
    ranked = [one for *_, one in sorted(keys)]
    differ, alike = ([one for one in ranked if (spread[one] > 0) is told] for told in (True, False))
    n_differ = min(len(differ), max(n - n // 4, n - len(alike)))
    return [*differ[:n_differ], *alike[: n - n_differ]]


def _task(row: Row) -> str:
    """The task of a question; the domain speaks for a question that was held out of the pool."""
    task = str(row.get("task") or HELDOUT)
    return str(row["domain"]) if task == HELDOUT else task


def _told(row: Row, attempts: list[Row], config: ReportConfig) -> Facts:
    """One model's answers to one question; a greedy one (sample -1) comes first."""
    attempts = sorted(attempts, key=lambda one: int(one["sample"]))
    return {
        "arm": row["arm"],
        "model": row["model"],
        **{name: row.get(name) for name in ("n", "n_correct", "n_undecided", "greedy")},
        "n_attempts": len(attempts),
        "attempts": [
            {
                "sample": one["sample"],
                "text": cut(one["text"], config.max_chars),
                "answer": _cut(one.get("answer"), config),
                "correct": one["correct"],
                "frac_passed": one.get("frac_passed"),
                "reason": cut(one.get("reason") or "", config.max_chars),
                "cut_off": one.get("finish_reason") == "length",
            }
            for one in attempts[:MOST_ANSWERS]
        ],
    }


def _cut(text: str | None, config: ReportConfig) -> str | None:
    return None if text is None else cut(text, config.max_chars)
