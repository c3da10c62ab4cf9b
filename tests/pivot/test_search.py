"""The search on a planted model, and everything that can go otherwise than it should."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import replace

import pytest
from tests.pivot.planted import MAIN, OTHER, PROMPT, Planted, SaysRight, prompts, searched

from teachable.errors import Stopped, TeachableError
from teachable.pivot import PivotConfig, search
from teachable.records import Attempt, Completion, Estimate, Request, Verdict

SURE = (0.995, 0.0)
MINOR = (0.6, 0.02)
# One place moves success by +0.3 or -0.3, another by -0.25 or +0.25; the two may cancel.
FORKS = [SURE, MINOR, (0.5, 0.3), SURE, MINOR, SURE, (0.5, -0.25 * 0.6), MINOR, SURE, MINOR]


def estimate(prompt_id: str, successes: int, n: int) -> Estimate:
    a, b = successes + 0.5, n - successes + 0.5
    return Estimate(prompt_id, "d", 0, n, successes, 0, a, b, 1.0, None, "teachable", "")


def test_planted_pivots_are_found_and_nothing_else() -> None:
    engine = Planted(FORKS)
    found = searched(engine, 40)
    solutions = {one.prompt_id: one for one in found.solutions}
    true = {}
    for one in found.solutions:
        values = engine.values(one.token_ids)
        for place, (before, after) in enumerate(itertools.pairwise(values)):
            true[one.prompt_id, place] = after - before
    pivotal = {key for key, delta in true.items() if abs(delta) >= 0.2}
    reported = {(one.prompt_id, one.position): one for one in found.pivots}
    assert len(pivotal) >= 40
    right = [key for key in reported if abs(true[key]) >= 0.2]
    assert len(right) / len(reported) >= 0.9, "precision"
    assert len(pivotal & set(reported)) / len(pivotal) >= 0.8, "recall"
    covered = sum(one.delta_low <= true[key] <= one.delta_high for key, one in reported.items())
    n = len(reported)
    assert covered / n >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / n), "intervals at 95%, four standard errors of slack"
    for one in found.pivots:
        solution = solutions[one.prompt_id]
        assert one.solution_token_ids == solution.token_ids
        assert one.token_id == solution.token_ids[one.position]
        assert one.delta == pytest.approx(one.p_after - one.p_before, abs=0.01)
        assert abs(one.delta) >= 0.2 and one.delta_low <= one.delta <= one.delta_high
        assert min(abs(one.delta_low), abs(one.delta_high)) > 0.1 and one.n_samples > 0
        assert one.probability == pytest.approx(solution.probabilities[one.position])
        (other,) = one.alternatives if one.position < len(FORKS) else (one.alternatives[0],)
        assert other.token_id != one.token_id and other.n_samples > 0
        assert dict(one)["delta"] == one["delta"] == one.delta


def test_everything_spent_is_counted() -> None:
    engine = Planted(FORKS)
    found = searched(engine, 6)
    assert found.completions == engine.n_given and found.tokens == engine.n_tokens
    assert len(found.gates) == 6 and found.n_failed == found.n_undecided == 0
    assert found.notes == () and found.stopped is None


def test_prefixes_are_the_solutions_own_tokens_and_the_end_is_never_sampled() -> None:
    engine = Planted(FORKS)
    found = searched(engine, 6)
    starts = [tuple(request.prompt) for request in engine.asked]
    own = {(PROMPT, *one.token_ids[:n]) for one in found.solutions for n in range(len(one.token_ids))}
    assert set(starts) <= own
    whole = {(PROMPT, *one.token_ids) for one in found.solutions}
    assert not set(starts) & whole, "the end is known"
    assert len({len(start) for start in starts}) > 3


def test_near_certain_solutions_need_no_sample() -> None:
    engine = Planted([(0.98, 0.0)] * 20, 0.5)
    engine.forks = [(0.98, 0.0)] * 20
    found = asyncio.run(search(prompts(4), engine=engine, verifier=SaysRight(21), config=PivotConfig(gap=0.6)))
    assert {one.outcome for one in found.gates} <= {"certain", "outside"}
    assert len(engine.asked) == 4, "the gate alone"


def test_cancelling_jumps_are_found() -> None:
    """Up by 0.35 and back within four tokens: the prefix values before and after the pair are equal."""
    engine = Planted([SURE, (0.5, 0.35), SURE, (0.5, -0.35 + 0.02), SURE, MINOR, MINOR], 0.5)
    engine.values = _cancelling(engine)  # type: ignore[method-assign]
    found = searched(engine, 30)
    jumps = [(one.prompt_id, place) for one in found.solutions for place in (1, 3)]
    reported = {(one.prompt_id, one.position) for one in found.pivots}
    assert len(set(jumps) & reported) / len(jumps) >= 0.75


def _cancelling(engine: Planted):  # type: ignore[no-untyped-def]
    """Values in which the second fork moves success by +-0.33 around the value before the first."""
    plain = Planted.values

    def values(token_ids):  # type: ignore[no-untyped-def]
        found = plain(engine, token_ids)
        return [min(0.99, max(0.01, one)) if place <= len(engine.forks) else one for place, one in enumerate(found)]

    return values


def test_the_order_of_arrival_makes_no_difference() -> None:
    plain = searched(Planted(FORKS), 8)
    shuffled = searched(Planted(FORKS, shuffle=1), 8)
    assert plain.pivots == shuffled.pivots and plain.solutions == shuffled.solutions
    assert searched(Planted(FORKS), 8, seed=1).solutions != plain.solutions


def test_prompts_outside_the_range_are_left_out() -> None:
    engine = Planted(FORKS, 0.5)
    verifier = SaysRight(len(FORKS) + 1)
    known = {"p0": estimate("p0", 1, 40), "p1": estimate("p1", 39, 40), "p2": estimate("p2", 20, 40)}
    found = asyncio.run(search(prompts(3), engine=engine, verifier=verifier, estimates=known))
    assert [one.outcome for one in found.gates] == ["outside", "outside", "searched"]
    assert found.gates[2].n == 40, "probing's estimate stands"
    assert {one.prompt_id for one in found.solutions} == {"p2"}
    assert engine.asked[0].n == 4, "few samples where probing has told, for a solution"
    assert "2 of 3 prompts left out: success probability outside 0.2 to 0.8" in found.notes


def test_probings_attempts_count_as_samples_of_the_root() -> None:
    engine = Planted(FORKS)
    verifier = SaysRight(len(FORKS) + 1)
    drawn = asyncio.run(engine.sample(Request((PROMPT,), n=30)))
    attempts = [
        Attempt("p0", i, "planted", 0, one.text, one.token_ids, "stop", one.text.endswith("right"), None, "")
        for i, one in enumerate(drawn)
    ]
    known = {"p0": estimate("p0", 15, 30)}
    config = PivotConfig(max_samples=1)
    without = asyncio.run(search(prompts(1), engine=engine, verifier=verifier, estimates=known, config=config))
    given = asyncio.run(
        search(prompts(1), engine=engine, verifier=verifier, estimates=known, attempts=attempts, config=config)
    )
    assert given.solutions[0].n_samples >= without.solutions[0].n_samples + 29


def test_could_not_tell_is_neither_right_nor_wrong() -> None:
    engine = Planted(FORKS)
    verifier = SaysRight(len(FORKS) + 1, doubts=lambda attempt: attempt.split()[1] == "b")
    found = asyncio.run(search(prompts(6), engine=engine, verifier=verifier))
    assert found.n_undecided > 0 and found.completions == engine.n_given
    assert any("the verifier could not tell: told to doubt" in note for note in found.notes)
    never = SaysRight(len(FORKS) + 1, doubts=lambda attempt: True)
    none = asyncio.run(search(prompts(2), engine=Planted(FORKS), verifier=never))
    assert [one.outcome for one in none.gates] == ["undecided", "undecided"] and not none.solutions
    assert "2 of 2 prompts left out: the verifier could not tell of any of 12 samples: told to doubt" in none.notes


def test_a_failed_request_costs_only_itself() -> None:
    engine = Planted(FORKS, fails=lambda number: number % 4 == 0)
    found = searched(engine, 8)
    assert found.n_failed == sum(number % 4 == 0 for number in range(1, len(engine.asked) + 1))
    assert found.pivots and any("requests failed and were left out" in note for note in found.notes)
    assert {one.outcome for one in found.gates} >= {"failed", "searched"}


def test_a_solution_whose_requests_keep_failing_is_given_up() -> None:
    engine = Planted(FORKS, fails=lambda number: number > 2)
    found = searched(engine, 2)
    assert all("given up after 3 failed requests" in one.note for one in found.solutions)
    assert found.n_failed == 3 * len(found.solutions)


def test_an_engine_that_always_fails_is_an_error() -> None:
    with pytest.raises(TeachableError, match="not one of 3 requests succeeded; the first: RuntimeError: told to fail"):
        searched(Planted(FORKS, fails=lambda number: True), 3)


def test_a_solution_of_one_token() -> None:
    engine = Planted([], 0.5)
    found = searched(engine, 4)
    (note,) = found.notes
    assert note == "4 solutions have a single token: its change is that from the prompt to the known end"
    assert len(found.pivots) == 4, "from 0.5 to 0 or 1 with a single token"
    for one in found.pivots:
        assert one.position == 0 and one.delta == pytest.approx(0.5 if one.token_id == 1 else -0.5, abs=0.2)


def test_empty_completions_are_answers_but_no_solutions() -> None:
    class Empty(Planted):
        async def sample(self, request: Request) -> list[Completion]:
            return [
                one if place % 2 else replace(one, text="", token_ids=(), token_logprobs=(), n_tokens=0)
                for place, one in enumerate(await super().sample(request))
            ]

    class Lenient(SaysRight):
        async def verify(self, attempt, prompt):  # type: ignore[no-untyped-def]
            return replace(await super().verify(attempt or "a " * len(FORKS) + "wrong", prompt))

    found = asyncio.run(search(prompts(4), engine=Empty(FORKS, 0.8), verifier=Lenient(len(FORKS) + 1)))
    assert any("completions are empty" in note for note in found.notes)
    assert found.solutions and all(one.token_ids for one in found.solutions)


def test_only_empty_completions() -> None:
    class Silent(Planted):
        async def sample(self, request: Request) -> list[Completion]:
            return [Completion("", (), (), "stop")] * request.n

    class Coin(SaysRight):
        said = 0

        async def verify(self, attempt, prompt):  # type: ignore[no-untyped-def]
            Coin.said += 1
            return await super().verify("right" if Coin.said % 2 else "wrong", prompt)

    found = asyncio.run(search(prompts(2), engine=Silent(FORKS), verifier=Coin(1)))
    assert [one.outcome for one in found.gates] == ["empty", "empty"]


class Certain(SaysRight):
    """Everything is wrong, however short."""

    def __init__(self) -> None:
        super().__init__(0)

    async def verify(self, attempt, prompt):  # type: ignore[no-untyped-def]
        return Verdict(False, None, "")


def test_an_engine_that_says_nothing_at_all_is_refused() -> None:
    class Table(Planted):
        async def sample(self, request: Request) -> list[Completion]:
            return [Completion("", (), None, "stop")] * request.n

    with pytest.raises(TeachableError, match="all of 24 completions are empty, without tokens"):
        asyncio.run(search(prompts(2), engine=Table(FORKS), verifier=Certain()))


def test_a_limit_ends_the_search_with_what_was_found() -> None:
    engine = Planted(FORKS, stop_after=400)
    found = searched(engine, 20)
    assert isinstance(found.stopped, Stopped) and found.solutions and len(found.gates) == 20
    early = searched(Planted(FORKS, stop_after=30), 20)
    assert "interrupted" in {one.outcome for one in early.gates}


@pytest.mark.parametrize(("spoil", "said"), [("token_ids", "without token ids"), ("token_logprobs", "no log-prob")])
def test_an_engine_that_cannot_say_is_refused(spoil: str, said: str) -> None:
    class Mute(Planted):
        async def sample(self, request: Request) -> list[Completion]:
            gone = {"token_ids": {"token_ids": (), "token_logprobs": None}, "token_logprobs": {"token_logprobs": None}}
            return [replace(one, **gone[spoil]) for one in await super().sample(request)]  # type: ignore[arg-type]

    with pytest.raises(TeachableError, match=said):
        searched(Mute(FORKS), 2)


@pytest.mark.parametrize("stop_after", [700, 900, 1_100, 1_300])
def test_what_is_reported_holds_whenever_the_search_ends(stop_after: int) -> None:
    """Also where completions for other solutions, or those before a stop, came after a token was settled."""
    config = PivotConfig(n_solutions=3)
    for seed in range(3):
        engine = Planted(FORKS, stop_after=stop_after)
        found = searched(engine, 12, config, seed)
        assert found.stopped is not None and found.pivots
        for one in found.pivots:
            assert abs(one.delta) >= config.gap
            assert min(abs(one.delta_low), abs(one.delta_high)) > config.gap / 2


def test_several_solutions_share_one_tree() -> None:
    one = searched(Planted(FORKS), 6)
    three = searched(Planted(FORKS), 6, PivotConfig(n_solutions=3))
    assert len(three.solutions) == 3 * len(one.solutions)
    assert len({(s.prompt_id, s.token_ids) for s in three.solutions}) == len(three.solutions)
    assert three.completions < 3 * one.completions


def test_shared_ids_and_bad_settings_are_refused() -> None:
    with pytest.raises(TeachableError, match="two prompts have the id"):
        asyncio.run(search([*prompts(1), *prompts(1)], engine=Planted(FORKS), verifier=SaysRight(11)))
    with pytest.raises(ValueError, match=r"low \(0.8\) must be below high \(0.2\)"):
        PivotConfig(low=0.8, high=0.2)


def test_values_in_the_curve_are_near_the_truth() -> None:
    engine = Planted(FORKS)
    found = searched(engine, 10)
    for one in found.solutions:
        assert len(one.values) == len(one.value_sds) == len(one.token_ids) + 1 == len(one.probabilities) + 1
        assert set(one.token_ids[:-1]) <= {MAIN, OTHER} and one.tokens[0] in ("a", "b")
    off = [
        (mine - true) / max(sd, 0.03)
        for one in found.solutions
        for mine, true, sd in zip(one.values, engine.values(one.token_ids), one.value_sds, strict=True)
    ]
    assert sum(abs(score) < 3 for score in off) / len(off) > 0.9
