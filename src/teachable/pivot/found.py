"""What a search finds: pivotal tokens with the evidence for them, the solutions they stand in, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from teachable.errors import Stopped


class Row:
    """A frozen record that can also be read like a row of its file: `row["delta"]`, `dict(row)`."""

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def keys(self) -> list[str]:
        """The names of the columns."""
        return [one.name for one in fields(self)]  # type: ignore[arg-type]  # every subclass is a dataclass

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


@dataclass(frozen=True)
class Alternative(Row):
    """Another token that the model itself chose at a pivotal position.

    `probability` is its next-token probability under the sampling really used, in [0, 1]; `p_success` the share of
    right answers among the `n_samples` completions that went on with it (None where n_samples is 0).
    """

    token_id: int
    token: str
    probability: float
    n_samples: int
    successes: int

    @property
    def p_success(self) -> float | None:
        return self.successes / self.n_samples if self.n_samples else None


@dataclass(frozen=True)
class Pivot(Row):
    """A token that changes the probability of success by at least the gap.

    `position` counts the solution's tokens from 0; `p_before` and `p_after` are the success probabilities of the
    prefixes without and with it, `delta` = p_after - p_before, and `delta_low` to `delta_high` its interval at the
    stated confidence. All five rest on the `n_samples` completions that were drawn after the token was suspected.
    `probability` is the token's own next-token probability.
    """

    prompt_id: str
    position: int
    token_id: int
    token: str
    p_before: float
    p_after: float
    delta: float
    delta_low: float
    delta_high: float
    n_samples: int
    solution_token_ids: tuple[int, ...]
    probability: float = 1.0
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Searched(Row):
    """A solution that was searched, and the value curve that was inferred on the way.

    `prompt_token_ids` are the tokens it continues, `token_ids` its own. For T tokens, `probabilities` has T entries
    (each token's, under the sampling really used), `values` and `value_sds` have T + 1: posterior mean and standard
    deviation of the success probability of the prefix with that many tokens. `tokens` are the tokens' texts.
    """

    prompt_id: str
    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    text: str
    correct: bool
    probabilities: tuple[float, ...]
    values: tuple[float, ...]
    value_sds: tuple[float, ...]
    n_samples: int
    note: str = ""


@dataclass(frozen=True)
class Gated(Row):
    """What became of a prompt: searched or not, and why, in one sentence.

    `n` decided samples of which `successes` right were the gate, its own or probing's; `p_success` is their mean or
    probing's estimate. `outcome` is one of `searched`, `outside` (of low to high), `undecided` (the verifier could not
    tell), `failed` (the engine), `empty` (no solution with a token), `certain` (no token may be pivotal: the bound
    rules all out), `interrupted`.
    """

    prompt_id: str
    outcome: str
    reason: str
    n: int
    successes: int
    p_success: float | None


@dataclass(frozen=True)
class SearchResult:
    """Everything a search found, and what it spent: completions and sampled tokens that engines really returned.

    `prompt_tokens` are the prompt tokens that were read for them. `n_undecided` completions had no verdict and were
    left out; `n_failed` requests failed. `stopped` is set when a limit or an interrupt ended the search early.
    """

    pivots: tuple[Pivot, ...]
    solutions: tuple[Searched, ...]
    gates: tuple[Gated, ...]
    completions: int
    tokens: int
    prompt_tokens: int = 0
    n_undecided: int = 0
    n_failed: int = 0
    stopped: Stopped | None = None
    notes: tuple[str, ...] = field(default=())
