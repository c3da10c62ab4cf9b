"""The work that the stage `judge_pairs` and the command `teachable judge-pairs` share.

Engines with the ledger before them, the judging, the tables and the counts. Every response and every reply of the judge
is in the ledger before anybody sees it: whoever kills the process loses what was in flight, and what is begun again
pays for nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits
from teachable.errors import TeachableError
from teachable.prefer import JudgePairsConfig, Response, judge_pairs
from teachable.prefer.tables import pair_stats, write_tables
from teachable.recipe.sampling import Opened, Place, finish
from teachable.recipe.spending import spending, telling
from teachable.records import OnProgress, Prompt
from teachable.store.files import write_json

NAME = "judge_pairs"
STATS = "stats.json"


@dataclass(frozen=True)
class Judging:
    """What is to be judged, and with what.

    Args:
        prompts: what is answered.
        config: see there. Engines with the same settings are one engine.
        place: where the engines compute, and the recipe's own engine, which answers where `config.own` says so and
            judges where no judge is named.
        seed: of the responses and of the judge's replies.
        own_model: the model folder of an own engine that computes here; "" where its settings name one, or where
            there is none.
        given: responses that are there already, by prompt id.
    """

    prompts: Sequence[Prompt]
    config: JudgePairsConfig
    place: Place
    seed: int
    own_model: str = ""
    given: Mapping[str, Sequence[Response]] | None = None

    @property
    def answering(self) -> list[EngineConfig]:
        """Who answers."""
        return [*([self.place.engine] if self.config.own else []), *self.config.engines]

    @property
    def judge(self) -> EngineConfig:
        """Who judges."""
        return self.config.judge if self.config.judge is not None else self.place.engine

    def check(self) -> None:
        """Refuse what can't make a pair, before any model is loaded.

        Raises:
            TeachableError: a prompt can have no two responses, or an engine names no model.
        """
        most = max((len(ones) for ones in (self.given or {}).values()), default=0)
        if most + len(self.answering) * self.config.n_responses < 2:
            raise TeachableError(
                "a prompt would have one response, which makes no pair" if self.answering or most else "nobody answers",
                where=NAME,
                mend="Name another engine, or raise n_responses (--n)",
            )
        for engine in (*self.answering, self.judge):
            if engine.is_local and not engine.model and not self.own_model:
                raise TeachableError(
                    "an engine names no model, and there is no base",
                    where=NAME,
                    mend="Write transformers:MODEL, or fill the role `base`",
                )


def judge_into(
    folder: Path,
    work: Judging,
    *,
    on_progress: OnProgress,
    on_interrupt: Callable[[int], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Judge, write the tables and `stats.json` into the folder, and return the counts.

    Args:
        say: gets a sentence for each thing that the user should know of.

    Raises:
        Stopped: a limit was reached or the user interrupted; what was finished is written then.
        TeachableError: see `Judging.check` and `prefer.judge_pairs`.
    """
    work.check()
    begun = time.perf_counter()
    limits = Limits(work.place.max_cost_usd, work.place.max_tokens)
    with ExitStack() as stack:
        opened = Opened(stack, work.place, work.own_model, limits)
        answering = [opened.engine(settings) for settings in work.answering]
        judge = opened.engine(work.judge)
        engines = opened.all
        found = finish(
            lambda: judge_pairs(
                work.prompts,
                engines=[asked for _, asked in answering],
                judge=judge[1],
                config=work.config,
                given=work.given,
                seed=work.seed,
                on_progress=telling(on_progress, engines),
            ),
            *engines,
            limits=limits,
            on_interrupt=on_interrupt,
        )
    (folder / STATS).unlink(missing_ok=True)  # it tells of the tables beside it, or of none
    write_tables(folder, found, judge=judge[0].name)
    stats = pair_stats(found, work.config) | _spending([one for one, _ in answering], judge[0], engines)
    stats["seconds"] = round(time.perf_counter() - begun, 3)
    write_json(folder / STATS, stats)
    for sentence in _sentences(stats):
        say(sentence)
    if found.stopped is not None:
        raise found.stopped
    return stats


def _spending(answering: Sequence[Ledgered], judge: Ledgered, engines: Sequence[Ledgered]) -> dict[str, Any]:
    """What all of it cost, and who judged."""

    def roles(one: Ledgered) -> list[str]:
        return [*(["answers"] if one in answering else []), *(["judges"] if one is judge else [])]

    return {**spending([(one, roles(one)) for one in engines]), "judge": judge.name}


def _sentences(stats: Mapping[str, Any]) -> list[str]:
    """What is worth a line in the log."""
    said = []
    judging, failed = stats["judging"], stats["failed_requests"]
    if failed:
        said.append(f"{failed:,} requests failed; what they were to bring was left out")
    for reason, n in stats["responses_left_out"].items():
        said.append(f"{n:,} responses were left out: {reason}")
    if judging["undecided"]:
        said.append(
            f"the judge could not tell in {judging['undecided']:,} of {judging['questions']:,} questions, "
            f"{judging['unreadable']:,} of its {judging['replies']:,} replies could not be read"
        )
    if judging.get("inconsistent_votes"):
        said.append(
            f"{judging['frac_inconsistent']:.1%} of the verdicts changed with the order "
            f"(position bias {judging['position_bias']:+.2f}), and count for nothing"
        )
    return said


def note_of(stats: Mapping[str, Any]) -> str:
    """The counts in a line."""
    mean = stats["mean_margin"]
    margin = f", mean margin {mean:.2f}" if mean is not None else ""
    return f"{stats['n_pairs']:,} pairs of {stats['n_finished']:,} prompts{margin}"
