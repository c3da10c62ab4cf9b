"""The evaluation set, fixed before anything is selected: benchmarks beside the source's held-out questions.

What overlaps it leaves the pool here (`overlap.guard` has the rule), so that nothing that is probed, selected or
trained on was ever a question of a benchmark. The source's own held-out questions were set apart from its pool before,
with near-duplicates on one side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from teachable.errors import TeachableError
from teachable.overlap.guard import PROMPT, Guard, TrainingRow, asked, content_key
from teachable.tasks.benchmarks.spec import Benchmark
from teachable.tasks.build import TaskSet


def with_benchmarks(tasks: TaskSet, benchmarks: Sequence[Benchmark]) -> TaskSet:
    """The tasks with the benchmarks' questions held out too, after those of the source, and none of them in the pool.

    All of a benchmark's questions are kept, so that its score is the benchmark's.

    Raises:
        TeachableError: two benchmarks have one name, or one question (their scores are joined by its id); or all of the
            pool overlaps them.
    """
    owner = {prompt.id: "the source's held-out set" for prompt in tasks.heldout}
    names: set[str] = set()
    for benchmark in benchmarks:
        if benchmark.name in names:
            raise TeachableError(
                f"two benchmarks are called {benchmark.name!r}", where="tasks.benchmarks", mend="Leave one out"
            )
        names.add(benchmark.name)
        for prompt in benchmark.prompts:
            if (other := owner.setdefault(prompt.id, benchmark.name)) != benchmark.name:
                raise TeachableError(
                    f"{other} and {benchmark.name} both hold the question {prompt.id}",
                    where="tasks.benchmarks",
                    mend="Leave one of them out, or evaluate on them in two runs",
                )
    asked_too = tuple(prompt for benchmark in benchmarks for prompt in benchmark.prompts)
    return decontaminated(replace(tasks, heldout=(*tasks.heldout, *asked_too)), names)


def decontaminated(tasks: TaskSet, benchmarks: Collection[str]) -> TaskSet:
    """The tasks without the prompts of the pool that overlap these benchmarks, each counted with a reason.

    Solutions that hold a held-out question, a benchmark's or the source's, are left out too; their prompts stay.

    Raises:
        TeachableError: no prompt of a pool that had some is left.
    """
    if not tasks.pool:
        return tasks
    rejected = Counter(dict(tasks.rejected))
    context = [prompt.text for prompt in tasks.pool]
    outside = [prompt for prompt in tasks.heldout if prompt.meta.get("benchmark") in benchmarks]
    rows = [TrainingRow(prompt.id, asked(prompt.messages), {}, content_key(prompt)) for prompt in tasks.pool]
    overlapping = {finding.row: finding for finding in Guard(outside, context).check(rows)}
    for finding in overlapping.values():
        rejected[f"overlaps a question of {finding.benchmark}: {finding.how}"] += 1
    pool = tuple(prompt for prompt in tasks.pool if prompt.id not in overlapping)
    if not pool:
        raise TeachableError(
            f"all {len(tasks.pool)} prompts of the pool overlap the benchmarks",
            where="tasks.benchmarks",
            mend="Leave the benchmark out that the pool was made of, or name another source",
        )
    prompt_of = {prompt.id: prompt for prompt in pool}
    solved = [solution for solution in tasks.solutions if solution.prompt_id in prompt_of]
    rows = [
        TrainingRow(str(i), (), {"solution": one.text}, own=asked(prompt_of[one.prompt_id].messages))
        for i, one in enumerate(solved)
    ]
    telling = {int(finding.row) for finding in Guard(tasks.heldout, context).check(rows) if finding.field != PROMPT}
    if telling:
        rejected["the solution holds a held-out question"] += len(telling)
    solutions = tuple(one for i, one in enumerate(solved) if i not in telling)
    return replace(tasks, pool=pool, solutions=solutions, rejected=tuple(sorted(rejected.items())))
