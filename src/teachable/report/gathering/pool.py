"""From the pool to the training set: the funnel, the zones, the spread of pass rates and what probing took."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from teachable.records import ZONES
from teachable.report.gathering.load import RunReader

Facts = dict[str, Any]
HEADLINE_ARM = "teachable"
MAX_EXACT_N = 16  # with more attempts than this a bar for every k/n is too thin to read
N_BINS = 10


def pool_facts(reader: RunReader) -> Facts:
    """The funnel with what each step lost, and the zones in all and by domain.

    The steps are the taught arm's: pool, probed, teachable, teachable with a verified response, trained on.
    """
    prompts = reader.rows("tasks", "prompts.parquet", ("id", "domain"))
    estimates = reader.rows("probe", "estimates.parquet", ("prompt_id", "domain", "zone"))
    decisions = reader.rows("select", "decisions.parquet", ("prompt_id", "zone", "decision", "n_tokens", "arms"))
    tasks, select = reader.stats("tasks"), reader.stats("select")
    zones = Counter(e["zone"] for e in estimates)
    by_domain: dict[str, Counter[str]] = defaultdict(Counter)
    for e in estimates:
        by_domain[e["domain"]][e["zone"]] += 1
    teachable = [d for d in decisions if d["zone"] == "teachable"]
    answered = [d for d in teachable if d["n_tokens"]]
    trained = [d for d in decisions if any(_arm(a) == HEADLINE_ARM for a in d["arms"] or ())]
    steps: list[Facts] = [
        {"step": "pool", "label": "Prompts in the pool", "count": len(prompts) if prompts else tasks.get("n_pool")},
        {"step": "probed", "label": "Probed", "count": len(estimates) if estimates else None},
        {"step": "teachable", "label": "Teachable", "count": zones["teachable"] if estimates else None},
        {
            "step": "answered",
            "label": "With a verified response",
            "count": len(answered) if decisions else None,
        },
        {"step": "trained", "label": "Trained on", "count": len(trained) if decisions else None},
    ]
    left = [f"{n:,} {zone}" for zone in ("beyond", "mastered", "ambiguous") if (n := zones[zone])]
    steps[2]["lost"] = ", ".join(left)
    return {
        "funnel": steps,
        "zones": {zone: zones[zone] for zone in ZONES} if estimates else {},
        "zones_by_domain": {d: {z: by_domain[d][z] for z in ZONES} for d in sorted(by_domain)},
        "rejected": list(tasks.get("rejected") or []),
        "dropped": list(select.get("dropped") or []),
        "budget_tokens": select.get("budget_tokens"),
        "sets": list(select.get("arms") or []),
    }


def pass_rate_facts(reader: RunReader) -> Facts:
    """How many prompts sit at each observed pass rate, by zone and domain.

    Where every prompt had the same number of decided attempts n, a bar is one value k/n. Else, as after adaptive
    sampling, the bars are tenths, with the ends 0 and 1 of their own, since "never" and "always" are what the zones
    turn on.
    """
    rows = reader.rows("probe", "estimates.parquet", ("domain", "zone", "n", "successes"))
    decided = [r for r in rows if r["n"]]
    if not decided:
        return {}
    most = max(r["n"] for r in decided)
    exact = most <= MAX_EXACT_N and all(r["n"] == most for r in decided)
    labels = [f"{k}/{most}" for k in range(most + 1)] if exact else _bin_labels()
    empty = [0] * len(labels)
    total = {zone: list(empty) for zone in ZONES}
    domains: dict[str, dict[str, list[int]]] = {}
    for r in decided:
        place = r["successes"] if exact else _bin(r["successes"], r["n"])
        per_domain = domains.setdefault(r["domain"], {zone: list(empty) for zone in ZONES})
        for counts in (total, per_domain):
            counts.setdefault(r["zone"], list(empty))[place] += 1
    return {
        "labels": labels,
        "exact": exact,
        "n_attempts": most if exact else None,
        "n_prompts": len(decided),
        "n_without": len(rows) - len(decided),
        "total": total,
        "domains": dict(sorted(domains.items())),
    }


def probing_facts(reader: RunReader) -> Facts:
    """What probing took, why it asked no more, and where the keys came from; counts are of prompts, most first."""
    rows = reader.rows("probe", "estimates.parquet", ("n", "n_undecided", "stopped", "key_source", "suspect"))
    if not rows:
        return {}
    n_attempts = [r["n"] + (r.get("n_undecided") or 0) for r in rows]
    stopped = Counter(r["stopped"] for r in rows if r.get("stopped"))
    return {
        "n_attempts": sum(n_attempts),
        "per_prompt": sum(n_attempts) / len(rows),
        "fewest": min(n_attempts),
        "most": max(n_attempts),
        "stopped": dict(sorted(stopped.items(), key=lambda item: (-item[1], item[0]))),
        "keys": dict(Counter(r["key_source"] or "verifier" for r in rows).most_common()) if stopped else {},
        "n_suspect": sum(bool(r.get("suspect")) for r in rows),
    }


def _bin(successes: int, n: int) -> int:
    if successes == 0:
        return 0
    if successes == n:
        return N_BINS + 1
    return 1 + min(N_BINS - 1, successes * N_BINS // n)


def _bin_labels() -> list[str]:
    return ["0", *(f"{k / N_BINS:.1f}\u2013{(k + 1) / N_BINS:.1f}" for k in range(N_BINS)), "1"]


def _arm(name: str) -> str:
    """The arm of an arm-seed set: teachable of teachable-0."""
    return name.rpartition("-")[0] or name
