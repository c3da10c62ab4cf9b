"""The report as GitHub-flavoured Markdown: the facts of report.html for a pull request, a mail or a terminal.

It is drawn from the facts alone, as the page is. Every part is left out where its facts are not there. Fewer examples
are shown than on the page, and pivotal tokens only in numbers: text has no colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from teachable.records import ZONES
from teachable.report.drawing.material import ENDS, KEYS
from teachable.report.markdown.by_turns import by_turns
from teachable.report.markdown.results import determined_by, results
from teachable.report.markdown.text import bar, blocks, code, columns, fence, table, text
from teachable.report.markup import DASH, NONE, count, dollars, duration, percent, short

Facts = Mapping[str, Any]
N_EXAMPLES, MAX_CHARS = 6, 600  # of the page's examples, and of a question


def report_markdown(facts: Facts) -> str:
    """The whole report; the same facts give the same text."""
    parts = [
        *results(facts),
        _funnel(facts),
        _pass_rates(facts),
        _pivots(facts),
        _preferences(facts),
        by_turns(facts),
        _training(facts),
        _examples(facts),
        determined_by(facts),
        _stages(facts),
        _reproduce(facts),
        _missing(facts),
    ]
    return blocks(parts).replace("\u00a0", " ") + "\n"


def _funnel(facts: Facts) -> str | None:
    steps = [step for step in facts.get("funnel") or [] if step.get("count") is not None]
    if not steps or (facts.get("models") or {}).get("evaluates_only"):
        return None
    most = max(step["count"] for step in steps)
    rows = []
    before: int | None = None
    for step in steps:
        kept = percent(step["count"] / before) if before else ""
        lost = f"left out: {text(step['lost'])}" if step.get("lost") else ""
        rows.append((text(step["label"]), count(step["count"]), kept, bar(step["count"], most), lost))
        before = step["count"]
    dropped = [(stage, text(one.get("reason")), count(one.get("count"))) for stage, one in _reasons(facts)]
    sets = [
        (
            code(one.get("arm")),
            text(one.get("seed")),
            *(count(one.get(name)) for name in ("n_examples", "n_unique", "n_tokens")),
            NONE if one.get("n_epochs") is None else f"{one['n_epochs']:.1f}",
        )
        for one in facts.get("sets") or []
    ]
    return blocks(
        [
            "## From pool to training set",
            table(("step", "prompts", "kept", "", ""), rows, tail=2),
            "Dropped, by reason:" if dropped else None,
            table(("stage", "reason", "count"), dropped, 2) if dropped else None,
            "The training sets:" if sets else None,
            table(("arm", "seed", "examples", "different prompts", "tokens", "passes"), sets) if sets else None,
        ]
    )


def _reasons(facts: Facts) -> list[tuple[str, Facts]]:
    return [
        (stage, one) for stage, name in (("tasks", "rejected"), ("select", "dropped")) for one in facts.get(name) or []
    ]


def _pass_rates(facts: Facts) -> str | None:
    rates = facts.get("pass_rates") or {}
    if not rates:
        return None
    total, labels = rates["total"], rates["labels"]
    zones = [zone for zone in (*ZONES, *(z for z in total if z not in ZONES)) if any(total.get(zone, ()))]
    sums = [sum(total[zone][i] for zone in zones) for i in range(len(labels))]
    bars = [
        (label, *(f"{total[zone][i]:,}" for zone in zones), f"{sums[i]:,}", bar(sums[i], max(sums)))
        for i, label in enumerate(labels)
    ]
    by_domain = facts.get("zones_by_domain") or {}
    domains = [
        (code(name), *(count(found.get(zone, 0)) for zone in ZONES), count(sum(found.values())))
        for name, found in by_domain.items()
    ]
    n_all = sum((facts.get("zones") or {}).values())
    lead = (
        f"{percent(facts['zones'].get('teachable', 0) / n_all)} of {count(n_all)} probed prompts are teachable: "
        "sometimes right, not always."
        if n_all
        else None
    )
    return blocks(
        [
            "## What the base model can almost do",
            lead,
            _probing(facts.get("probing") or {}),
            "Prompts by share of right attempts and zone:",
            fence(columns([("right", *zones, "all", ""), *bars])),
            "Prompts by domain and zone:" if domains else None,
            table(("domain", *ZONES, "all"), domains) if domains else None,
        ]
    )


def _probing(probing: Facts) -> str | None:
    if not probing.get("n_attempts"):
        return None
    told = f"{count(probing['n_attempts'])} attempts, {probing['per_prompt']:.1f} at a prompt on average"
    if probing.get("fewest") != probing.get("most"):
        told += f" ({probing['fewest']} to {probing['most']})"
    ends, keys = _meant(probing.get("stopped"), ENDS), _meant(probing.get("keys"), KEYS)
    suspect = probing.get("n_suspect") or 0
    return " ".join(
        [
            f"{told}.",
            *([f"What ended the sampling: {ends}."] if ends else []),
            *([f"Where the keys came from: {keys}."] if keys else []),
            *([f"The teacher contradicts the answer of {count(suspect)} prompts."] if suspect else []),
        ]
    )


def _meant(counts: Mapping[str, int] | None, meanings: Mapping[str, str]) -> str:
    """Counts with what their names mean."""
    return "; ".join(f"{text(meanings.get(name, name))} ({count(n)})" for name, n in (counts or {}).items())


def _pivots(facts: Facts) -> str | None:
    found = [one for one in facts.get("pivots") or [] if one.get("found")]
    if not found:
        return None
    rows = [
        (
            code(one["stage"]),
            count(one.get("n_pivots")),
            count(one.get("n_raising")),
            count(one.get("n_lowering")),
            count(one.get("n_solutions")),
            count(one.get("completions")),
            short(one.get("tokens")),
            count(one.get("n_pairs")),
            count(sum((one.get("pairs_left_out") or {}).values())),
        )
        for one in found
    ]
    head = ("search", "pivotal tokens", "raise", "lower", "solutions", "completions", "tokens", "pairs", "left out")
    least = found[0].get("gap")
    lead = "Single tokens that change the chance of a right answer"
    lead += f" by at least {100 * least:g} points." if least is not None else "."
    early = any(one.get("complete") is False for one in found)
    ended = "A search ended before its end: what it found until then is counted." if early else None
    return blocks(["## Pivotal tokens", lead, table(head, rows), ended])


def _preferences(facts: Facts) -> str | None:
    told = facts.get("preferences") or {}
    judged = [
        (
            code(one["stage"]),
            text(one.get("mode") or NONE),
            *(count(one.get(name)) for name in ("n_prompts", "n_responses", "n_pairs")),
            count(sum((one.get("pairs_left_out") or {}).values())),
            _number(one.get("mean_margin"), 2),
        )
        for one in told.get("judged") or []
        if one.get("found")
    ]
    tuned = [
        (
            code(one["stage"]),
            text(run.get("seed")),
            *(count(run.get(name)) for name in ("n_pairs", "n_steps", "n_tokens")),
            _number(run.get("last_loss"), 3),
            _number(run.get("last_reward_margin"), 3),
            percent(run.get("last_reward_accuracy")),
            duration(run.get("seconds")),
        )
        for one in told.get("tuned") or []
        for run in one.get("runs") or []
    ]
    if not judged and not tuned:
        return None
    judged_head = ("judged by", "mode", "prompts", "responses", "pairs", "left out", "mean margin")
    tuned_head = ("trained by", "seed", "pairs", "steps", "tokens", "loss", "margin", "accuracy", "time")
    return blocks(
        [
            "## Preference pairs",
            table(judged_head, judged, 2) if judged else None,
            table(tuned_head, tuned) if tuned else None,
            "Loss, reward margin and reward accuracy are means over the last tenth of the steps." if tuned else None,
        ]
    )


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _training(facts: Facts) -> str | None:
    training = facts.get("training") or {}
    rows = [
        (
            code(run.get("arm")),
            text(run.get("seed")),
            *(count(run.get(name)) for name in ("n_examples", "n_steps", "n_tokens", "n_response_tokens")),
            _number(run.get("final_loss"), 3),
            duration(run.get("seconds")),
        )
        for run in training.get("runs") or []
    ]
    if not rows:
        return None
    head = ("arm", "seed", "examples", "steps", "tokens", "response tokens", "final loss", "time")
    note = "Each arm reads its own examples, so a lower loss is not a better model."
    return blocks(["## Training", table(head, rows), note])


def _examples(facts: Facts) -> str | None:
    shown = (facts.get("examples") or [])[:N_EXAMPLES]
    if not shown:
        return None
    return blocks(
        [
            "## Examples, in and out",
            "Drawn by hash over domains and zones; report.html shows more of them, with the attempts.",
            *(part for one in shown for part in _example(one)),
        ]
    )


def _example(one: Facts) -> list[str]:
    side = "In" if one.get("decision") == "in" else "Out"
    question = str(one.get("question") or "(the question is not in the run folder)")
    cut = question if len(question) <= MAX_CHARS else f"{question[:MAX_CHARS]}…"
    place = f"{code(one.get('domain'))}, {text(one.get('zone') or 'in no zone')}"
    head = f"**{side}** {DASH} {place}: {text(one.get('reason'))}"
    key = one.get("answer") if one.get("answer") is not None else one.get("key")
    return [head, fence(cut, "text"), *([f"Answer: {code(key)}"] if key is not None else [])]


def _stages(facts: Facts) -> str | None:
    """What each stage took; money as the ledger has it, where the run has one."""
    stages, costs = facts.get("stages") or {}, facts.get("costs") or {}
    told = costs if costs.get("found") else {**stages, "stages": stages.get("rows")}
    if not told.get("stages"):
        return None
    rows = [_stage(code(one["stage"]), one) for one in told["stages"]]
    rows.append(_stage("**all**", told["totals"]))
    absent = ", ".join(code(name) for name in stages.get("absent") or [])
    reused, failed = (told["totals"].get(name) or 0 for name in ("n_reused", "n_failed"))
    head = ("stage", "time", "prompts", "completions", "tokens in", "tokens out", "cost")
    return blocks(
        [
            "## Time, tokens and cost",
            table(head, rows),
            f"{count(reused)} of these completions had been paid for already by another stage." if reused else None,
            f"{count(failed)} requests failed." if failed else None,
            f"Not finished: {absent}." if absent else None,
        ]
    )


def _stage(name: str, one: Facts) -> tuple[str, ...]:
    return (
        name,
        duration(one.get("seconds")),
        *(count(one[key]) if one.get(key) else "" for key in ("prompts", "completions")),
        *(short(one[key]) if one.get(key) else "" for key in ("tokens_in", "tokens_out")),
        dollars(one.get("cost_usd") or 0.0),
    )


def _reproduce(facts: Facts) -> str | None:
    given = facts.get("reproduce") or {}
    if not given:
        return None
    return blocks(["## How to reproduce", *reproduction(given, (facts.get("stages") or {}).get("rows") or [])])


def reproduction(given: Facts, rows: Sequence[Facts]) -> list[str | None]:
    """Commands, recipe, versions and keys; cards say the same."""
    versions = [(text(name), code(version)) for name, version in (given.get("environment") or {}).items()]
    keys = [(code(one["stage"]), code(one["key"][:16])) for one in rows if one.get("key")]
    return [
        fence("\n".join(given.get("commands") or []), "sh"),
        "`run.yaml`:" if given.get("recipe") else None,
        fence(given["recipe"], "yaml") if given.get("recipe") else None,
        table(("environment", ""), versions, 2) if versions else None,
        "Equal keys mean equal inputs:" if keys else None,
        table(("stage", "key"), keys, 2) if keys else None,
    ]


def _missing(facts: Facts) -> str | None:
    names = [code(name) for name in facts.get("missing") or []]
    return f"Not in the run folder when this was written: {', '.join(names)}." if names else None
