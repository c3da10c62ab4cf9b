"""The section on what training gained and lost: the forgetting matrix."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.parts import boxed, section
from teachable.report.gathering.forgetting import ALL
from teachable.report.markup import Html, el, interval, join, percent, points

Facts = dict[str, Any]
# Which side of 0 a change's interval lies on -> its sign for the eye, and its word.
SIDES = {"drop": ("\u25bc", "drop"), "gain": ("\u25b2", "gain")}


def forgetting(facts: Facts) -> Html:
    """A matrix of domains and models; nothing where no evaluation compared domains."""
    matrices = [one for one in facts["forgetting"] if one["rows"] and len(one["columns"]) > 1]
    if not matrices:
        return Html("")
    trained = not facts["models"]["evaluates_only"]
    parts: list[object] = []
    for one in matrices:
        parts += [el("p", _says(one)), _table(one)]
    return section(
        "forgetting",
        "What was gained and what was forgotten" if trained else "Gains and losses, task by task",
        *parts,
        lead=f"Each cell is {matrices[0]['metric']} in per cent and, under it, the change against "
        f"{matrices[0]['baseline']} in points with its paired 95% interval. A change counts as a drop or a gain only "
        "where the interval leaves out 0.",
    )


def _says(matrix: Facts) -> str:
    """The matrix in a sentence, and how many of its marks chance alone would make."""
    n, drops, gains = (matrix[name] for name in ("n_changes", "n_drops", "n_gains"))
    found = [
        (cell["diff"], f"{column['arm']} in {_name(row)} ({points(cell['diff'])})")
        for row in matrix["rows"]
        for column, cell in zip(matrix["columns"], row["cells"], strict=True)
        if cell and cell["says"] == "drop" and row["domain"] != ALL and not column["beside"]
    ]
    worst = [name for _, name in sorted(found)]
    dropped = _number(drops, "drop") + (f": {', '.join(worst[:4])}" if worst else "")
    dropped += " and others" if len(worst) > 4 else ""
    chance = f" If nothing had changed, chance would mark about {0.05 * n:.0f} of {n}." if n >= 20 else ""
    return f"Of {n} change{'' if n == 1 else 's'} by domain {dropped}; {_number(gains, 'gain')}.{chance}"


def _number(n: int, noun: str) -> str:
    return f"{n or 'none'} {'is a' if n < 2 else 'are'} {noun}{'' if n < 2 else 's'}"


def _table(matrix: Facts) -> Html:
    columns = matrix["columns"]
    head = [el("th", "domain", scope="col")]
    for one in columns:
        note = f"after {one['after']}" if one["after"] else ""
        note = "the reference" if one["reference"] else "beside them" if one["beside"] else note
        head.append(el("th", one["arm"], el("span", note, class_="ci") if note else None, scope="col", class_="num"))
    bodies: list[Html] = []
    for benchmark, title in ((False, "Held out from the pool"), (True, "Benchmarks")):
        rows = [row for row in matrix["rows"] if row["benchmark"] is benchmark]
        mixed = any(row["benchmark"] for row in matrix["rows"]) and any(
            not row["benchmark"] and row["domain"] != ALL for row in matrix["rows"]
        )
        name = el("tr", el("th", title, scope="rowgroup", colspan=len(columns) + 1, class_="group")) if mixed else None
        overall = [row for row in rows if row["domain"] == ALL]
        others = [row for row in rows if row["domain"] != ALL]
        bodies += [el("tbody", join(map(_row, overall)))] if overall else []
        bodies += [el("tbody", name, join(map(_row, others)))] if others else []
    caption = f"{matrix['metric']} by domain and model, and the change against {matrix['baseline']}"
    return boxed(caption, join(head), bodies, class_="matrix")


def _row(row: Facts) -> Html:
    return el("tr", el("th", _name(row), scope="row"), join(map(_cell, row["cells"])))


def _name(row: Facts) -> str:
    """A benchmark's name is a name; a domain's is words."""
    if row["domain"] == ALL:
        return "all questions"
    return str(row["domain"]) if row["benchmark"] else str(row["domain"]).replace("_", " ")


def _cell(cell: Facts | None) -> Html:
    """The mean; under it the change with its word and sign, and its interval."""
    if cell is None:
        return el("td", class_="num")
    if cell["says"] == "reference" or cell["diff"] is None:
        small = interval(cell["low"], cell["high"])
        return el("td", el("b", percent(cell["mean"], "")), el("span", small, class_="ci"), class_="num")
    sign, word = SIDES.get(cell["says"], ("", ""))
    change = [
        el("span", sign, aria_hidden="true") if sign else None,
        f" {word} {points(cell['diff'])}" if word else points(cell["diff"]),
    ]
    return el(
        "td",
        el("b", percent(cell["mean"], "")),
        el("span", *change, class_="change"),
        el("span", interval(cell["diff_low"], cell["diff_high"], signed=True), class_="ci"),
        class_=f"num {cell['says']}".strip(),
    )
