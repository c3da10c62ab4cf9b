"""Search the mix of domains and the settings of training on short runs; end with a recipe, and the evidence for it.

Rounds of successive halving (`explore.halving`) over trials (`explore.space`), chosen by half the held-out questions.
Then the winner and the plain settings are trained anew with seeds that no round used, and asked the other half, which
chose nothing: that gain is the evidence (`explore.evidence`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.explore import halving
from teachable.explore.config import ExploreConfig
from teachable.explore.evidence import Gain, gain
from teachable.explore.halving import Placing, Round, judged
from teachable.explore.space import Space, waves
from teachable.explore.table import Outcome, markdown, round_rows, storable
from teachable.explore.trial import PLAIN, Trial
from teachable.recipe.domains import Domain, read_domains
from teachable.recipe.explored import AT_TOP, EVIDENCE, RECIPE, evidence_document, recipe_text, scale_fields
from teachable.recipe.exploring import (
    BASE,
    Bench,
    Measured,
    Wanted,
    frac_undecided,
    table_of,
)
from teachable.recipe.mixing import mixed, selected_shares
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.stages.evaluate import SCORES
from teachable.recipe.steering import questions_of, refuse_judges, selected_overlaps
from teachable.stats import Floats
from teachable.store.digest import digest, file_digest
from teachable.store.files import write_json, write_rows, write_text

CONFIRMATION = "confirmation"
SCALED = 10  # times the tokens of the last round, in the recipe of the long run
_HANDED_ON = ("n_samples", "max_tokens", "dev_frac", "allow_overlap")  # to the long run


def run(ctx: StageContext) -> StageOutcome:
    """Write all trials of all rounds, the winner's recipe, and the evidence for it. What was trained stays known.

    Raises:
        Stopped: a limit was reached or the user interrupted.
        TeachableError: there is nothing to search, no trial could be trained, rows overlap the held-out questions, or
            what the training says the user must mend.
    """
    config = ctx.config_as(ExploreConfig)
    domains = read_domains(
        ctx.inputs["prompts"], ctx.inputs["examples"], config.domains, config.dev_frac, where=ctx.name
    )
    refuse_judges(ctx, domains)
    n_overlapping = selected_overlaps(ctx, domains, allow=config.allow_overlap)
    search = _Search(ctx, config, domains)
    winner = search.rounds()
    confirmed = search.confirmed(winner)
    stats = _written(search, winner, confirmed) | {"n_overlaps": n_overlapping}
    write_json(ctx.folder / "stats.json", stats)
    shutil.rmtree(ctx.folder / ".examples", ignore_errors=True)
    search.bench.clear(confirmed.kept)
    return StageOutcome(
        note=stats["evidence"]["sentence"],
        prompts=stats["n_dev"] + stats["n_test"],
        tokens_out=stats["tokens"],
        tokens_spent=sum(one.spent for one in search.measured),
        model_digest=stats["digest"],
        requires=(Path(stats["path"]), Path(AT_TOP), Path(EVIDENCE)),
    )


@dataclass(frozen=True)
class _Confirmed:
    """What the winner's fresh trainings came to; `over_plain`, and the plain settings' own gain
    over the base, are None where these won, or could not be trained.

    `undecided` are shares of answers that could not be decided, of the base, the winner and the plain settings.
    """

    gain: Gain
    over_plain: Gain | None
    of_plain: Gain | None
    rows: list[dict[str, Any]]
    kept: Wanted
    of_kept: Measured
    undecided: dict[str, float]


@dataclass
class _Search:
    """A search under way."""

    ctx: StageContext
    config: ExploreConfig
    domains: Sequence[Domain]
    table: list[dict[str, Any]] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)

    def __post_init__(self) -> None:
        judged_by = EvaluateConfig(n_samples=self.config.n_samples, max_tokens=self.config.max_tokens)
        self.bench = Bench(self.ctx, self.domains, judged_by)
        self.dev, self.test = questions_of(self.ctx.folder, self.domains)
        self.plan = halving.rounds(
            self.config.n_trials, self.config.n_rounds, self.config.eta, self.config.first_tokens
        )

    @property
    def judged_by(self) -> EvaluateConfig:
        """How questions are asked."""
        return self.bench.judged

    def rounds(self) -> Trial:
        """All rounds, and their winner.

        Raises:
            TeachableError: no trial of a round could be trained.
        """
        space = Space(self.config, selected_shares(self.domains), self.ctx.seed)
        base = table_of(self.bench.base_rows(self.dev), BASE, self.judged_by)
        trials: dict[int, Trial] = {}
        running: list[int] = []
        for one in self.plan:
            if one.number == 1:
                outcomes = self._first(space, one)
                trials = {outcome.trial.number: outcome.trial for outcome in outcomes}
                guest = False
            else:
                guest = PLAIN not in running
                outcomes = self._round([trials[number] for number in sorted({*running, PLAIN})], one)
            placings = judged(
                {outcome.trial.number: outcome.score for outcome in outcomes}, self._n_on(one), plain_is_guest=guest
            )
            self.table += round_rows(one.number, outcomes, placings, base, [domain.name for domain in self.domains])
            running = self._going_on(one, placings, outcomes)
        return trials[running[0]]

    def _n_on(self, one: Round) -> int:
        """How many trials the next round has; of the last, one wins."""
        return next((later.n_trials for later in self.plan if later.number == one.number + 1), 1)

    def _going_on(self, one: Round, placings: Sequence[Placing], outcomes: Sequence[Outcome]) -> list[int]:
        found = [placing.trial for placing in placings if placing.goes_on]
        if not found:
            failure = next(outcome.failure for outcome in outcomes if outcome.failure)
            raise TeachableError(
                f"no trial of round {one.number} could be trained: in trial {outcomes[0].trial.number} {failure}",
                where=self.ctx.name,
                mend="Search lower learning rates, or look at the data",
            )
        return found

    def _first(self, space: Space, one: Round) -> list[Outcome]:
        """The first round, whose trials are drawn in waves."""
        found: list[Outcome] = []
        for n in waves(self.config):
            wave = self._round(space.draw(n), one)
            space.tell({outcome.trial.number: outcome.score for outcome in wave})
            found += wave
        return found

    def _round(self, trials: Sequence[Trial], one: Round) -> list[Outcome]:
        seeds = [self.ctx.seed + i for i in range(self.config.seeds)]
        wanted = [Wanted(trial, f"round{one.number}", seed, one.n_tokens) for trial in trials for seed in seeds]
        measured = self.bench.measure(wanted, self.dev)
        self.measured += measured
        return [
            self._outcome(trial, [m for m in measured if m.wanted.trial.number == trial.number]) for trial in trials
        ]

    def _outcome(self, trial: Trial, mine: Sequence[Measured]) -> Outcome:
        """What a trial's seeds came to together; one that failed fails the trial."""
        failure = next((one.failure for one in mine if one.failure), "")
        runs = [one.run for one in mine if one.run is not None]
        rows = [row for one in mine for row in one.rows]
        scores: Floats = np.empty((0, 0)) if failure else table_of(rows, mine[0].wanted.arm, self.judged_by)
        n_tokens = round(sum(run["n_tokens"] for run in runs) / len(runs)) if runs else 0
        return Outcome(trial, scores, n_tokens, max((run["n_steps"] for run in runs), default=0), failure)

    def confirmed(self, winner: Trial) -> _Confirmed:
        """The winner and the plain settings trained with fresh seeds, and asked what chose nothing.

        Raises:
            TeachableError: one of these trainings diverged.
        """
        plain = Trial(PLAIN, self.config.training, {}, selected_shares(self.domains))
        seeds = [self.ctx.seed + self.config.seeds + i for i in range(self.config.confirm_seeds)]
        n_tokens = self.plan[-1].n_tokens
        trials = [winner] if winner.number == PLAIN else [winner, plain]
        wanted = [Wanted(trial, CONFIRMATION, seed, n_tokens) for trial in trials for seed in seeds]
        found = self.bench.measure(wanted, self.test, keep=wanted[0])
        self.measured += found
        failed = next((one for one in found if one.failure and one.wanted.trial is winner), None)
        if failed is not None:
            raise TeachableError(
                f"the winner, trial {winner.number}, could not be trained again: with seed {failed.wanted.seed} "
                f"{failed.failure}",
                where=self.ctx.name,
                mend="Search lower learning rates, with more seeds",
            )
        rows = [*self.bench.base_rows(self.test), *(row for one in found for row in one.rows)]
        arms = [BASE, wanted[0].arm, *self._plain_arm(found, winner)]
        base, tuned, *others = (table_of(rows, arm, self.judged_by) for arm in arms)
        over_plain = gain(tuned, others[0]) if others else None
        undecided = {
            name: frac_undecided(rows, arm, self.judged_by)
            for name, arm in zip(("base", "winner", "plain"), arms, strict=False)
        }
        of_plain = gain(others[0], base) if others else None
        return _Confirmed(gain(tuned, base), over_plain, of_plain, rows, wanted[0], found[0], undecided)

    @staticmethod
    def _plain_arm(found: Sequence[Measured], winner: Trial) -> list[str]:
        """The plain settings' arm, where they were confirmed beside the winner and none of their trainings diverged."""
        mine = [one for one in found if one.wanted.trial.number == PLAIN != winner.number]
        return [mine[0].wanted.arm] if mine and not any(one.failure for one in mine) else []


# ---- what is written ----


def _written(search: _Search, winner: Trial, confirmed: _Confirmed) -> dict[str, Any]:
    """The tables, the recipe and the evidence; the facts for `stats.json`."""
    ctx, config = search.ctx, search.config
    searched = list(config.space)
    seeds = [ctx.seed + config.seeds + i for i in range(config.confirm_seeds)]
    evidence = evidence_document(
        winner,
        str(search.bench.base["digest"]),
        confirmed.gain,
        confirmed.over_plain,
        {
            "plain_over_base": confirmed.of_plain.document() if confirmed.of_plain is not None else None,
            "n_trials": config.n_trials,
            "n_rounds": config.n_rounds,
            "n_tokens": search.plan[-1].n_tokens,
            "seeds": seeds,
            "n_epochs": confirmed.of_kept.n_epochs,
            "frac_undecided": confirmed.undecided,
            "questions": file_digest(search.test),
            "examples": examples_digest(search.domains),
        },
    )
    write_rows(ctx.folder / "trials.parquet", storable(search.table))
    write_rows(ctx.folder / "runs.parquet", [_run_row(one, confirmed.kept) for one in search.measured])
    write_rows(ctx.folder / "scores.parquet", confirmed.rows, SCORES)
    write_text(ctx.folder / "trials.md", markdown(search.table, searched, [evidence["sentence"]]))
    scale = _scale(search, winner)
    for folder, recipe in ((ctx.folder, RECIPE), (ctx.run, AT_TOP)):
        write_json(folder / EVIDENCE, evidence)
        write_text(folder / recipe, recipe_text(ctx, scale, file=recipe))
    kept = confirmed.of_kept.run or {}
    runs = [one.run for one in search.measured if one.run is not None]
    return {
        "domains": [domain.name for domain in search.domains],
        "searched": searched,
        "trials": search.table,
        "winner": {"trial": winner.number, "mix": dict(winner.mix), **dict(winner.searched)},
        "evidence": evidence,
        "recipe": AT_TOP,
        "n_runs": len(search.measured),
        "n_dev": sum(len(domain.dev) for domain in search.domains),
        "n_test": sum(len(domain.test) for domain in search.domains),
        "settings": config.model_dump(mode="json"),
        "tokens": sum(run["n_tokens"] for run in runs),
        "seconds": round(sum(run["seconds"] for run in runs), 3),
        **{name: kept.get(name) for name in ("path", "digest", "n_params")},
    }


def _scale(search: _Search, winner: Trial) -> dict[str, Any]:
    """The fields of the long run."""
    config = search.config
    n_tokens = config.scale_tokens or SCALED * search.plan[-1].n_tokens
    n_examples = len(mixed(search.domains, winner.mix, n_tokens, "").examples)
    handed_on = {name: getattr(config, name) for name in _HANDED_ON}
    return scale_fields(winner, n_tokens=n_tokens, n_examples=n_examples, asked=handed_on)


def examples_digest(domains: Sequence[Domain]) -> dict[str, str]:
    """What each domain's selected examples are, in any order."""
    return {domain.name: digest(sorted(example.id for example in domain.examples)) for domain in domains}


def _run_row(one: Measured, kept: Wanted) -> Mapping[str, Any]:
    """A row of `runs.parquet`: the trial, the round, and what the training came to; a path where the model stayed."""
    row = {"trial": one.wanted.trial.number, "part": one.wanted.part, "arm": one.wanted.arm, "seed": one.wanted.seed}
    names = ("digest", "n_examples", "n_too_long", "n_steps", "n_tokens", "n_response_tokens", "final_loss", "seconds")
    row |= {name: (one.run or {}).get(name) for name in names}
    row |= {"path": (one.run or {}).get("path") if one.wanted == kept else None, "failure": one.failure}
    return row | {f"epochs_{name}": n for name, n in one.n_epochs.items()}
