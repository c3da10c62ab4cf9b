"""What attempts are compared with: the prompt's own answer, or else the plurality of a reference model's answers.

A teacher that contradicts a prompt's organic answer makes the prompt `suspect`: one of the two is wrong, and nobody
knows which. A teacher that disagrees with itself gives no key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from teachable.errors import Stopped
from teachable.probe.config import ProbeConfig
from teachable.records import AnswerSource, Attempt, Engine, OnProgress, Progress, Prompt, Verifier
from teachable.rollouts import Ask, Sampling, answer, request_seed
from teachable.verify import same_answer, vote

TEACHER: AnswerSource = "teacher"
MAJORITY: AnswerSource = "majority"


@dataclass(frozen=True)
class Key:
    """The answer that decides, and how far it can be trusted.

    `agreement` is the share of the teacher's samples that gave this answer; 1 where no teacher was asked.
    `trouble` says why there is no key, or why it is suspect.
    """

    answer: str | None
    source: str
    agreement: float = 1.0
    suspect: bool = False
    trouble: str = ""


def own_key(prompt: Prompt) -> Key:
    """The key of a prompt for which no teacher is asked."""
    return Key(prompt.answer, prompt.answer_source if prompt.answer is not None else "")


def with_key(prompt: Prompt, key: Key) -> Prompt:
    """The prompt as its verifier is to see it."""
    return replace(prompt, answer=key.answer, answer_source=TEACHER) if key.source == TEACHER else prompt


def agrees(attempt: Attempt, answer: str | None, verifier: str) -> bool:
    """Whether an attempt gave this answer, in the sense in which pluralities are counted under that verifier."""
    return answer is not None and attempt.answer is not None and same_answer(attempt.answer, answer, verifier)


async def ask_teacher(
    prompts: Sequence[Prompt],
    *,
    teacher: Engine,
    verifiers: Mapping[str, Verifier] | None,
    config: ProbeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
) -> tuple[dict[str, Key], list[Attempt], Stopped | None]:
    """The key of every prompt by its id, the teacher's answers, and what stopped it early, if anything did.

    The plurality is over all samples asked for: an answer that can't be read, or a request that failed, agrees with
    nothing. The teacher's samples have a seed of their own, so that a model may be its own teacher.
    """
    answers_at: list[list[Attempt]] = [[] for _ in prompts]
    done = tokens = 0

    def answered(place: int, answers: list[Attempt]) -> None:
        nonlocal done, tokens
        answers_at[place] = answers
        done += 1
        tokens += sum(answer.n_tokens for answer in answers)
        if on_progress is not None:
            on_progress(Progress(done, len(prompts), "prompts", tokens, "answered by the teacher"))

    stopped: Stopped | None = None
    try:
        await answer(
            [Ask(prompt, config.teacher_samples) for prompt in prompts],
            engine=teacher,
            verifiers=verifiers,
            sampling=Sampling(
                config.teacher_max_tokens, config.teacher_temperature, config.top_p, config.top_k, config.min_p
            ),
            seed=request_seed(seed, TEACHER),
            on_answer=answered,
        )
    except Stopped as error:
        stopped = error
    pairs = zip(prompts, answers_at, strict=True)
    keys = {prompt.id: key_from(prompt, answers, config.teacher_agreement) for prompt, answers in pairs}
    return keys, [one for answers in answers_at for one in answers], stopped


def key_from(prompt: Prompt, answers: Sequence[Attempt], least_agreement: float) -> Key:
    """The key of one prompt, given the teacher's answers to it.

    Args:
        least_agreement: the plurality must hold more than this share of the answers.
    """
    votes = vote([answer.answer for answer in answers], prompt.verifier)
    if votes.n == 0:
        cause = answers[0].reason if answers else "it was not asked"
        trouble = "" if prompt.answer is not None else f"the teacher gave no answer: {cause}"
        return replace(own_key(prompt), agreement=0.0, trouble=trouble)
    agreement = votes.votes / len(answers)
    agreed = agreement > least_agreement
    inside = [answers[index] for index in votes.groups[0].indices]
    share = f"{votes.votes} of {len(answers)} of the teacher's answers"
    if prompt.answer is not None:
        clash = agreed and not any(answer.correct is True for answer in inside)
        clash = clash and any(answer.correct is False for answer in inside)
        trouble = f"{share} are {inside[0].answer!r}, its own answer is {prompt.answer!r}" if clash else ""
        behind = sum(answer.correct is True for answer in answers) / len(answers)
        return Key(prompt.answer, prompt.answer_source, behind, clash, trouble)
    if not agreed:
        return Key(None, TEACHER, agreement, trouble=f"the teacher disagrees with itself: at most {share} agree")
    return Key(inside[0].answer, TEACHER, agreement)
