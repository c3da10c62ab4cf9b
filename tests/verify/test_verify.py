"""Finding verifiers, calling them safely, and proving them on gold."""

from __future__ import annotations

import asyncio

import pytest

from teachable import verify
from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict


class Broken:
    """A verifier that raises what it was given."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        raise self._error


class AlwaysRight:
    """A verifier that accepts anything."""

    name = "always"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        return Verdict(True, attempt, "anything goes")


def test_get_finds_and_names_the_nearest() -> None:
    assert verify.get("exact").name == "exact"
    assert isinstance(verify.get("gym"), verify.Verifier)
    with pytest.raises(TeachableError, match=r"no verifier called 'exakt'.*nearest name is 'exact'"):
        verify.get("exakt")


def test_a_failing_verifier_could_not_tell() -> None:
    verdict = verify.check("Answer: 6", "6", Broken(ZeroDivisionError("oh")))
    assert verdict == Verdict(None, None, "the verifier 'broken' failed: ZeroDivisionError: oh")


def test_a_users_mistake_is_no_verdict() -> None:
    with pytest.raises(TeachableError, match="mend me"):
        verify.check("Answer: 6", "6", Broken(TeachableError("mend me")))


def test_check_works_where_a_loop_runs_already() -> None:
    async def inside() -> Verdict:
        return verify.check("Answer: 6", "6")

    assert asyncio.run(inside()).correct is True


def test_proof_on_gold_names_what_was_tried() -> None:
    rows = [Prompt("a", "d", (), "9"), Prompt("b", "d", ()), Prompt("c", "d", (), "cat")]
    assert verify.prove_on_gold(rows) == []
    lenient = verify.prove_on_gold(rows, AlwaysRight())
    assert [(fault.prompt_id, fault.tried) for fault in lenient] == [
        ("a", "a near-miss (the last digit changed)"),
        ("c", "a near-miss (one letter more)"),
    ]
    broken = verify.prove_on_gold(rows[:1], Broken(ValueError("x")))
    assert [(fault.tried, fault.reason) for fault in broken] == [
        ("its own answer", "the verifier 'broken' failed: ValueError: x")
    ]
