"""The sections that let a reader check: examples in and out, time and tokens, and how to do it again."""

from __future__ import annotations

from typing import Any

from teachable.report.charts import tone
from teachable.report.markup import NONE, Html, count, duration, el, first_line, join, percent, short
from teachable.report.parts import gap, more, section, table

Facts = dict[str, Any]
# Whose plurality a key may be.
OWNERS = {"teacher": "the teacher's answers", "majority": "the base model's own answers"}


def examples(facts: Facts) -> Html:
    """Prompts in and out with reasons, attempts and the response trained on; searchable when scripts run."""
    shown = facts["examples"]
    if not shown:
        lacking = any(name.endswith("decisions.parquet") for name in facts["missing"])
        none = el("p", "None were asked for.", class_="hint")
        return section(
            "examples", "Examples, in and out", gap("the decisions", "select/decisions.parquet") if lacking else none
        )

    def choice(key: str, label: str, everything: str) -> Html:
        values = sorted({str(e[key]) for e in shown})
        options = [el("option", everything, value="")] + [el("option", v.replace("_", " "), value=v) for v in values]
        return el(
            "div", el("label", label, for_=f"by-{key}"), el("select", join(options), id=f"by-{key}", data_key=key)
        )

    controls = el(
        "form",
        el(
            "div",
            el("label", "Search", for_="search"),
            el("input", type="search", id="search", autocomplete="off", spellcheck="false"),
            class_="grow",
        ),
        choice("domain", "Domain", "all domains"),
        choice("zone", "Zone", "all zones"),
        choice("decision", "In or out", "both"),
        el("button", "Clear", type="reset"),
        el("p", role="status", id="shown", class_="hint"),
        id="filters",
        class_="filters",
        hidden=True,
        role="search",
        aria_label="Examples",
    )
    n_in = sum(e["decision"] == "in" for e in shown)
    return section(
        "examples",
        "Examples, in and out",
        controls,
        el("ol", join(map(_example, shown)), class_="examples", id="example-list"),
        el("p", "No example fits. Clear the filters to see all again.", id="none-shown", class_="hint", hidden=True),
        lead=f"{n_in} that are in and {len(shown) - n_in} that are out, drawn by hash over domains and zones. "
        "Open one for the base model's attempts and the response that was trained on.",
    )


def _example(e: Facts) -> Html:
    question = e["question"] or "(the question is not in the run folder)"
    rate = f"{e['successes']} of {e['n']} right" if e["n"] else "no decided attempt"
    undecided = f", {e['n_undecided']} undecided" if e["n_undecided"] else ""
    inside = e["decision"] == "in"
    tags = [
        el("span", "In" if inside else "Out", class_="tag in" if inside else "tag"),
        el("span", el("span", class_=f"key square {tone(e['zone'])}", aria_hidden="true"), e["zone"], class_="tag"),
        el("span", e["domain"].replace("_", " ") + (f", level {e['level']}" if e["level"] else ""), class_="tag"),
        el("span", rate + undecided, class_="tag"),
        el("span", "suspect key", class_="tag") if e["suspect"] else None,
    ]
    body = [
        _block("Question", question),
        el("p", "Reference answer: ", el("code", e["answer"])) if e["answer"] is not None else _found_key(e),
        el("h4", "The base model's attempts"),
        el("ol", join(map(_attempt, e["attempts"])), class_="attempts")
        if e["attempts"]
        else el("p", "None in the folder.", class_="hint"),
        el("p", f"{e['n_attempts'] - len(e['attempts'])} more are not shown.", class_="hint")
        if e["n_attempts"] > len(e["attempts"])
        else None,
        _block(f"Trained on ({count(e['n_tokens'])} tokens)" if e["n_tokens"] else "Trained on", e["response"])
        if e["response"] is not None
        else el("p", "No arm trained on it.", class_="hint"),
        el("p", "In the sets ", ", ".join(e["arms"]), ".", class_="hint") if e["arms"] else None,
        el("p", "Prompt ", el("code", e["prompt_id"]), class_="hint"),
    ]
    summary = el(
        "summary",
        el("h3", first_line(question)),
        el("span", join((tag for tag in tags if tag is not None), " "), class_="tags"),
        el("span", e["reason"], class_="reason"),
    )
    return el(
        "li",
        el("details", summary, el("div", join(body), class_="body")),
        data_domain=e["domain"],
        data_zone=e["zone"],
        data_decision=e["decision"],
    )


def _found_key(e: Facts) -> Html | None:
    """The key of a prompt that brought none."""
    if e["key"] is None or e["key_source"] not in OWNERS:
        return None
    share = percent(e["key_agreement"] or 0.0)
    return el("p", "Key: ", el("code", e["key"]), f" ({share} of {OWNERS[e['key_source']]})")


def _attempt(a: Facts) -> Html:
    verdict, name = {True: ("right", "\u2713 right"), False: ("wrong", "\u2717 wrong")}.get(
        a["correct"], ("unsure", "? undecided")
    )
    small = [a["reason"], "cut off at the token limit" if a["cut_off"] else ""]
    return el(
        "li",
        el(
            "p",
            el("span", name, class_=f"verdict {verdict}"),
            el("span", " answer ", el("code", a["answer"] if a["answer"] is not None else NONE)),
            el("span", " " + "; ".join(s for s in small if s), class_="hint"),
        ),
        el("pre", a["text"]),
    )


def _block(title: str, text: str) -> Html:
    return join([el("h4", title), el("pre", text)])


def stages(facts: Facts) -> Html:
    """Time and tokens by stage."""
    s = facts["stages"]
    if not s["rows"]:
        return section("stages", "Time and tokens", gap("the record of the stages", "manifest.json"))
    total = s["totals"]
    longest = max((r["seconds"] or 0 for r in s["rows"]), default=0) or 1
    paid = bool(total["cost_usd"])

    def cost(usd: float | None) -> tuple[str, ...]:
        return (f"${usd or 0:.2f}",) if paid else ()

    rows = [
        (
            r["stage"],
            _timed(r["seconds"], longest),
            *(count(r[k]) if r[k] else "" for k in ("prompts", "completions")),
            *(short(r[k]) if r[k] else "" for k in ("tokens_in", "tokens_out")),
            *cost(r["cost_usd"]),
        )
        for r in s["rows"]
    ]
    head = ("stage", "time", "prompts", "completions", "tokens in", "tokens out", *(("cost",) if paid else ()))
    foot = (
        "all",
        duration(total["seconds"]),
        "",
        count(total["completions"]),
        short(total["tokens_in"]),
        short(total["tokens_out"]),
        *cost(total["cost_usd"]),
    )
    absent = f" Not finished: {', '.join(s['absent'])}." if s["absent"] else ""
    return section(
        "stages",
        "Time and tokens",
        table("Time and tokens by stage", head, rows, foot=foot),
        lead=f"{duration(total['seconds'])} in all.{absent}",
    )


def _timed(seconds: float | None, longest: float) -> Html:
    bar = el("span", style=f"width:{100 * (seconds or 0) / longest:.1f}%", class_="c-base")
    return el(
        "span", el("span", bar, class_="track", aria_hidden="true"), el("span", duration(seconds)), class_="timed"
    )


def reproduce(facts: Facts) -> Html:
    """The commands, the recipe, the environment, and the keys to compare with."""
    r = facts["reproduce"]
    keys = [(row["stage"], el("code", row["key"][:16])) for row in facts["stages"]["rows"] if row["key"]]
    environment = el(
        "dl", join(el("div", el("dt", k), el("dd", v)) for k, v in r["environment"].items()), class_="environment"
    )
    return section(
        "reproduce",
        "How to reproduce",
        el(
            "pre",
            el("code", "\n".join(r["commands"])),
            class_="commands",
            tabindex="0",
            role="region",
            aria_label="Commands",
        ),
        more(
            "The recipe, run.yaml",
            el("pre", el("code", r["recipe"]), tabindex="0", role="region", aria_label="The recipe"),
        )
        if r["recipe"]
        else gap("the recipe", "run.yaml"),
        more("The keys of the stages", table("Keys of the stages", ("stage", "key"), keys, 2)) if keys else None,
        el("h3", "Environment"),
        environment,
        el(
            "p",
            "Report of the run folder ",
            el("code", facts["run"]),
            "; the same numbers are in ",
            el("code", "report.json"),
            " beside this page.",
            class_="hint",
        ),
        lead=(
            "In a checkout of teachable, with this page's recipe saved as run.yaml"
            + ("" if facts["seed"] is None else f" (it holds seed {facts['seed']})")
            + ". Equal keys mean equal inputs."
        ),
    )
