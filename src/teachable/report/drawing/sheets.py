"""The section in which held-out questions are read with the models' answers side by side."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.browse import attempt, block, browsable
from teachable.report.drawing.charts import swatch
from teachable.report.drawing.parts import section
from teachable.report.markup import NONE, Html, el, first_line, join

Facts = dict[str, Any]


def answers(facts: Facts) -> Html:
    """Questions with each model's answers; nothing where the evaluation kept none."""
    shown = facts["answers"]
    if not shown:
        return Html("")
    choices = {
        "task": ("Task", "all tasks", [one["task"] for one in shown]),
        "agreement": ("Models", "agreeing or not", [one["agreement"] for one in shown]),
    }
    total = facts["evaluation"]["n_questions"]
    several = any(len(one["models"]) > 1 for one in shown)
    return section(
        "answers",
        "Questions and answers",
        browsable("answer", "Questions and answers", "question", choices, [_question(one) for one in shown]),
        lead=f"{len(shown)} of {total:,} {'' if facts['models']['evaluates_only'] else 'held-out '}questions"
        + (", those first on which the models differ most. " if several else ". ")
        + "Open one for each model's answers.",
    )


def _question(one: Facts) -> Html:
    question = one["question"] or "(the question is not in the run folder)"
    tags = [el("span", one["task"], class_="tag"), el("span", one["agreement"], class_="tag")]
    tags += [el("span", swatch(m["arm"]), _rate(m), class_="tag") for m in one["models"]]
    body = [
        block("Question", question),
        el("p", "Reference answer: ", el("code", one["answer"] if one["answer"] is not None else NONE)),
        el("div", join(map(_model, one["models"])), class_="sheets"),
        el("p", "Prompt ", el("code", one["prompt_id"]), class_="hint"),
    ]
    summary = el("summary", el("h3", first_line(question)), el("span", join(tags, " "), class_="tags"))
    return el(
        "li",
        el("details", summary, el("div", join(body), class_="body wide")),
        data_task=one["task"],
        data_agreement=one["agreement"],
    )


def _rate(model: Facts) -> str:
    """What a model made of the question, in a few words."""
    if model["n"]:
        return f"{model['arm']} {model['n_correct']}/{model['n']}"
    if model["greedy"] is None:
        return f"{model['arm']} undecided"
    return f"{model['arm']} {'right' if model['greedy'] else 'wrong'}"


def _model(model: Facts) -> Html:
    undecided = f", {model['n_undecided']} undecided" if model["n_undecided"] else ""
    sampled = f"{model['n_correct']} of {model['n']} samples right{undecided}" if model["n"] else "no decided sample"
    left = model["n_attempts"] - len(model["attempts"])
    return el(
        "div",
        el("h4", swatch(model["arm"]), model["arm"]),
        el("p", sampled + (f"; {left} more are not shown" if left > 0 else ""), class_="hint"),
        el("ol", join(map(attempt, model["attempts"])), class_="attempts")
        if model["attempts"]
        else el("p", "None of its answers is in the folder.", class_="hint"),
    )
