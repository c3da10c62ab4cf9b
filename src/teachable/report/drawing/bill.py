"""The section on what the run cost: time, completions, tokens and dollars, by stage and by engine."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.parts import gap, more, section, table
from teachable.report.markup import Html, count, dollars, duration, el, join, short

Facts = dict[str, Any]


def costs(facts: Facts) -> Html:
    """The ledger of the run."""
    told = facts["costs"]
    if not told["stages"]:
        return section("costs", "What it cost", gap("the record of the stages", "manifest.json"))
    total, absent = told["totals"], facts["stages"]["absent"]
    money = f"{dollars(total['cost_usd'])} and {duration(total['seconds'])} in all."
    if not total["cost_usd"]:
        money = f"{duration(total['seconds'])} in all, and no money: models computed here, or no prices were named."
    unfinished = f" Not finished: {', '.join(absent)}." if absent else ""
    return section(
        "costs",
        "What it cost",
        _stages(told),
        join(el("p", one, class_="hint") for one in _notes(told)),
        _engines(told["engines"]),
        lead=money + unfinished,
    )


def _stages(told: Facts) -> Html:
    """What each stage took. Tokens out are sampled, or trained on."""
    total = told["totals"]
    longest = max((one["seconds"] or 0 for one in told["stages"]), default=0) or 1
    reused = bool(total["n_reused"])

    def counted(one: Facts) -> tuple[str, ...]:
        kept = (count(one["n_reused"]) if one["n_reused"] else "",) if reused else ()
        completions = count(one["completions"]) if one["completions"] else ""
        tokens = (short(one[name]) if one[name] else "" for name in ("tokens_in", "tokens_out"))
        return (completions, *kept, *tokens, dollars(one["cost_usd"]))

    rows = [
        (
            one["stage"],
            _timed(one["seconds"], longest),
            count(one["prompts"]) if one["prompts"] else "",
            *counted(one),
        )
        for one in told["stages"]
    ]
    kept = ("not paid again",) if reused else ()
    head = ("stage", "time", "prompts", "completions", *kept, "tokens in", "tokens out", "paid")
    foot = ("all", duration(total["seconds"]), "", *counted(total))
    return table("Time, tokens and dollars by stage; tokens out are sampled, or trained on", head, rows, foot=foot)


def _notes(told: Facts) -> list[str]:
    total = told["totals"]
    return [
        sentence
        for n, sentence in (
            (
                total["n_reused"],
                f"{count(total['n_reused'])} completions were in the ledger already, paid for by another stage, and "
                "were not paid again.",
            ),
            (
                total["n_unused"],
                f"{count(total['n_unused'])} completions in the ledger are used no longer: the recipe was changed "
                "after they were sampled, or a stage has not finished.",
            ),
            (total["n_failed"], f"{count(total['n_failed'])} requests could not be answered, whatever was tried."),
        )
        if n
    ]


def _engines(engines: list[Facts]) -> Html | None:
    """Who was paid: sums over the ledger's completions."""
    if not engines:
        return None
    known = any(one["model"] for one in engines)
    rows = [
        (
            one["stage"],
            *([one["model"]] if known else []),
            el("code", one["engine"]),
            count(one["completions"]),
            *(short(one[name]) for name in ("tokens_in", "tokens_out")),
            dollars(one["cost_usd"]),
        )
        for one in engines
    ]
    head = ("stage", *(("model",) if known else ()), "engine", "completions", "tokens in", "tokens out", "paid")
    return more(
        "Who was asked, from the ledger",
        table("The ledger by stage and engine", head, rows, text_columns=3 if known else 2),
    )


def _timed(seconds: float | None, longest: float) -> Html:
    bar = el("span", style=f"width:{100 * (seconds or 0) / longest:.1f}%", class_="c-base")
    return el(
        "span", el("span", bar, class_="track", aria_hidden="true"), el("span", duration(seconds)), class_="timed"
    )
