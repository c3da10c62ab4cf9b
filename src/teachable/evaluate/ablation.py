"""What an ablation shows: arms trained alike, asked the same questions along the way, and compared pair by pair.

Two numbers are compared: the score at the end, and the area under the curve of score against training tokens, from the
base to the end, as a mean over that way (the trapezoid rule; all arms are asked after the same steps, whose tokens are
the same within half an example). Both are known of every question and seed, so `teachable` and another arm are compared
question by question and seed by seed, by a bootstrap that draws both anew (`stats.means`). Several arms are several
chances of a false alarm, so the p-values of one number are adjusted for the number of arms (Holm 1979).

Percentile intervals are too narrow where few seeds differ much, so a Student's t interval of the same differences
stands beside each, and "better" is said only where both leave out 0 and the adjusted p-value is below 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teachable.errors import TeachableError
from teachable.stats import Interval, holm, mean_interval, paired_difference, smallest_detectable

Row: TypeAlias = Mapping[str, Any]
Outcome = Literal["better", "worse", "no difference"]
BASE, HEADLINE = "base", "teachable"
ORDER = (HEADLINE, "random", "full", "mastered", "beyond")
END, AREA = "end", "area"
ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: resamples of questions and seeds, and the seed of the drawing."""

    n: int = 2000
    seed: int = 0


class Courses:
    """Scores of every arm along its training: asked for tables of questions by seeds.

    Attributes:
        arms: those that were trained, `teachable` first.
        steps: after which the models were asked, rising; the base's 0 is not among them.
        questions: their ids, sorted.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        """Rows (arm, seed, step, prompt_id, score), score None where nothing was decided.

        Raises:
            ValueError: the base is missing, or an arm was not asked every question after every step.
        """
        self._score = {(r["arm"], r["seed"], r["step"], r["prompt_id"]): r["score"] for r in rows}
        trained = [row for row in rows if row["arm"] != BASE]
        names = dict.fromkeys(row["arm"] for row in trained)
        self.arms = sorted(names, key=lambda arm: ORDER.index(arm) if arm in ORDER else len(ORDER))
        self.steps = sorted({int(row["step"]) for row in trained})
        self.questions = sorted({row["prompt_id"] for row in rows})
        self.seeds = {arm: sorted({row["seed"] for row in trained if row["arm"] == arm}) for arm in self.arms}
        n = len(self.questions)
        if len(rows) != n * (1 + len(self.steps) * sum(map(len, self.seeds.values()))):
            raise ValueError("the base and every arm and seed must have a score of every question after every step")
        self._base = self._column(BASE, 0, 0)

    def _column(self, arm: str, seed: int, step: int) -> list[float]:
        scores = [self._score[arm, seed, step, question] for question in self.questions]
        return [math.nan if score is None else float(score) for score in scores]

    def at(self, arm: str, step: int) -> NDArray[np.float64]:
        """Scores [questions, seeds] after a step; of the base [questions, 1]."""
        if arm == BASE or step == 0:
            return np.array(self._base)[:, None]
        return np.array([self._column(arm, seed, step) for seed in self.seeds[arm]]).T

    def table(self, arm: str, number: str) -> NDArray[np.float64]:
        """Scores at the end, or areas, [questions, seeds]; the base stays where it is, so its area is its score."""
        if number == END or arm == BASE:
            return self.at(arm, self.steps[-1])
        found = np.zeros_like(self.at(arm, self.steps[-1]))
        before, value = 0, self.at(BASE, 0)
        for step in self.steps:
            after = self.at(arm, step)
            found = found + (step - before) / self.steps[-1] * (value + after) / 2
            before, value = step, after
        return found


def summarise_ablation(
    rows: Sequence[Row], runs: Sequence[Row], selected: Sequence[Row], draw: Bootstrap
) -> dict[str, Any]:
    """Everything that the answers say: arms, comparisons, verdict.

    Args:
        rows: (arm, seed, step, tokens, prompt_id, score), see `Courses`; of the base at step 0.
        runs: (arm, seed, n_steps, n_tokens, n_examples) of every training.
        selected: (arm, n_unique, n_pool, n_epochs) of every set of examples.

    Returns:
        `arms` with `end` and `area` (means with 95% intervals), `course` along the training (`tokens` being the mean
        over seeds, and `gain` over the base with its paired interval) and a list over seeds of each count; `base`;
        `comparisons` as `compared` gives them; `verdict`; `n_questions`, `seeds`, `steps`.
    """
    courses = Courses(rows)
    tokens: dict[tuple[str, int], dict[int, int]] = {}
    for row in rows:
        tokens.setdefault((row["arm"], row["step"]), {})[row["seed"]] = row["tokens"]
    arms = []
    for arm in courses.arms:
        trained = [run for run in runs if run["arm"] == arm]
        sets = [one for one in selected if one["arm"] == arm]
        course = [
            {
                "step": step,
                "tokens": float(np.mean(list(tokens[arm, step].values()))),
                "mean": float(np.nanmean(courses.at(arm, step))),
                **_gain(courses, arm, step, draw),
            }
            for step in courses.steps
        ]
        arms.append(
            {
                "arm": arm,
                "n_seeds": len(trained),
                "n_steps": courses.steps[-1],
                **{name: [run[name] for run in trained] for name in ("n_tokens", "n_examples")},
                **{name: [one[name] for one in sets] for name in ("n_unique", "n_pool", "n_epochs")},
                END: mean_of(courses.table(arm, END), draw),
                AREA: mean_of(courses.table(arm, AREA), draw),
                "course": course,
            }
        )
    comparisons = compared(courses, draw)
    seeds = sorted({run["seed"] for run in runs})
    return {
        "arms": arms,
        BASE: mean_of(courses.at(BASE, 0), draw),
        "comparisons": comparisons,
        "verdict": verdict(
            comparisons,
            score=arms[0][END]["mean"],
            n_tokens=min(run["n_tokens"] for run in runs),
            n_steps=courses.steps[-1],
            n_seeds=len(seeds),
        ),
        "n_questions": len(courses.questions),
        "seeds": seeds,
        "steps": courses.steps,
    }


def mean_of(table_QS: NDArray[np.float64], draw: Bootstrap) -> dict[str, float]:
    """A table's mean and its 95% interval."""
    found = mean_interval(table_QS, method="bootstrap", n_bootstrap=draw.n, seed=draw.seed)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _gain(courses: Courses, arm: str, step: int, draw: Bootstrap) -> dict[str, float]:
    """What a training has changed until a step: less the base, question by question."""
    found = paired_difference(
        courses.at(arm, step), courses.at(BASE, 0), method="bootstrap", n_bootstrap=draw.n, seed=draw.seed
    )
    return {"gain": found.mean, "gain_low": found.low, "gain_high": found.high}


def compared(courses: Courses, draw: Bootstrap) -> list[dict[str, Any]]:
    """`teachable` less every other arm, and less the base, at the end and as areas.

    Returns:
        Rows: `number` ("end" or "area"), `arm` and `baseline`, `diff` with `low` and `high` (bootstrap), `t_low` and
        `t_high` (Student's t), `p_value` (bootstrap), `p_holm`, `detectable` (the true difference that would be found
        80% of the time; None where one question can't say), `n_questions`, `n_seeds`, `outcome`. The base is no arm:
        its comparison is not counted among those that p-values are adjusted for.

    Raises:
        TeachableError: there is no question that both of a pair could be scored on.
    """
    found = []
    for number in (END, AREA):
        others = [arm for arm in courses.arms if arm != HEADLINE]
        rows = [_difference(courses, other, number, draw) for other in (*others, BASE)]
        family = rows[:-1]
        for row, adjusted in zip(family, holm([row["p_value"] for row in family]), strict=True):
            row["p_holm"] = adjusted
        found += [{**row, "outcome": outcome_of(row)} for row in rows]
    return found


def _difference(courses: Courses, other: str, number: str, draw: Bootstrap) -> dict[str, Any]:
    one, another = courses.table(HEADLINE, number), courses.table(other, number)
    drawn = paired_difference(one, another, method="bootstrap", n_bootstrap=draw.n, seed=draw.seed)
    students: Interval = paired_difference(one, another)
    if not drawn.n:
        raise TeachableError(
            f"there is no question on which both {HEADLINE} and {other} could be scored at every step",
            mend="Look at what the verifier says of the held-out questions' answers: teachable verify",
        )
    detectable = smallest_detectable(students.se, students.df, POWER)
    return {
        "number": number,
        "arm": HEADLINE,
        "baseline": other,
        "diff": drawn.mean,
        "low": drawn.low,
        "high": drawn.high,
        "t_low": students.low,
        "t_high": students.high,
        "p_value": drawn.p_value,
        "p_holm": drawn.p_value,
        "detectable": detectable if math.isfinite(detectable) else None,
        "n_questions": drawn.n,
        "n_seeds": one.shape[1],
    }


def outcome_of(row: Row) -> Outcome:
    """What may be said of a comparison: a side only where both intervals and the adjusted p-value allow it."""
    if row["p_holm"] >= ALPHA:
        return "no difference"
    if min(row["low"], row["t_low"]) > 0:
        return "better"
    return "worse" if max(row["high"], row["t_high"]) < 0 else "no difference"


def verdict(comparisons: Sequence[Row], *, score: float, n_tokens: int, n_steps: int, n_seeds: int) -> dict[str, str]:
    """The verdict on `teachable` at the end of the training, against every other arm: a sentence and its outcome.

    The outcome is "better" than all arms, "better than some", "no difference", or "worse" than one at least.

    Args:
        comparisons: as `compared` gives them.
        score: of `teachable` at the end.
        n_tokens, n_steps, n_seeds: of every arm.
    """
    found = [row for row in comparisons if row["number"] == END and row["baseline"] != BASE]
    groups = {side: [row for row in found if row["outcome"] == side] for side in ("better", "no difference", "worse")}
    parts = []
    if groups["better"]:
        parts.append(f"better than {_listed(groups['better'])}")
    if groups["no difference"]:
        parts.append(f"no difference from {_listed(groups['no difference'])} could be shown")
    if groups["worse"]:
        parts.append(f"worse than {_listed(groups['worse'])}")
    over = next(row for row in comparisons if row["number"] == END and row["baseline"] == BASE)
    parts.append(f"over the base {_points(over['diff'])} points ({_points(over['low'])} to {_points(over['high'])})")
    seeds = f"{n_seeds} seeds each" if n_seeds > 1 else "one seed each"
    opening = f"At the same {n_tokens:,} training tokens and {n_steps:,} steps, {seeds}, teachable ended at {score:.1%}"
    if groups["worse"]:
        outcome = "worse"
    elif groups["no difference"]:
        outcome = "better than some" if groups["better"] else "no difference"
    else:
        outcome = "better"
    return {"sentence": f"{opening}: {'; '.join(parts)}.", "outcome": outcome}


def _listed(rows: Sequence[Row]) -> str:
    told = [
        f"{row['baseline']} ({_points(row['diff'])} points, {_points(row['low'])} to {_points(row['high'])})"
        for row in rows
    ]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _points(share: float) -> str:
    """A share in points with its sign; what rounds to nothing has none."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
