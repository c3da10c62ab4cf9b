"""What came out, as Markdown: the verdict, accuracy by arm, task and domain, paired differences, what was forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.report.markdown.text import blocks, code, table, text
from teachable.report.markup import NONE, count, dollars, interval, percent, points, probability
from teachable.report.terms import said

Facts = Mapping[str, Any]
OUTCOMES = {"better": "Better", "worse": "Worse", "no difference": "No difference"}


def results(facts: Facts) -> list[str | None]:
    """Title, verdict and the sections on accuracy."""
    return [
        f"# {text(facts.get('name') or 'Report')}",
        _verdict(facts),
        _about(facts),
        *(f"> **Note:** {text(one)}" for one in facts.get("notices") or []),
        _accuracy(facts),
        _by_task(facts),
        _differences(facts),
        _by_domain(facts),
        *_forgetting(facts),
    ]


def metric_name(metric: object, n_samples: object) -> str:
    """maj@k with its k where the run says it."""
    return f"maj@{n_samples}" if metric == "maj@k" and n_samples else str(metric)


def score(row: Facts | None) -> str:
    """A mean with its interval, in per cent: 19.6 (10.5 to 28.6)."""
    if row is None or row.get("mean") is None:
        return NONE
    ends = interval(row.get("low"), row.get("high"))
    return percent(row["mean"], "") + (f" ({ends})" if ends != NONE else "")


def _verdict(facts: Facts) -> str:
    verdict = facts.get("verdict") or {}
    outcome = OUTCOMES.get(str(verdict.get("outcome") or ""))
    if verdict.get("sentence"):
        return (f"**{outcome}.** " if outcome else "") + text(verdict["sentence"])
    searches = [one for one in facts.get("pivots") or [] if one.get("found")]
    if searches and "evaluate" not in (facts.get("roles") or []):
        found, solutions = (sum(one.get(name) or 0 for one in searches) for name in ("n_pivots", "n_solutions"))
        return f"**{found:,} pivotal tokens in {solutions:,} solutions.**"
    if facts.get("arms"):
        return "**No verdict:** there are no two models that a verdict could be about."
    done = (facts.get("stages") or {}).get("rows")
    return f"**No verdict yet:** {'the models have not been evaluated' if done else 'no stage has finished'}."


def _about(facts: Facts) -> str:
    told = facts.get("evaluation") or {}
    parts = []
    if told.get("n_questions"):
        asked = f"Measured on {count(told['n_questions'])} held-out questions"
        asked += f" from {told['n_domains']} domains" if told.get("n_domains") else ""
        asked += f", {told['n_samples']} answers each" if told.get("n_samples") else ""
        asked += f" at temperature {told['temperature']:g}" if told.get("temperature") is not None else ""
        parts.append(
            f"{asked}, checked by the tasks' own verifiers. Intervals are 95%; differences are paired by question."
        )
    if told.get("undecided_rate"):
        parts.append(f"{percent(told['undecided_rate'])} of the answers could not be decided and count neither way.")
    if facts.get("budget_tokens"):
        parts.append(f"Every arm trains on {count(facts['budget_tokens'])} tokens.")
    if facts.get("base") and not (facts.get("models") or {}).get("evaluates_only"):
        parts.append(f"Base: {code(facts['base'])}.")
    if facts.get("seed") is not None:
        parts.append(f"Seed: {text(facts['seed'])}.")
    power = ((facts.get("models") or {}).get("power") or {}).get("sentence")
    return " ".join([*parts, *([text(power)] if power else [])])


def _accuracy(facts: Facts) -> str | None:
    arms = facts.get("arms") or []
    if not arms:
        return None
    metrics = list(dict.fromkeys(name for arm in arms for name in arm.get("metrics") or {}))
    spent = {str(one.get("arm")): one for one in (facts.get("models") or {}).get("rows") or []}
    tokens = any(one.get("tokens_per_question") is not None for one in spent.values())
    paid = any(one.get("usd_per_question") for one in spent.values())
    n_samples = (facts.get("evaluation") or {}).get("n_samples")
    rows = []
    for arm in arms:
        cost = spent.get(str(arm["arm"]), {})
        rows.append(
            (
                code(arm["arm"]),
                count(arm.get("n_seeds")),
                *(score((arm.get("metrics") or {}).get(name)) for name in metrics),
                *([count(cost.get("tokens_per_question"))] if tokens else []),
                *([dollars(cost.get("usd_per_question"))] if paid else []),
            )
        )
    head = ("arm", "seeds", *(text(metric_name(name, n_samples)) for name in metrics))
    head += ("tokens a question",) * tokens + ("cost a question",) * paid
    return blocks(["## Accuracy", "In per cent, with 95% intervals.", table(head, rows)])


def _by_task(facts: Facts) -> str | None:
    """Arms against tasks, where there are several; a table a metric, and what each task can tell apart."""
    models = facts.get("models") or {}
    rows = models.get("by_task") or []
    tasks = list(dict.fromkeys(str(one["task"]) for one in rows))
    if len(tasks) < 2:
        return None
    arms = list(dict.fromkeys(str(one["arm"]) for one in rows))
    cells = {(str(one["arm"]), str(one["task"]), one["metric"]): one for one in rows}
    metrics = list(dict.fromkeys(one["metric"] for one in rows))
    n_samples = (facts.get("evaluation") or {}).get("n_samples")
    parts: list[str | None] = ["## By task"]
    for metric in metrics:
        found = [(code(task), *(score(cells.get((arm, task, metric))) for arm in arms)) for task in tasks]
        parts += [f"{text(metric_name(metric, n_samples))}, per cent:", table(("task", *map(code, arms)), found)]
    parts += [_power_of(one) for one in models.get("power_by_task") or []]
    return blocks(parts)


def _power_of(one: Facts) -> str:
    """What a task can tell apart; its sentence may begin with its name."""
    sentence, task = str(one["sentence"]), str(one.get("task") or "")
    return text(sentence) if not task or sentence.startswith(task) else f"{code(task)}: {text(sentence)}"


def _differences(facts: Facts) -> str | None:
    found = facts.get("comparisons") or []
    if not found:
        return None
    several = any(one.get("task") for one in found)
    adjusted = any(one.get("p_holm") is not None for one in found)
    n_samples = (facts.get("evaluation") or {}).get("n_samples")
    rows = [
        (
            code(one["arm"]),
            code(one["baseline"]),
            *([code(one["task"]) if one.get("task") else "all"] if several else []),
            text(metric_name(one["metric"], n_samples)),
            points(one["diff"]),
            interval(one.get("low"), one.get("high"), signed=True),
            probability(one.get("p_value")),
            *([probability(one.get("p_holm"))] if adjusted else []),
        )
        for one in found
    ]
    head = ("arm", "against", *(("task",) if several else ()), "metric", "difference", "95% interval", "p")
    head += ("p, Holm",) if adjusted else ()
    lead = "The same questions on both sides; percentage points. An interval that holds zero shows no difference."
    return blocks(["## Differences, question by question", lead, table(head, rows, 3 + several)])


def _by_domain(facts: Facts) -> str | None:
    """Every arm by domain, and the gain of the arm in question; the levels are folded away."""
    rows = facts.get("domains") or []
    headline = facts.get("headline") or {}
    metrics = [row["metric"] for row in rows]
    metric = headline.get("metric") if headline.get("metric") in metrics else next(iter(metrics), None)
    cells = {(row["domain"], int(row.get("level") or 0), row["arm"]): row for row in rows if row["metric"] == metric}
    if not cells:
        return None
    arms = [str(arm["arm"]) for arm in facts.get("arms") or []] or sorted({arm for *_, arm in cells})
    places = list(dict.fromkeys((domain, level) for domain, level, _ in cells))
    arm, baseline = headline.get("arm"), headline.get("baseline") or "base"
    told: dict[bool, list[tuple[object, ...]]] = {True: [], False: []}
    for domain, level in places:
        base, after = (cells.get((domain, level, name)) for name in (baseline, arm))
        n_questions = next(row.get("n_questions") for key, row in cells.items() if key[:2] == (domain, level))
        gain = points(after["mean"] - base["mean"]) if base and after else NONE
        shown = (score(cells.get((domain, level, name))) for name in arms)
        name = (code(domain),) if level == 0 else (code(domain), level)
        told[level == 0].append((*name, count(n_questions), *shown, gain))
    n_samples = (facts.get("evaluation") or {}).get("n_samples")
    both = {baseline, arm} <= {name for *_, name in cells}
    gained = f"; the gain is that of {code(arm)} over {code(baseline)}, in points" if both else ""
    head = ("questions", *map(code, arms), "gain")
    return blocks(
        [
            "## By domain",
            f"{text(metric_name(metric, n_samples))}, per cent{gained}.",
            table(("domain", *head), told[True]) if told[True] else None,
            *(
                ["<details><summary>By level</summary>", table(("domain", "level", *head), told[False]), "</details>"]
                if told[False]
                else []
            ),
        ]
    )


def _forgetting(facts: Facts) -> list[str | None]:
    """A matrix a base: every model's change by domain, and on which side of 0 its interval lies."""
    matrices = facts.get("forgetting") or []
    if not matrices:
        return []
    parts: list[str | None] = ["## Gained and forgotten"]
    for one in matrices:
        columns = [(place, column) for place, column in enumerate(one["columns"]) if not column.get("reference")]
        several = len({column.get("stage") for _, column in columns}) > 1
        head = [code(f"{column['arm']} ({column['stage']})" if several else column["arm"]) for _, column in columns]
        rows = [
            (
                code(row["domain"]) if row["domain"] else "all questions",
                *(_change(row["cells"][place]) for place, _ in columns),
            )
            for row in one["rows"]
        ]
        parts += [
            f"Change against {code(one['baseline'])}, percentage points with 95% intervals. Intervals that leave out "
            f"zero: {one['n_gains']} gains (▲) and {one['n_drops']} losses (▼), of {one['n_changes']} changes.",
            table(("domain", *head), rows),
        ]
    return parts


def _change(cell: Facts | None) -> str:
    if cell is None or cell.get("diff") is None:
        return NONE
    ends = interval(cell.get("diff_low"), cell.get("diff_high"), signed=True)
    mark = {"gain": "▲ ", "drop": "▼ "}.get(str(cell.get("says")), "")
    return mark + points(cell["diff"]) + (f" ({ends})" if ends != NONE else "")


def determined_by(facts: Facts) -> str | None:
    """Everything that determines a score, as far as the evaluation wrote it down."""
    models = facts.get("models") or {}
    determined = models.get("determined_by") or {}
    tasks = [
        (
            code(one.get("name") or one.get("title")),
            text(one.get("title") or one.get("source") or ""),
            count(one.get("n_asked") or one.get("n_questions")),
            text(said(one.get("verifier"))),
            text(said(one.get("metric"))),
            text(said({name: one.get(name) for name in ("adapter", "version")})),
            code(str(one.get("data_digest") or one.get("questions_digest") or "")[:16]),
        )
        for one in determined.get("tasks") or []
        if isinstance(one, Mapping)
    ]
    engines = [
        (code(one.get("arm")), text(one.get("label") or ""), text(said(one.get("engine"))))
        for one in models.get("rows") or []
    ]
    told = {"tasks", "engines"} if engines else {"tasks"}
    settings = [
        (text(name.replace("_", " ")), text(said(value)))
        for name, value in determined.items()
        if name not in told and value not in (None, "", {}, [])
    ]
    if not tasks and not engines and not settings:
        return None
    return blocks(
        [
            "## What determines the scores",
            table(("task", "title", "questions", "verifier", "metric", "adapter", "data"), tasks, 2) if tasks else None,
            table(("arm", "model", "engine"), engines, 3) if engines else None,
            table(("setting", ""), settings, 2) if settings else None,
        ]
    )
