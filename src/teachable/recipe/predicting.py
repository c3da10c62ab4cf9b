"""Which domains of a run will clash? Every cheap signal, pair by pair, before an expensive joint run.

From a run whose domains were tuned: the gradients of their frozen sets at the base (`train.gradients`), the changes of
the tuned models' weights (`merge.predict`), the wording of prompts and responses (`overlap.profile`), and how much of
each domain is teachable (the estimates of the probe). Nothing is trained or sampled.

Signals stand side by side: no sum of them is made, since none has been shown to tell more than its parts. There are two
ways to clash, and they lie at the two ends of a cosine. Below 0, what one domain learns undoes what the other has. Near
1, both make the same change, and a sum of their weights makes it twice. Near 0 is where neither happens.

Which signal tells of a loss depends on how domains are added (`docs/merge.md` has the trial): of training on both sets
together, the gradients; of a sum of weights, the likeness of wording and of the weights' changes, the more alike the
worse. Pairs are listed for the former, the least aligned first. `stats.pair_correlation` holds any signal
(`RunPrediction.column`) against what was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.merge import Interference, Prediction, predict
from teachable.overlap.profile import Likeness, halves, likeness, profile
from teachable.recipe.frozen import read_frozen
from teachable.records import ZONES, Estimate, Example, OnProgress
from teachable.store.files import read_json, read_records, read_rows
from teachable.store.manifest import RunFolder, StageEntry
from teachable.train.conflict import GradientPair
from teachable.train.gradients import DomainGradient, Gradients, probe_gradients

WHERE = "predict"
ESTIMATES = "estimates.parquet"
REPEAT_LEAST = 0.2  # below it more than 80% of a gradient's squared norm is noise


@dataclass(frozen=True)
class PairPrediction:
    """What is known of two domains. `gradient_*` as in `train.conflict`, `delta_*` as in `merge.predict`, `prompts_*`
    and `responses_*` as in `overlap.profile`; None where a signal says nothing of this pair.
    """

    one: str
    two: str
    gradient_aligned: float | None
    gradient_low: float | None
    gradient_high: float | None
    gradient_cosine: float | None
    gradient_opposed: float | None
    one_to_two: float | None
    two_to_one: float | None
    gradient_by_group: dict[str, float | None]
    delta_cosine: float | None
    delta_sign_conflicts: float | None
    delta_shared: float | None
    delta_cancelled: float | None
    delta_by_group: dict[str, float | None]
    prompts_cosine: float | None
    prompts_shared: float | None
    responses_cosine: float | None
    responses_shared: float | None


@dataclass(frozen=True)
class DomainFacts:
    """What is known of one domain, to read its pairs by."""

    domain: str
    n_examples: int
    n_probed: int  # examples in the gradient's batch
    n_too_long: int
    loss: float  # at the base, nats a response token
    gradient_repeat: float | None  # the cosine of its gradient with another batch's
    gradient_opposed: float | None  # signs between two halves of its own batch
    delta_norm: float
    prompts_halves: float | None  # `shared` of two halves of its own prompts
    responses_halves: float | None
    n_estimates: int
    zones: dict[str, float]  # zone -> share of its probed prompts; empty where none was probed


@dataclass(frozen=True)
class RunPrediction:
    """All pairs of a run's tuned domains, the least aligned first."""

    pairs: tuple[PairPrediction, ...]
    domains: tuple[DomainFacts, ...]
    seed: int  # of the tuned models
    n_parameters: int
    n_parts: int  # of each domain's probe batch
    gradient_error: float  # about what a gradient's cosine is off by beside its noise; 0 where nothing was left out
    delta_chance: float  # of the cosine of independent changes of weights
    density: float
    notes: tuple[str, ...]

    def column(self, name: str) -> dict[tuple[str, str], float | None]:
        """One signal: pair -> its number, the larger the more alike, as `stats.pair_correlation` takes it.

        Beside the fields of a pair there is `transfer`, the mean of its two directions. Signals that rise with a clash
        (opposed signs, what cancels out) are turned round.

        Raises:
            KeyError: there is no such signal.
        """
        if name not in SIGNALS:
            raise KeyError(f"there is no signal {name!r}; there are {', '.join(SIGNALS)}")
        return {(pair.one, pair.two): _signal(pair, name) for pair in self.pairs}

    def transfers(self) -> dict[tuple[str, str], float | None]:
        """(domain, domain) -> what a small step along the first's gradient does for the second, both ways round.

        To hold against what tuning on one domain did to another, with `stats.pair_correlation(..., directed=True)`.
        """
        there = {(pair.one, pair.two): pair.one_to_two for pair in self.pairs}
        return there | {(pair.two, pair.one): pair.two_to_one for pair in self.pairs}


RISING = ("gradient_opposed", "delta_sign_conflicts", "delta_cancelled")  # the larger, the worse
SIGNALS = (
    "gradient_aligned",
    "gradient_cosine",
    "gradient_opposed",
    "transfer",
    "delta_cosine",
    "delta_sign_conflicts",
    "delta_shared",
    "delta_cancelled",
    "prompts_cosine",
    "prompts_shared",
    "responses_cosine",
    "responses_shared",
)


def _signal(pair: PairPrediction, name: str) -> float | None:
    if name == "transfer":
        both = (pair.one_to_two, pair.two_to_one)
        return None if both[0] is None or both[1] is None else (both[0] + both[1]) / 2
    number: float | None = getattr(pair, name)
    return -number if name in RISING and number is not None else number


def predict_run(
    run: Path,
    *,
    n_probe: int = 32,
    seed: int | None = None,
    density: float = 0.2,
    device: str = "auto",
    domains: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> RunPrediction:
    """Compare the tuned domains of a run.

    Args:
        run: a run folder with a finished stage `tune`.
        n_probe: examples in each domain's probe batch.
        seed: of the tuned models that are compared; None: the first.
        density: of `merge.predict`.
        domains: which of the tuned domains; empty: all.

    Raises:
        TeachableError: no such run, no finished tuning in it, fewer than two domains, no models of that seed, a frozen
            set that was changed, or what a signal says the user must mend.
    """
    stage, base = _stage(run, "tune"), _base(run)
    models = _models(run, stage, seed, domains)
    names = [str(row["arm"]) for row in models]
    taught = {name: _taught(run, name) for name in names}
    gradients = probe_gradients(base, taught, n_examples=n_probe, device=device, on_progress=on_progress)
    deltas = predict([run / row["path"] for row in models], base=base, density=density, on_progress=on_progress)
    estimates = _estimates(run)
    return RunPrediction(
        pairs=_pairs(gradients, deltas, names, taught),
        domains=tuple(
            _facts(found, taught[found.domain], norm, estimates)
            for found, norm in zip(gradients.domains, deltas.norms.values(), strict=True)
        ),
        seed=int(models[0]["seed"]),
        n_parameters=gradients.n_parameters,
        n_parts=gradients.n_parts,
        gradient_error=gradients.error,
        delta_chance=deltas.chance,
        density=deltas.density,
        notes=_notes(gradients, estimates, n_probe),
    )


# ---- the run folder ----


def _entries(run: Path, kind: str) -> list[tuple[str, StageEntry]]:
    """The complete stages of a kind, by name."""
    if not RunFolder(run).manifest_path.is_file():
        raise TeachableError(
            "there is no run folder here", where=str(run), mend="Name the run folder of `teachable tune`"
        )
    return [(name, entry) for name, entry in RunFolder(run).entries().items() if entry.kind == kind]


def _stage(run: Path, kind: str) -> Path:
    """The folder of the last complete stage of a kind."""
    found = _entries(run, kind)
    if not found:
        raise TeachableError(
            "no domain of this run has been tuned to its end",
            where=str(run),
            mend="Run `teachable tune` there first; the domains' models and frozen sets are what is compared",
        )
    return RunFolder(run).stage_dir(found[-1][0])


def _base(run: Path) -> Path:
    """The folder of the model that the domains were tuned from."""
    for name, _ in _entries(run, "pretrain"):
        folder = run / str(read_json(run / name / "stats.json")["path"])
        if folder.is_dir():
            return folder
        raise TeachableError(
            f"the base of this run is gone: {folder}", where=str(run), mend="Run it again, which brings it back"
        )
    raise TeachableError("this run has no base", where=str(run), mend="Name a run of `teachable tune`")


def _models(run: Path, stage: Path, seed: int | None, domains: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the tuned models of one seed, in the order of the tuning."""
    rows = read_rows(stage / "runs.parquet")
    seeds = list(dict.fromkeys(int(row["seed"]) for row in rows))
    tuned = list(dict.fromkeys(str(row["arm"]) for row in rows))
    chosen = seeds[0] if seed is None and seeds else seed
    if chosen not in seeds:
        raise TeachableError(
            f"no model of this run has the seed {chosen}",
            where=str(stage),
            mend=f"There are {', '.join(map(str, seeds))}",
        )
    if unknown := [name for name in domains if name not in tuned]:
        raise TeachableError(
            f"the domain {unknown[0]!r} has not been tuned in this run",
            where=str(stage),
            mend=f"There are {', '.join(tuned)}",
        )
    found = [row for row in rows if int(row["seed"]) == chosen and (not domains or row["arm"] in domains)]
    if len(found) < 2:
        raise TeachableError(
            f"only the domain {found[0]['arm']!r} is there to compare, and interference is between domains",
            where=str(stage),
            mend="Tune another domain, with `teachable tune`",
        )
    return found


def _taught(run: Path, domain: str) -> list[Example]:
    """What a domain was tuned on."""
    frozen = read_frozen(run, domain)
    if frozen is None:
        raise TeachableError(
            f"the domain {domain!r} has no frozen set", where=str(run), mend=f"Tune it: `teachable tune {domain}`"
        )
    return read_records(frozen.path, Example)


def _estimates(run: Path) -> dict[str, Counter[str]] | None:
    """Domain -> how many of its probed prompts are in each zone; None where nothing was probed."""
    for kind in ("probe", "estimates"):
        for name, _ in reversed(_entries(run, kind)):
            if (run / name / ESTIMATES).is_file():
                counts: dict[str, Counter[str]] = {}
                for estimate in read_records(run / name / ESTIMATES, Estimate):
                    counts.setdefault(estimate.domain, Counter())[estimate.zone] += 1
                return counts
    return None


# ---- the signals side by side ----


def _texts(examples: Sequence[Example], role: str) -> list[str]:
    """What users asked, or what the last message answers."""
    if role == "response":
        return [example.messages[-1]["content"] for example in examples]
    return ["\n".join(one["content"] for one in example.messages if one["role"] == "user") for example in examples]


def _pairs(
    gradients: Gradients, deltas: Prediction, names: Sequence[str], taught: dict[str, list[Example]]
) -> tuple[PairPrediction, ...]:
    domain_of = dict(zip(deltas.norms, names, strict=True))
    by_pair = {(domain_of[pair.one], domain_of[pair.two]): pair for pair in deltas.pairs}
    wording = {role: {name: profile(_texts(taught[name], role)) for name in names} for role in ("prompt", "response")}
    found = []
    for pair in gradients.pairs:
        alike = [likeness(wording[role][pair.one], wording[role][pair.two]) for role in ("prompt", "response")]
        found.append(_pair(pair, by_pair[pair.one, pair.two], *alike))
    return tuple(found)


def _pair(gradient: GradientPair, delta: Interference, prompts: Likeness, responses: Likeness) -> PairPrediction:
    return PairPrediction(
        gradient.one,
        gradient.two,
        gradient_aligned=gradient.aligned,
        gradient_low=gradient.low,
        gradient_high=gradient.high,
        gradient_cosine=gradient.cosine,
        gradient_opposed=gradient.opposed,
        one_to_two=gradient.one_to_two,
        two_to_one=gradient.two_to_one,
        gradient_by_group=dict(gradient.cosine_by_group),
        delta_cosine=delta.cosine,
        delta_sign_conflicts=delta.sign_conflicts,
        delta_shared=delta.shared,
        delta_cancelled=delta.cancelled,
        delta_by_group=dict(delta.cosine_by_group),
        prompts_cosine=prompts.cosine,
        prompts_shared=prompts.shared,
        responses_cosine=responses.cosine,
        responses_shared=responses.shared,
    )


def _facts(
    gradient: DomainGradient, examples: Sequence[Example], norm: float, estimates: dict[str, Counter[str]] | None
) -> DomainFacts:
    counts = (estimates or {}).get(gradient.domain, Counter())
    n = counts.total()
    return DomainFacts(
        gradient.domain,
        n_examples=len(examples),
        n_probed=gradient.n_examples,
        n_too_long=gradient.n_too_long,
        loss=gradient.loss,
        gradient_repeat=gradient.repeat,
        gradient_opposed=gradient.opposed,
        delta_norm=norm,
        prompts_halves=halves(_texts(examples, "prompt")).shared,
        responses_halves=halves(_texts(examples, "response")).shared,
        n_estimates=n,
        zones={zone: counts[zone] / n for zone in ZONES} if n else {},
    )


def _notes(gradients: Gradients, estimates: dict[str, Counter[str]] | None, n_probe: int) -> tuple[str, ...]:
    """What a reader must know of these numbers, in sentences."""
    notes = []
    for found in gradients.domains:
        few = found.n_examples < n_probe
        if few:
            notes.append(
                f"{found.domain} has {found.n_examples} examples that fit, fewer than the {n_probe} asked for."
            )
        if found.repeat is None or found.repeat < REPEAT_LEAST:
            repeat = "-" if found.repeat is None else f"{found.repeat:.2f}"
            mend = "its pairs say little" if few else "raise --probe-examples to read its pairs"
            what = f"The gradient of {found.domain} is mostly noise at {found.n_examples} examples"
            notes.append(f"{what} (repeat {repeat}): {mend}.")
    if estimates is None:
        notes.append("Nothing was probed in this run, so the teachable shares are not known.")
    return tuple(notes)
