"""What could be trained on: the response of each prompt, the pool of each arm, and the reason of each decision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from teachable.overlap.near import near_duplicate_groups
from teachable.records import Attempt, Estimate, Example, Message, Messages, Prompt, Solution
from teachable.select.config import SelectConfig

OF_ALL_ZONES = ("random", "full")  # arms that draw from every prompt with a response, whatever its zone
NOT_PROBED = "not probed"
NO_RESPONSE = "no verified response to train on"
NEAR_DUPLICATE = "near-duplicate"
NOT_SURE = "its zone is not sure enough"
SUSPECT = "suspect: the teacher contradicts its answer"
_WHY_OUT = {
    "mastered": "nothing to learn",
    "beyond": "nothing to build on",
    "ambiguous": "not to be trusted",
}


@dataclass(frozen=True)
class Decision:
    """In or out of the pool, with the reason in full and the kind of reason that is counted."""

    decision: str
    reason: str
    kind: str


def responses(
    prompts: Sequence[Prompt], solutions: Iterable[Solution], attempts: Iterable[Attempt], config: SelectConfig
) -> dict[str, tuple[str, str]]:
    """The response to train on by prompt id, and where it comes from; prompts without one are not in it.

    Of several solutions or right attempts the shortest is taken, which keeps the tokens for more prompts and
    leaves out rambling; of several as short, the first in alphabetical order. An attempt that was cut at its
    length limit is never taken: it would teach not to stop.
    """
    worked: dict[str, str] = {}
    own: dict[str, str] = {}
    if config.responses in ("auto", "solution"):
        for solution in solutions:
            _keep_shorter(worked, solution.prompt_id, solution.text)
    if config.responses in ("auto", "attempt"):
        for attempt in attempts:
            if attempt.correct is True and attempt.finish_reason == "stop":
                _keep_shorter(own, attempt.prompt_id, attempt.text)
    chosen: dict[str, tuple[str, str]] = {}
    for prompt in prompts:
        if prompt.id in worked:
            chosen[prompt.id] = worked[prompt.id], "worked solution"
        elif prompt.id in own:
            chosen[prompt.id] = own[prompt.id], "the model's own right answer"
    return chosen


def _keep_shorter(best: dict[str, str], key: str, text: str) -> None:
    if key not in best or (len(text), text) < (len(best[key]), best[key]):
        best[key] = text


def examples(
    prompts: Sequence[Prompt],
    found: Mapping[str, tuple[str, str]],
    estimates: Mapping[str, Estimate],
    config: SelectConfig,
    count_tokens: Callable[[Messages], int],
) -> dict[str, Example]:
    """The training example of every prompt that has a response, by prompt id.

    Where no responses are wanted, that of every prompt, with nothing but the prompt in it and no training tokens.
    """
    made: dict[str, Example] = {}
    for prompt in prompts:
        estimate = estimates.get(prompt.id)
        if config.responses == "none":
            why = standing(estimate)
            zone = estimate.zone if estimate else ""
            made[prompt.id] = Example(prompt.id, prompt.messages, prompt.domain, prompt.level, zone, why, 0)
            continue
        if prompt.id not in found:
            continue
        text, source = found[prompt.id]
        messages = (*prompt.messages, Message(role="assistant", content=text))
        made[prompt.id] = Example(
            prompt_id=prompt.id,
            messages=messages,
            domain=prompt.domain,
            level=prompt.level,
            zone=estimate.zone if estimate else "",
            why=f"{standing(estimate)}; {source}",
            n_tokens=count_tokens(messages),
        )
    return made


def standing(estimate: Estimate | None) -> str:
    """Zone and counts in a few words: "teachable: 3 of 8 right"; or the reason, where nothing could be counted."""
    if estimate is None:
        return NOT_PROBED
    if estimate.zone == "ambiguous" or estimate.n == 0:
        return f"{estimate.zone}: {estimate.reason}"
    return f"{estimate.zone}: {estimate.successes} of {estimate.n} right"


def distinct(ids: Collection[str], prompts: Mapping[str, Prompt], threshold: float | None) -> dict[str, str]:
    """Each id's representative among its near-duplicates: the smallest id of the group."""
    ordered = sorted(ids)
    if threshold is None:
        return {row: row for row in ordered}
    # The ids are sorted, so that the first member of a group is its smallest.
    groups = near_duplicate_groups(
        [prompts[row].text for row in ordered],
        threshold=threshold,
        domains=[prompts[row].domain for row in ordered],
    )
    return {row: ordered[group] for row, group in zip(ordered, groups, strict=True)}


def bar(estimate: Estimate | None, has_example: bool, config: SelectConfig) -> Decision | None:
    """Why a prompt is no candidate for the teachable pool, whatever the others are; None for a candidate.

    Args:
        estimate: what probing learnt of it, or None.
        has_example: there is a response to train on, where one is wanted.
        config: confidence, and whether suspects are let in.
    """
    if estimate is None:
        return Decision("out", NOT_PROBED, NOT_PROBED)
    if estimate.suspect and not config.allow_suspect:
        return Decision("out", estimate.reason, SUSPECT)
    if estimate.zone != "teachable":
        ending = _WHY_OUT[estimate.zone]
        return Decision("out", f"{standing(estimate)}, {ending}", f"{estimate.zone}: {ending}")
    if not is_sure(estimate, config):
        sure = f"with probability {estimate.zone_mass:.2f}, below the least of {config.min_confidence:g}"
        return Decision("out", f"{standing(estimate)}, {sure}", NOT_SURE)
    if not has_example:
        return Decision("out", f"{standing(estimate)}, but {NO_RESPONSE}", NO_RESPONSE)
    return None


def is_sure(estimate: Estimate, config: SelectConfig) -> bool:
    """Is its zone as probable as is asked for? Where no probability is claimed, only if none is asked for."""
    return estimate.zone_mass >= config.min_confidence


def may_join(arm: str, estimate: Estimate | None, config: SelectConfig) -> bool:
    """Whether a prompt with a response may be in the pool of an arm, near-duplicates and quotas apart."""
    if estimate is None:
        return arm in OF_ALL_ZONES
    if estimate.suspect and not config.allow_suspect:
        return False
    return arm in OF_ALL_ZONES or (estimate.zone == arm and is_sure(estimate, config))
