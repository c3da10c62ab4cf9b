"""A small language model over token ids whose success probability is known exactly at every prefix."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence

from teachable.errors import EXIT_LIMIT_REACHED, Stopped
from teachable.pivot import PivotConfig, SearchResult, search
from teachable.records import Completion, Message, Prompt, Request, Verdict

MAIN, OTHER, RIGHT, WRONG = 10, 11, 1, 2
PROMPT = 99


class Planted:
    """At place t the model says MAIN with probability pi_t, which moves success by d_t, or else OTHER, by its opposite.

    OTHER moves it by -d_t pi_t / (1 - pi_t), so a prefix's value is the mean of its children's. The last token is the
    outcome, right with the value reached.

    Args:
        forks: (pi, d) a place; none at all makes solutions of a single token.
        start: success probability of the prompt.
        fails: whether a request fails, by its number.
        stop_after: completions after which the engine raises `Stopped`.
        shuffle: answers arrive in an order that this number decides.
    """

    name = "planted"

    def __init__(
        self,
        forks: Sequence[tuple[float, float]],
        start: float = 0.5,
        *,
        fails: Callable[[int], bool] = lambda number: False,
        stop_after: int | None = None,
        shuffle: int | None = None,
    ) -> None:
        self.forks, self.start = list(forks), start
        self.asked: list[Request] = []
        self.n_given = self.n_tokens = 0
        self._fails, self._stop_after = fails, stop_after
        self._delays = None if shuffle is None else random.Random(shuffle)

    def values(self, token_ids: Sequence[int]) -> list[float]:
        """The success probability after each number of tokens."""
        values = [self.start]
        for place, token in enumerate(token_ids[: len(self.forks)]):
            pi, d = self.forks[place]
            values.append(values[-1] + (d if token == MAIN else -d * pi / (1 - pi)))
        if len(token_ids) > len(self.forks):
            values.append(1.0 if token_ids[-1] == RIGHT else 0.0)
        return values

    async def sample(self, request: Request) -> list[Completion]:
        self.asked.append(request)
        number = len(self.asked)
        if self._stop_after is not None and self.n_given + request.n > self._stop_after:
            raise Stopped("the limit is reached", exit_code=EXIT_LIMIT_REACHED)
        if self._delays is not None:
            await asyncio.sleep(0.001 * self._delays.random())
        if self._fails(number):
            raise RuntimeError("told to fail")
        assert all(isinstance(token, int) for token in request.prompt), "the search works in token ids"
        prefix = [token for token in request.prompt if isinstance(token, int)][1:]
        found = [self._one(prefix, random.Random(f"{prefix} {request.seed} {i}")) for i in range(request.n)]
        self.n_given += len(found)
        self.n_tokens += sum(one.n_tokens for one in found)
        return found

    def _one(self, prefix: Sequence[int], draw: random.Random) -> Completion:
        tokens, logprobs = list(prefix), []
        while len(tokens) < len(self.forks):
            pi = self.forks[len(tokens)][0]
            says_main = draw.random() < pi
            tokens.append(MAIN if says_main else OTHER)
            logprobs.append(math.log(pi if says_main else 1 - pi))
        value = self.values(tokens)[-1]
        right = draw.random() < value
        tokens.append(RIGHT if right else WRONG)
        logprobs.append(math.log(value if right else 1 - value))
        drawn = tokens[len(prefix) :]
        return Completion(self.decode(drawn), tuple(drawn), tuple(logprobs), "stop")

    def encode(self, prompt: str | list[Message]) -> list[int]:
        return [PROMPT]

    def decode(self, token_ids: list[int]) -> str:
        names = {MAIN: "a", OTHER: "b", RIGHT: "right", WRONG: "wrong"}
        return " ".join(names[token] for token in token_ids)


class SaysRight:
    """The whole response must be there: n places, and the outcome."""

    name = "says-right"

    def __init__(self, n_words: int, doubts: Callable[[str], bool] = lambda attempt: False) -> None:
        self._n_words, self._doubts = n_words, doubts

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        if self._doubts(attempt):
            return Verdict(None, None, "told to doubt")
        assert len(attempt.split()) == self._n_words, f"not the whole response: {attempt!r}"
        return Verdict(attempt.endswith("right"), None, "")


def prompts(n: int) -> list[Prompt]:
    return [Prompt(f"p{i}", "d", (Message(role="user", content=f"question {i}"),), "right") for i in range(n)]


def searched(engine: Planted, n: int, config: PivotConfig | None = None, seed: int = 0) -> SearchResult:
    """The search of n prompts that are all alike."""
    verifier = SaysRight(len(engine.forks) + 1)
    return asyncio.run(search(prompts(n), engine=engine, verifier=verifier, config=config, seed=seed))
