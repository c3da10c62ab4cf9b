"""Do two evaluations measure the same? Each way in which they do not, in a sentence.

What breaks the comparison stands before every difference of scores: other sampling, other verifiers, other
references, other questions. The rest are notes: what a reader should know, but a difference is still one of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.recipe.differences.data import prompts_of, text_of
from teachable.recipe.differences.folders import HELDOUT, ComparedRun
from teachable.verify.judging import JUDGED

SAMPLING = ("temperature", "top_p", "max_tokens")
JUDGING = ("judge", "votes", "judge_temperature", "judge_max_tokens")
HOW_SCORED = ("template", "verifier", "metric", "adapter", "version")  # facts of a benchmark
MUCH_UNDECIDED = 0.01  # a difference in the share of undecided answers that is worth a sentence


def warnings(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """`{breaks, what, sentence}`: whether it breaks the comparison of scores, of what it is, and the sentence."""
    stages = first.stage("evaluate"), second.stage("evaluate")
    if stages[0] is None or stages[1] is None:
        return []
    found = [*_sampling(first, second), *_tasks(first, second), *_questions(first, second)]
    versions = first.entries[stages[0]].version, second.entries[stages[1]].version
    if versions[0] != versions[1]:
        found.append(
            _told(
                "version", f"the evaluation's code differs: version {versions[0]} against {versions[1]}", breaks=False
            )
        )
    for run in (first, second):
        others = run.stages_of("evaluate")[1:]
        if others:
            what = f"{run.label} has {len(others) + 1} evaluations; compared is {run.stage('evaluate')}"
            found.append(_told("evaluations", what, breaks=False))
    return [*found, *_undecided(first, second), *_crossed(first, second)]


def _told(what: str, sentence: str, *, breaks: bool) -> dict[str, Any]:
    return {"breaks": breaks, "what": what, "sentence": sentence}


def _sampling(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """How answers were drawn and judged."""
    one, other = _evaluation(first), _evaluation(second)
    found = [
        _told(name, f"{name.replace('_', ' ')} {_shown(one[name])} against {_shown(other[name])}", breaks=True)
        for name in SAMPLING
        if name in one and name in other and one[name] != other[name]
    ]
    if one.get("n_samples") != other.get("n_samples"):
        counts = f"{one.get('n_samples')} sampled answers to a question against {other.get('n_samples')}"
        found.append(_told("n_samples", f"{counts}: pass@k still compares, maj@k does not", breaks=False))
    verifiers = {row["verifier"] for run in (first, second) for row in (run.rows("tasks", "heldout.parquet") or ())}
    if verifiers & {*JUDGED} or not verifiers:
        found += [
            _told(
                name,
                f"the {name.replace('_', ' ')} differs: {_shown(one[name])} against {_shown(other[name])}",
                breaks=True,
            )
            for name in JUDGING
            if name in one and name in other and one[name] != other[name]
        ]
    return found


def _evaluation(run: ComparedRun) -> dict[str, Any]:
    """The evaluation's settings, as the manifest has them, or else as its stats say."""
    stats = run.stats("evaluate")
    said = {name: stats[name] for name in (*SAMPLING, "n_samples") if name in stats}
    return said | run.config("evaluate")


def _tasks(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """What the benchmarks say of themselves, where both runs have one of that name."""
    one, other = (_facts(run) for run in (first, second))
    found = []
    for name in sorted(one.keys() & other.keys()):
        differ = [fact for fact in HOW_SCORED if one[name].get(fact) != other[name].get(fact)]
        if differ:
            words = ", ".join(fact.replace("_", " ") for fact in differ)
            found.append(_told(f"task {name}", f"the task {name} differs in {words}", breaks=True))
        elif one[name].get("data_digest") != other[name].get("data_digest"):
            found.append(_told(f"task {name}", f"the task {name} was read from other data", breaks=False))
    for run, lone in ((first, one.keys() - other.keys()), (second, other.keys() - one.keys())):
        if lone:
            found.append(_told("tasks", f"only {run.label} has {', '.join(sorted(lone))}", breaks=False))
    return found


def _facts(run: ComparedRun) -> dict[str, Mapping[str, Any]]:
    """Each benchmark's facts by its name; held-out questions of a pool have none but their own rows."""
    told = [*(run.stats("tasks").get("benchmarks") or ())]
    told += [*((run.stats("evaluate").get("determined_by") or {}).get("tasks") or ())]
    named = [one for one in told if isinstance(one, Mapping) and "name" in one]
    return {str(one["name"]): one for one in named if one["name"] != HELDOUT}


def _questions(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """The evaluation set itself: which questions, their text, their references and who decides them."""
    held = prompts_of(first, "heldout.parquet"), prompts_of(second, "heldout.parquet")
    if held[0] is None or held[1] is None:
        return []
    one, other = held[0], held[1]
    both = sorted(one.keys() & other.keys())
    found = []
    if len(both) < max(len(one), len(other)):
        what = (
            f"the evaluation sets differ: {len(one):,} questions against {len(other):,}, {len(both):,} of them the same"
        )
        found.append(_told("questions", what, breaks=not both))
    changed = [q for q in both if text_of(one[q]) != text_of(other[q])]
    if changed:
        what = f"{_count(len(changed), 'question')} with the same id asked something else"
        found.append(
            _told("texts", f"{what}, and {'is' if len(changed) == 1 else 'are'} left out of pairs", breaks=True)
        )
    answers = [q for q in both if one[q]["answer"] != other[q]["answer"]]
    if answers:
        found.append(
            _told("references", f"{_count(len(answers), 'common question')} had another reference answer", breaks=True)
        )
    by = [q for q in both if one[q]["verifier"] != other[q]["verifier"]]
    if by:
        pairs = sorted({f"{one[q]['verifier']} against {other[q]['verifier']}" for q in by})
        what = f"{_count(len(by), 'common question')} had another verifier: {', '.join(pairs)}"
        found.append(_told("verifiers", what, breaks=True))
    return found


def _undecided(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """Answers that no verifier could decide count neither way, so their share has to be alike."""
    rates = first.stats("evaluate").get("undecided_rate"), second.stats("evaluate").get("undecided_rate")
    if rates[0] is None or rates[1] is None or abs(rates[0] - rates[1]) < MUCH_UNDECIDED:
        return []
    what = f"{rates[0]:.1%} of the answers could not be decided against {rates[1]:.1%}, and count neither way"
    return [_told("undecided", what, breaks=False)]


def _crossed(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """Questions that one run scored and the other could train on."""
    found = []
    for run, other in ((first, second), (second, first)):
        held, pool = prompts_of(run, "heldout.parquet"), prompts_of(other, "prompts.parquet")
        n = len((held or {}).keys() & (pool or {}).keys())
        if n:
            what = f"{_count(n, 'held-out question')} of {run.label} stand in the pool of {other.label}, which may have"
            found.append(_told("crossed", f"{what} trained on {'it' if n == 1 else 'them'}", breaks=False))
    return found


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _shown(value: Any) -> str:
    """A value in a sentence: an engine by its model."""
    if isinstance(value, Mapping):
        return str(value.get("model") or value.get("kind") or "an engine")
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
