"""Mix organic and synthetic rows by a stated share, and say what the synthetic ones do to diversity.

The share is kept to: of the side that has too much for it, rows are left out; nothing is repeated, so there is never
more synthetic than there is. With `keep_organic` all organic rows stay, and the share is what it comes to.

Which rows of a side go in: every stratum (a domain of the organic rows, a domain of a workflow's) gets its part of the
side, and within a stratum the order is that of a hash of the row and the seed. So a row's chances do not hang on where
it stood, and a smaller mix is a part of a larger one's rows, but for the rounding of the strata's parts.

Synthetic rows that say the same as an organic one, or as an earlier synthetic one, are left out first: they would count
as synthetic and add nothing. Only equal texts (in the normal form of `overlap.near`) count as the same here; the gates
of synthesis have looked for near-duplicates.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.errors import TeachableError
from teachable.overlap.near import normalise
from teachable.records import Message, Prompt, content_id
from teachable.synthesize.mixing.balance_config import BalanceConfig
from teachable.synthesize.mixing.diversity import EMBEDDING, MEASURES, MIN_TEXTS, Diversity, compared, looked_at

ORGANIC, SYNTHETIC = "organic", "synthetic"
REPEATS_ORGANIC, REPEATS_SYNTHETIC = "says the same as an organic row", "says the same as another synthetic row"
TOO_MANY = "more than the share has room for"


@dataclass(frozen=True)
class Row:
    """A prompt, with its response where there is one.

    `workflow` made it ("" where nobody said), and `history` is what is known of that.
    """

    prompt: Prompt
    response: str = ""
    workflow: str = ""
    history: Mapping[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt's messages, and the response as the last."""
        own = (Message(role="assistant", content=self.response),) if self.response else ()
        return (*self.prompt.messages, *own)

    @property
    def text(self) -> str:
        """What was said by everybody but the system."""
        return "\n".join(message["content"] for message in self.messages if message["role"] != "system")

    @property
    def id(self) -> str:
        """A digest of what it says."""
        return content_id(self.messages)


@dataclass(frozen=True)
class Balanced:
    """The mix: rows with the side that each comes from, in an order that says nothing, and what it came to.

    `left_out` is side -> reason -> rows. `sizes` is side -> how much of it is in, in the config's unit.
    """

    rows: tuple[tuple[str, Row], ...]
    left_out: Mapping[str, Mapping[str, int]]
    sizes: Mapping[str, int]
    strata: Mapping[str, Mapping[str, int]]

    @property
    def share(self) -> float:
        """Of synthetic rows, in the unit, in [0, 1]; 0 of an empty mix."""
        total = sum(self.sizes.values())
        return self.sizes[SYNTHETIC] / total if total else 0.0


def mixed(
    organic: Sequence[Row],
    synthetic: Sequence[Row],
    config: BalanceConfig,
    *,
    seed: int = 0,
    size_of: Callable[[Row], int] = lambda row: 1,
) -> Balanced:
    """The rows of both sides by the stated share.

    Args:
        size_of: a row in the config's unit, at least 1.

    Raises:
        TeachableError: a side that the share needs is empty.
    """
    unique, repeats = _unique(organic, synthetic)
    given = {ORGANIC: list(organic), SYNTHETIC: unique}
    for side, needed in ((ORGANIC, config.share < 1), (SYNTHETIC, config.share > 0)):
        if needed and not given[side]:
            raise TeachableError(
                f"there are no {side} rows" + (" that say something new" if side == SYNTHETIC and synthetic else ""),
                where="balance",
                mend=f"Name a file of them, or take a share of {0 if side == SYNTHETIC else 1}",
            )
    sizes = {side: [max(1, size_of(row)) for row in rows] for side, rows in given.items()}
    budgets = _budgets({side: sum(own) for side, own in sizes.items()}, config)
    rows: list[tuple[str, Row]] = []
    left_out: dict[str, Counter[str]] = {ORGANIC: Counter(), SYNTHETIC: Counter(repeats)}
    taken_sizes, strata = {}, {}
    for side, own in given.items():
        taken = _taken(own, sizes[side], budgets[side], config.strata, f"{seed}\x1f{side}")
        rows += [(side, own[place]) for place in taken]
        taken_sizes[side] = sum(sizes[side][place] for place in taken)
        strata[side] = dict(sorted(Counter(stratum_of(own[place]) for place in taken).items()))
        if len(taken) < len(own):
            left_out[side][TOO_MANY] += len(own) - len(taken)
    rows.sort(key=lambda one: (_rank(one[1], f"{seed}\x1forder"), one[0]))
    return Balanced(tuple(rows), {side: dict(found) for side, found in left_out.items()}, taken_sizes, strata)


def _unique(organic: Sequence[Row], synthetic: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """The synthetic rows that say something of their own, and how many do not."""
    before = {normalise(row.text) for row in organic}
    seen: set[str] = set()
    kept: list[Row] = []
    repeats: Counter[str] = Counter()
    for row in synthetic:
        text = normalise(row.text)
        if text in before:
            repeats[REPEATS_ORGANIC] += 1
        elif text in seen:
            repeats[REPEATS_SYNTHETIC] += 1
        else:
            seen.add(text)
            kept.append(row)
    return kept, repeats


def _budgets(there: Mapping[str, int], config: BalanceConfig) -> dict[str, float]:
    """How much of each side goes in: as much as there is, in the stated proportion, up to the total."""
    share = {SYNTHETIC: config.share, ORGANIC: 1.0 - config.share}
    if config.keep_organic and config.share < 1:
        wanted = there[ORGANIC] * share[SYNTHETIC] / share[ORGANIC]
        room = wanted if config.total is None else max(0.0, min(wanted, config.total - there[ORGANIC]))
        return {ORGANIC: there[ORGANIC], SYNTHETIC: min(room, there[SYNTHETIC])}
    total = min(there[side] / share[side] for side in share if share[side] > 0)
    if config.total is not None:
        total = min(total, config.total)
    return {side: total * share[side] for side in share}


def stratum_of(row: Row) -> str:
    """Where a row belongs: its domain, after the workflow that made it."""
    return f"{row.workflow}/{row.prompt.domain}" if row.workflow else row.prompt.domain


def _taken(rows: Sequence[Row], sizes: Sequence[int], budget: float, how: str, key: str) -> list[int]:
    """The places of the rows that go in, about `budget` in all; each stratum is filled to within half a row."""
    strata: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        strata.setdefault(stratum_of(row), []).append(place)
    names = sorted(strata)
    there = [sum(sizes[place] for place in strata[name]) for name in names]
    taken: list[int] = []
    owed = 0.0  # what rounding has left over goes to the next stratum
    for name, part in zip(names, _parts(there, budget, how), strict=True):
        owed += part
        for place in sorted(strata[name], key=lambda place: (_rank(rows[place], key), place)):
            if owed < sizes[place] / 2:
                break
            owed -= sizes[place]
            taken.append(place)
    return taken


def _parts(there: Sequence[int], budget: float, how: str) -> list[float]:
    """How the strata share a budget: by what each has, or evenly as far as each has enough."""
    total = sum(there)
    if total <= budget or how == "proportional":
        return [min(1.0, budget / total) * n if total else 0.0 for n in there]
    parts = [0.0] * len(there)
    left = budget
    order = sorted(range(len(there)), key=lambda i: (there[i], i))
    for done, place in enumerate(order):
        parts[place] = min(float(there[place]), left / (len(order) - done))
        left -= parts[place]
    return parts


def _rank(row: Row, key: str) -> str:
    return hashlib.sha256(f"{key}\x1f{row.id}".encode()).hexdigest()


# ---- diversity ----

Embed = Callable[[Sequence[str]], NDArray[np.float64]]


def diversity_of(
    organic: Sequence[Row],
    synthetic: Sequence[Row],
    mix: Balanced,
    config: BalanceConfig,
    *,
    seed: int = 0,
    embed: Embed | None = None,
) -> Diversity:
    """The diversity of the synthetic rows beside that of the organic ones, and of the mix.

    Args:
        organic, synthetic: all that there are; repeats among the synthetic ones tell of a collapse, so they count.
        mix: what is measured after mixing.
        embed: texts -> [text, dimension]; None leaves embeddings out.
    """
    texts = [[row.text for row in rows] for rows in (organic, synthetic, [row for _, row in mix.rows])]
    embeddings = None
    if embed is not None:
        wanted = sorted({text for one in looked_at(*texts, max_texts=config.max_texts, seed=seed) for text in one})
        embeddings = dict(zip(wanted, embed(wanted), strict=True)) if wanted else {}
    return compared(
        *texts,
        bar=config.least_diversity,
        max_texts=config.max_texts,
        rounds=config.rounds,
        n_topics=config.topics,
        seed=seed,
        embeddings=embeddings,
    )


def diversity_row(found: Diversity, bar: float) -> dict[str, Any]:
    """The diversity for `stats.json`; numbers have four digits after the point."""
    further = found.also or {}
    return {
        "n_texts": found.n_texts,
        "least_diversity": bar,
        "coverage": _rounded(found.coverage),
        "embeddings": any(one.measure == EMBEDDING for one in found.comparisons),
        "measures": [
            {
                "measure": one.measure,
                "what": MEASURES[one.measure],
                ORGANIC: _rounded(one.first),
                SYNTHETIC: _rounded(one.second),
                "mixed": _rounded(further.get(one.measure)),
                "ratio": _rounded(one.ratio),
                "low": _rounded(one.low),
                "high": _rounded(one.high),
                "collapsed": one.collapsed,
            }
            for one in found.comparisons
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def warnings_of(mix: Balanced, found: Diversity, config: BalanceConfig) -> list[str]:
    """What the user should know: a share that could not be kept, rows that were left out, a collapse."""
    said = []
    if abs(mix.share - config.share) > max(0.005, 1.0 / max(1, sum(mix.sizes.values()))):
        said.append(f"{mix.share:.1%} of the mix are synthetic, not {config.share:.1%}")
    for side, reasons in mix.left_out.items():
        said += [f"{n:,} {side} rows are left out: {reason}" for reason, n in reasons.items()]
    if not found.n_texts:
        said.append(f"diversity was not compared: a side has fewer than {MIN_TEXTS} texts")
    for one in found.collapsed:
        said.append(
            f"the synthetic rows have collapsed by {one.measure} ({MEASURES[one.measure]}): {one.second:.3g} beside "
            f"{one.first:.3g} of as many organic ones, {one.ratio:.0%} of it ({one.low:.0%} to {one.high:.0%}), "
            f"below {config.least_diversity:.0%}"
        )
    return said
