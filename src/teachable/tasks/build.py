"""Build the pool, the held-out set and the teacher's solutions from the procedural families.

Held-out questions are decided by a hash of their content before anything is selected: the same question, with
its numbers in another order or in another sentence, is always on the same side, whatever the seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.errors import TeachableError
from teachable.families import teacher
from teachable.families.catalog import FAMILIES, SIDES, family, questions, to_prompt
from teachable.overlap.split import split_of
from teachable.records import OnProgress, Progress, Prompt, Solution
from teachable.tasks.config import TasksConfig
from teachable.verify import get, prove_on_gold, verdict_of

MISSES_BEFORE_EXHAUSTED = 400  # draws in a row without a new question: the level has no more to give
SOLUTION_SOURCE = "rule-based teacher"


@dataclass(frozen=True)
class TaskSet:
    """What the tasks stage hands on. `rejected` are reasons and counts of what was left out."""

    pool: tuple[Prompt, ...]
    heldout: tuple[Prompt, ...]
    solutions: tuple[Solution, ...]
    rejected: tuple[tuple[str, int], ...]


def _draw_level(name: str, level: int, seed: int, wanted: dict[str, int], rejected: Counter[str]) -> list[Prompt]:
    """Up to `wanted` new questions of each side, from one level."""
    taken: list[Prompt] = []
    seen: set[str] = set()
    left = dict(wanted)
    misses = 0
    for entry in questions(name, level, seed):
        prompt = to_prompt(name, level, entry)
        key = str(prompt.meta["content_key"])
        side = split_of(key, SIDES)
        if key in seen or not left.get(side):
            if key in seen:
                rejected["a near-duplicate of an earlier question"] += 1
            misses += 1
            if misses >= MISSES_BEFORE_EXHAUSTED:
                break
            continue
        misses = 0
        seen.add(key)
        left[side] -= 1
        taken.append(prompt)
        if not any(left.values()):
            break
    short = sum(left.values())
    if short:
        rejected[f"{name} level {level} has fewer questions than asked for"] += short
    return taken


def _shares(total: int, n: int) -> list[int]:
    """`total` cut into n parts that differ by at most one."""
    return [total // n + (i < total % n) for i in range(n)]


async def build_tasks(config: TasksConfig, seed: int, on_progress: OnProgress | None = None) -> TaskSet:
    """Questions in equal shares over families and, within a family, over levels; solutions proved right.

    A level that has fewer questions than its share gives what it has (the count is in `rejected`), so that
    the pool may fall short of `n_pool`; nothing is asked twice to fill it.

    Raises:
        TeachableError: an unknown family, reasoning-gym is missing, or the teacher fails its own verifier.
    """
    for name in config.families:
        family(name)
    rejected: Counter[str] = Counter()
    prompts: list[Prompt] = []
    n_families = len(config.families)
    total_pool, total_heldout = config.sizes()
    pools, heldouts = _shares(total_pool, n_families), _shares(total_heldout, n_families)
    for name, n_pool, n_heldout in zip(config.families, pools, heldouts, strict=True):
        n_levels = len(FAMILIES[name].levels)
        for level, pool, heldout in zip(
            range(1, n_levels + 1), _shares(n_pool, n_levels), _shares(n_heldout, n_levels), strict=True
        ):
            prompts += _draw_level(name, level, seed, {"pool": pool, "heldout": heldout}, rejected)
            if on_progress:
                on_progress(Progress(len(prompts), total_pool + total_heldout, "questions"))
    unique = list({p.meta["content_key"]: p for p in reversed(prompts)}.values())[::-1]
    if len(unique) < len(prompts):
        rejected["a near-duplicate of a question of another level"] += len(prompts) - len(unique)
    pool_side = tuple(p for p in unique if split_of(str(p.meta["content_key"]), SIDES) == "pool")
    heldout_side = tuple(p for p in unique if split_of(str(p.meta["content_key"]), SIDES) == "heldout")
    solutions = await _solve(pool_side, rejected)
    return TaskSet(pool_side, heldout_side, solutions, tuple(sorted(rejected.items())))


def drop_unprovable(tasks: TaskSet) -> TaskSet:
    """The same tasks without the questions on which their verifier is not to be trusted, before any compute is spent.

    A verifier must accept the question's own answer, and reject a near-miss and an empty answer.

    Raises:
        TeachableError: no question of the pool, or of a held-out set that had some, is left.
    """
    faults = {fault.prompt_id: fault for fault in prove_on_gold([*tasks.pool, *tasks.heldout])}
    if not faults:
        return tasks
    counts = Counter(f"the verifier is wrong on {fault.tried}: {fault.reason}" for fault in faults.values())
    pool = tuple(p for p in tasks.pool if p.id not in faults)
    heldout = tuple(p for p in tasks.heldout if p.id not in faults)
    if (tasks.pool and not pool) or (tasks.heldout and not heldout):
        first = next(iter(faults.values()))
        raise TeachableError(
            f"the verifiers fail on all questions, as on {first.prompt_id}: wrong on {first.tried} ({first.reason})",
            mend="Choose another verifier, or check the reference answers",
        )
    solutions = tuple(s for s in tasks.solutions if s.prompt_id not in faults)
    return TaskSet(pool, heldout, solutions, (*tasks.rejected, *sorted(counts.items())))


async def _solve(prompts: Sequence[Prompt], rejected: Counter[str]) -> tuple[Solution, ...]:
    """The teacher's solutions that the task's own verifier accepts."""
    solutions = []
    for prompt in prompts:
        entry = prompt.meta["entry"]
        text = teacher.response(FAMILIES[prompt.domain].solve(entry), str(entry["answer"]))
        verdict = await verdict_of(get(prompt.verifier), text, prompt)
        if verdict.correct:
            solutions.append(Solution(prompt.id, text, SOLUTION_SOURCE, verdict.reason))
        else:
            rejected[f"the teacher's solution was not accepted: {verdict.reason}"] += 1
    if prompts and not solutions:
        raise TeachableError(
            f"the verifier accepted none of the teacher's {len(prompts)} solutions",
            mend="Check the installed reasoning-gym version against constraints.txt",
        )
    return tuple(solutions)
