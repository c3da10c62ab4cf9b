"""Who no longer waits for a verdict waits for no program."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from tests.verify.programs.test_sandbox import needs_sandbox

from teachable.records import Prompt
from teachable.verify.programs import Bounds, Code, find_sandbox
from teachable.verify.programs.sandbox import Job
from teachable.verify.programs.stopping import Stoppable

SLEEPS = Prompt("p", "d", (), json.dumps([{"stdin": "", "stdout": "1"}]))
SPINS = Prompt("p", "d", (), "assert f(1) == 2")
BOUNDS = Bounds(cpu_s=60, wall_s=60)


@needs_sandbox
@pytest.mark.parametrize(
    ("prompt", "program"),
    [(SLEEPS, "import time\ntime.sleep(50)"), (SPINS, "def f(x):\n    while True: pass")],
    ids=["a case", "tests"],
)
def test_a_cancelled_verdict_ends_its_programs(prompt: Prompt, program: str) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(Code(BOUNDS).verify(program, prompt))
        await asyncio.sleep(1.0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The thread is free again: the next verdict does not stand behind 50 s of sleep.
        verdict = await Code(BOUNDS).verify("print(1)", SLEEPS)
        assert verdict.correct is True

    started = time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - started < 25


@needs_sandbox
def test_nothing_starts_after_the_stop() -> None:
    runs = Stoppable().within(find_sandbox())
    job = Job(("python", "-I", "-S", "-c", "print(1)"), files={}, bounds=BOUNDS)
    assert runs.run(job).stdout == b"1\n"
    runs.stop()
    with pytest.raises(InterruptedError):
        runs.run(job)
