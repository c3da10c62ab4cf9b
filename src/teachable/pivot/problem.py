"""One prompt under search: its gate, its tree of completions, and the solutions whose paths are searched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from teachable.errors import TeachableError
from teachable.pivot.config import PivotConfig
from teachable.pivot.curve import Floats
from teachable.pivot.found import Gated, Pivot, Searched
from teachable.pivot.path import Found, Path, Want
from teachable.pivot.tree import Sample, alternatives_at, leaves_at
from teachable.records import Attempt, Completion, Estimate, Prompt

KNOWN_GATE = 4  # samples of a prompt whose success probability probing has told: they serve as solutions
MAX_FAILURES = 3  # requests in a row that may fail before a solution is given up


@dataclass
class Solution:
    """A sampled response under search, and its path."""

    sample: Sample
    path: Path
    n_requests: int = 0
    n_failures: int = 0
    note: str = ""
    done: bool = False

    def count(self, sample: Sample) -> None:
        """Count a sample if it is fair for this solution; none speaks for itself."""
        leave = leaves_at(sample, self.sample.token_ids)
        if leave is not None and sample is not self.sample:
            self.path.add(leave, sample.right)


@dataclass
class Problem:
    """A prompt, the tokens that its solutions continue, and all that is known of them."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    estimate: Estimate | None
    samples: list[Sample] = field(default_factory=list)
    solutions: list[Solution] = field(default_factory=list)
    gate: Gated | None = None
    n_undecided: int = 0
    undecided: str = ""  # why the verifier could not tell of one of these
    fault: str = ""

    def add(self, sample: Sample) -> None:
        """Count a sample for every solution for which it is fair."""
        self.samples.append(sample)
        for solution in self.solutions:
            solution.count(sample)

    def give(self, attempts: Sequence[Attempt]) -> None:
        """Take probing's attempts as samples of the root; those without tokens or verdict say nothing here."""
        for one in attempts:
            if one.correct is not None and one.token_ids:
                self.add(Sample(0, one.token_ids, None, one.correct, one.text, one.finish_reason))

    def decide(self, drawn: Sequence[Sample], config: PivotConfig, name: str) -> None:
        """Let the prompt through its gate, given its own whole samples, and choose the solutions to search."""
        n, successes = self._decided(drawn)
        p = self.estimate.pass_rate if self.estimate is not None else (successes / n if n else None)
        outcome, reason = self._outcome(drawn, p, config)
        if not outcome:
            for number, sample in enumerate(choose(drawn, p or 0.0, config.n_solutions)):
                path = Path(
                    sample.logprobs or (),
                    right=sample.right,
                    config=config,
                    name=f"{name}\x1f{self.prompt.id}\x1f{number}",
                )
                solution = Solution(sample, path)
                for one in self.samples:
                    solution.count(one)
                self.solutions.append(solution)
            outcome, reason = "searched", f"{successes} of {n} samples right"
            if not any(searched.path.can_pivot for searched in self.solutions):
                outcome, reason = "certain", "no token of it leaves room for a change of the gap"
        self.gate = Gated(self.prompt.id, outcome, reason, n, successes, p)

    def _decided(self, drawn: Sequence[Sample]) -> tuple[int, int]:
        if self.estimate is not None:
            return self.estimate.n, self.estimate.successes
        return len(drawn), sum(one.right for one in drawn)

    def _outcome(self, drawn: Sequence[Sample], p: float | None, config: PivotConfig) -> tuple[str, str]:
        """Why a prompt is not searched: an outcome and a reason; two empty strings if it is."""
        if p is not None and not config.low <= p <= config.high:
            return "outside", f"its success probability, {p:.2f}, is not in {config.low:g} to {config.high:g}"
        if not drawn and self.n_undecided == 0:
            return "failed", self.fault or "the engine returned nothing"
        if not drawn:
            return "undecided", f"the verifier could not tell of any of {self.n_undecided} samples: {self.undecided}"
        if not any(one.token_ids for one in drawn):
            return "empty", f"all of {len(drawn)} samples are empty"
        return "", ""

    def wants(self, solution: Solution, prior: Floats) -> Want | None:
        """Where a solution's search goes on, or None if it is at its end."""
        if solution.n_failures >= MAX_FAILURES:
            solution.note = f"given up after {MAX_FAILURES} failed requests: {self.fault}"
            return None
        return solution.path.wants(prior)

    def searched(self, solution: Solution, name: Callable[[int], str], prior: Floats) -> Searched:
        """A solution as a record, with its value curve."""
        curve = solution.path.infer(prior)
        sample, steps = solution.sample, solution.path.steps
        values, sds = [], []
        for step in range(len(steps)):
            n = int(steps.end[step] - steps.begin[step])
            for place in range(n):  # within a near-certain run the value goes evenly from one end to the other
                share = place / n
                values.append(float((1 - share) * curve.mean[step] + share * curve.mean[step + 1]))
                sds.append(float((1 - share) * curve.sd[step] + share * curve.sd[step + 1]))
        values.append(1.0 if sample.right else 0.0)
        sds.append(0.0)
        return Searched(
            prompt_id=self.prompt.id,
            prompt_token_ids=self.prompt_ids,
            token_ids=sample.token_ids,
            tokens=tuple(name(token) for token in sample.token_ids),
            text=sample.text,
            correct=sample.right,
            probabilities=probabilities(sample),
            values=tuple(values),
            value_sds=tuple(sds),
            n_samples=solution.path.n_samples,
            note=solution.note,
        )

    def pivots(self, solution: Solution, name: Callable[[int], str]) -> list[Pivot]:
        """The pivotal tokens of a solution, in their order."""
        return [self._pivot(solution.sample, found, name) for found in solution.path.found()]

    def _pivot(self, sample: Sample, found: Found, name: Callable[[int], str]) -> Pivot:
        position, change = found.position, found.change
        return Pivot(
            prompt_id=self.prompt.id,
            position=position,
            token_id=sample.token_ids[position],
            token=name(sample.token_ids[position]),
            p_before=min(1.0, max(0.0, change.p_after - change.delta)),
            p_after=change.p_after,
            delta=change.delta,
            delta_low=max(-1.0, change.delta - found.half_width),
            delta_high=min(1.0, change.delta + found.half_width),
            n_samples=change.n_used,
            solution_token_ids=sample.token_ids,
            probability=probabilities(sample)[position],
            alternatives=alternatives_at(position, sample.token_ids, self.samples, name),
        )


def probabilities(sample: Sample) -> tuple[float, ...]:
    """The next-token probabilities of a whole sample's tokens."""
    return tuple(min(1.0, math.exp(logprob)) for logprob in sample.logprobs or ())


def choose(drawn: Sequence[Sample], p: float, n: int) -> list[Sample]:
    """The n samples to search: those that ended against the odds first, of these the finished ones, in drawing order.

    A solution's values go from p to its end, so one that ends against the odds has the longer way, and on it the more
    pivotal tokens. Samples with the same tokens are searched once.
    """
    against = p <= 0.5
    order = sorted(
        (one for one in drawn if one.token_ids), key=lambda one: (one.right is not against, one.finish_reason != "stop")
    )
    chosen: dict[tuple[int, ...], Sample] = {}
    for one in order:
        chosen.setdefault(one.token_ids, one)
    return list(chosen.values())[:n]


def refuse_untold(completion: Completion, engine: str) -> None:
    """Refuse what the search can't use.

    Raises:
        TeachableError: the engine gives no token ids, or no log-probabilities.
    """
    if not completion.token_ids and completion.text:
        raise TeachableError(
            "this engine gives text without token ids, and the search works in tokens",
            where=engine,
            mend="Use a transformers engine, or a server that returns token ids (vLLM does) with `tokenizer` set",
        )
    if completion.token_ids and completion.token_logprobs is None:
        raise TeachableError(
            "this engine gives no log-probabilities of the tokens that it samples, and the search needs them",
            where=engine,
            mend="Use a transformers engine, or a server that returns log-probabilities of the sampled distribution",
        )


def whole_sample(completion: Completion, start: tuple[int, ...], text: str, right: bool) -> Sample:
    """A completion of a solution's first tokens, with the whole response's text and verdict, as a sample."""
    ids, logprobs = tuple(completion.token_ids), tuple(completion.token_logprobs or ())
    return Sample(len(start), start + ids, logprobs, right, text, completion.finish_reason)
