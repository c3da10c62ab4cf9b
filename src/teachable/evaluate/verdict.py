"""The verdict in one sentence: did teaching at the edge beat teaching anything else? Or else: which model is better?

Of two, "better" and "worse" are said only where the 95% interval of the paired difference leaves out 0. Of more models,
the best is called better than another only where the p-value, adjusted for all comparisons of models (Holm), is below
0.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from teachable.evaluate.differences import Pair, trained_arms
from teachable.evaluate.tables import BASE, HEADLINE, PASS, RANDOM

ALPHA = 0.05
_CONTRASTS = ((HEADLINE, RANDOM), (HEADLINE, BASE))
_NAMES = {
    HEADLINE: "teaching at the edge",
    RANDOM: "random examples",
    "mastered": "mastered examples",
    "beyond": "examples beyond the model",
    BASE: "the base model",
}
_ENDINGS = {
    "better": "so it was better",
    "worse": "so it was worse",
    "no difference": "so no difference could be shown",
}


def outcome_of(low: float, high: float) -> str:
    """ "better", "worse" or "no difference": which side of 0 an interval lies on, if on one."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference"


def verdict(
    arms: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    budget_tokens: int | None,
    *,
    beside: Sequence[str] = (),
    metric: str = PASS,
    n_questions: int = 0,
    task: str = "",
) -> dict[str, Any]:
    """The verdict on `teachable` against `random`; against the base, or of another arm, where that is all there is.

    Where nothing was trained it is on the models: the best of them against the runner-up.

    Args:
        arms: means by arm and metric, as in evaluate/stats.json, over the questions that the verdict is on.
        comparisons: paired differences, as there.
        budget_tokens: training tokens of each arm, or None where unknown.
        beside: the arms that are models beside the run's own.
        metric: what the verdict is on.
        n_questions: that were asked, for the sentence on models.
        task: which comparisons count: those of this task; "" for those over all questions.
    """
    mean_of = {arm["arm"]: arm["metrics"][metric]["mean"] for arm in arms if metric in arm["metrics"]}
    found = {(c["arm"], c["baseline"]): c for c in comparisons if c["metric"] == metric and c.get("task", "") == task}
    trained = trained_arms([arm["arm"] for arm in arms], beside)
    own = [pair for pair in (*_CONTRASTS, *found) if pair in found and not {*pair} & {*beside}]
    if own and trained:
        told = _on_arms(
            own[0], found[own[0]], mean_of, budget_tokens, "On the run's own held-out questions, " if task else ""
        )
    elif len(mean_of) > 1 and found:
        told = _on_models(mean_of, found, n_questions)
    else:
        told = {"sentence": _nothing_to_compare(mean_of), "outcome": "no difference"}
        told |= dict.fromkeys(("diff", "low", "high"))
    return {**told, "metric": metric, "task": task}


def main_pair(told: Mapping[str, Any], comparisons: Sequence[Mapping[str, Any]]) -> Pair | None:
    """The comparison that the verdict rests on, as (arm, baseline) of `comparisons`; None where there is none."""
    wanted = told["metric"], told["task"]
    known = [(c["arm"], c["baseline"]) for c in comparisons if (c["metric"], c["task"]) == wanted]
    pair = (told.get("arm", ""), told.get("baseline", ""))
    return next((one for one in (pair, pair[::-1]) if one in known), None)


def _on_arms(
    pair: Pair, chosen: Mapping[str, Any], mean_of: Mapping[str, float], budget_tokens: int | None, where: str
) -> dict[str, Any]:
    arm, baseline = pair
    outcome = outcome_of(chosen["low"], chosen["high"])
    tokens = f"{budget_tokens:,} training tokens" if budget_tokens else "training tokens"
    opening = f"At the same {tokens}, "
    if baseline == BASE:  # which was taught nothing
        opening = f"With {tokens}, " if budget_tokens else ""
    opening = where + (opening[:1].lower() + opening[1:] if where else opening)
    name, other = _NAMES.get(arm, arm), _NAMES.get(baseline, baseline)
    sentence = (
        f"{opening}{name} scored {mean_of[arm]:.1%} against {mean_of[baseline]:.1%} for {other}: "
        f"{_difference(chosen)}, {_ENDINGS[outcome]}."
    )
    return {"sentence": _capital(sentence, arm), "outcome": outcome, "arm": arm, "baseline": baseline} | {
        name: chosen[name] for name in ("diff", "low", "high")
    }


def _on_models(
    mean_of: Mapping[str, float], found: Mapping[Pair, Mapping[str, Any]], n_questions: int
) -> dict[str, Any]:
    """The best model against the others; "better" only where it is better than every one of them."""
    best, runner_up, *rest = sorted(mean_of, key=lambda arm: -mean_of[arm])  # of equals the first named
    against = {other: turned for other in (runner_up, *rest) if (turned := _turned(found, best, other)) is not None}
    if runner_up not in against:
        return {"sentence": _nothing_to_compare({best: mean_of[best]}), "outcome": "no difference"} | dict.fromkeys(
            ("diff", "low", "high")
        )
    chosen = against[runner_up]
    opening = f"On {n_questions:,} questions {_NAMES.get(best, best)} scored {mean_of[best]:.1%}"
    if not rest:
        outcome = outcome_of(chosen["low"], chosen["high"])
        other = _NAMES.get(runner_up, runner_up)
        sentence = (
            f"{opening} against {mean_of[runner_up]:.1%} for {other}: {_difference(chosen)}, {_ENDINGS[outcome]}."
        )
    else:
        above = [other for other, one in against.items() if one["diff"] > 0 and one["p_holm"] < ALPHA]
        level = [other for other in against if other not in above]
        outcome = "no difference" if level else "better"
        alone = mean_of[best] > mean_of[runner_up]
        rank = f"the most of {len(mean_of)} models" if alone else f"and none of {len(mean_of)} models more"
        sentence = f"{opening}, {rank}: {_standing(above, level, against)}."
    return {"sentence": sentence, "outcome": outcome, "arm": best, "baseline": runner_up} | {
        name: chosen[name] for name in ("diff", "low", "high")
    }


def _standing(above: Sequence[str], level: Sequence[str], against: Mapping[str, Mapping[str, Any]]) -> str:
    """Whom the best model is better than, and whom it can't be told from."""

    def each(others: Sequence[str]) -> str:
        return _listed([f"{_NAMES.get(one, one)} ({_points(against[one]['diff'])} points)" for one in others])

    better = f"better than {each(above)}, by p-values adjusted for the number of comparisons" if above else ""
    unclear = f"no difference from {each(level)} could be shown" if level else ""
    return "; ".join(part for part in (better, unclear) if part)


def _turned(found: Mapping[Pair, Mapping[str, Any]], arm: str, baseline: str) -> Mapping[str, Any] | None:
    """The comparison of `arm` against `baseline`, turned round where it was made the other way."""
    if (arm, baseline) in found:
        return found[arm, baseline]
    if (baseline, arm) not in found:
        return None
    other = found[baseline, arm]
    return {**other, "diff": -other["diff"], "low": -other["high"], "high": -other["low"]}


def _nothing_to_compare(mean_of: Mapping[str, float]) -> str:
    if not mean_of:
        return "No model could be scored, so there is nothing to compare."
    arm, mean = next(iter(mean_of.items()))
    return _capital(f"{_NAMES.get(arm, arm)} scored {mean:.1%}; there is no other model to compare it with.", arm)


def _capital(sentence: str, arm: str) -> str:
    """The sentence with a capital, unless it begins with a model's own name."""
    return sentence if sentence.startswith(arm) else sentence[0].upper() + sentence[1:]


def _difference(chosen: Mapping[str, Any]) -> str:
    low, high = _points(chosen["low"]), _points(chosen["high"])
    return f"{_points(chosen['diff'])} points (95% interval {low} to {high})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _points(share: float) -> str:
    """A share in points with its sign; what rounds to nothing has none."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
