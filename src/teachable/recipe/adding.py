"""Domains added to those that were tuned: which additions there are, and how the models of each are made.

- `data`: the base is trained anew on the union of the domains' frozen sets.
- `sequential`: the models of the addition before are trained on, on the frozen sets of the new domains alone.
- `weights`: the domains' tuned models are merged; nothing is trained.

Every seed of tuning has a model, made from that seed's models where it is made from models. The settings are those of
tuning. Since a union is several domains long, the most steps and the steps between two evaluations are multiplied by
the number of domains trained on: every domain has the steps that it had alone, and the rule of the plateau looks as
often as it did. With a single domain there is nothing to join: its tuned models are taken as they are.

Every model lives in a slot, whose key is made of digests of everything that goes into the model; so nothing is made
twice, whatever ends the stage in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.evaluate.matrix import Addition
from teachable.merge.config import ABSOLUTE, merge_config
from teachable.merge.run import VERSION as MERGE_VERSION
from teachable.merge.run import merge
from teachable.recipe.frozen import read_frozen
from teachable.recipe.sampling import place_of
from teachable.recipe.slots import Slot
from teachable.recipe.spec import StageContext
from teachable.recipe.steering import judged_of
from teachable.recipe.training import TrainJob, train_all, training_key
from teachable.records import Example, Progress, Prompt
from teachable.store.digest import digest, model_digest
from teachable.store.files import read_json, read_records, read_rows, write_records
from teachable.train.tune_config import AddConfig, SteeredConfig

MERGED = "merge"  # the backend of a model that was not trained
SCALED = frozenset({"ties", "dare_ties"})  # methods that share weights out, and scale what comes of it


@dataclass(frozen=True)
class Parent:
    """A model that others are made from: its folder, and the digest that its stage has recorded."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Tuned:
    """What the stage `tune` has left.

    Attributes:
        domains, seeds: in the stage's order.
        settings: of every training.
        hashes: domain -> the hash of the frozen set that it was tuned on.
        runs: (domain, seed) -> its row of runs.parquet; `path` is relative to the run folder.
        scores: rows of the base and of all tuned models, on the judging questions of all domains.
        questions, steering: the files of judging and of steering questions.
        base: the model that all were tuned from.
    """

    domains: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: SteeredConfig
    hashes: Mapping[str, str]
    runs: Mapping[tuple[str, int], Mapping[str, Any]]
    scores: Sequence[Mapping[str, Any]]
    questions: Path
    steering: Path
    base: Parent
    n_params: int


def read_tuned(ctx: StageContext) -> Tuned:
    """What there is to add to.

    Raises:
        TeachableError: fewer than two domains were tuned.
    """
    folder = ctx.inputs["tuned"]
    stats = read_json(folder / "stats.json")
    base = read_json(ctx.inputs["base"] / "stats.json")
    domains = tuple(str(name) for name in stats["domains"])
    if len(domains) < 2:
        raise TeachableError(
            f"one domain was tuned ({', '.join(domains)}), so there is none to add",
            where=ctx.name,
            mend="Tune two domains at least",
        )
    fields = {name: value for name, value in stats["settings"].items() if name in SteeredConfig.model_fields}
    return Tuned(
        domains=domains,
        seeds=tuple(int(seed) for seed in stats["seeds"]),
        settings=SteeredConfig.model_validate(fields),
        hashes={name: str(stats["frozen"][name]["hash"]) for name in domains},
        runs={(row["arm"], row["seed"]): row for row in read_rows(folder / "runs.parquet")},
        scores=read_rows(folder / "scores.parquet"),
        questions=folder / "test.parquet",
        steering=folder / "dev.parquet",
        base=_parent(ctx, base),
        n_params=int(base["n_params"]),
    )


def _parent(ctx: StageContext, row: Mapping[str, Any]) -> Parent:
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    return Parent(ctx.run / row["path"], str(row["digest"]))


def additions_of(name: str, config: AddConfig, domains: Sequence[str]) -> list[Addition]:
    """The additions in their order, each with all domains so far; their models are called `name` and the number.

    Raises:
        TeachableError: the sizes do not rise, or there are not so many domains; or a setting of the merge does not fit.
    """
    sizes = config.sizes or tuple(range(1, len(domains) + 1))
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise TeachableError(
            f"sizes {list(sizes)} are not numbers of domains that rise", where=name, mend="Write such as [2, 4, 8]"
        )
    if sizes[-1] > len(domains):
        raise TeachableError(
            f"{sizes[-1]} domains are to be added and {len(domains)} were tuned",
            where=name,
            mend="Tune more domains, or lower sizes",
        )
    if config.way == "weights":
        for size in sizes:
            if size > 1:
                merge_config(**merging(config, 0)).weights_for(size)
        if config.weight is not None and config.method not in ABSOLUTE | SCALED:
            raise TeachableError(
                f"{config.method} takes equal shares of the models, so a weight of each means nothing to it",
                where=name,
                mend=f"Leave weight out, or choose one of {', '.join(sorted(ABSOLUTE | SCALED))}",
            )
    starts = (0, *sizes)
    return [
        Addition(f"{name}-{size}", tuple(domains[:size]), tuple(domains[start:size]))
        for start, size in zip(starts, sizes, strict=False)
    ]


def merging(config: AddConfig, seed: int, n_models: int = 0) -> dict[str, Any]:
    """The settings of a merge: a weight is a factor of each delta, or of the whole change where a method shares it."""
    found: dict[str, Any] = {"method": config.method, "seed": seed, "density": config.density}
    if config.weight is not None and config.method in ABSOLUTE and n_models:
        found["weights"] = (config.weight,) * n_models
    if config.weight is not None and config.method in SCALED:
        found["scale"] = config.weight
    return found


@dataclass(frozen=True)
class Made:
    """An addition's models: a record a seed as `train_job` gives it, and what was trained only now.

    `taken` are the tuned models of a single domain, which have scores already.
    """

    records: list[dict[str, Any]]
    n_tokens_spent: int = 0
    taken: bool = False

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Rows of runs.parquet."""
        return [record["run"] for record in self.records]


def make_models(ctx: StageContext, config: AddConfig, tuned: Tuned, addition: Addition, before: Made | None) -> Made:
    """The models of one addition, a seed each; those whose slots hold them are taken.

    Args:
        before: the models of the addition before; None for the first.

    Raises:
        TeachableError: a frozen set is not the one that was tuned on, or what training and merging say must be mended.
    """
    if len(addition.domains) == 1 and (config.way == "weights" or config.learning_rate is None):
        (domain,) = addition.domains
        rows = [{**tuned.runs[domain, seed], "arm": addition.arm} for seed in tuned.seeds]
        return Made([_untrained(row) for row in rows], taken=True)
    if config.way == "weights":
        return _merged(ctx, config, tuned, addition)
    if config.way == "data" or before is None:
        return _trained(ctx, config, tuned, addition, addition.domains, [tuned.base for _ in tuned.seeds])
    return _trained(ctx, config, tuned, addition, addition.new, [_parent(ctx, run) for run in before.runs])


def _untrained(run: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a model that was not trained here."""
    return {"run": dict(run), "curve": [], "evaluations": [], "kept": True}


def _trained(
    ctx: StageContext,
    config: AddConfig,
    tuned: Tuned,
    addition: Addition,
    taught: Sequence[str],
    bases: Sequence[Parent],
) -> Made:
    """Models trained on the union of some domains' frozen sets, each from its base."""
    settings, judged = settings_for(config, tuned.settings, len(taught)), judged_of(tuned.settings)
    examples, steering = ctx.folder / f".{addition.arm}.jsonl", ctx.folder / f".{addition.arm}.dev.parquet"
    write_records(examples, _union(ctx, tuned, taught))
    dev = [prompt for prompt in read_records(tuned.steering, Prompt) if prompt.domain in taught]
    write_records(steering, dev)
    jobs = []
    for seed, base in zip(tuned.seeds, bases, strict=True):
        key = training_key(
            base.digest,
            digest([tuned.hashes[name] for name in taught]),
            settings,
            seed=seed,
            dev=dev,
            judged=judged,
            request_seed=ctx.seed,
        )
        jobs.append(
            TrainJob(
                arm=addition.arm,
                seed=seed,
                base=str(base.path),
                examples=examples,
                config=settings,
                dev=steering,
                judged=judged,
                slot=Slot(ctx.run, f"{addition.arm}-{seed}", key),
                place=place_of(ctx, tuned.n_params),
                request_seed=ctx.seed,
            )
        )
    records = train_all(ctx, jobs)
    for path in (examples, steering):
        path.unlink()
    return Made(records, sum(record["run"]["n_tokens"] for record in records if not record["kept"]))


def _union(ctx: StageContext, tuned: Tuned, taught: Sequence[str]) -> list[Example]:
    """The examples of the frozen sets of some domains.

    Raises:
        TeachableError: a set was changed since the domain was tuned.
    """
    found: list[Example] = []
    for name in taught:
        frozen = read_frozen(ctx.run, name)
        if frozen is None or frozen.hash != tuned.hashes[name]:
            raise TeachableError(
                f"the frozen set of the domain {name!r} is not the one that its models were tuned on",
                where=ctx.name,
                mend="Tune the domain again",
            )
        found += read_records(frozen.path, Example)
    return found


def settings_for(config: AddConfig, settings: SteeredConfig, n_domains: int) -> SteeredConfig:
    """The settings of a training on so many domains at once: every domain has as many steps as alone."""
    changed = {"max_steps": settings.max_steps * n_domains, "eval_every": settings.eval_every * n_domains}
    rate = {} if config.learning_rate is None else {"learning_rate": config.learning_rate}
    return settings.model_copy(update={**changed, **rate})


def _merged(ctx: StageContext, config: AddConfig, tuned: Tuned, addition: Addition) -> Made:
    """The domains' tuned models merged, seed by seed."""
    records = []
    for done, seed in enumerate(tuned.seeds):
        ctx.on_progress(Progress(done, len(tuned.seeds), "models", note=addition.arm))
        models = [_parent(ctx, tuned.runs[name, seed]) for name in addition.domains]
        settings = merging(config, seed, len(models))
        parents = [one.digest for one in (tuned.base, *models)]
        slot = Slot(ctx.run, f"{addition.arm}-{seed}", digest({"merge": MERGE_VERSION, **settings, "of": parents}))
        run = slot.kept()
        if run is None:
            slot.begin()
            run = {"arm": addition.arm, "seed": seed, **_merge_into(slot, models, tuned.base, settings)}
            slot.keep(run)
        records.append(_untrained(run))
    ctx.on_progress(Progress(len(tuned.seeds), len(tuned.seeds), "models", note=addition.arm))
    return Made(records)


def _merge_into(slot: Slot, models: Sequence[Parent], base: Parent, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Merge into a slot's folder; what is told of it has the columns of a training's row that mean something here."""
    made = merge([one.path for one in models], base=base.path, out=slot.model, **settings)
    return {
        "path": slot.model.relative_to(slot.run).as_posix(),
        "digest": model_digest(slot.model),
        "backend": MERGED,
        "n_examples": 0,
        "n_steps": 0,
        "n_tokens": 0,
        "n_response_tokens": 0,
        "n_params": made.n_parameters,
        "seconds": round(made.seconds, 3),
    }
