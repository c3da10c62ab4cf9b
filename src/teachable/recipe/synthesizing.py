"""The work that the stage `synthesize` and the command `teachable synthesize` share.

The workflow is found, its engines get the ledger before them, and the seeds are carried through. Every reply is in the
ledger before anybody sees it: whoever kills the process loses what was in flight, and what is begun again pays for
nothing twice and ends with the same files.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from teachable import verify
from teachable.engines.config import EngineConfig
from teachable.engines.limits import Limits
from teachable.errors import TeachableError
from teachable.recipe.named_workflow import workflow_of
from teachable.recipe.sampling import Opened, Place, finish
from teachable.recipe.spending import spending, telling
from teachable.records import Document, OnProgress, Prompt, Solution
from teachable.store.files import read_json, read_records, read_rows, write_json
from teachable.synthesize.chatting import text_of
from teachable.synthesize.config import SynthesizeConfig
from teachable.synthesize.gates import Gates
from teachable.synthesize.graph import Workflow, options_of, roles_of
from teachable.synthesize.items import Seed, seed_of_document, seed_of_prompt
from teachable.synthesize.make import synthesize
from teachable.synthesize.tables import EXAMPLES, PROMPTS

NAME = "synthesize"
STATS = "stats.json"
DOCUMENTS = "documents.parquet"
FEW_VOTES, UNANIMOUS = 8, 0.9  # votes, and the share of them of one text each, from which the user is told


@dataclass(frozen=True)
class Synthesis:
    """What is to be made, of what, and with what.

    Args:
        config: see there.
        seeds: what is started from; nothing where rules write their own.
        place: where the engines compute, and the usual engine.
        seed: of everything that is asked.
        own_model: the model folder of an engine that computes here, where its settings name none.
        heldout: questions that nothing may overlap.
        against: prompts accepted before, which nothing may repeat.
        base: the base model, for its chat template; "" where there is none.
        left_out: how many seeds were left out, by reason.
        may_be_empty: nothing to start from is nothing to do, and no mistake: an earlier stage may have made nothing.
    """

    config: SynthesizeConfig
    seeds: Sequence[Seed]
    place: Place
    seed: int = 0
    own_model: str = ""
    heldout: Sequence[Prompt] = ()
    against: Sequence[Prompt] = ()
    base: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    may_be_empty: bool = False

    @cached_property
    def named(self) -> Workflow:
        """The workflow that the settings name, found once: an own file is run for it."""
        return workflow_of(self.config)

    @property
    def workflow(self) -> Workflow:
        """The workflow, by rule where the settings say so."""
        return self.named.with_rules() if self.config.rules else self.named

    @cached_property
    def chosen(self) -> list[Seed]:
        """The seeds that are worked on: of those that were given, or that the rules write, no more than the limit."""
        workflow = self.named
        options = options_of(workflow, self.config.options)
        if self.config.rules and workflow.rules is not None:
            return list(workflow.rules.seeds(options, self.seed))[: self.config.limit]
        seeds = self.seeds[: self.config.limit]
        return list(workflow.prepare(seeds, options) if workflow.prepare is not None else seeds)

    @property
    def engines(self) -> dict[str, EngineConfig]:
        """Role -> engine; "" is the usual one. None where rules write."""
        return {} if self.config.rules else {"": self.place.engine, **self.config.engines}

    def check(self) -> Workflow:
        """The workflow, once it is sure that it can work: before any model is loaded.

        Raises:
            TeachableError: it has no rules, an option or a role is wrong, an engine names no model, there is no seed
                that it takes, or no sandbox where one is needed.
        """
        workflow = self.workflow
        options_of(workflow, self.config.options)
        roles_of(workflow, list(self.config.engines))
        for engine in self.engines.values():
            if engine.is_local and not engine.model and not self.own_model:
                raise TeachableError(
                    "an engine names no model, and there is no base",
                    where=NAME,
                    mend="Write --engine transformers:MODEL or openai:MODEL@URL, or fill the role `base`",
                )
        runs_code = any(seed.kind in workflow.needs_sandbox for seed in self.seeds)
        if runs_code and isinstance(code := verify.get("code"), verify.Prepared):
            code.ready()
        if not self.config.rules and not self.seeds and (self.left_out or not self.may_be_empty):
            left = "; ".join(f"{n:,} {reason}" for reason, n in self.left_out.items())
            raise TeachableError(
                f"there is no seed that {workflow.name} can start from" + (f" ({left})" if left else ""),
                where=NAME,
                mend=f"It takes {' or '.join(_KINDS[kind] for kind in workflow.takes)}",
            )
        return workflow


_KINDS = {"text": "documents", "code": "code", "prompt": "prompts"}


def synthesize_into(
    folder: Path,
    work: Synthesis,
    *,
    on_progress: OnProgress,
    on_interrupt: Callable[[int], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Carry the seeds through, write the files and `stats.json` into the folder, and return the counts.

    Args:
        say: gets a sentence for each thing that the user should know of.

    Raises:
        Stopped: a limit was reached or the user interrupted; what was finished is written then.
        TeachableError: see `Synthesis.check`, or an engine or a template says what is wrong.
    """
    workflow = work.check()
    begun = time.perf_counter()
    config = work.config
    as_text = text_of(config.chat, work.base)
    seeds = work.chosen
    limits = Limits(work.place.max_cost_usd, work.place.max_tokens)
    gates = Gates(config.gates, heldout=work.heldout, against=work.against)
    with ExitStack() as stack:
        opened = Opened(stack, work.place, work.own_model, limits)
        made = {role: opened.engine(settings) for role, settings in work.engines.items()}
        (folder / STATS).unlink(missing_ok=True)  # it tells of the files beside it, or of none
        done = finish(
            lambda: synthesize(
                workflow,
                seeds,
                folder,
                config=config,
                engines={role: engine for role, (_, engine) in made.items()},
                gates=gates,
                n_seeds=len(seeds),
                seed=work.seed,
                text_of=as_text,
                on_progress=telling(on_progress, opened.all),
            ),
            *opened.all,
            limits=limits,
            on_interrupt=on_interrupt,
        )
    asked = [(one, [role or "all others" for role, (other, _) in made.items() if other is one]) for one in opened.all]
    spent = spending(asked)
    complete = done.stopped is None and not done.stats["failed_items"]
    stats = {"complete": complete, **done.stats, **spent, "left_out": dict(work.left_out)}
    stats["seconds"] = round(time.perf_counter() - begun, 3)
    write_json(folder / STATS, stats)
    for sentence in _sentences(stats):
        say(sentence)
    if done.stopped is not None:
        raise done.stopped
    return stats


def _sentences(stats: Mapping[str, Any]) -> list[str]:
    """What is worth a line in the log."""
    said = [f"{n:,} seeds were left out: {reason}" for reason, n in stats["left_out"].items()]
    if stats["failed_items"]:
        first = stats["failures"][0]
        said.append(f"{stats['failed_items']:,} items were lost to failed requests, such as: {first}")
    lost = [(n, row["step"], reason) for row in stats["steps"] for reason, n in row["dropped"].items()]
    if lost and not stats["n_outputs"]:
        n, step, reason = max(lost)
        said.append(f"nothing was accepted; most was dropped at {step}: {reason} ({n:,})")
    if stats["votes"] >= FEW_VOTES and stats["unanimous_votes"] >= UNANIMOUS * stats["votes"]:
        said.append(
            f"in {stats['unanimous_votes']:,} of {stats['votes']:,} votes all samples were the same text: an engine "
            "that ignores temperature, or whose replies are cached, agrees with itself in any case (docs/servers.md)"
        )
    if stats["n_review"]:
        said.append(f"{stats['n_review']:,} rows of review.jsonl wait for somebody to look at them")
    return said


def note_of(stats: Mapping[str, Any]) -> str:
    """The counts in a line."""
    note = f"{stats['n_outputs']:,} prompts of {stats['n_seeds']:,} seeds"
    if stats["n_examples"]:
        note += f", {stats['n_examples']:,} with a response"
    return f"{note}; {stats['n_rejects']:,} dropped"


# ---- seeds ----


def seeds_in(folder: Path, takes: Sequence[str]) -> tuple[list[Seed], dict[str, int]]:
    """The seeds that another stage has left in a folder, of the kinds that a workflow takes, and what was left out."""
    if (folder / DOCUMENTS).is_file():
        return taken([seed_of_document(one) for one in read_records(folder / DOCUMENTS, Document)], takes)
    prompts = read_records(folder / PROMPTS, Prompt)
    return taken(_with_responses(prompts, _responses(folder)), takes)


def _responses(folder: Path) -> dict[str, str]:
    """Prompt id -> a response that is there: the tasks' own solutions, or what another workflow has made."""
    if (folder / EXAMPLES).is_file():
        rows = read_rows(folder / EXAMPLES)
        return {row["prompt_id"]: row["messages"][-1]["content"] for row in reversed(rows)}
    if (folder / "solutions.parquet").is_file():
        return {one.prompt_id: one.text for one in reversed(read_records(folder / "solutions.parquet", Solution))}
    return {}


def _with_responses(prompts: Iterable[Prompt], responses: Mapping[str, str]) -> list[Seed]:
    return [seed_of_prompt(prompt, responses.get(prompt.id, "")) for prompt in prompts]


def seeds_of_prompts(prompts: Iterable[Prompt], responses: Mapping[str, Sequence[str]]) -> list[Seed]:
    """Prompts of a file as seeds, each with the first response that came with it."""
    return _with_responses(prompts, {name: found[0] for name, found in responses.items() if found})


def taken(seeds: Iterable[Seed], takes: Sequence[str]) -> tuple[list[Seed], dict[str, int]]:
    """The seeds of the kinds that a workflow takes, and how many were left out, by reason."""
    kept: list[Seed] = []
    left_out: Counter[str] = Counter()
    for seed in seeds:
        if seed.kind in takes:
            kept.append(seed)
        else:
            left_out[f"{_KINDS[seed.kind]}, which this workflow does not take"] += 1
    return kept, dict(left_out)


def accepted_in(folder: Path) -> list[Prompt]:
    """The prompts that another stage, or another run of the command, has accepted."""
    if not (folder / PROMPTS).is_file():
        raise TeachableError(
            f"there is no {PROMPTS} in this folder", where=str(folder), mend="Name a folder that synthesize has written"
        )
    return read_records(folder / PROMPTS, Prompt)


def base_model(run: Path, folder: Path | None) -> tuple[str, int]:
    """The model that a stage in the role `base` has made or found, and its parameters; "" and 0 where there is none."""
    if folder is None:
        return "", 0
    base = read_json(folder / "stats.json")
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    return str(run / base["path"]), int(base.get("n_params", 0))
