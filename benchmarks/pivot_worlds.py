"""Planted language models as an engine: the worlds of `pivot_trees.py`, and what their solutions are like.

.venv/bin/python benchmarks/pivot_worlds.py     prints what sampled solutions have in each family
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from pivot_trees import FAMILIES, MASK, RIGHT, WRONG, World, key_after, mixed
from teachable.records import Completion, Message, Prompt, Request, Verdict

WORLD = 0  # the first token of a prompt
FIRST_WORLD = 1_000_000  # token id of world 0

__all__ = ["FAMILIES", "RIGHT", "WRONG", "SaysRight", "World", "Worlds", "describe", "key_after"]


class Worlds:
    """The engine: answers any prefix of any world of a family, at temperature 1.

    Sample i of a request depends on the prefix, the request's seed and i. `completions` and `tokens` count what was
    sampled, whoever asked.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self.name = f"planted:{family}"
        self.completions = 0
        self.tokens = 0
        self._worlds: dict[int, World] = {}

    def world(self, seed: int) -> World:
        """The world of this number."""
        if seed not in self._worlds:
            self._worlds[seed] = World(self.family, seed)
        return self._worlds[seed]

    def prompt(self, seed: int) -> Prompt:
        """The prompt that asks for a solution of this world."""
        text = f"world {seed}"
        return Prompt(f"{self.family}-{seed}", "planted", (Message(role="user", content=text),), verifier="says-right")

    def forget(self) -> None:
        """Give back the memory of all worlds."""
        self._worlds.clear()

    async def sample(self, request: Request) -> list[Completion]:
        """n continuations.

        Raises:
            ValueError: the request asks for what is not planted (another temperature, cut-off tails, stop strings).
        """
        if request.temperature != 1 or request.top_p != 1 or request.top_k or request.min_p or request.stop:
            raise ValueError("planted worlds are sampled at temperature 1, whole")
        await asyncio.sleep(0)
        ids = self._ids(request)
        world, prefix = self.world(ids[1] - FIRST_WORLD), ids[2:]
        *_, key, state = world.path(prefix)
        found = []
        for place in range(request.first, request.first + request.n):
            rng = random.Random(mixed(mixed(key ^ mixed(request.seed & MASK)) ^ place))
            tokens, logprobs = world.draw(key, state, len(prefix), request.max_tokens, rng)
            over = bool(tokens) and tokens[-1] in (RIGHT, WRONG)
            read = len(ids) if place == request.first else 0
            text = self.decode(tokens)
            found.append(
                Completion(text, tuple(tokens), tuple(logprobs), "stop" if over else "length", n_prompt_tokens=read)
            )
            self.tokens += len(tokens)
        self.completions += len(found)
        return found

    def _ids(self, request: Request) -> list[int]:
        prompt = request.prompt
        if isinstance(prompt, str):
            return self.encode(prompt)
        ids = [part for part in prompt if isinstance(part, int)]
        return ids or self.encode([part for part in prompt if not isinstance(part, int)])

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """Token ids of a prompt, or of a text that `decode` gave."""
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        words = text.split()
        if words[:1] == ["world"]:
            return [WORLD, FIRST_WORLD + int(words[1])]
        return [RIGHT if word == "right" else WRONG if word == "wrong" else int(word[1:]) for word in words]

    def decode(self, token_ids: list[int]) -> str:
        """The text of a solution's tokens."""
        names = {RIGHT: " right", WRONG: " wrong"}
        return "".join(names.get(token) or f" w{token}" for token in token_ids)


class SaysRight:
    """Right if the last word of the attempt is `right`; an attempt that was cut off is wrong."""

    name = "says-right"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        right = attempt.endswith(" right")
        return Verdict(right, "right" if right else "wrong", "its last word says so")


def describe(family: str, seeds: Sequence[int], gap: float = 0.2) -> dict[str, Any]:
    """What one sampled solution of each of these worlds has, by its true values."""
    engine = Worlds(family)
    pivots: dict[str, list[float]] = {}
    n_cancelled = n_pairs = n_open = n_tokens = n_minor = 0
    squares = []
    for seed in seeds:
        world = engine.world(seed)
        tokens, _ = world.draw(world.root, world.start, 0, world.family.n_tokens, random.Random(seed))
        values, probabilities, kinds, *_ = world.path(tokens)
        deltas = np.diff(values)
        squares.append(float((deltas**2).sum()) / (values[0] * (1 - values[0])))
        n_tokens += len(tokens)
        n_open += sum(pi <= 1 - gap for pi in probabilities)
        n_minor += sum(kind in ("minor", "step") for kind in kinds)
        big = [place for place in range(len(tokens)) if abs(deltas[place]) >= gap]
        for place in big:
            pivots.setdefault(kinds[place], []).append(float(abs(deltas[place])))
        n_pairs += max(len(big) - 1, 0)
        n_cancelled += sum(abs(deltas[a] + deltas[b]) < gap for a, b in itertools.pairwise(big))
        engine.forget()
    sizes = np.array([one for ones in pivots.values() for one in ones] or [math.nan])
    return {
        "family": family,
        "n_solutions": len(seeds),
        "tokens_a_solution": n_tokens / len(seeds),
        "open_tokens_a_solution": n_open / len(seeds),
        "minor_forks_a_solution": n_minor / len(seeds),
        "pivots_a_solution": {kind: len(ones) / len(seeds) for kind, ones in sorted(pivots.items())},
        "size_quartiles": [float(one) for one in np.quantile(sizes, (0, 0.25, 0.5, 0.75, 1))],
        "neighbours_that_cancel": n_cancelled / max(n_pairs, 1),
        "mean_square_sum_over_variance": float(np.mean(squares)),
    }


def main() -> None:
    """Print what the families have."""
    for family in FAMILIES:
        for name, value in describe(family, range(10_000, 10_300)).items():
            print(f"{name:<32}{value}")
        print()


if __name__ == "__main__":
    main()
