"""A toy recipe of three stages, and the real command line over it: `python toy.py run recipe.yaml --out DIR`.

`numbers` draws numbers from the seed; `squares` asks a slow engine (a ledger stands before it) for each one's
square and keeps a model outside its folder; `total` adds them up and writes a report at the top of the run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from teachable.cli import wiring
from teachable.cli.main import main
from teachable.recipe.spec import Forecast, ForecastInput, Runner, StageContext, StageOutcome, StageSpec
from teachable.records import Completion, Progress
from teachable.store.digest import digest
from teachable.store.files import read_json, read_rows, write_json, write_rows, write_text
from teachable.store.ledger import Ledger, Paid


class Numbers(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    n: int = Field(20, ge=1, description="how many")
    top: int = 1000
    source: Path | None = None


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    power: int = 2


class Squares(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    delay_s: float = 0.0
    k: int = 1
    inner: Inner = Inner()
    misbehave: str = ""


class Total(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str = "total"


def numbers(ctx: StageContext) -> StageOutcome:
    config = ctx.config_as(Numbers)
    draw = random.Random(ctx.seed)
    rows = [{"i": i, "value": draw.randrange(config.top)} for i in range(config.n)]
    write_rows(ctx.folder / "numbers.parquet", rows)
    write_json(ctx.folder / "stats.json", {"n_pool": config.n})
    return StageOutcome(note=f"{config.n} numbers", prompts=config.n)


def squares(ctx: StageContext) -> StageOutcome:
    config = ctx.config_as(Squares)
    misbehave(ctx, config.misbehave)
    rows = read_rows(ctx.inputs["numbers"] / "numbers.parquet")
    spent = 0
    with Ledger(ctx.ledger_path) as ledger:
        for done, row in enumerate(rows, start=1):
            key = digest(["toy", row["value"], config.inner.power])
            if not ledger.get(key):
                time.sleep(config.delay_s)
                answer = Completion(str(row["value"] ** config.inner.power), (row["value"],), None, "stop")
                ledger.put_many([Paid(key, [answer])], stage=ctx.name, engine="toy")
                spent += 1
            row["square"] = ledger.get(key)[0].text
            ctx.on_progress(Progress(done, len(rows), "numbers", tokens=done))
    write_rows(ctx.folder / "squares.parquet", rows)
    write_json(ctx.model_path("0") / "model.json", {"n": len(rows)})
    n = len(rows)
    return StageOutcome(prompts=n, completions=n, tokens_out=n, tokens_spent=spent, model_digest=digest(rows))


def misbehave(ctx: StageContext, how: str) -> None:
    if how == "fill":
        write_text(ctx.folder / "big.txt", "x" * (64 * 2**20))
    if how == "defect":
        raise RuntimeError("a defect of ours")
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def total(ctx: StageContext) -> StageOutcome:
    rows = read_rows(ctx.inputs["squares"] / "squares.parquet")
    write_json(ctx.folder / "stats.json", {"total": sum(int(row["square"]) for row in rows)})
    found = read_json(ctx.folder / "stats.json")["total"]
    write_text(ctx.run / "report.html", f"<h1>{ctx.config_as(Total).title}: {found}</h1>")
    return StageOutcome(note=f"the total is {found}")


def forecast_squares(given: ForecastInput) -> Forecast:
    n = given.count("numbers", "n_pool") * given.config.k
    return Forecast(prompts=n, completions=n, tokens=n * 30, disk_bytes=n * 100)


def forecast_numbers(given: ForecastInput) -> Forecast:
    return Forecast(prompts=given.config.n, seconds=3.0, produces={"n_pool": given.config.n})


KINDS = {
    "numbers": StageSpec("numbers", 1, Numbers, forecast=forecast_numbers, path_fields=("source",), uses_base=True),
    "squares": StageSpec(
        "squares",
        1,
        Squares,
        {"numbers": "numbers"},
        forecast_squares,
        outside=("models/{stage}-*",),
        uses_engine=True,
        tokens_per_s=100.0,
    ),
    "total": StageSpec("total", 1, Total, {"squares": "squares"}, outside=("report.html",)),
}
RUNNERS: dict[str, Runner] = {"numbers": numbers, "squares": squares, "total": total}

if __name__ == "__main__":
    wiring.kinds = lambda: KINDS
    wiring.runner_for = RUNNERS.__getitem__
    sys.argv[0] = "teachable"
    main()
