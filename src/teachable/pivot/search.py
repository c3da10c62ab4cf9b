"""Pivotal token search (Abdin et al. 2024, Phi-4 Technical Report, section 4.3), by inference instead of bisection.

1. The gate: whole samples of a prompt, or probing's estimate, say whether its success probability lies where there is
   something to find. One of the samples becomes the solution that is searched.
2. The solution's own log-probabilities rule out most of its tokens (`pivot.steps`). What is left is a hidden curve of
   success probabilities over a few dozen steps, inferred from all completions so far (`pivot.curve`).
3. The next completions are drawn from the prefix from which they are expected to tell most about which tokens are
   pivotal, and of a suspected token's change; until none promises its price.
4. A suspected token is reported when completions drawn after the suspicion bear it out (`pivot.suspect`).

All prompts go forward in rounds, one batch a solution, so that an engine always has many requests to batch; between
rounds the prior of a fork's change is learnt anew from all of them. What is asked depends on the samples alone and not
on the order of their arrival: a search that was killed and goes on from its ledger ends with the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from teachable import verify
from teachable.errors import Stopped, TeachableError
from teachable.pivot.config import PivotConfig
from teachable.pivot.curve import N_BINS, Floats, learn_prior
from teachable.pivot.found import Gated, Pivot, Searched, SearchResult
from teachable.pivot.notes import Happened, notes_on
from teachable.pivot.path import Want
from teachable.pivot.problem import KNOWN_GATE, Problem, Solution, refuse_untold, whole_sample
from teachable.pivot.tree import Sample
from teachable.records import Attempt, Completion, Engine, Estimate, OnProgress, Progress, Prompt, Verifier
from teachable.rollouts import Sampling, completions_of, refuse_shared_ids, request_seed, verifiers_for

Say = Callable[[str], None]


async def search(
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    verifier: Verifier | None = None,
    config: PivotConfig | None = None,
    estimates: Mapping[str, Estimate] | None = None,
    attempts: Sequence[Attempt] = (),
    seed: int = 0,
    on_progress: OnProgress | None = None,
    say: Say | None = None,
) -> SearchResult:
    """Find the tokens that make or break solutions of these prompts; see the module for the method.

    Args:
        prompts: what to solve; ids must differ.
        engine: the model. It must take token ids as a prompt, and give token ids and log-probabilities.
        verifier: who decides, for all prompts; None for the verifier that each prompt names.
        config: None for the defaults.
        estimates: by prompt id, what probing has learnt: these prompts' success probability is not sampled again.
        attempts: probing's, drawn by the same engine with the same sampling; they count as samples of the root.
        seed: of the sampling.
        on_progress: called after every request, in solutions that need no more.
        say: gets a sentence for each kind of thing that went otherwise than it should.

    Returns:
        Pivots and solutions in the order of the prompts, and what became of each prompt.

    Raises:
        TeachableError: two prompts share an id, a verifier is unknown or lacks something, the engine can't give what
            the search needs, or it failed on all prompts.
    """
    refuse_shared_ids(prompts)
    config = config or PivotConfig()
    verifiers = verifiers_for(prompts, {prompt.verifier: verifier for prompt in prompts} if verifier else {})
    known = estimates or {}
    problems = [Problem(one, tuple(engine.encode(list(one.messages))), known.get(one.id)) for one in prompts]
    given: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        given.setdefault(attempt.prompt_id, []).append(attempt)
    asker = _Asker(engine, verifiers, config, seed, on_progress, len(prompts))
    run = _Run(problems, asker, config, seed)
    stopped: Stopped | None = None
    try:
        await run.gate(given)
        await run.to_the_end()
    except Stopped as error:
        stopped = error
    _refuse_total_failure(problems, asker)
    result = run.result(stopped)
    for note in result.notes:
        if say is not None:
            say(note)
    return result


@dataclass
class _Asker:
    """Asks the engine for completions of a prefix and has them verified; keeps count of what that cost."""

    engine: Engine
    verifiers: Mapping[str, Verifier]
    config: PivotConfig
    seed: int
    on_progress: OnProgress | None
    n_prompts: int
    completions: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    n_undecided: int = 0
    n_empty: int = 0
    n_silent: int = 0
    n_failed: int = 0
    n_done: int = 0
    n_pivots: int = 0
    names: dict[int, str] = field(default_factory=dict)

    def name(self, token: int) -> str:
        """A token's text."""
        if token not in self.names:
            self.names[token] = self.engine.decode([token])
        return self.names[token]

    async def ask(self, problem: Problem, start: tuple[int, ...], n: int, key: str) -> tuple[list[Sample], bool]:
        """n samples that continue a prompt and the first tokens of a solution, and whether the request was answered.

        A request that failed is recorded in `problem.fault`; a completion without a verdict is counted and left out.
        """
        config = self.config
        sampling = Sampling(
            max(1, config.max_tokens - len(start)),
            config.temperature,
            config.top_p,
            config.top_k,
            config.min_p,
            config.stop,
        )
        seed = request_seed(self.seed, f"{problem.prompt.id}\x1fpivot\x1f{key}")
        completions, error = await completions_of(self.engine, sampling.request(problem.prompt_ids + start, n, seed))
        if error is not None:
            problem.fault = f"{type(error).__name__}: {error}"
            self.n_failed += 1
        verified = await asyncio.gather(*(self._verified(problem, start, one) for one in completions))
        if self.on_progress is not None:
            note = f"{self.n_pivots:,} pivotal tokens, {self.completions:,} completions"
            self.on_progress(Progress(self.n_done, self.n_prompts, "prompts", self.tokens, note))
        return [sample for sample in verified if sample is not None], error is None

    async def _verified(self, problem: Problem, start: tuple[int, ...], completion: Completion) -> Sample | None:
        self.completions += 1
        self.tokens += completion.n_tokens
        self.prompt_tokens += completion.n_prompt_tokens
        self.n_empty += not completion.token_ids
        self.n_silent += not completion.token_ids and completion.token_logprobs is None
        refuse_untold(completion, self.engine.name)
        text = self._text(start, completion)
        verifier = self.verifiers[problem.prompt.verifier]
        verdict = await verify.verdict_of(verifier, text, problem.prompt)
        if verdict.correct is None:
            self.n_undecided += 1
            problem.n_undecided += 1
            problem.undecided = verdict.reason
            return None
        return whole_sample(completion, start, text, right=verdict.correct)

    def _text(self, start: tuple[int, ...], completion: Completion) -> str:
        """The whole response's text: decoded at once, since a character may lie across the place where it was cut."""
        if not start:
            return completion.text
        text = self.engine.decode(list(start + tuple(completion.token_ids)))
        cuts = [text.find(stop) for stop in self.config.stop if stop in text]
        return text[: min(cuts)] if cuts else text


class _Run:
    """All prompts of a search, round by round."""

    def __init__(self, problems: Sequence[Problem], asker: _Asker, config: PivotConfig, seed: int) -> None:
        self._problems = problems
        self._asker = asker
        self._config = config
        self._seed = seed
        self._prior: Floats = learn_prior(np.zeros(N_BINS))
        self._bought: dict[int, list[Sample]] = {}

    async def gate(self, given: Mapping[str, Sequence[Attempt]]) -> None:
        """Decide of every prompt whether it is searched."""

        async def one(problem: Problem) -> None:
            config, estimate = self._config, problem.estimate
            drawn: list[Sample] = []
            if estimate is None or config.low <= estimate.pass_rate <= config.high:
                n = config.n_gate if estimate is None else max(KNOWN_GATE, 2 * config.n_solutions)
                drawn, _ = await self._asker.ask(problem, (), n, "gate")
            problem.samples.extend(drawn)
            problem.give(given.get(problem.prompt.id, ()))
            problem.decide(drawn, config, f"{self._seed}")
            self._asker.n_done += problem.gate is not None and problem.gate.outcome != "searched"

        await _all(one(problem) for problem in self._problems)
        # An empty completion may come without log-probabilities from an engine that gives them; all of them may not.
        if self._asker.n_silent and self._asker.n_silent == self._asker.completions:
            raise TeachableError(
                f"all of {self._asker.completions} completions are empty, without tokens and log-probabilities",
                where=self._asker.engine.name,
                mend="Use an engine that continues token ids and gives log-probabilities; a table of answers doesn't",
            )

    async def to_the_end(self) -> None:
        """Ask, learn, and ask again, until no completion is worth its price."""
        while wanted := self._round():
            try:
                await _all(self._buy(*one) for one in wanted)
            finally:  # counted in the order of the prompts, whatever order they came in
                for problem, solution, _ in wanted:
                    for sample in self._bought.pop(id(solution), ()):
                        problem.add(sample)

    def _round(self) -> list[tuple[Problem, Solution, Want]]:
        """Who wants what next, given the prior that the last round taught."""
        wanted = []
        for problem in self._problems:
            for solution in problem.solutions:
                want = None if solution.done else problem.wants(solution, self._prior)
                if want is not None:
                    wanted.append((problem, solution, want))
                elif not solution.done:
                    solution.done = True
                    self._asker.n_pivots += len(solution.path.found())
                    self._asker.n_done += all(one.done for one in problem.solutions)
        paths = [solution.path for problem in self._problems for solution in problem.solutions]
        self._prior = learn_prior(sum((one.curve.bin_counts for one in paths if one.curve), np.zeros(N_BINS)))
        return wanted

    async def _buy(self, problem: Problem, solution: Solution, want: Want) -> None:
        number = problem.solutions.index(solution)
        start = solution.sample.token_ids[: want.start]
        samples, answered = await self._asker.ask(problem, start, want.n, f"{number}\x1f{solution.n_requests}")
        solution.n_requests += 1
        solution.path.n_bought += want.n
        solution.n_failures = 0 if answered else solution.n_failures + 1
        self._bought[id(solution)] = samples

    def result(self, stopped: Stopped | None) -> SearchResult:
        """Everything found so far."""
        asker = self._asker
        pivots: list[Pivot] = []
        searched: list[Searched] = []
        gates: list[Gated] = []
        for problem in self._problems:
            gates.append(problem.gate or Gated(problem.prompt.id, "interrupted", "not asked yet", 0, 0, None))
            for solution in problem.solutions:
                searched.append(problem.searched(solution, asker.name, self._prior))
                pivots.extend(problem.pivots(solution, asker.name))
        return SearchResult(
            pivots=tuple(pivots),
            solutions=tuple(searched),
            gates=tuple(gates),
            completions=asker.completions,
            tokens=asker.tokens,
            prompt_tokens=asker.prompt_tokens,
            n_undecided=asker.n_undecided,
            n_failed=asker.n_failed,
            stopped=stopped,
            notes=notes_on(gates, searched, self._happened(), self._config),
        )

    def _happened(self) -> Happened:
        asker = self._asker
        undecided = next((one.undecided for one in self._problems if one.undecided), "")
        fault = next((one.fault for one in self._problems if one.fault), "")
        return Happened(asker.n_undecided, undecided, asker.n_failed, fault, asker.n_empty)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Wait for all of it, also when some of it fails; then raise what the user must mend, or else what stopped it."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    errors = [error for error in ended if error is not None]
    for error in sorted(errors, key=lambda one: isinstance(one, Stopped)):
        raise error


def _refuse_total_failure(problems: Sequence[Problem], asker: _Asker) -> None:
    """Raise if every request failed: that is no property of the prompts."""
    if asker.n_failed and not asker.completions:
        fault = next(one.fault for one in problems if one.fault)
        raise TeachableError(
            f"not one of {asker.n_failed} requests succeeded; the first: {fault}",
            where="pivot",
            mend="Mend what it says and run the same command again",
        )
