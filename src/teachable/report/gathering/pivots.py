"""What the searches for pivotal tokens found and cost, and the solutions that the page shows.

Counts come from the Parquet files; what only the search knows (completions, tokens, pairs that were left out) from its
stats.json. The solutions with the largest measured changes are shown first; ties, and solutions without a pivotal
token, are ordered by a hash of the prompt's id.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from teachable.records import Prompt, content_id, from_row
from teachable.report.config import ReportConfig
from teachable.report.gathering.load import Row, RunReader
from teachable.report.gathering.reproduce import private_spans
from teachable.report.gathering.tokens import PIVOT_COLUMNS, SOLUTION_COLUMNS, solution_facts, solution_key, weight

Facts = dict[str, Any]
Key = tuple[str, tuple[int, ...]]
MAX_TOKENS = (
    1500  # of a solution on the page; a longer one ends there, its pivotal tokens are in the table all the same
)
TOKENS_SHOWN = 12_000  # in all solutions of a search; each with its effect and title weighs about 200 bytes on the page
SPENT = ("completions", "tokens", "prompt_tokens", "cost_usd", "failed_requests", "n_undecided", "seconds", "complete")


def pivot_facts(reader: RunReader, config: ReportConfig) -> list[Facts]:
    """The searches of the run, usually none or one."""
    return [_search(reader, stage, config) for stage in reader.stages_of("pivot")]


def _search(reader: RunReader, stage: str, config: ReportConfig) -> Facts:
    """One search; `found` is False where it has left nothing yet."""
    pivots = reader.table(f"{stage}/pivots.parquet", PIVOT_COLUMNS)
    gates = reader.table(f"{stage}/gates.parquet", ("prompt_id", "outcome"))
    solutions = reader.table(f"{stage}/solutions.parquet", ("prompt_id", "correct"))
    pairs = reader.table(f"{stage}/preferences.parquet", ("prompt_id",))
    stats = reader.json(f"{stage}/stats.json")
    wanted = (reader.recipe.get("stages") or {}).get(stage) or {}
    completions = stats.get("completions")
    return {
        "stage": stage,
        "found": bool(stats),
        **{name: stats.get(name, wanted.get(name)) for name in ("gap", "confidence", "low", "high")},
        **{name: stats.get(name) for name in SPENT},
        "n_prompts": len(gates) or stats.get("n_prompts"),
        "outcomes": dict(Counter(one["outcome"] for one in gates).most_common()),
        "n_solutions": len(solutions),
        "n_right": sum(bool(one["correct"]) for one in solutions),
        "n_pivots": len(pivots),
        "n_raising": sum(one["delta"] > 0 for one in pivots),
        "n_lowering": sum(one["delta"] < 0 for one in pivots),
        "completions_per_pivot": completions / len(pivots) if pivots and completions is not None else None,
        "n_pairs": len(pairs),
        "pairs_left_out": dict(stats.get("pairs_left_out") or {}),
        "solutions": _shown(reader, stage, pivots, [one["prompt_id"] for one in solutions], config),
    }


def _shown(
    reader: RunReader, stage: str, pivots: list[Row], prompt_ids: list[str], config: ReportConfig
) -> list[Facts]:
    """Up to `n_solutions` solutions, the most telling first."""
    by_solution: dict[Key, list[Row]] = defaultdict(list)
    for one in pivots:
        by_solution[solution_key(one["prompt_id"], one["solution_token_ids"])].append(one)
    ranked = sorted(by_solution, key=lambda key: (-weight(by_solution[key]), content_id(key[0]), key))
    ids = list(dict.fromkeys(key[0] for key in ranked))
    known = set(ids)
    ids += sorted({one for one in prompt_ids if one not in known}, key=content_id)
    wanted = set(ids[: config.n_solutions])
    name = f"{stage}/solutions.parquet"
    places = {key: place for place, key in enumerate(ranked)}
    rows = [
        (places.get(key, len(places)), content_id(*key), row, by_solution.get(key, []))
        for row in reader.table(name, SOLUTION_COLUMNS, ("prompt_id", wanted))
        for key in [solution_key(row["prompt_id"], row["token_ids"])]
    ]
    questions = _questions(reader, wanted, config)
    told: list[Facts] = []
    n_tokens = 0
    for _, _, row, mine in sorted(rows, key=lambda one: one[:2])[: config.n_solutions]:
        n_tokens += len(row["tokens"])
        if told and n_tokens > TOKENS_SHOWN:
            break
        facts = solution_facts(row, mine, str(reader.run / name))
        _hide_private(facts, reader)
        told.append({"question": questions.get(row["prompt_id"]), **facts})
    return told


def _questions(reader: RunReader, prompt_ids: set[str], config: ReportConfig) -> dict[str, str]:
    rows = reader.rows("tasks", "prompts.parquet", ("id", "domain", "messages"), ("id", prompt_ids))
    texts = {row["id"]: from_row(Prompt, row).text for row in rows}
    return {one: cut(text, config.max_chars) for one, text in texts.items()}


def cut(text: str, most: int) -> str:
    """The first `most` characters, and how many more there are."""
    over = len(text) - most
    return text if over <= 0 else f"{text[:most]}\u2026 [{over:,} more characters]"


def _hide_private(facts: Facts, reader: RunReader) -> None:
    """Take a private path out of a solution's tokens, each of which holds too little of it to be recognised."""
    spans = private_spans("".join(one["token"] for one in facts["tokens"]), reader.run)
    place = 0
    for token in facts["tokens"] if spans else ():
        end = place + len(token["token"])
        if any(place < last and first < end for first, last in spans):
            token["token"] = "\u2026"
        place = end
