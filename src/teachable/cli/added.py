"""What `teachable tune --add` prints of a way of adding: the forgetting matrix, and how much of the gains was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.cli.show import aligned

HOW = {
    "data": "the base trained anew on all their examples",
    "sequential": "the model before trained on the new ones' examples",
    "weights": "the domains' models merged",
}
LOST, NOT_YET = "*", "·"


def added_text(stats: Mapping[str, Any]) -> str:
    """The summary of an addition's `stats.json`: a row a domain, a column an addition; then the additivity scores."""
    parts = [_heading(stats), _matrix(stats), _notes(stats), _additivity(stats), _reasons(stats)]
    return "\n\n".join(part for part in parts if part)


def _heading(stats: Mapping[str, Any]) -> str:
    models = "1 seed" if len(stats["seeds"]) == 1 else f"{len(stats['seeds'])} seeds"
    way = f"{stats['way']} ({stats['settings']['method']})" if stats["way"] == "weights" else stats["way"]
    return f"{way}: {HOW[stats['way']]}; {models}"


def _matrix(stats: Mapping[str, Any]) -> str:
    """Scores in percent; a mark says what was not added yet, and what has fallen since it was."""
    cells = {(cell["stage"], cell["domain"]): cell for cell in stats["matrix"]}
    columns = ["base", *stats["arms"]]
    heads = ["base", *(_domains(size) for size in stats["sizes"])]
    lines = [[f"{stats['metric']}, %", *heads]]
    lines += [[domain, *(_cell(cells[column, domain]) for column in columns)] for domain in stats["domains"]]
    return aligned(lines)


def _cell(cell: Mapping[str, Any]) -> str:
    if cell["mean"] is None:
        return "-"
    mark = LOST if cell["regression"] else NOT_YET if cell["n_domains"] and not cell["added"] else " "
    return f"{100 * cell['mean']:.1f} [{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]{mark}"


def _notes(stats: Mapping[str, Any]) -> str:
    """What the marks in the matrix mean, where there are any."""
    lines = ["in brackets: 95% intervals over questions and seeds"]
    if any(cell["n_domains"] and not cell["added"] for cell in stats["matrix"]):
        lines[0] += f"; {NOT_YET} not added yet"
    lines += [f"{LOST} {one['sentence']}" for one in stats["regressions"]]
    return "\n".join(lines)


def _additivity(stats: Mapping[str, Any]) -> str:
    """Gains in points and their ratios, with intervals: all domains of an addition, then each of the last one's."""
    last = stats["sizes"][-1]
    shown = [one for one in stats["additivity"] if one["domain"] is None or one["n_domains"] == last]
    if not shown:
        return ""
    lines = [["gain over the base, points", "joint", "separate", "additivity", "own", "joint/own"]]
    for one in shown:
        name = _domains(one["n_domains"]) if one["domain"] is None else f"  {one['domain']}"
        gains = [_points(one[f"{name}_gain"]) for name in ("joint", "separate", "own")]
        lines.append([name, *gains[:2], _ratio(one, ""), gains[2], _ratio(one, "own_")])
    return aligned(lines)


def _reasons(stats: Mapping[str, Any]) -> str:
    """What the columns are, and why a ratio is missing."""
    if not stats["additivity"]:
        return ""
    lines = [
        "separate: the gains of all separate models added up; own: of each domain's own model; additivity: joint over "
        "separate, 1 where nothing is lost"
    ]
    reasons = dict.fromkeys(one[name] for one in stats["additivity"] for name in ("reason", "own_reason"))
    lines += [f"-: {reason}" for reason in reasons if reason]
    return "\n".join(lines)


def _domains(n: int) -> str:
    return "1 domain" if n == 1 else f"{n} domains"


def _points(gain: float | None) -> str:
    return "-" if gain is None else f"{100 * gain:+.1f}"


def _ratio(one: Mapping[str, Any], prefix: str) -> str:
    if one[f"{prefix}ratio"] is None:
        return "-"
    return f"{one[f'{prefix}ratio']:.2f} [{one[f'{prefix}low']:.2f}, {one[f'{prefix}high']:.2f}]"
