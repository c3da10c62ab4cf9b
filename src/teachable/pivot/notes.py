"""What went otherwise than it should in a search, a sentence for each kind of thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from teachable.pivot.config import PivotConfig
from teachable.pivot.found import Gated, Searched


@dataclass(frozen=True)
class Happened:
    """Counts over a whole search, each with one reason as an example."""

    n_undecided: int
    undecided: str
    n_failed: int
    fault: str
    n_empty: int


def notes_on(
    gates: Sequence[Gated], solutions: Sequence[Searched], happened: Happened, config: PivotConfig
) -> tuple[str, ...]:
    """The sentences, those about prompts first; none where all went well."""
    said = []
    outcomes = [gate.outcome for gate in gates]
    reasons = {gate.outcome: gate.reason for gate in gates}
    whole = f"of {len(gates):,} prompts"
    if n := outcomes.count("outside"):
        said.append(f"{n:,} {whole} left out: success probability outside {config.low:g} to {config.high:g}")
    if n := outcomes.count("undecided"):
        said.append(f"{n:,} {whole} left out: {reasons['undecided']}")
    if n := outcomes.count("failed"):
        said.append(f"{n:,} {whole} left out: the engine failed, as in: {reasons['failed']}")
    if n := outcomes.count("empty"):
        said.append(f"{n:,} {whole} left out: no sample has a token")
    if n := outcomes.count("certain"):
        said.append(f"{n:,} {whole} need no search: no token leaves room for a change of {config.gap:g}")
    if n := outcomes.count("interrupted"):
        said.append(f"{n:,} {whole} not asked before the search was stopped")
    if happened.n_undecided:
        said.append(f"{happened.n_undecided:,} completions left out, the verifier could not tell: {happened.undecided}")
    if happened.n_failed:
        said.append(f"{happened.n_failed:,} requests failed and were left out: {happened.fault}")
    if happened.n_empty:
        said.append(f"{happened.n_empty:,} completions are empty; they count as answers, not as solutions")
    if n := sum(len(one.token_ids) == 1 for one in solutions):
        said.append(f"{n:,} solutions have a single token: its change is that from the prompt to the known end")
    said += [f"prompt {one.prompt_id}: search {one.note}" for one in solutions if one.note]
    return tuple(said)
