"""The section on pivotal tokens: what the searches found and spent, and some of the solutions."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.parts import gap, more, section, table
from teachable.report.drawing.solutions import key, number_of, solution
from teachable.report.markup import Html, count, el, join, percent, short

Facts = dict[str, Any]
# What `Gated.outcome` says, for people.
OUTCOMES = {
    "searched": "a solution of it was searched",
    "outside": "too easy or too hard: its success probability is out of the range",
    "undecided": "the verifier could not tell",
    "failed": "the engine failed",
    "empty": "no sample had a token",
    "certain": "no token can be pivotal: the model is too sure of each",
    "interrupted": "the run was stopped",
}


def pivotal_tokens(facts: Facts) -> Html:
    """A part for each search of the run; nothing where no search belongs to the run."""
    if not facts["pivots"]:
        return Html("")
    several = len(facts["pivots"]) > 1
    parts = [
        join([el("h3", one["stage"]) if several else None, *_search(one, f"p{number}")])
        for number, one in enumerate(facts["pivots"])
    ]
    return section("pivots", "Pivotal tokens", *parts, lead=_lead(facts["pivots"]))


def sentence(searches: list[Facts]) -> str:
    """What came out, in one sentence."""
    n_pivots, n_solutions = (sum(one[name] for one in searches) for name in ("n_pivots", "n_solutions"))
    return f"{number_of(n_pivots, 'pivotal token')} in {number_of(n_solutions, 'solution')}"


def _lead(searches: list[Facts]) -> str:
    gap_, confidence = searches[0]["gap"], searches[0]["confidence"]
    least = "" if gap_ is None else f" by at least {100 * gap_:g} points"
    sure = "" if confidence is None else f" Intervals are {percent(confidence).replace('.0%', '%')}."
    return f"{sentence(searches)}: single tokens that change the chance of a right answer{least}.{sure}"


def _search(one: Facts, anchor: str) -> list[Html | None]:
    if not one["found"]:
        return [gap("the pivotal tokens", f"{one['stage']}/stats.json")]
    outcomes = [(name, OUTCOMES.get(name, ""), count(n)) for name, n in one["outcomes"].items()]
    left_out = [(reason.replace("_", " "), count(n)) for reason, n in one["pairs_left_out"].items()]
    shown = one["solutions"]
    return [
        _keys(one),
        el("p", "The search ended before its end: what it found until then is shown.", class_="notice", role="note")
        if one["complete"] is False
        else None,
        more(
            "What became of prompts and pairs",
            table("Prompts by what became of them", ("outcome", "meaning", "prompts"), outcomes, 2)
            if outcomes
            else None,
            table("Pairs that were left out, by reason", ("reason", "pairs"), left_out) if left_out else None,
        )
        if outcomes or left_out
        else None,
        join(
            [
                el("p", key(), class_="hint"),
                el(
                    "ol",
                    join(solution(s, f"{anchor}s{i}", first=i == 0) for i, s in enumerate(shown)),
                    class_="examples solutions",
                ),
                el(
                    "p",
                    f"{len(shown)} of {number_of(one['n_solutions'], 'solution')}, the largest changes first.",
                    class_="hint",
                )
                if len(shown) < one["n_solutions"]
                else None,
            ]
        )
        if shown
        else None,
    ]


def _keys(one: Facts) -> Html:
    """The numbers of a search, large."""
    left_out = sum(one["pairs_left_out"].values())
    per_pivot, failed = one["completions_per_pivot"], one["failed_requests"]
    searched = f"of {number_of(one['n_prompts'], 'prompt')}; " if one["n_prompts"] else ""
    cells = [
        (
            "pivotal tokens",
            count(one["n_pivots"]),
            f"{count(one['n_raising'])} raise, {count(one['n_lowering'])} lower",
        ),
        ("solutions searched", count(one["n_solutions"]), f"{searched}{count(one['n_right'])} right"),
        (
            "completions",
            count(one["completions"]),
            (f"{per_pivot:,.0f} a pivotal token" if per_pivot is not None else "")
            + (f", {number_of(failed, 'request')} failed" if failed else ""),
        ),
        ("tokens sampled", short(one["tokens"]), f"{short(one['prompt_tokens'])} read" if one["prompt_tokens"] else ""),
        ("preference pairs", count(one["n_pairs"]), f"{count(left_out)} left out"),
    ]
    return el(
        "dl",
        join(
            el("div", el("dt", name), el("dd", el("span", big, class_="big"), el("span", note, class_="note")))
            for name, big, note in cells
        ),
        class_="keys",
        aria_label="The search in numbers",
    )
