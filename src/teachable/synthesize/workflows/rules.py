"""Questions that a program writes, solves and checks: synthesis without any model.

Families of three kinds: those that the built-in tasks teach (`families.catalog`), whose worked steps become responses;
any other family of reasoning-gym that the verifier `gym` can score, as prompts with an answer; and theorems turned into
questions with one short answer (`rules_facts.py`), with worked steps.

Every question proves itself: its verifier accepts its answer and refuses a near miss and an empty one, a theorem's
question is checked by search, and worked steps are verified like any other response. What a scorer is too lenient for
is dropped, and counted.

Catalog questions come from the pool's side of the content alone, never from the side that is held out or the one that
the embedded base has read. Other families have no sides: `heldout` keeps them apart from a benchmark.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from teachable.errors import TeachableError
from teachable.families import teacher
from teachable.families.catalog import FAMILIES, SIDES, Entry, questions, require_reasoning_gym, to_prompt
from teachable.overlap.split import split_of
from teachable.records import Lineage, Prompt, content_id
from teachable.synthesize.asking import StepContext
from teachable.synthesize.graph import Do
from teachable.synthesize.items import Drop, Item, Output, Seed, seed_of_prompt, user
from teachable.synthesize.workflows.rules_facts import Fact, facts, fault_of
from teachable.synthesize.workflows.rules_theorems import FACTS, N_LEVELS
from teachable.verify import near_miss
from teachable.verify.gym import scorer

GYM = (
    "base_conversion",
    "calendar_arithmetic",
    "caesar_cipher",
    "count_primes",
    "course_schedule",
    "dice",
    "family_relationships",
    "fraction_simplification",
    "gsm_symbolic",
    "largest_island",
    "lcm",
    "prime_factorization",
    "simple_geometry",
    "syllogism",
    "time_intervals",
    "word_sorting",
)
DEFAULT_FAMILIES = (*FAMILIES, *FACTS, *GYM)
_MAX_MISSES = 4000  # draws in a row without a new question: the family has no more to give
_BATCH = 256
# Far from where benchmarks draw: reasoning-gym makes question i from Random(seed + i).
_START, _STRIDE = 7_000_000_000, 1_000_003


class RuleSettings(Protocol):
    """What of the options the rules read: the families, how many questions in all, and the level, 0 for all."""

    @property
    def families(self) -> tuple[str, ...]: ...
    @property
    def n(self) -> int: ...
    @property
    def level(self) -> int: ...


def seeds(options: RuleSettings, seed: int) -> list[Seed]:
    """Questions in equal shares over the families and, within one, over its levels; each once.

    Where a level has fewer to give, the others fill in; where all have, it is fewer than `n`.

    Raises:
        TeachableError: there is no such family or level, reasoning-gym is missing, or its scorer would run the answer.
    """
    families = tuple(dict.fromkeys(options.families))
    for name in families:
        _known(name)
    if options.level and not any(_levels(name, options.level) for name in families):
        raise TeachableError(
            f"none of these families has a level {options.level}", where="verifiable.level", mend="Take 0, for all"
        )
    families = tuple(name for name in families if _levels(name, options.level))
    drawn: list[tuple[Iterator[Prompt], int]] = []
    for name, wanted in zip(families, _shares(options.n, len(families)), strict=True):
        levels = _levels(name, options.level)
        seen: set[str] = set()  # a question may come at several levels
        shares = _shares(wanted, len(levels))
        drawn += [(_prompts(name, level, seed, seen), share) for level, share in zip(levels, shares, strict=True)]
    found = [list(islice(prompts, share)) for prompts, share in drawn]
    left = [place for place, (_, share) in enumerate(drawn) if len(found[place]) == share]
    while left and (missing := options.n - sum(map(len, found))):  # some have fewer than their share: others fill in
        shares = _shares(missing, len(left))
        for place, share in zip(left, shares, strict=True):
            found[place] += islice(drawn[place][0], share)
        left = left if options.n - sum(map(len, found)) < missing else []
    return [seed_of_prompt(prompt) for prompts in found for prompt in prompts]


def _known(name: str) -> None:
    """Refuse a family that there is not, or that can't be scored."""
    if name in FACTS:
        return
    try:
        scorer(name)
    except AssertionError as error:  # its default settings are none
        raise _ungenerable(name, error) from error
    except TeachableError as error:
        near = difflib.get_close_matches(name, DEFAULT_FAMILIES, n=1, cutoff=0.6)
        mend = f"Did you mean {near[0]!r}?" if near and "no family called" in error.what else error.mend
        if "not installed" in error.what:
            mend += f", or name families that need none of it: --set 'options.families=[{', '.join(FACTS)}]'"
        raise TeachableError(error.what, where="verifiable.families", mend=mend) from error


def _levels(name: str, level: int) -> list[int]:
    """The levels of a family that are asked for; one without levels has the level 0."""
    n_levels = len(FAMILIES[name].levels) if name in FAMILIES else N_LEVELS if name in FACTS else 0
    if not n_levels:
        return [] if level else [0]
    return [one for one in range(1, n_levels + 1) if level in (0, one)]


def _shares(total: int, n: int) -> list[int]:
    """`total` cut into n parts that differ by at most one."""
    return [total // n + (place < total % n) for place in range(n)]


def _prompts(name: str, level: int, seed: int, seen: set[str]) -> Iterator[Prompt]:
    """Questions of a family that are not among those seen, until it has no more to give; the same for the same seed."""
    drawn = (
        (_of_fact(fact, seed) for fact in facts(name, level, seed))
        if name in FACTS
        else _catalog(name, level, seed)
        if name in FAMILIES
        else _gym(name, seed)
    )
    n_misses = 0
    for prompt in drawn:
        key = str(prompt.meta["content_key"])
        if key in seen or (name in FAMILIES and split_of(key, SIDES) != "pool"):
            n_misses += 1
            if n_misses >= _MAX_MISSES:
                return
            continue
        n_misses = 0
        seen.add(key)
        yield prompt


def _catalog(name: str, level: int, seed: int) -> Iterator[Prompt]:
    return (to_prompt(name, level, entry) for entry in questions(name, level, seed))


def _gym(name: str, seed: int) -> Iterator[Prompt]:
    gym = require_reasoning_gym()
    start = _START + seed * _STRIDE
    while True:
        try:
            entries = gym.create_dataset(name, size=_BATCH, seed=start)
        except (AssertionError, TypeError, ValueError) as error:
            raise _ungenerable(name, error) from error
        for index in range(_BATCH):
            yield _of_entry(name, entries[index], seed)
        start += _BATCH


def _ungenerable(name: str, error: Exception) -> TeachableError:
    return TeachableError(
        f"reasoning-gym can't generate {name!r} with its default settings ({str(error) or type(error).__name__})",
        where="verifiable.families",
        mend="Take another family",
    )


def _of_entry(name: str, entry: Entry, seed: int) -> Prompt:
    """A question of a family outside the catalog; the entry as it will be once it has been in a file."""
    kept = json.loads(json.dumps(entry, sort_keys=True, default=_plain))
    question = str(entry["question"]).strip()
    answer = kept["answer"]
    return Prompt(
        id=content_id(name, question),
        domain=name,
        messages=user(question),
        answer=None if answer is None else str(answer),
        answer_source="program",
        verifier="gym",
        meta={"family": name, "entry": kept, "content_key": f"{name} {content_id(question)}"},
        lineage=(Lineage(parent=f"reasoning-gym/{name}", transform="generate", params=f"seed {seed}"),),
    )


def _plain(value: Any) -> Any:
    """What JSON has no form for: NumPy's numbers and arrays as lists, all else (fractions) as text."""
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else str(value)


def _of_fact(fact: Fact, seed: int) -> Prompt:
    meta = {
        "family": fact.family,
        "numbers": dict(fact.numbers),
        "conclusion": FACTS[fact.family].theorem,
        "hypothesis": fact.hypothesis,
        "otherwise": fact.otherwise,
        "content_key": fact.key,
    }
    return Prompt(
        id=content_id(fact.family, fact.question),
        domain=fact.family,
        messages=user(fact.question),
        answer=fact.answer,
        answer_source="program",
        verifier="math",
        level=fact.level,
        meta=meta,
        lineage=(Lineage(parent=f"theorem/{fact.family}", transform="generate", params=f"seed {seed}"),),
    )


async def check(item: Item, ctx: StepContext) -> None:
    """Have the question prove itself.

    Raises:
        Drop: it has no answer, its verifier is not to be trusted on it, or it does not pass its search.
    """
    prompt = item.prompt
    if prompt.answer is None:
        raise Drop("no answer of its own", text=prompt.text)
    wrong, name = near_miss(prompt.answer)
    for attempt, right, reason in (
        (f"Answer: {prompt.answer}", True, "its verifier refuses its own answer"),
        (f"Answer: {wrong}", False, "its verifier accepts a near miss"),
        ("Answer:", False, "its verifier accepts an empty answer"),
    ):
        verdict = await ctx.verify(attempt, prompt)
        if verdict.correct is not right:
            raise Drop(reason, f"{name}: {verdict.reason}" if attempt.endswith(wrong) else verdict.reason, prompt.text)
    fault = fault_of(_fact_of(prompt)) if prompt.domain in FACTS else ""
    if fault:
        raise Drop(fault, f"{prompt.meta['numbers']}", prompt.text)


async def solve(item: Item, ctx: StepContext) -> str:
    """A worked response, "" for a family that nobody here can solve.

    Raises:
        Drop: the verifier does not accept it.
    """
    prompt = item.prompt
    steps = _steps(prompt)
    if steps is None:
        return ""
    response = teacher.response(steps, str(prompt.answer))
    verdict = await ctx.verify(response, prompt)
    if verdict.correct is not True:
        raise Drop("its worked steps are not accepted", verdict.reason, response)
    return response


def _steps(prompt: Prompt) -> list[str] | None:
    if prompt.domain in FACTS:
        return FACTS[prompt.domain].solve(prompt.meta["numbers"])
    return FAMILIES[prompt.domain].solve(prompt.meta["entry"]) if prompt.domain in FAMILIES else None


def _fact_of(prompt: Prompt) -> Fact:
    meta: Mapping[str, Any] = prompt.meta
    return Fact(
        family=prompt.domain,
        level=prompt.level,
        question=prompt.text,
        answer=str(prompt.answer),
        hypothesis=meta["hypothesis"],
        otherwise=meta["otherwise"],
        numbers=meta["numbers"],
        steps=(),
    )


def output(item: Item, options: Any) -> Sequence[Output]:
    """The question, with its worked response where there is one."""
    prompt = item.prompt
    return [
        Output(
            messages=prompt.messages,
            proof="program",
            answer=prompt.answer,
            verifier=prompt.verifier,
            response=item["solve"],
            domain=prompt.domain,
            level=prompt.level,
            answer_source="program",
            meta={name: value for name, value in prompt.meta.items() if name != "content_key"},
            allowed=(item.seed.text,),  # it is its seed
            leak_checked=True,  # what a program asks for, it does not say
            content_key=str(prompt.meta["content_key"]),
        )
    ]


STEPS = (Do("check", check), Do("solve", solve))
