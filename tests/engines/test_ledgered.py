"""No completion is paid for twice, and none is lost, whoever is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines import asker
from tests.engines.asker import Counting, keep_asking, request, sample

from teachable.engines.ledgered import Ledgered, Spending, request_key
from teachable.engines.limits import Limits
from teachable.engines.scripted import ScriptedEngine
from teachable.errors import EXIT_LIMIT_REACHED, Stopped, TeachableError
from teachable.records import Engine, Message, Request
from teachable.store.ledger import Ledger, Totals

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
    assert [c.text for c in four] == ["0", "1", "2", "3"]
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
        {"top_k": 5},
        {"min_p": 0.1},
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
    assert request_key("engine", Request("größer?", stop=("a", "b"), n=3, first=7)) == of_text
    with_top_k = request_key("engine", Request("größer?", stop=("a", "b"), top_k=5))
    assert with_top_k == "12c04f24b76f3de0363860fff60a786befe3def2c5cf68dbded173fd0e6c7b1d"
    assert with_top_k != request_key("engine", Request("größer?", stop=("a", "b"), min_p=5))


def test_completions_are_in_the_ledger_before_sample_returns(ledger: Ledger, calls: Path) -> None:
    """Seen through a connection of its own, as another process would."""
    engine = Ledgered(Counting(calls), ledger, stage="probe")

    async def one(index: int) -> bool:
        asked = request(index)
        completions = await engine.sample(asked)
        with Ledger(ledger.path) as other:
            return list(other.get(request_key(engine.name, asked)).values()) == completions

    async def main() -> list[bool]:
        return list(await asyncio.gather(*[one(index) for index in range(20)]))

    assert asyncio.run(main()) == [True] * 20


def test_two_who_ask_the_same_at_once_pay_once(ledger: Ledger, calls: Path) -> None:
    engine = Ledgered(Counting(calls, 0.01), ledger, stage="probe")
    asked = [replace(ASK, n=n) for n in (2, 4, 4, 3)]
    answers = sample(engine, *asked)
    assert answers == [answers[1][: r.n] for r in asked]
    assert n_lines(calls) == 2  # two samples, and the two that the second asker lacks
    assert engine.spent.completions == 13
    assert engine.spent.reused_completions == 9
    assert ledger.totals().completions == 4


def test_who_has_it_all_waits_for_nobody(ledger: Ledger, calls: Path) -> None:
    engine = Ledgered(Counting(calls, 0.2), ledger, stage="probe")

    async def main() -> bool:
        await engine.sample(replace(ASK, n=2))
        slow = asyncio.create_task(engine.sample(ASK))
        await asyncio.sleep(0.01)
        await engine.sample(replace(ASK, n=2))
        waits = not slow.done()
        await slow
        return waits

    assert asyncio.run(main())


def test_money_is_counted_at_the_given_prices(ledger: Ledger) -> None:
    table = {"question 0": "four", "question 1": "four"}
    engine = Ledgered(ScriptedEngine(table), ledger, stage="probe", prices=(2.0, 8.0))
    sample(engine, ASK)
    cost = (10 * 2.0 + 4 * 4 * 8.0) / 1e6
    assert engine.spent == Spending(4, 10, 16, pytest.approx(cost))
    assert ledger.totals("probe") == Totals(1, 4, 10, 16, pytest.approx(cost))
    dearer = Ledgered(ScriptedEngine(table), ledger, stage="evaluate", prices=(4.0, 16.0))
    sample(dearer, ASK)
    assert dearer.spent == Spending(4, 10, 16, pytest.approx(2 * cost), 0, 4, 10, 16, pytest.approx(2 * cost))
    assert ledger.totals().cost_usd == pytest.approx(cost)


def test_a_limit_stops_it_and_what_is_paid_for_stays_free(ledger: Ledger) -> None:
    """Room for two requests of three samples of at most 10 tokens; their answers use 4 tokens of 10."""
    inner = ScriptedEngine(lambda text, index, _: f"{index:04d}")
    limits = Limits(max_tokens=60)
    engine = Ledgered(inner, ledger, stage="probe", limits=limits)
    asked = [replace(request(index), max_tokens=10) for index in range(9)]
    results = keep_asking(engine, *asked)
    n_done = sum(isinstance(result, list) for result in results)
    assert n_done == 3  # 12 tokens each: a fourth might make it 66
    assert all(isinstance(result, Stopped) and result.exit_code == EXIT_LIMIT_REACHED for result in results[n_done:])
    assert ledger.totals() == Totals(n_done, 3 * n_done, 10 * n_done, 12 * n_done, 0.0)
    assert keep_asking(engine, *asked[:n_done]) == results[:n_done]
    raised = Ledgered(inner, ledger, stage="probe", limits=Limits(max_tokens=1000))
    assert sample(raised, *asked)[:n_done] == results[:n_done]


def no_tokenizer(prompt: object) -> list[int]:
    raise TeachableError("this engine has no tokenizer")


@pytest.mark.parametrize(
    ("prompt", "encode", "n_prompt"),
    [
        (tuple(range(50)), no_tokenizer, 50),
        ("x" * 50, list, 50),
        ((Message(role="user", content="größer " * 10),), no_tokenizer, 90 // 2 + 32),
        ("x" * 50, no_tokenizer, 25 + 32),
    ],
)
def test_the_worst_case_counts_prompts_and_every_sample(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, prompt: object, encode: Callable, n_prompt: int
) -> None:
    """The smallest limit under which a request is let through is its worst case, to the microdollar."""
    inner = ScriptedEngine({})
    monkeypatch.setattr(inner, "encode", encode)
    inner._n_prompt_tokens = lambda prompt: 0  # type: ignore[method-assign]
    asked = Request(prompt, n=3, max_tokens=10)  # type: ignore[arg-type]
    worst = 3 * (n_prompt * 2 + 10 * 5) / 1e6
    for limit, ends in ((worst - 1e-6, Stopped), (worst, list)):
        engine = Ledgered(inner, ledger, stage="probe", prices=(2.0, 5.0), limits=Limits(max_cost_usd=limit))
        assert isinstance(keep_asking(engine, asked)[0], ends)


def test_it_closes_the_engine_that_can_be_closed(ledger: Ledger) -> None:
    closed: list[bool] = []

    class Closing(ScriptedEngine):
        async def aclose(self) -> None:
            closed.append(True)

    asyncio.run(Ledgered(ScriptedEngine({}), ledger, stage="probe").aclose())
    asyncio.run(Ledgered(Closing({}), ledger, stage="probe").aclose())
    assert closed == [True]


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
    n_out = sum(c.n_tokens for c in made)
    assert [c.n_prompt_tokens for c in made] == [n_in, 0, 0, 0]
    assert engine.spent == Spending(completions=4, tokens_in=n_in, tokens_out=n_out)
    assert ledger.totals("probe") == Totals(1, 4, n_in, n_out, 0.0)
    again = Ledgered(Counting(calls), ledger, stage="probe")
    sample(again, replace(ASK, prompt=chat))
    reused = {"reused_completions": 4, "reused_tokens_in": n_in, "reused_tokens_out": n_out}
    assert again.spent == Spending(4, n_in, n_out, **reused)


def start(path: Path, calls: Path, n_requests: int, n_at_once: int, seconds: float) -> subprocess.Popen[str]:
    arguments = [asker.__file__, path, calls, n_requests, n_at_once, seconds]
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_a_killed_process_loses_only_what_was_in_flight(tmp_path: Path, calls: Path) -> None:
    path, n_requests, n_at_once = tmp_path / "ledger.sqlite", 60, 4
    first = start(path, calls, n_requests, n_at_once, 0.02)
    assert first.stdout is not None
    said = [first.stdout.readline() for _ in range(17)]
    first.send_signal(signal.SIGKILL)
    said += [line for line in first.stdout if line.endswith("\n")]  # through the same buffer as the lines before
    first.wait(timeout=60)
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
