"""The rounds of a probe: who is asked next, for how many samples, until nobody is worth asking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from teachable.errors import Stopped
from teachable.probe.config import ProbeConfig
from teachable.probe.estimate import Belief
from teachable.probe.keys import Key
from teachable.probe.learn import Learner
from teachable.probe.prior import Ints
from teachable.records import Attempt, Engine, OnProgress, Progress, Prompt, Verifier
from teachable.rollouts import Ask, Sampling, answer, request_seed

# A prompt with this many attempts that no verifier could decide, and fewer decided ones, is given up.
UNDECIDABLE = 4
# A round asks the part of the waiting prompts for which a sample is worth most, but so many at least, to keep an engine
# busy. The smaller the part, the better the answer of a probe that is stopped early.
ROUND_SHARE = 0.5
LEAST_ROUND = 256


@dataclass
class Tried:
    """A prompt under way, as its verifier sees it, and what came of it so far."""

    prompt: Prompt
    key: Key
    attempts: list[Attempt] = field(default_factory=list)
    n: int = 0
    successes: int = 0
    given_up: str = ""

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Take further attempts in; give the prompt up where the engine fails on it or no verdict can be had."""
        self.attempts += attempts
        self.n += sum(attempt.correct is not None for attempt in attempts)
        self.successes += sum(attempt.correct is True for attempt in attempts)
        n_undecided = len(self.attempts) - self.n
        if any(attempt.finish_reason == "error" for attempt in attempts):
            self.given_up = "failed"
        elif n_undecided >= UNDECIDABLE and n_undecided > self.n:
            self.given_up = "undecidable"


class Rounds:
    """Asks for attempts until every prompt has had enough.

    Args:
        keyed: prompts whose attempts a verifier can judge, sampled adaptively (or `config.n_samples` times).
        keyless: prompts whose attempts can only be compared with each other, sampled `config.agreement_samples` times.
        n_prompts: all prompts, also those that need no attempt, for the progress.
    """

    def __init__(
        self,
        keyed: Sequence[Tried],
        keyless: Sequence[Tried],
        *,
        engine: Engine,
        verifiers: Mapping[str, Verifier] | None,
        config: ProbeConfig,
        seed: int,
        on_progress: OnProgress | None,
        n_prompts: int,
    ) -> None:
        self.learner = Learner([one.prompt for one in keyed], config)
        self._keyed = keyed
        self._keyless = keyless
        self._place = {one.prompt.id: place for place, one in enumerate(keyed)}
        self._compared = {one.prompt.id for one in keyless}
        # Among prompts for which a sample is worth the same, a fixed shuffle decides: in the order of a file, which may
        # be that of difficulty, the first to be asked would say too little of the others.
        shuffled = sorted(range(len(keyed)), key=lambda place: request_seed(seed, keyed[place].prompt.id))
        self._turn = {place: turn for turn, place in enumerate(shuffled)}
        self._engine = engine
        self._verifiers = verifiers
        self._config = config
        self._seed = seed
        self._on_progress = on_progress
        self._n_prompts = n_prompts
        self._n_settled = 0
        self._n_samples = 0
        self._n_tokens = 0
        self._stopped: Stopped | None = None

    async def to_the_end(self, stopped: Stopped | None = None) -> Stopped | None:
        """Ask until nobody needs more, and learn the last priors; what stopped it early, if anything did.

        Args:
            stopped: what has stopped the probe already, before anybody was asked.
        """
        config = self._config
        self._n_settled = self._n_prompts - len(self._keyed) - len(self._keyless)
        self._stopped = stopped
        try:
            if stopped is None:
                await self._ask([(one, config.agreement_samples) for one in self._keyless])
            if stopped is None and config.n_samples is not None:
                await self._ask([(one, config.n_samples) for one in self._keyed])
            elif stopped is None:
                while asked := self._next_round():
                    await self._ask(asked)
        except Stopped as error:
            self._stopped = error
        self._learn(anew=True)
        return self._stopped

    def why_stopped(self, one: Tried, belief: Belief) -> str:
        """Why a prompt got no more samples, given what is believed of it in the end; see `Estimate`."""
        config, cut = self._config, self._stopped is not None
        if one.prompt.id in self._compared and one.given_up != "failed":
            return "fixed" if one.attempts else "interrupted"
        if one.given_up:
            return one.given_up
        if one.prompt.id not in self._place:
            return "interrupted" if cut else "undecidable"
        if config.n_samples is not None:
            return "fixed" if one.attempts else "interrupted"
        if one.n > 0 and max(belief.masses) >= 1.0 - config.delta:
            return "decided"
        if self._index(one) > 0:
            return "interrupted" if cut else "budget"
        return "max" if len(one.attempts) >= config.max_samples else "close"

    def _learn(self, *, anew: bool = False, left: float = math.inf) -> None:
        n: Ints = np.array([one.n for one in self._keyed], dtype=np.int64)
        s: Ints = np.array([one.successes for one in self._keyed], dtype=np.int64)
        is_open = np.array([self._is_open(one) for one in self._keyed], dtype=np.bool_)
        self.learner.learn(n, s, anew=anew, left=left, is_open=is_open)

    def _is_open(self, one: Tried) -> bool:
        return not one.given_up and len(one.attempts) < self._config.max_samples

    def _index(self, one: Tried) -> float:
        return self.learner.index(self._place[one.prompt.id], one.n, one.successes) if self._is_open(one) else 0.0

    def _waiting(self) -> list[int]:
        """The places of those who are worth asking, those for whom a sample is worth most first."""
        indices = [(self._index(one), place) for place, one in enumerate(self._keyed)]
        return [place for *_, place in sorted((-index, self._turn[place], place) for index, place in indices if index)]

    def _next_round(self) -> list[tuple[Tried, int]]:
        """Whom to ask next and for how many samples, in the order in which a sample is worth most."""
        config = self._config
        left = math.inf
        if config.samples_per_prompt is not None:
            spent = sum(len(one.attempts) for one in self._keyed)
            left = math.floor(config.samples_per_prompt * len(self._keyed) + 1e-9) - spent
        self._learn(left=left)
        waiting = self._waiting()
        if not waiting:
            self._learn(anew=True, left=left)
            waiting = self._waiting()
        self._n_settled = self._n_prompts - len(waiting)
        asked = []
        for place in waiting[: max(LEAST_ROUND, math.ceil(len(waiting) * ROUND_SHARE))]:
            one = self._keyed[place]
            most = min(left, config.max_samples - len(one.attempts))
            n = int(min(self.learner.ask(place, one.n, one.successes), most))
            if n > 0:
                asked.append((one, n))
                left -= n
        return asked

    async def _ask(self, asked: Sequence[tuple[Tried, int]]) -> None:
        config = self._config

        def answered(place: int, attempts: list[Attempt]) -> None:
            one = asked[place][0]
            one.add(attempts)
            self._n_samples += len(attempts)
            self._n_tokens += sum(attempt.n_tokens for attempt in attempts)
            adaptive = config.n_samples is None and one.prompt.id in self._place
            self._n_settled += not adaptive or self._index(one) == 0
            if self._on_progress is not None:
                note = f"settled, {self._n_samples:,} samples"
                self._on_progress(Progress(self._n_settled, self._n_prompts, "prompts", self._n_tokens, note))

        await answer(
            [Ask(one.prompt, n, first=len(one.attempts)) for one, n in asked],
            engine=self._engine,
            verifiers=self._verifiers,
            sampling=Sampling(
                config.max_tokens, config.temperature, config.top_p, config.top_k, config.min_p, config.stop
            ),
            seed=self._seed,
            on_answer=answered,
        )
