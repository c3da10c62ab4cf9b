"""The one path of sampling and verifying: order, independence, and failures that are no wrong answers."""

from __future__ import annotations

import asyncio
import random

import pytest

from teachable import rollouts
from teachable.engines.scripted import ScriptedEngine
from teachable.errors import Stopped, TeachableError
from teachable.records import Attempt, Completion, Engine, Message, Progress, Prompt, Request, Verdict
from teachable.rollouts import Ask, Sampling, answer, request_seed, roll_out


def prompt(name: str, answer: str | None = "6") -> Prompt:
    return Prompt(name, "sums", (Message(role="user", content=f"question {name}"),), answer)


def coin(text: str, index: int, generator: random.Random) -> str:
    return f"Answer: {6 if generator.random() < 0.5 else 7}"


def run(prompts: list[Prompt], engine: Engine, *, n: int = 4, seed: int = 0, max_tokens: int = 64) -> list[Attempt]:
    return asyncio.run(roll_out(prompts, engine=engine, n=n, sampling=Sampling(max_tokens, 1.0), seed=seed))


def test_attempts_are_ordered_keyed_and_verified() -> None:
    prompts = [prompt("b"), prompt("a"), prompt("c", answer=None)]
    attempts = run(prompts, ScriptedEngine(coin, name="coin"))
    assert [(a.prompt_id, a.sample) for a in attempts] == [(p.id, i) for p in prompts for i in range(4)]
    for attempt in attempts:
        if attempt.prompt_id == "c":
            assert attempt.correct is None
        else:
            assert attempt.correct == attempt.text.endswith("6")
        assert (attempt.engine, attempt.seed) == ("coin", request_seed(0, attempt.prompt_id))
        assert 0 <= attempt.seed < 2**63
    assert len({a.id for a in attempts}) == 12


def test_a_prompt_gets_the_same_samples_in_any_company() -> None:
    many = [prompt(str(i)) for i in range(30)]
    together = {a.id: a for a in run(many, ScriptedEngine(coin))}
    alone = run([many[17]], ScriptedEngine(coin))
    assert all(together[a.id] == a for a in alone)
    backwards = {a.id: a for a in run(many[::-1], ScriptedEngine(coin, frac_stalling=0.5, stall_s=0.001))}
    assert backwards == together
    assert {a.text for a in run(many, ScriptedEngine(coin), seed=1)} == {"Answer: 6", "Answer: 7"}
    assert {a.id for a in run(many, ScriptedEngine(coin), seed=1)}.isdisjoint(together)


def test_an_engines_failure_is_no_wrong_answer() -> None:
    prompts = [prompt(str(i)) for i in range(40)]
    attempts = run(prompts, ScriptedEngine({f"question {i}": "Answer: 6" for i in range(40)}, frac_failing=0.3))
    failed = [a for a in attempts if a.finish_reason == "error"]
    assert 0 < len({a.prompt_id for a in failed}) < 40
    assert len(failed) % 4 == 0
    for attempt in failed:
        assert (attempt.correct, attempt.answer, attempt.token_ids) == (None, None, ())
        assert attempt.reason == "the engine failed: ScriptedFailure: told to fail"
    assert all(a.correct is True for a in attempts if a.finish_reason != "error")


class Stingy(ScriptedEngine):
    """Returns one completion, however many are asked for."""

    async def sample(self, request: Request) -> list[Completion]:
        return (await super().sample(request))[:1]


def test_missing_samples_are_recorded_as_missing() -> None:
    attempts = run([prompt("a")], Stingy({"question a": "Answer: 6"}), n=3)
    assert [a.correct for a in attempts] == [True, None, None]
    assert attempts[2].reason == "the engine returned 1 of 3 samples"


class Refusing(ScriptedEngine):
    """Raises a mistake of the user's on one prompt, and stalls on the rest."""

    stalled = 0

    async def sample(self, request: Request) -> list[Completion]:
        if "question 3" in str(request.prompt):
            raise TeachableError("the model's context is full")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.stalled += 1
            raise
        return await super().sample(request)


def test_a_users_mistake_ends_everything_at_once() -> None:
    engine = Refusing(coin)
    with pytest.raises(TeachableError, match="context is full"):
        run([prompt(str(i)) for i in range(5)], engine)
    assert engine.stalled == 4  # the others were cut short, not waited for


def test_cancelling_is_not_swallowed() -> None:
    async def cut() -> None:
        engine = ScriptedEngine(coin, frac_stalling=1.0, stall_s=30)
        async with asyncio.timeout(0.05):
            await roll_out([prompt("a")], engine=engine, n=1, sampling=Sampling(8, 1.0), seed=0)

    with pytest.raises(TimeoutError):
        asyncio.run(cut())


def test_progress_counts_prompts_and_tokens() -> None:
    seen: list[Progress] = []
    prompts = [prompt(str(i)) for i in range(5)]
    work = roll_out(
        prompts, engine=ScriptedEngine(coin), n=2, sampling=Sampling(64, 1.0), seed=0, on_progress=seen.append
    )
    attempts = asyncio.run(work)
    assert [p.done for p in seen] == [1, 2, 3, 4, 5]
    assert seen[-1].total == 5
    assert seen[-1].tokens == sum(len(a.token_ids) for a in attempts) > 0


def test_mistakes_are_found_before_anything_is_sampled() -> None:
    engine = ScriptedEngine({}, frac_failing=1.0)
    with pytest.raises(TeachableError, match="two prompts have the id 'a'"):
        run([prompt("a"), prompt("a")], engine)
    with pytest.raises(TeachableError, match="no verifier called 'nope'"):
        run([Prompt("a", "d", (), "6", verifier="nope")], engine)


class Inverse:
    """The opposite of exact."""

    name = "exact"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        return Verdict(not attempt.endswith("6"), None, "inverse")


def test_a_verifier_of_ones_own_takes_the_names_place() -> None:
    engine = ScriptedEngine({"question a": "Answer: 6"})
    work = roll_out(
        [prompt("a")], engine=engine, verifiers={"exact": Inverse()}, n=1, sampling=Sampling(64, 1.0), seed=0
    )
    assert asyncio.run(work)[0].correct is False


def test_few_requests_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "MAX_IN_FLIGHT", 3)

    class Counting(ScriptedEngine):
        now = most = 0

        async def sample(self, request: Request) -> list[Completion]:
            self.now += 1
            self.most = max(self.most, self.now)
            completions = await super().sample(request)
            self.now -= 1
            return completions

    engine = Counting(coin)
    assert len(run([prompt(str(i)) for i in range(20)], engine, n=1)) == 20
    assert engine.most == 3


# ---- asking for more ----


class Recording(ScriptedEngine):
    """Keeps the requests in the order in which they came."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.requests: list[Request] = []

    async def sample(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        return await super().sample(request)


def ask(asks: list[Ask], engine: Engine, sampling: Sampling | None = None, seed: int = 0) -> dict[int, list[Attempt]]:
    """The attempts of every ask by its place."""
    found: dict[int, list[Attempt]] = {}
    sampling = sampling or Sampling(64, 1.0)
    asyncio.run(answer(asks, engine=engine, sampling=sampling, seed=seed, on_answer=found.__setitem__))
    return found


def test_further_attempts_are_numbered_on_and_are_new_samples() -> None:
    engine = ScriptedEngine(lambda text, index, generator: f"Answer: {generator.randrange(10**9)}")
    (first,) = ask([Ask(prompt("a"), 3)], engine).values()
    (more,) = ask([Ask(prompt("a"), 4, first=3)], engine).values()
    assert [a.sample for a in first + more] == list(range(7))
    assert len({a.id for a in first + more}) == len({a.text for a in first + more}) == 7
    assert {a.seed for a in first} == {request_seed(0, "a")} and {a.seed for a in more} == {request_seed(0, "a", 3)}
    assert ask([Ask(prompt("b"), 1), Ask(prompt("a"), 4, first=3)], engine)[1] == more


def test_seeds_differ_by_run_prompt_and_place() -> None:
    seeds = {request_seed(seed, name, first) for seed in range(5) for name in ("a", "b", "ab") for first in range(5)}
    assert len(seeds) == 75
    assert request_seed(0, "a", 0) == request_seed(0, "a") == 8617095791668180470


def test_every_parameter_of_the_sampling_reaches_the_engine_in_the_order_of_the_asks() -> None:
    engine = Recording(coin)
    sampling = Sampling(max_tokens=9, temperature=0.7, top_p=0.8, top_k=5, min_p=0.02, stop=("END",))
    ask([Ask(prompt("b"), 2), Ask(prompt("a"), 1, first=6)], engine, sampling)
    assert engine.requests == [
        Request(
            prompt("b").messages, 2, 9, 0.7, 0.8, seed=request_seed(0, "b"), stop=("END",), top_k=5, min_p=0.02, first=0
        ),
        Request(prompt("a").messages, 1, 9, 0.7, 0.8, seed=request_seed(0, "a", 6), stop=("END",), top_k=5, min_p=0.02),
    ]


def test_what_a_failed_request_brought_is_kept() -> None:
    class Halfway(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            error = RuntimeError("dropped in mid-air")
            error.completions = (await super().sample(request))[:2]  # type: ignore[attr-defined]
            raise error

    (attempts,) = ask([Ask(prompt("a"), 3, first=5)], Halfway({"question a": "Answer: 6"})).values()
    assert [(a.sample, a.correct, a.finish_reason) for a in attempts] == [
        (5, True, "stop"),
        (6, True, "stop"),
        (7, None, "error"),
    ]
    assert attempts[2].reason == "the engine failed: RuntimeError: dropped in mid-air"


def test_what_was_answered_before_a_stop_has_been_handed_over() -> None:
    class Limited(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            if "question 3" in str(request.prompt):
                await asyncio.sleep(0.01)
                raise Stopped("no more money")
            return await super().sample(request)

    found: dict[int, list[Attempt]] = {}
    asks = [Ask(prompt(str(i)), 2) for i in range(6)]
    work = answer(
        asks, engine=Limited(coin), sampling=Sampling(64, 1.0), seed=0, on_answer=found.__setitem__, verifiers=None
    )
    with pytest.raises(Stopped, match="no more money"):
        asyncio.run(work)
    assert all(len(attempts) == 2 for attempts in found.values())
    assert set(found) == {0, 1, 2, 4, 5}


def test_no_asks_are_answered_at_once() -> None:
    assert ask([], ScriptedEngine(coin)) == {}


def test_what_a_verifier_lacks_is_said_before_anything_is_sampled() -> None:
    asked: list[str] = []

    def answer(text: str, index: int, draw: random.Random) -> str:
        asked.append(text)
        return "5"

    judged = Prompt("p", "d", ({"role": "user", "content": "Which?"},), "5", verifier="judge")
    with pytest.raises(TeachableError, match="the judge has no engine to ask"):
        asyncio.run(roll_out([judged], engine=ScriptedEngine(answer), n=2, sampling=Sampling(8, 1.0), seed=0))
    assert asked == []
