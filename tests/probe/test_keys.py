"""Keys: a prompt's own answer, a teacher's plurality, and what a clash or a quarrel leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.probe.planted import Planted, prompt

from teachable.engines.scripted import ScriptedEngine
from teachable.errors import Stopped, TeachableError
from teachable.probe import ProbeConfig, ProbeResult, probe
from teachable.probe.keys import Key, key_from, own_key, with_key
from teachable.records import Attempt, Engine, Estimate, Prompt, Request

TEACHER = {
    "agreed": "Answer: 6",
    "clash": "Answer: 7",
    "same": "Answer: 6.0",
    "quarrel": {"Answer: 1": 1.0, "Answer: 2": 1.0, "Answer: 3": 1.0, "Answer: 4": 1.0, "Answer: 5": 1.0},
    "silent": "",
}
BASE = {name: ["Answer: 6", "Answer: 9"] for name in TEACHER}


def teach(
    names: Sequence[str], answer: str | None = None, *, engine: Engine | None = None, teacher: Engine | None = None
) -> tuple[ProbeResult, dict[str, Estimate]]:
    found = asyncio.run(
        probe(
            [prompt(name, answer) for name in names],
            engine=engine or ScriptedEngine(BASE),
            teacher=teacher or ScriptedEngine(TEACHER, name="teacher"),
            config=ProbeConfig(teacher_samples=8),
        )
    )
    return found, {one.prompt_id: one for one in found.estimates}


def answers(*said: tuple[str | None, bool | None]) -> list[Attempt]:
    return [Attempt("p", i, "t", 0, "", (), "stop", correct, one, "why") for i, (one, correct) in enumerate(said)]


def test_the_teachers_plurality_is_the_key_where_there_is_none() -> None:
    result, found = teach(["agreed"])
    one = found["agreed"]
    assert (one.key, one.key_source, one.key_agreement, one.suspect) == ("6", "teacher", 1.0, False)
    assert (one.zone, one.stopped) == ("teachable", "decided")
    assert 0 < one.successes < one.n
    assert len(result.teacher_attempts) == 8 and {a.engine for a in result.teacher_attempts} == {"teacher"}
    assert result.completions == 8 + len(result.attempts)
    assert result.tokens == sum(a.n_tokens for a in (*result.attempts, *result.teacher_attempts))


def test_a_teacher_that_contradicts_an_organic_answer_makes_it_suspect() -> None:
    _, found = teach(["clash", "same"], answer="6")
    clash, same = found["clash"], found["same"]
    assert (clash.suspect, clash.key, clash.key_source, clash.key_agreement) == (True, "6", "organic", 0.0)
    assert clash.reason.startswith("suspect, 8 of 8 of the teacher's answers are '7', its own answer is '6'; ")
    assert clash.zone == "teachable"  # its zone is still that of its own answer
    assert (same.suspect, same.key, same.key_agreement) == (False, "6", 1.0)


@pytest.mark.parametrize(("name", "trouble"), [("quarrel", "the teacher disagrees with"), ("silent", "gave no answer")])
def test_without_a_key_from_the_teacher_nothing_is_sampled(name: str, trouble: str) -> None:
    result, found = teach([name])
    one = found[name]
    assert result.attempts == () and len(result.teacher_attempts) == 8
    assert (one.zone, one.stopped, one.key, one.n, one.zone_mass) == ("ambiguous", "undecidable", None, 0, 0.0)
    assert trouble in one.reason


def test_a_teacher_in_trouble_leaves_an_organic_answer_alone() -> None:
    _, found = teach(["quarrel", "silent"], answer="6")
    for one in found.values():
        assert (one.zone, one.key, one.key_source, one.suspect) == ("teachable", "6", "organic", False)
    assert found["silent"].key_agreement == 0.0


def test_a_teacher_that_always_fails_is_a_mistake_to_mend() -> None:
    base = Planted({"agreed": 0.5})
    with pytest.raises(TeachableError, match=r"the teacher: not one of 8 attempts succeeded.*told to fail"):
        teach(["agreed"], engine=base, teacher=ScriptedEngine(TEACHER, frac_failing=1.0))
    assert base.n_given == 0


def test_a_limit_reached_by_the_teacher_ends_the_probe_with_what_there_is() -> None:
    class Limited(ScriptedEngine):
        async def sample(self, request: Request) -> list:
            if "silent" in str(request.prompt):
                await asyncio.sleep(0.01)
                raise Stopped("no more money")
            return await super().sample(request)

    base = ScriptedEngine(BASE)
    result, found = teach(["agreed", "silent"], engine=base, teacher=Limited(TEACHER))
    assert result.stopped is not None and result.attempts == ()
    assert len(result.teacher_attempts) == 8
    assert [one.stopped for one in found.values()] == ["interrupted", "interrupted"]
    assert found["agreed"].key == "6" and found["silent"].key is None
    assert found["silent"].reason == "the teacher gave no answer: it was not asked"


def test_a_model_that_is_its_own_teacher_is_not_judged_by_the_same_samples() -> None:
    engine = ScriptedEngine(BASE)
    result, _ = teach(["agreed"], engine=engine, teacher=engine)
    assert {a.seed for a in result.teacher_attempts}.isdisjoint(a.seed for a in result.attempts)


def test_a_tie_goes_to_the_answer_that_was_sampled_first_and_the_share_must_be_exceeded() -> None:
    tied = answers(("b", None), ("a", None), ("b", None), ("a", None))
    assert key_from(prompt("p", None), tied, 0.49) == Key("b", "teacher", 0.5)
    assert key_from(prompt("p", None), tied, 0.5).answer is None
    # What can't be read agrees with nothing, and counts.
    assert key_from(prompt("p", None), answers(("a", None), (None, None), (None, None)), 0.5).answer is None


def test_equivalent_answers_of_the_teacher_count_together_under_math() -> None:
    given = answers(("1/2", None), ("0.7", None), ("0.5", None), ("\\frac{1}{2}", None))
    assert key_from(prompt("p", None), given, 0.5).answer is None
    found = key_from(replace(prompt("p", None), verifier="math"), given, 0.5)
    assert (found.answer, found.agreement) == ("1/2", 0.75)


def test_a_clash_needs_a_verdict_against_and_none_for() -> None:
    organic = prompt("p", "1/2")
    assert key_from(organic, answers(("0.5", True), ("0.5", True)), 0.5) == Key("1/2", "organic", 1.0)
    assert key_from(organic, answers(("0.7", False), ("0.7", False)), 0.5).suspect
    assert not key_from(organic, answers(("0.7", None), ("0.7", None)), 0.5).suspect
    assert not key_from(organic, answers(("0.7", False), ("0.5", True)), 0.5).suspect


def test_the_verifier_sees_the_teachers_key() -> None:
    bare = prompt("p", None)
    seen = with_key(bare, Key("6", "teacher", 0.8))
    assert (seen.answer, seen.answer_source) == ("6", "teacher")
    assert with_key(bare, own_key(bare)) == bare
    assert own_key(bare) == Key(None, "")
    assert own_key(Prompt("p", "d", (), "6", "program")) == Key("6", "program")
