"""One prompt's whole story, read from a run folder: what was asked, tried, estimated, decided and scored.

Every stage is optional: the story ends where the run has come to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.load import nearest
from teachable.recipe.made_story import folders_made, made_story, made_text
from teachable.store.files import read_rows
from teachable.store.manifest import RunFolder

_FILES = {
    "prompts": ("tasks", "prompts.parquet"),
    "heldout": ("tasks", "heldout.parquet"),
    "solutions": ("tasks", "solutions.parquet"),
    "attempts": ("probe", "attempts.parquet"),
    "estimates": ("probe", "estimates.parquet"),
    "decisions": ("select", "decisions.parquet"),
    "scores": ("evaluate", "scores.parquet"),
}
_SHORTEST_PREFIX = 3
_SHARES = ("beyond", "teachable", "mastered")


def story(run: Path, prompt: str) -> dict[str, Any]:
    """All that a run knows of one prompt; of a synthetic one, or of a seed, what `made_story` tells.

    Args:
        run: the run folder, or one of `teachable synthesize`.
        prompt: the prompt's id, or the beginning of it.

    Raises:
        TeachableError: no run in the folder, no such prompt, or several whose ids begin like that.
    """
    folder = RunFolder(Path(run))
    entries = folder.entries()
    if not entries:
        raise TeachableError(
            "there is no run with finished stages in this folder", where=str(run), mend="Name a run folder"
        )
    places = {entry.kind: folder.stage_dir(name) for name, entry in entries.items()}
    known = [row["id"] for side in ("prompts", "heldout") for row in _rows(places, side)]
    if not any(one.startswith(prompt) for one in known):
        made = made_story(folders_made(Path(run), entries), prompt)
        if made is not None:
            return made
    if "tasks" not in places:
        raise TeachableError("this run has no prompts: its tasks stage has not finished", where=str(run))
    sides = {side: _rows(places, side) for side in ("prompts", "heldout")}
    ids = {row["id"]: side for side, rows in sides.items() for row in rows}
    full = _resolve(prompt, list(ids))
    side = ids[full]
    row = next(row for row in sides[side] if row["id"] == full)
    solution = _of(_rows(places, "solutions"), full)
    told: dict[str, Any] = {
        "id": full,
        "side": "pool" if side == "prompts" else "held out",
        "prompt": {**row, "meta": json.loads(row["meta"]) if isinstance(row.get("meta"), str) else row.get("meta")},
        "solution": solution[0] if solution else None,
        "attempts": _of(_rows(places, "attempts"), full),
        "estimate": next(iter(_of(_rows(places, "estimates"), full)), None),
        "decision": next(iter(_of(_rows(places, "decisions"), full)), None),
        "scores": _of(_rows(places, "scores"), full),
    }
    return told


def _rows(places: Mapping[str, Path], name: str) -> list[dict[str, Any]]:
    kind, file = _FILES[name]
    path = places[kind] / file if kind in places else None
    return read_rows(path) if path is not None and path.is_file() else []


def _of(rows: Sequence[dict[str, Any]], prompt_id: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["prompt_id"] == prompt_id]


def _resolve(prefix: str, ids: Sequence[str]) -> str:
    """The one id that is `prefix` or begins with it."""
    if prefix in ids:
        return prefix
    found = sorted(one for one in ids if one.startswith(prefix)) if len(prefix) >= _SHORTEST_PREFIX else []
    if not found:
        hint = f"Give at least {_SHORTEST_PREFIX} letters of it" if len(prefix) < _SHORTEST_PREFIX else ""
        close = nearest(prefix, ids) if not hint and len(ids) <= 20_000 else ""
        raise TeachableError(
            f"no prompt of this run has the id {prefix!r}{close if 'did you mean' in close else ''}",
            mend=hint or "The ids are in tasks/prompts.parquet and tasks/heldout.parquet",
        )
    if len(found) > 1:
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise TeachableError(f"{len(found)} prompts begin with {prefix!r}: {shown}", mend="Give more letters")
    return found[0]


def story_text(told: Mapping[str, Any]) -> str:
    """The story for people."""
    if "made" in told:
        return made_text(told)
    row = told["prompt"]
    lines = [f"{told['id']}  {row['domain']}, level {row['level']}, {told['side']}", "", "question"]
    lines += [f"  {message['role']}: {_indented(message['content'])}" for message in row["messages"]]
    known = f"reference answer ({row['answer_source']}): {row['answer']}"
    lines += ["", known if row["answer"] is not None else "no reference answer"]
    lines += [
        f"  came from {step['parent']} by {step['transform']} {step['params']}".rstrip() for step in row["lineage"]
    ]
    if told["solution"]:
        lines += ["", f"solution ({told['solution']['source']}): {_indented(told['solution']['text'])}"]
    if told["attempts"]:
        lines += ["", f"{len(told['attempts'])} attempts"]
        lines += [f"  {_verdict(a['correct'])}  {a['answer']!s:>12}  {_short(a['text'])}" for a in told["attempts"]]
    lines += _judgement(told)
    if told["scores"]:
        lines += ["", "scores on this held-out question"]
        lines += [
            f"  {score['model']:<16} {score['n_correct']} of {score['n']} right"
            + (f", {score['n_undecided']} undecided" if score["n_undecided"] else "")
            + ("" if score.get("greedy") is None else f", greedy {_verdict(score['greedy'])}")
            for score in told["scores"]
        ]
    return "\n".join(lines)


def _judgement(told: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if estimate := told["estimate"]:
        lines += ["", *_key(estimate), _estimate(estimate), f"zone: {estimate['zone']} ({estimate['reason']})"]
        if estimate.get("stopped"):
            lines += [f"sampling ended: {estimate['stopped']}"]
    if decision := told["decision"]:
        arms = ", ".join(decision["arms"]) or "none"
        lines += ["", f"decision: {decision['decision']} ({decision['reason']})", f"sets that hold it: {arms}"]
    return lines


def _key(estimate: Mapping[str, Any]) -> list[str]:
    """Where the key came from, if not from the prompt."""
    whose = {"teacher": "the teacher's", "majority": "its own"}.get(estimate.get("key_source") or "")
    if whose is None or estimate["key"] is None:
        return []
    return [f"key ({estimate['key_agreement']:.0%} of {whose} answers): {estimate['key']}"]


def _estimate(estimate: Mapping[str, Any]) -> str:
    if not estimate["n"]:
        return f"estimate: no attempt was judged right or wrong, {estimate['n_undecided']} were made"
    mean = estimate["posterior_a"] / (estimate["posterior_a"] + estimate["posterior_b"])
    undecided = f", {estimate['n_undecided']} undecided" if estimate["n_undecided"] else ""
    masses = [f"{zone} {estimate[f'p_{zone}']:.2f}" for zone in _SHARES if estimate.get(f"p_{zone}")]
    shares = f"; {', '.join(masses)}" if masses else ""
    return f"estimate: {estimate['successes']} of {estimate['n']} right{undecided}, pass rate about {mean:.2f}{shares}"


def _verdict(correct: bool | None) -> str:
    return "undecided" if correct is None else "right" if correct else "wrong"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else f"{flat[:97]}..."


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
