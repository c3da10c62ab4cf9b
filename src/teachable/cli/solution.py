"""`teachable pivot --show ID`: a searched solution in the terminal, each token coloured by its effect.

On a terminal with colours, greens raise the chance of success and reds lower it, more strongly coloured the larger the
change; pivotal tokens are bold and underlined, with an arrow before them. Elsewhere (a pipe, NO_COLOR) one reads
`[+0.31|token]`. Every text of a model passes through `visible`, so no escape sequence of its own reaches the terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from teachable.cli.curve import curve_lines
from teachable.errors import TeachableError
from teachable.records import Prompt, from_row
from teachable.report.gathering.tokens import (
    BAND_SDS,
    LEVELS,
    NEWLINE,
    effects,
    solution_facts,
    solution_key,
    strength,
    visible,
)
from teachable.store.files import read_rows
from teachable.store.manifest import RunFolder

Facts = dict[str, Any]
N_LISTED = 5  # ids in a sentence
N_ALTERNATIVES = 4
MAX_COLUMNS = 100
MIN_DOTS = 60  # a short solution's curve is stretched to about this width
_UP, _DOWN = "\u25b2", "\u25bc"
# By strength, and read on a light and on a dark ground: a middle tone as foreground, then grounds under black.
_RAISES = ("", "#2f8a4c", "black on #a9dcb6", "black on #2fb35f")
_LOWERS = ("", "#d0453f", "black on #f5b8b1", "black on #f0625a")
# What JSON may hold as it is, though a terminal would act on it or draw it backwards.
_ACTIVE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def show_solution(folder: Path, solution: str, *, as_json: bool = False) -> None:
    """Print the searched solutions of one prompt.

    Args:
        folder: what a search wrote, or a run folder with a finished search.
        solution: the prompt's id, or the beginning of it.
        as_json: one JSON document on stdout in the place of the drawing.

    Raises:
        TeachableError: there is no finished search, no such prompt, several that begin like that, or it was left out.
    """
    told = solution_document(Path(folder), solution)
    if as_json:
        text = json.dumps(told, indent=1, ensure_ascii=False)
        _write(_ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
        return
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    with console.capture() as captured:
        _draw(told, console)
    _write(captured.get())


def _write(text: str) -> None:
    """To stdout, also where its encoding lacks some of the characters."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


# ---- what is told ----


def solution_document(folder: Path, solution: str) -> Facts:
    """The prompt's question and its searched solutions with tokens, value curves and pivotal tokens.

    Raises:
        TeachableError: as `show_solution`.
    """
    searches = _searches(folder)
    rows = [(place, row) for place in searches for row in read_rows(place / "solutions.parquet")]
    ids = list(dict.fromkeys(str(row["prompt_id"]) for _, row in rows))
    full = _resolve(solution, ids, searches)
    told = []
    for place, row in rows:
        if row["prompt_id"] == full:
            mine = solution_key(full, row["token_ids"])
            every = [one for one in read_rows(place / "pivots.parquet") if one["prompt_id"] == full]
            pivots = [one for one in every if solution_key(full, one["solution_token_ids"]) == mine]
            told.append(solution_facts(row, pivots, str(place / "solutions.parquet")))
    for one in told:
        del one["prompt_id"]
    return {"prompt_id": full, "question": _question(folder, searches, full), "solutions": told}


def _searches(folder: Path) -> list[Path]:
    """The folders that hold a search: those of finished pivot stages, else the folder itself or those in it."""
    if not folder.is_dir():
        raise TeachableError(
            "there is no such folder", where=str(folder), mend="Name with --out what `teachable pivot` wrote"
        )
    stages = [name for name, entry in RunFolder(folder).entries().items() if entry.kind == "pivot"]
    # A search that was interrupted has its files, and no entry in the manifest.
    places = [folder / name for name in stages] or [folder, *sorted(one for one in folder.iterdir() if one.is_dir())]
    found = [one for one in places if all((one / f"{name}.parquet").is_file() for name in ("solutions", "pivots"))]
    if not found:
        raise TeachableError(
            "there is no finished search for pivotal tokens in this folder",
            where=str(folder),
            mend="Run `teachable pivot` first, or name another folder with --out",
        )
    return found


def _resolve(prefix: str, ids: Sequence[str], searches: Sequence[Path]) -> str:
    """The one id that is `prefix` or begins with it."""
    if prefix in ids:
        return prefix
    found = sorted(one for one in ids if one.startswith(prefix)) if prefix else []
    if len(found) == 1:
        return found[0]
    named = visible(prefix, flat=True)
    if found:
        raise TeachableError(f"{len(found)} prompts begin with {named!r}: {_listed(found)}", mend="Give more of the id")
    gates = [
        row for place in searches if (place / "gates.parquet").is_file() for row in read_rows(place / "gates.parquet")
    ]
    left_out = [row for row in gates if prefix and str(row["prompt_id"]).startswith(prefix)]
    if len(left_out) == 1:
        reason = visible(left_out[0]["reason"] or left_out[0]["outcome"], flat=False).rstrip(".")
        raise TeachableError(f"prompt {visible(left_out[0]['prompt_id'])} was not searched: {reason}")
    if not ids:
        raise TeachableError("this search holds no solution", where=str(searches[0]))
    raise TeachableError(f"no searched prompt has the id {named!r}", mend=f"There are {_listed(sorted(ids))}")


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - N_LISTED:,} more" if len(ids) > N_LISTED else ""
    return ", ".join(visible(one) for one in ids[:N_LISTED]) + more


def _question(folder: Path, searches: Sequence[Path], prompt_id: str) -> str | None:
    """The prompt's text, from the run's tasks."""
    stages = [name for name, entry in RunFolder(folder).entries().items() if entry.kind == "tasks"]
    places = [folder / name for name in stages] or [folder, folder / "tasks", *searches]
    for path in dict.fromkeys(place / "prompts.parquet" for place in places):
        for row in read_rows(path) if path.is_file() else ():
            if row.get("id") == prompt_id:
                return from_row(Prompt, row).text
    return None


# ---- for people ----


def _draw(told: Facts, console: Console) -> None:
    coloured = console.is_terminal and not console.no_color and "NO_COLOR" not in os.environ
    console.print(Text(f"prompt {visible(told['prompt_id'])}", style="bold" if coloured else ""))
    question = "(the question is not in this folder)" if told["question"] is None else visible(told["question"])
    console.print(Text(question.replace(f"{NEWLINE}\n", "\n")))
    for number, one in enumerate(told["solutions"], start=1):
        which = f"solution {number} of {len(told['solutions'])}" if len(told["solutions"]) > 1 else "solution"
        n = len(one["pivots"])
        parts = [
            f"{which}: {'right' if one['correct'] else 'wrong'}",
            f"{len(one['tokens']):,} tokens",
            f"{n} pivotal" if n else "no pivotal token",
            f"{one['n_samples']:,} samples",
        ]
        console.print()
        console.print(Text(", ".join(parts), style="bold" if coloured else ""))
        if one["note"]:
            console.print(Text(visible(one["note"], flat=False)))
        console.print(solution_text(one, coloured=coloured))
        console.print()
        console.print(_legend(coloured=coloured))
        console.print()
        marks = {pivot["position"] + 1: _UP if pivot["delta"] > 0 else _DOWN for pivot in one["pivots"]}
        stretch = MIN_DOTS // len(one["values"])
        for line in curve_lines(one["values"], min(console.width, MAX_COLUMNS) - 6, marks, stretch=stretch):
            console.print(Text(line))
        console.print(Text(_certainty(one)))
        if one["pivots"]:
            console.print()
            for row in _table(one["pivots"]):
                console.print(row if coloured else Text(row.plain))


def solution_text(solution: Facts, *, coloured: bool) -> Text:
    """The solution with its tokens coloured by their effects, or with `[+0.31|token]` for the pivotal ones."""
    pivotal = {pivot["position"]: pivot["delta"] for pivot in solution["pivots"]}
    text = Text()
    for place, (token, effect) in enumerate(zip(solution["tokens"], effects(solution), strict=True)):
        shown = visible(token["token"], token["token_id"])
        if place not in pivotal:
            text.append(shown, _style(effect) if coloured else "")
            continue
        after = "\n" if token["token"].endswith("\n") else ""
        flat, delta = visible(token["token"], token["token_id"], flat=True), pivotal[place]
        if coloured:
            text.append((_UP if delta > 0 else _DOWN) + flat, _style(delta) + Style(bold=True, underline=True))
            text.append(after)
        else:
            text.append(f"[{delta:+.2f}|{flat}]{after}")
    return text


def _legend(*, coloured: bool) -> Text:
    """What the marks in the text mean."""
    if not coloured:
        return Text("[change|token]: a pivotal token, and its change of the success probability")
    text = Text()
    for word, sign in (("raises", 1), (" or ", 0), ("lowers", -1)):
        text.append(word, _style(sign * LEVELS[1]))
    return text.append(f" the success probability; pivotal: {_UP} up, {_DOWN} down")


def _style(effect: float | None) -> Style:
    named = (_RAISES if (effect or 0) > 0 else _LOWERS)[strength(effect)]
    return Style.parse(named) if named else Style.null()


def _certainty(solution: Facts) -> str:
    """What the curve is, and how well it is known."""
    sds = sorted(sd for sd in solution["value_sds"] if sd is not None)
    known = f", known to \u00b1{BAND_SDS * sds[len(sds) // 2]:.2f} at the median" if sds else ""
    return f"     success probability after each of {len(solution['tokens']):,} tokens{known}"


def _table(pivots: Sequence[Mapping[str, Any]]) -> list[Text]:
    """The pivotal tokens: where, what, the chance before and after with its interval, and what else was chosen."""
    head = ("place", "token", "p(token)", "p(success)", "change", "interval", "n", "others: right of tried (p)")
    rows = [
        (
            f"{pivot['position']:,}",
            visible(pivot["token"], pivot["token_id"], flat=True),
            _share(pivot["probability"]),
            f"{pivot['p_before']:.2f} \u2192 {pivot['p_after']:.2f}",
            f"{pivot['delta']:+.2f}",
            f"[{pivot['delta_low']:+.2f}, {pivot['delta_high']:+.2f}]",
            f"{pivot['n_samples']:,}",
            _others(pivot["alternatives"]),
        )
        for pivot in pivots
    ]
    widths = [max(Text(row[i]).cell_len for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for number, row in enumerate((head, *rows)):
        line = Text()
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            room = " " * (width - Text(cell).cell_len)
            left = place in (1, len(head) - 1)
            colour = _style(pivots[number - 1]["delta"]) if number and place == 4 else ""
            line.append("" if left else room).append(cell, colour).append((room if left else "") + "  ")
        line.rstrip()
        lines.append(line)
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _others(alternatives: Sequence[Mapping[str, Any]]) -> str:
    told = [
        f"{visible(one['token'], one['token_id'], flat=True)} "
        + (f"{one['successes']}/{one['n_samples']}" if one["n_samples"] else "untried")
        + f" ({one['probability']:.2f})"
        for one in alternatives[:N_ALTERNATIVES]
    ]
    more = len(alternatives) - N_ALTERNATIVES
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")
