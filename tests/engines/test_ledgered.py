"""No completion is paid for twice, and none is lost, whoever is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines import asker
from tests.engines.asker import Counting, request

from teachable.engines.ledgered import Ledgered, Spending, request_key
from teachable.engines.scripted import ScriptedEngine, ScriptedFailure
from teachable.errors import TeachableError
from teachable.records import Completion, Engine, Message, Request
from teachable.store.ledger import Ledger

ASK = request(0, n=4)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """What the engine behind the ledger was asked, a line a request."""
    path = tmp_path / "calls.txt"
    path.touch()
    return path


def n_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def sample(engine: Ledgered, *requests: Request) -> list[list[Completion]]:
    async def main() -> list[list[Completion]]:
        return list(await asyncio.gather(*[engine.sample(r) for r in requests]))

    return asyncio.run(main())


def test_it_is_an_engine_with_its_engines_name_and_tokens(ledger: Ledger) -> None:
    inner = ScriptedEngine({}, name="someone")
    engine = Ledgered(inner, ledger, stage="probe")
    assert isinstance(engine, Engine)
    assert engine.name == "someone"
    chat = [Message(role="user", content="größer")]
    assert engine.encode(chat) == inner.encode(chat)
    assert engine.decode(engine.encode("größer")) == "größer"


def test_a_second_ask_costs_nothing_and_says_the_same(ledger: Ledger, calls: Path) -> None:
    [first] = sample(Ledgered(Counting(calls), ledger, stage="probe"), ASK)
    [second] = sample(Ledgered(Counting(calls), ledger, stage="evaluate"), ASK)
    assert second == first
    assert len({c.text for c in first}) == 4
    assert n_lines(calls) == 1
    assert ledger.totals("probe").completions == 4
    assert ledger.totals("evaluate").completions == 0


def test_asking_for_fewer_is_answered_from_the_ledger(ledger: Ledger, calls: Path) -> None:
    engine = Ledgered(Counting(calls), ledger, stage="probe")
    [four] = sample(engine, ASK)
    [two] = sample(engine, replace(ASK, n=2))
    assert two == four[:2]
    assert n_lines(calls) == 1


def test_asking_for_more_keeps_what_is_there(ledger: Ledger, calls: Path) -> None:
    engine = Ledgered(Counting(calls), ledger, stage="probe")
    [two] = sample(engine, replace(ASK, n=2))
    [four] = sample(engine, ASK)
    assert four[:2] == two
    assert n_lines(calls) == 2
    assert ledger.totals().completions == 4


def test_what_is_written_counts_where_an_engine_does_not_repeat_itself(ledger: Ledger) -> None:
    """A remote model may answer otherwise the second time; a run that goes on must then see what the first one saw."""
    answers = iter(range(100))
    engine = Ledgered(ScriptedEngine(lambda *_: f"{next(answers)}"), ledger, stage="probe")
    [two] = sample(engine, replace(ASK, n=2))
    [four] = sample(engine, ASK)
    assert [c.text for c in four] == ["0", "1", "4", "5"]
    assert sample(engine, ASK, replace(ASK, n=2)) == [four, two]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "another question"},
        {"prompt": (Message(role="user", content=ASK.prompt),)},
        {"prompt": tuple(b"question 0")},
        {"max_tokens": 7},
        {"temperature": 0.5},
        {"top_p": 0.9},
        {"seed": 5},
        {"stop": ("\n",)},
    ],
)
def test_whatever_changes_the_answer_is_another_request(ledger: Ledger, calls: Path, change: dict[str, object]) -> None:
    sample(Ledgered(Counting(calls), ledger, stage="probe"), ASK, replace(ASK, **change))
    assert n_lines(calls) == 2


def test_another_model_is_asked_anew(ledger: Ledger) -> None:
    for name in ("base", "tuned"):
        engine = Ledgered(ScriptedEngine({"question 0": name}, name=name), ledger, stage="probe")
        assert [c.text for c in sample(engine, ASK)[0]] == [name] * 4


def test_keys_are_the_same_on_every_machine() -> None:
    """Golden: a change would make every ledger of every user worthless."""
    chat = (Message(role="user", content="größer?"),)
    of_chat = "25234d5571f75b9ee5fa1c1a77991dbe3a09001d43d385ac459c6a592b5fd478"
    of_text = "45c137e85f3eac05a4ada9505799abbc57bf76d9cdaba87875413f88063f8898"
    assert request_key("engine", Request(chat, n=2, seed=1)) == of_chat
    assert request_key("engine", Request(chat, n=9, seed=1)) == of_chat
    assert request_key("engine", Request("größer?", stop=("a", "b"))) == of_text


def test_completions_are_in_the_ledger_before_sample_returns(ledger: Ledger, calls: Path) -> None:
    """Seen through a connection of its own, as another process would."""
    engine = Ledgered(Counting(calls), ledger, stage="probe")

    async def one(index: int) -> bool:
        asked = request(index)
        completions = await engine.sample(asked)
        with Ledger(ledger.path) as other:
            return other.get(request_key(engine.name, asked)) == completions

    async def main() -> list[bool]:
        return list(await asyncio.gather(*[one(index) for index in range(20)]))

    assert asyncio.run(main()) == [True] * 20


def test_an_engine_that_fails_writes_nothing_and_costs_the_others_nothing(ledger: Ledger) -> None:
    fails = ScriptedEngine(lambda text, *_: text, frac_failing=0.5)
    engine = Ledgered(fails, ledger, stage="probe")

    async def main() -> list[object]:
        asked = [engine.sample(request(index)) for index in range(40)]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    results = asyncio.run(main())
    failed = [index for index, result in enumerate(results) if isinstance(result, ScriptedFailure)]
    assert 5 < len(failed) < 35
    for index, result in enumerate(results):
        assert ledger.get(request_key(engine.name, request(index))) == (None if index in failed else result)
    assert engine.spent.completions == 3 * (40 - len(failed)) == ledger.totals().completions


def test_an_engine_that_brings_too_few_is_asked_again(ledger: Ledger) -> None:
    class Short(ScriptedEngine):
        short = 1

        async def sample(self, request: Request) -> list[Completion]:
            return (await super().sample(request))[: self.short]

    inner = Short(lambda text, index, _: f"{index}")
    engine = Ledgered(inner, ledger, stage="probe")
    inner.short = 0
    assert sample(engine, ASK) == [[]]
    inner.short = 2
    assert [c.text for c in sample(engine, ASK)[0]] == ["0", "1"]
    inner.short = 4
    assert [c.text for c in sample(engine, ASK)[0]] == ["0", "1", "2", "3"]


def test_a_ledger_that_cannot_be_written_is_heard_of(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, say: nobody may go on with completions that were not kept, and nobody may wait for ever."""

    def full(*args: object, **kwargs: object) -> None:
        raise TeachableError("no space is left on the disk")

    engine = Ledgered(ScriptedEngine({"question 0": "a", "question 1": "b"}), ledger, stage="probe")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "put_many", full)
        for _ in range(2):
            with pytest.raises(TeachableError, match="no space is left"):
                sample(engine, request(0), request(1))
    assert [c.text for c in sample(engine, request(1))[0]] == ["b"] * 3


def test_answers_that_arrive_together_are_written_together(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction a completion would cost more than sampling it."""
    batches: list[int] = []
    put_many = ledger.put_many
    monkeypatch.setattr(
        ledger, "put_many", lambda entries, **rest: (batches.append(len(entries)), put_many(entries, **rest))
    )
    sample(Ledgered(ScriptedEngine(lambda *_: "a"), ledger, stage="probe"), *[request(i) for i in range(50)])
    assert sum(batches) == 50
    assert len(batches) < 5


def test_spending_tells_new_from_reused(ledger: Ledger, calls: Path) -> None:
    chat = (Message(role="user", content="question 0"),)
    engine = Ledgered(Counting(calls), ledger, stage="probe")
    [made] = sample(engine, replace(ASK, prompt=chat))
    n_in = len(engine.encode(list(chat)))
    n_out = sum(len(c.token_ids) for c in made)
    assert engine.spent == Spending(completions=4, tokens_in=n_in, tokens_out=n_out)
    totals = ledger.totals("probe")
    assert (totals.requests, totals.completions, totals.tokens_in, totals.tokens_out) == (1, 4, n_in, n_out)
    again = Ledgered(Counting(calls), ledger, stage="probe")
    sample(again, replace(ASK, prompt=chat))
    assert again.spent == Spending(4, n_in, n_out, reused_completions=4, reused_tokens_out=n_out)


@pytest.mark.parametrize("prompt", ["question 0", tuple(b"question 0")])
def test_prompt_tokens_are_counted_for_every_kind_of_prompt(ledger: Ledger, prompt: str | tuple[int, ...]) -> None:
    engine = Ledgered(ScriptedEngine({}), ledger, stage="probe")
    sample(engine, replace(ASK, prompt=prompt))
    assert engine.spent.tokens_in == len(b"question 0")


def start(path: Path, calls: Path, n_requests: int, n_at_once: int, seconds: float) -> subprocess.Popen[str]:
    arguments = [asker.__file__, path, calls, n_requests, n_at_once, seconds]
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_a_killed_process_loses_only_what_was_in_flight(tmp_path: Path, calls: Path) -> None:
    path, n_requests, n_at_once = tmp_path / "ledger.sqlite", 60, 4
    first = start(path, calls, n_requests, n_at_once, 0.02)
    assert first.stdout is not None
    said = [first.stdout.readline() for _ in range(17)]
    first.send_signal(signal.SIGKILL)
    said += [line for line in first.communicate(timeout=60)[0].splitlines(keepends=True) if line.endswith("\n")]
    assert first.returncode == -signal.SIGKILL
    n_paid = n_lines(calls)
    assert 17 <= len(said) <= n_paid < n_requests

    second = start(path, calls, n_requests, n_at_once, 0.0)
    again = second.communicate(timeout=60)[0].splitlines(keepends=True)
    assert second.returncode == 0
    assert len(again) == n_requests
    assert set(said) <= set(again)  # what was handed on before the kill is what a restart sees
    asked = Counter(calls.read_text().splitlines())
    assert len(asked) == n_requests
    assert max(asked.values()) <= 2
    assert sum(asked.values()) - n_requests <= n_at_once


def test_two_processes_may_share_a_ledger(tmp_path: Path, calls: Path) -> None:
    path, n_requests = tmp_path / "ledger.sqlite", 60
    both = [start(path, calls, n_requests, 8, 0.005) for _ in range(2)]
    one, other = ({*process.communicate(timeout=60)[0].splitlines()} for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert one == other
    assert len(one) == n_requests
    with Ledger(path) as ledger:
        assert ledger.totals().requests == n_requests
        assert ledger.totals().completions == 3 * n_requests
    assert n_requests <= n_lines(calls) <= 2 * n_requests
