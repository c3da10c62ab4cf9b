"""Lists that a reader searches and filters: the form, the list, and what an item is made of.

The form is there only where scripts run; without, the list is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from teachable.report.markup import NONE, Html, el, join

Facts = dict[str, Any]


def browsable(
    prefix: str, name: str, noun: str, choices: Mapping[str, tuple[str, str, Sequence[str]]], items: Sequence[Html]
) -> Html:
    """A list with a search field and a menu a choice.

    Args:
        prefix: what the ids in it begin with.
        name: of the form, for those who do not see it.
        noun: what one item is.
        choices: key -> (label, what stands for all, values); items have a `data-KEY` that holds one of the values.
    """
    controls = el(
        "form",
        el(
            "div",
            el("label", "Search", for_=f"{prefix}-search"),
            el("input", type="search", id=f"{prefix}-search", autocomplete="off", spellcheck="false"),
            class_="grow",
        ),
        *(_choice(prefix, key, *choice) for key, choice in choices.items()),
        el("button", "Clear", type="reset"),
        el("p", role="status", id=f"{prefix}-shown", class_="hint"),
        id=f"{prefix}-filters",
        class_="filters",
        hidden=True,
        role="search",
        aria_label=name,
        data_prefix=prefix,
    )
    nothing = f"No {noun} fits. Clear the filters to see all again."
    return join(
        [
            controls,
            el("ol", join(items), class_="examples", id=f"{prefix}-list"),
            el("p", nothing, id=f"{prefix}-none", class_="hint", hidden=True),
        ]
    )


def _choice(prefix: str, key: str, label: str, everything: str, values: Sequence[str]) -> Html:
    options = [el("option", everything, value="")]
    options += [el("option", one.replace("_", " "), value=one) for one in sorted(set(values))]
    place = f"{prefix}-by-{key}"
    return el("div", el("label", label, for_=place), el("select", join(options), id=place, data_key=key))


def attempt(one: Facts) -> Html:
    """An answer of a model: its verdict, what was extracted, why, and the text."""
    verdict, name = {True: ("right", "\u2713 right"), False: ("wrong", "\u2717 wrong")}.get(
        one["correct"], ("unsure", "? undecided")
    )
    share = one.get("frac_passed")
    small = [
        "greedy" if one["sample"] == -1 else "",
        "" if share is None or share in (0, 1) else f"scored {share:.2f}",
        one["reason"],
        "cut off at the token limit" if one["cut_off"] else "",
    ]
    return el(
        "li",
        el(
            "p",
            el("span", name, class_=f"verdict {verdict}"),
            el("span", " answer ", el("code", one["answer"] if one["answer"] is not None else NONE)),
            el("span", " " + "; ".join(s for s in small if s), class_="hint"),
        ),
        el("pre", one["text"]),
    )


def block(title: str, text: str) -> Html:
    """A text under its heading."""
    return join([el("h4", title), el("pre", text)])
