"""What each token of a solution really does to success, on a real model: ground truth from `N_TRUTH` samples a prefix.

    .venv/bin/python benchmarks/pivot_truth.py --out FOLDER [--problems 20] [--samples 2000] [--attempts 0]

Makes the truth that `pivot_quickstart.py` measures against, and keeps it in FOLDER: every completion in a ledger, so a
run that was killed goes on where it was, and the finished values in `truth.json`. A solution that a search took and
that has no values yet gets them there.

Which prefixes are sampled: with pi the probability that a token was really drawn with, p(before) is the pi-weighted
mean of its children's values, so |p(after) - p(before)| <= 1 - pi. A token with pi > 1 - gap can't be pivotal,
whatever its values are; it is left out, exactly. Of every other token the prefix before it and the prefix with it are
sampled. The end of the solution is known.

Which samples a prefix has: those drawn from it, and those drawn from a shorter prefix that went on with the
solution's own tokens at least up to it. Given that it came so far, the rest of such a sample is drawn from the very
distribution of the longer prefix, so it is as fair a sample of it. How many are drawn at each prefix depends on how
many passed, never on how they ended. Every sampled prefix has at least `N_TRUTH`.

The change is taken from the samples by the same identity: p(after) - p(before) = (1 - pi) (p(after) - q), where q is
the success probability of those that drew another token at this place. `sd` is its standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from teachable import verify
from teachable.engines.ledgered import Ledgered
from teachable.engines.local import TransformersEngine
from teachable.recipe.config import Resources
from teachable.records import Attempt, Completion, Engine, Prompt, Request, Verifier
from teachable.rollouts import Sampling, request_seed, roll_out
from teachable.store.files import write_json
from teachable.store.ledger import Ledger
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train.config import PretrainConfig
from teachable.train.pretrain import pretrain

GAP = 0.2
N_TRUTH = 2_000
MAX_TOKENS = 128  # of an answer, as in the quickstart
LOW, HIGH = 0.2, 0.8
N_SCREEN = 200  # attempts at a question that say whether it is one of the problems: sd 0.035 at most
N_GATE = 12  # attempts at a problem whose first is the solution
SCREEN_SEED, GATE_SEED, TRUTH_SEED = 71, 72, 73
CHUNK = 200  # samples asked for at once: what a kill can lose, a problem


@dataclass(frozen=True)
class Problem:
    """A question whose success probability lies between `LOW` and `HIGH`, and attempts made after it was chosen."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    p_success: float
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Token:
    """A token that the bound does not rule out: success probabilities without and with it, and their difference."""

    position: int
    probability: float
    p_before: float
    p_after: float
    delta: float
    sd: float
    n_before: int
    n_after: int
    n_other: int


@dataclass(frozen=True)
class Truth:
    """A solution of T tokens, their probabilities [T], and what is known of the tokens that may be pivotal."""

    prompt_id: str
    token_ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    correct: bool
    tokens: tuple[Token, ...]
    completions: int
    n_tokens: int

    def deltas(self) -> dict[int, Token]:
        """The tokens by position."""
        return {one.position: one for one in self.tokens}


class Judge:
    """The verdict on a solution's tokens, remembered by its text."""

    def __init__(self, engine: Engine, prompt: Prompt, verifier: Verifier) -> None:
        self._engine = engine
        self._prompt = prompt
        self._verifier = verifier
        self._known: dict[str, bool] = {}

    async def right(self, token_ids: Sequence[int]) -> bool:
        """Whether the text of these tokens answers the question."""
        text = self._engine.decode(list(token_ids))
        if text not in self._known:
            verdict = await verify.verdict_of(self._verifier, text, self._prompt)
            if verdict.correct is None:
                raise RuntimeError(f"no verdict on an answer to {self._prompt.id}: {verdict.reason}")
            self._known[text] = verdict.correct
        return self._known[text]


class Tally:
    """Fair samples of a solution's prefixes, by the position where they left the solution.

    `starts[i]` has a pair for each completion drawn from the prefix of i tokens: the number of the solution's tokens
    with which it agrees, and whether it was right.
    """

    def __init__(self, solution: Sequence[int]) -> None:
        self.solution = solution
        self.starts: dict[int, list[tuple[int, bool]]] = {}

    def add(self, start: int, token_ids: Sequence[int], right: bool) -> None:
        """Count one completion of the prefix of `start` tokens."""
        pairs = zip(token_ids, self.solution[start:], strict=False)
        agreed = start + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self.starts.setdefault(start, []).append((agreed, right))

    def fair(self, position: int) -> list[bool]:
        """Outcomes of the fair samples of the prefix of so many tokens."""
        every = ((start, one) for start, ones in self.starts.items() for one in ones)
        return [right for start, (agreed, right) in every if start <= position <= agreed]

    def left_at(self, position: int) -> list[bool]:
        """Outcomes of those that drew another token than the solution's at this position."""
        every = ((start, one) for start, ones in self.starts.items() for one in ones)
        return [right for start, (agreed, right) in every if start <= position == agreed]


def candidates(probabilities: Sequence[float], gap: float = GAP) -> list[int]:
    """Positions of the tokens that may be pivotal: those drawn with a probability of 1 - gap at most."""
    return [place for place, pi in enumerate(probabilities) if pi <= 1 - gap]


def mean_and_variance(outcomes: Sequence[bool]) -> tuple[float, float]:
    """The share of right ones, and the variance of that share (of a rate pulled in a little: never 0)."""
    n, right = len(outcomes), sum(outcomes)
    inside = (right + 1) / (n + 2)
    return right / n, inside * (1 - inside) / n


async def truth_of(
    engine: Engine,
    judge: Judge,
    problem: Problem,
    token_ids: tuple[int, ...],
    probabilities: tuple[float, ...],
    n_samples: int,
) -> Truth:
    """The truth of one solution, its prefixes sampled from the shortest on."""
    tally = Tally(token_ids)
    places = candidates(probabilities)
    completions = n_tokens = 0
    for position in sorted({*places, *(place + 1 for place in places)} - {len(token_ids)}):
        lacking = n_samples - len(tally.fair(position))
        for first in range(0, lacking, CHUNK):
            bought = await engine.sample(_request(problem, token_ids[:position], first, min(CHUNK, lacking - first)))
            completions += len(bought)
            n_tokens += sum(one.n_tokens for one in bought)
            for one in bought:
                tally.add(position, one.token_ids, await judge.right(token_ids[:position] + one.token_ids))
    correct = await judge.right(token_ids)
    tokens = tuple(_token(tally, place, probabilities[place], correct) for place in places)
    return Truth(problem.prompt.id, token_ids, probabilities, correct, tokens, completions, n_tokens)


def _request(problem: Problem, prefix: tuple[int, ...], first: int, n: int) -> Request:
    seed = request_seed(TRUTH_SEED, f"{problem.prompt.id} {prefix}")
    return Request((*problem.prompt_ids, *prefix), n=n, max_tokens=MAX_TOKENS - len(prefix), seed=seed, first=first)


def _token(tally: Tally, place: int, probability: float, correct: bool) -> Token:
    ends = place + 1 == len(tally.solution)
    before, after, other = tally.fair(place), tally.fair(place + 1), tally.left_at(place)
    p_after, var_after = (float(correct), 0.0) if ends else mean_and_variance(after)
    q, var_q = mean_and_variance(other)
    return Token(
        position=place,
        probability=probability,
        p_before=probability * p_after + (1 - probability) * q,
        p_after=p_after,
        delta=(1 - probability) * (p_after - q),
        sd=(1 - probability) * math.sqrt(var_after + var_q),
        n_before=len(before),
        n_after=len(after),
        n_other=len(other),
    )


def base_engine() -> TransformersEngine:
    """The quickstart's base, from the user cache or pretrained there."""
    import torch

    torch.set_num_threads(1)
    resources = Resources()
    folder = pretrain(PretrainConfig(), resources.cache_path()).path
    return TransformersEngine(folder, device="cpu", dtype="float32", batch_rows=resources.batch_rows)


async def choose_problems(engine: Engine, n_problems: int) -> list[Problem]:
    """Equally many of each family: the first of its questions, shuffled, whose screening lies in the range."""
    pool = list((await build_tasks(TasksConfig(n_pool=2000, n_heldout=300), seed=0)).pool)
    random.Random("pivotal problems").shuffle(pool)
    families = sorted({prompt.domain for prompt in pool})
    chosen: list[tuple[Prompt, float]] = []
    for place, family in enumerate(families):
        wanted = n_problems // len(families) + (place < n_problems % len(families))
        own = [prompt for prompt in pool if prompt.domain == family]
        chosen += await _first_between(engine, own, wanted)
    prompts = [prompt for prompt, _ in chosen]
    sampling = Sampling(max_tokens=MAX_TOKENS, temperature=1.0)
    attempts = await roll_out(prompts, engine=engine, n=N_GATE, sampling=sampling, seed=GATE_SEED)
    return [
        Problem(prompt, tuple(engine.encode(list(prompt.messages))), rate, tuple(attempts[i * N_GATE :][:N_GATE]))
        for i, (prompt, rate) in enumerate(chosen)
    ]


async def _first_between(engine: Engine, pool: Sequence[Prompt], n_wanted: int) -> list[tuple[Prompt, float]]:
    """The first `n_wanted` prompts of which neither too few nor too many attempts are right, with their rates."""
    sampling = Sampling(max_tokens=MAX_TOKENS, temperature=1.0)
    chosen: list[tuple[Prompt, float]] = []
    for first in range(0, len(pool), 4):
        batch = pool[first : first + 4]
        screened = await roll_out(batch, engine=engine, n=N_SCREEN, sampling=sampling, seed=SCREEN_SEED)
        rates = [sum(one.correct is True for one in screened[i * N_SCREEN :][:N_SCREEN]) for i in range(len(batch))]
        chosen += [(one, n / N_SCREEN) for one, n in zip(batch, rates, strict=True) if LOW <= n / N_SCREEN <= HIGH]
        if len(chosen) >= n_wanted:
            break
    return chosen[:n_wanted]


async def probabilities_of(engine: Engine, problem: Problem, attempt: Attempt) -> tuple[float, ...]:
    """The probabilities [T] with which an attempt's tokens were drawn; the ledger has them."""
    seed = request_seed(GATE_SEED, problem.prompt.id)
    request = Request(problem.prompt.messages, n=N_GATE, max_tokens=MAX_TOKENS, seed=seed)
    found: Completion = (await engine.sample(request))[attempt.sample]
    assert found.token_ids == attempt.token_ids and found.token_logprobs is not None
    return tuple(map(math.exp, found.token_logprobs))


def load_truths(folder: Path) -> dict[tuple[str, tuple[int, ...]], Truth]:
    """Finished truths by (prompt id, solution)."""
    path = folder / "truth.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    truths = [
        Truth(
            prompt_id=row["prompt_id"],
            token_ids=tuple(row["token_ids"]),
            probabilities=tuple(row["probabilities"]),
            correct=row["correct"],
            tokens=tuple(Token(**one) for one in row["tokens"]),
            completions=row["completions"],
            n_tokens=row["n_tokens"],
        )
        for row in rows
    ]
    return {(one.prompt_id, one.token_ids): one for one in truths}


async def make_truths(
    folder: Path,
    engine: Engine,
    wanted: Sequence[tuple[Problem, tuple[int, ...], tuple[float, ...]]],
    n_samples: int = N_TRUTH,
) -> dict[tuple[str, tuple[int, ...]], Truth]:
    """The truths of these solutions (problem, tokens, probabilities), made where they are not there yet, and kept."""
    known = load_truths(folder)

    async def make(problem: Problem, token_ids: tuple[int, ...], probabilities: tuple[float, ...]) -> None:
        if (problem.prompt.id, token_ids) in known:
            return
        begun = time.perf_counter()
        judge = Judge(engine, problem.prompt, verify.get(problem.prompt.verifier))
        truth = await truth_of(engine, judge, problem, token_ids, probabilities, n_samples)
        known[problem.prompt.id, token_ids] = truth
        write_json(folder / "truth.json", [asdict(one) for one in known.values()])
        big = sum(abs(one.delta) >= GAP for one in truth.tokens)
        seconds = time.perf_counter() - begun
        print(f"{problem.prompt.id} {problem.prompt.domain}: {len(token_ids)} tokens, {len(truth.tokens)} may be "
              f"pivotal, {big} are; {truth.completions} completions, {truth.n_tokens} tokens, {seconds:.0f} s",
              flush=True)  # fmt: skip

    await asyncio.gather(*(make(*one) for one in wanted))
    return known


async def run(given: argparse.Namespace) -> None:
    """Choose the problems and make the truth of the attempts that were asked for."""
    given.out.mkdir(parents=True, exist_ok=True)
    with Ledger(given.out / "ledger.sqlite") as ledger:
        engine = Ledgered(base_engine(), ledger, stage="truth")
        problems = await choose_problems(engine, given.problems)
        print(f"{len(problems)} problems, {engine.spent.tokens_out} tokens to choose them", flush=True)
        for place in given.attempts:
            solutions = [(one, one.attempts[place]) for one in problems]
            wanted = [
                (one, attempt.token_ids, await probabilities_of(engine, one, attempt)) for one, attempt in solutions
            ]
            lengths = [len(ids) for _, ids, _ in wanted]
            n_open = [len(candidates(pis)) for _, _, pis in wanted]
            print(f"attempt {place}: lengths {lengths}, tokens that may be pivotal {n_open}", flush=True)
            if not given.dry:
                await make_truths(given.out, engine, wanted, given.samples)


def main() -> None:
    """Make the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-pivot"))
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--samples", type=int, default=N_TRUTH)
    parser.add_argument("--attempts", type=int, nargs="*", default=[0], help="which of the attempts are the solutions")
    parser.add_argument("--dry", action="store_true", help="say only what there is to do")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
