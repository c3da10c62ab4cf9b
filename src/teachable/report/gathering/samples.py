"""The examples that the page shows, in and out, with the attempts that decided it.

The choice is the same for the same run: rounds over (domain, zone), within each by a hash of the prompt's id,
so that no kind of prompt crowds out another and nobody picked the pretty ones.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from teachable.records import Prompt, content_id, from_row
from teachable.report.config import ReportConfig
from teachable.report.gathering.load import Row, RunReader

MAX_ATTEMPTS = 16


def sample_facts(reader: RunReader, config: ReportConfig, seed: object = 0) -> list[dict[str, Any]]:
    """Up to `n_examples` prompts, in and out by turns, each with its attempts and what was trained on."""
    decisions = reader.rows(
        "select",
        "decisions.parquet",
        ("prompt_id", "domain", "level", "zone", "decision", "reason", "n_tokens", "arms"),
    )
    chosen = choose(decisions, config.n_examples, seed)
    ids = {d["prompt_id"] for d in chosen}
    prompts = {
        r["id"]: from_row(Prompt, r)
        for r in reader.rows("tasks", "prompts.parquet", ("id", "domain", "messages", "answer", "level"), ("id", ids))
    }
    estimates = {
        r["prompt_id"]: r
        for r in reader.rows(
            "probe",
            "estimates.parquet",
            ("prompt_id", "n", "successes", "n_undecided", "key", "key_source", "key_agreement", "suspect"),
            ("prompt_id", ids),
        )
    }
    attempts: dict[str, list[Row]] = defaultdict(list)
    for r in reader.rows(
        "probe",
        "attempts.parquet",
        ("prompt_id", "sample", "text", "finish_reason", "correct", "answer", "reason"),
        ("prompt_id", ids),
    ):
        attempts[r["prompt_id"]].append(r)
    responses = reader.responses(ids)

    def cut(text: str) -> str:
        over = len(text) - config.max_chars
        return text if over <= 0 else f"{text[: config.max_chars]}\u2026 [{over:,} more characters]"

    shown = []
    for d in chosen:
        pid = d["prompt_id"]
        prompt, estimate, example = prompts.get(pid), estimates.get(pid, {}), responses.get(pid)
        answers = [m["content"] for m in (example or {}).get("messages") or [] if m["role"] == "assistant"]
        shown.append(
            {
                **{k: d.get(k) for k in ("prompt_id", "domain", "level", "zone", "decision", "reason", "n_tokens")},
                "arms": list(d.get("arms") or []),
                "question": cut(prompt.text) if prompt else None,
                "answer": cut(prompt.answer) if prompt and prompt.answer is not None else None,
                "n": estimate.get("n"),
                "successes": estimate.get("successes"),
                "n_undecided": estimate.get("n_undecided"),
                "key": cut(estimate["key"]) if estimate.get("key") is not None else None,
                "key_source": estimate.get("key_source") or "",
                "key_agreement": estimate.get("key_agreement"),
                "suspect": bool(estimate.get("suspect")),
                "attempts": [
                    {
                        "sample": a["sample"],
                        "text": cut(a["text"]),
                        "correct": a["correct"],
                        "answer": None if a["answer"] is None else cut(a["answer"]),
                        "reason": cut(a["reason"] or ""),
                        "cut_off": a["finish_reason"] == "length",
                    }
                    for a in sorted(attempts[pid], key=lambda a: a["sample"])[:MAX_ATTEMPTS]
                ],
                "n_attempts": len(attempts[pid]),
                "response": cut(answers[-1]) if answers else None,
                "why": (example or {}).get("why"),
            }
        )
    return shown


def choose(decisions: list[Row], n: int, seed: object = 0) -> list[Row]:
    """Half of them in and half out, in and out by turns; a short side leaves its places to the other."""
    sides = [_rounds([d for d in decisions if (d["decision"] == "in") is inside], seed) for inside in (True, False)]
    n_in = min(len(sides[0]), max(n - n // 2, n - len(sides[1])))
    picked = [sides[0][:n_in], sides[1][: n - n_in]]
    by_turns = []
    for place in range(max(map(len, picked))):
        by_turns += [side[place] for side in picked if place < len(side)]
    return by_turns


def _rounds(rows: list[Row], seed: object) -> list[Row]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for r in sorted(rows, key=lambda r: content_id(seed, r["prompt_id"])):
        groups[r["domain"], r["zone"]].append(r)
    ordered: list[Row] = []
    for turn in range(max((len(g) for g in groups.values()), default=0)):
        ordered += [g[turn] for _, g in sorted(groups.items()) if turn < len(g)]
    return ordered
