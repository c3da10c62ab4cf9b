"""The sections that let a reader check: examples in and out, and how to do it again."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.browse import attempt, block, browsable
from teachable.report.drawing.charts import tone
from teachable.report.drawing.parts import gap, more, section, table
from teachable.report.markup import Html, count, el, first_line, join, percent

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

    choices = {
        key: (label, everything, [str(e[key]) for e in shown])
        for key, label, everything in (
            ("domain", "Domain", "all domains"),
            ("zone", "Zone", "all zones"),
            ("decision", "In or out", "both"),
        )
    }
    n_in = sum(e["decision"] == "in" for e in shown)
    return section(
        "examples",
        "Examples, in and out",
        browsable("example", "Examples", "example", choices, [_example(e) for e in shown]),
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
        block("Question", question),
        el("p", "Reference answer: ", el("code", e["answer"])) if e["answer"] is not None else _found_key(e),
        el("h4", "The base model's attempts"),
        el("ol", join(map(attempt, e["attempts"])), class_="attempts")
        if e["attempts"]
        else el("p", "None in the folder.", class_="hint"),
        el("p", f"{e['n_attempts'] - len(e['attempts'])} more are not shown.", class_="hint")
        if e["n_attempts"] > len(e["attempts"])
        else None,
        block(f"Trained on ({count(e['n_tokens'])} tokens)" if e["n_tokens"] else "Trained on", e["response"])
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
            + (
                "; the files and models that it names must be where it says, or elsewhere and the recipe changed"
                if r["needs_files"]
                else ""
            )
            + ". Equal keys mean equal inputs."
        ),
    )
