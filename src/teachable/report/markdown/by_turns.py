"""Training by domains as Markdown: what each gained alone, what was left when they were joined, what a search found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.report.gathering.by_turns import WAYS
from teachable.report.markdown.text import blocks, code, table, text
from teachable.report.markup import NONE, count, interval, percent, points

Facts = Mapping[str, Any]


def by_turns(facts: Facts) -> str | None:
    """The section; None where the run trained by no domain."""
    told = facts.get("by_turns") or {}
    parts: list[str | None] = []
    for name, heading in (("tuned", "Each domain alone"), ("added", "Joined"), ("scaled", "The long run")):
        for one in told.get(name) or []:
            if one.get("found"):
                parts += [f"### {heading}, {code(one['stage'])}", *(_added(one) if name == "added" else _gains(one))]
    for one in told.get("explored") or []:
        if one.get("found"):
            parts += [f"### The search, {code(one['stage'])}", text((one.get("evidence") or {}).get("sentence") or "")]
    for one in told.get("ablated") or []:
        if one.get("found"):
            parts += [f"### The ablation, {code(one['stage'])}", text(one.get("sentence") or "")]
    if not parts:
        return None
    lead = (
        "Accuracy in per cent on the held-out questions that only judge, with 95% intervals over questions and seeds."
    )
    return blocks(["## One domain at a time", lead, *parts])


def _gains(one: Facts) -> list[str | None]:
    rows = [
        (
            code(gain["domain"]),
            percent(gain["base"], ""),
            percent(gain["tuned"], ""),
            points(gain["gain"]),
            interval(gain["low"], gain["high"], signed=True),
            count(gain["n_questions"]),
            count(gain["n_seeds"]),
        )
        for gain in one["gains"]
    ]
    said = text(one["sentence"]) + "." if one.get("sentence") else None
    return [said, table(("domain", "base", "tuned", "gain", "interval", "questions", "seeds"), rows)]


def _added(one: Facts) -> list[str | None]:
    columns = one["columns"]
    names = ["base" if not column["n_domains"] else f"{column['n_domains']} domains" for column in columns]
    rows = [(code(row["domain"]), *(_cell(cell) for cell in row["cells"])) for row in one["rows"]]
    how = WAYS.get(str(one["way"]), str(one["way"]))
    return [
        f"{text(how[:1].upper() + how[1:])}. {text(one['sentence'])}.",
        *(f"▼ {text(sentence)}." for sentence in one["regressions"]),
        table(("domain", *names), rows),
    ]


def _cell(cell: Facts | None) -> str:
    """The mean, and the change against the base; ▼ where the domain fell since it was added."""
    if cell is None or cell["mean"] is None:
        return NONE
    change = f" ({points(cell['since_base_mean'])})" if cell["since_base_mean"] is not None else ""
    mark = "▼ " if cell["regression"] else ""
    return f"{mark}{percent(cell['mean'], '')}{change}"
