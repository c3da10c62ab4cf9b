"""The page: facts in, one self-contained HTML document out.

Everything is in the file: style, script and drawings. A content security policy forbids any request and any
script but ours (by its hash), so that even text that slipped past the escaping could not act. Without
JavaScript the whole content is there; the script adds search, filters and the choice of theme.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import resources
from string import Template
from typing import Any

from teachable.report.drawing import (
    account,
    bill,
    by_turns,
    contest,
    domains,
    material,
    matrix,
    paired,
    preferences,
    results,
    searches,
    sheets,
)
from teachable.report.markup import Html, el, esc, join

# Anchor, name, how it is drawn, and the roles of which the run must have or want one; none means that the drawing is
# empty where there is nothing to tell.
SECTIONS: tuple[tuple[str, str, Callable[[dict[str, Any]], Html], tuple[str, ...]], ...] = (
    ("funnel", "Funnel", material.funnel, ("select", "sft")),
    ("pass-rates", "Pass rates", material.pass_rates, ("probe",)),
    ("pivots", "Pivotal tokens", searches.pivotal_tokens, ()),
    ("models", "Models", contest.models, ("evaluate",)),
    ("arms", "Side by side", results.arms, ("evaluate",)),
    ("differences", "Differences", paired.differences, ("evaluate",)),
    ("domains", "Domains", domains.by_domain, ("evaluate",)),
    ("forgetting", "Gains and losses", matrix.forgetting, ("evaluate",)),
    ("by-turns", "One domain at a time", by_turns.by_turns, ()),
    ("training", "Training", material.training, ("sft", "pretrain")),
    ("preferences", "Preferences", preferences.preferences, ()),
    ("examples", "Examples", account.examples, ("select",)),
    ("answers", "Answers", sheets.answers, ("evaluate",)),
    ("costs", "Cost", bill.costs, ()),
    ("reproduce", "Reproduce", account.reproduce, ()),
)


def render(facts: dict[str, Any], title: str = "") -> str:
    """The document of these facts.

    Raises:
        KeyError: `facts` did not come from `facts.gather`.
    """
    style, script = _template("style.css"), _template("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    drawn = [
        (anchor, label, drawing)
        for anchor, label, draw, roles in SECTIONS
        if (not roles or set(roles) & set(facts["roles"])) and (drawing := draw(facts))
    ]
    contents = el(
        "nav",
        el("ul", join(el("li", el("a", label, href=f"#{anchor}")) for anchor, label, _ in drawn)),
        aria_label="Contents",
    )
    return Template(_template("page.html")).substitute(
        title=esc(title or f"{facts['name']} \u00b7 teachable"),
        policy=esc(
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Html(style),
        script=Html(script),
        header=results.header(facts),
        contents=contents,
        sections=join(drawing for _, _, drawing in drawn),
        footer=_footer(facts),
    )


def _footer(facts: dict[str, Any]) -> Html:
    missing = facts["missing"]
    gaps = el("p", "Not in the run folder: ", join((el("code", m) for m in missing), ", "), ".") if missing else None
    version = facts["reproduce"]["environment"].get("teachable")
    return el("footer", gaps, el("p", f"Made by teachable{' ' + version if version else ''}."))


def _template(name: str) -> str:
    return resources.files("teachable.report").joinpath("templates", name).read_text(encoding="utf-8")
