"""From the attempts at a prompt to its zone.

The zone is the one of the three intervals [0, low), [low, high], (high, 1] that holds most of the posterior of the
pass rate. Attempts without a verdict count neither way; a prompt with more of those than half is `ambiguous`, and
so is one that has no verdict at all. Without any key the model's own agreement stands in for the pass rate (the
filter of Abdin et al. 2024, Phi-4 Technical Report, section 2.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from teachable.probe.config import ProbeConfig
from teachable.probe.keys import MAJORITY, Key
from teachable.records import ZONES, Attempt, Estimate, Prompt, Zone
from teachable.verify import vote

_ZONES_UPWARDS: tuple[Zone, ...] = ("beyond", "teachable", "mastered")


@dataclass(frozen=True)
class Belief:
    """The posterior of one prompt's pass rate: masses of the three zones upwards, mean and variance."""

    masses: tuple[float, float, float]
    mean: float
    variance: float

    def beta(self) -> tuple[float, float]:
        """The Beta distribution of this mean and variance."""
        total = self.mean * (1.0 - self.mean) / self.variance - 1.0
        return self.mean * total, (1.0 - self.mean) * total


def estimate(
    prompt: Prompt, attempts: Sequence[Attempt], belief: Belief, key: Key, stopped: str, config: ProbeConfig
) -> Estimate:
    """What these attempts say of a prompt that has a key, or a verifier that needs none.

    Args:
        prompt: the prompt.
        attempts: all attempts at it, in the order of their samples.
        belief: the posterior given these attempts.
        key: what they were compared with.
        stopped: why there are no more; see `Estimate`.
        config: thresholds.
    """
    decided = [attempt for attempt in attempts if attempt.correct is not None]
    n, n_undecided = len(decided), len(attempts) - len(decided)
    successes = sum(attempt.correct is True for attempt in decided)
    best = max(range(3), key=lambda i: belief.masses[i])
    zone = _ZONES_UPWARDS[best]
    if key.trouble and not key.suspect:
        zone, reason = "ambiguous", key.trouble
    elif n == 0 or 2 * n_undecided > len(attempts):
        zone, reason = "ambiguous", _why_ambiguous(attempts, n_undecided, stopped)
    else:
        where = (f"below {config.low:g}", f"in {config.low:g} to {config.high:g}", f"above {config.high:g}")[best]
        aside = f" ({n_undecided} more undecided)" if n_undecided else ""
        reason = f"{successes} of {n} attempts right{aside}: "
        reason += f"the pass rate lies {where} with probability {belief.masses[best]:.2f}"
        reason += ", and more attempts would hardly tell" if stopped == "close" else ""
    if key.suspect:
        reason = f"suspect, {key.trouble}; {reason}"
    votes = vote([attempt.answer for attempt in attempts], prompt.verifier)
    a, b = belief.beta()
    return Estimate(
        prompt_id=prompt.id,
        domain=prompt.domain,
        level=prompt.level,
        n=n,
        successes=successes,
        n_undecided=n_undecided,
        posterior_a=a,
        posterior_b=b,
        agreement=votes.agreement,
        plurality=votes.answer,
        zone=zone,
        reason=reason,
        zone_mass=0.0 if zone == "ambiguous" else belief.masses[best],
        p_beyond=belief.masses[0],
        p_teachable=belief.masses[1],
        p_mastered=belief.masses[2],
        stopped=stopped,
        key=key.answer,
        key_source=key.source,
        key_agreement=key.agreement,
        suspect=key.suspect,
    )


def estimate_by_agreement(prompt: Prompt, attempts: Sequence[Attempt], stopped: str) -> Estimate:
    """What a prompt's attempts say by themselves, where nobody knows the answer.

    All agree: too easy (`mastered`); no two agree: too hard, or the question has many answers (`ambiguous`);
    between: `teachable`, with the plurality as its key. Agreement is no proof of being right: a model may be wrong the
    same way each time, and no probability is claimed.
    """
    votes = vote([attempt.answer for attempt in attempts], prompt.verifier)
    count = votes.votes
    share = count / len(attempts) if attempts else 0.0
    zone: Zone = "ambiguous"
    if votes.n == 0 or 2 * votes.n < len(attempts):
        reason = f"{votes.n} of {len(attempts)} attempts gave an answer that can be read, and there is no key"
    elif count == len(attempts):
        zone, reason = "mastered", f"no key: all {count} attempts agree, too easy"
    elif count == 1:
        reason = f"no key: no two of {len(attempts)} attempts agree, too hard or ambiguous"
    else:
        zone, reason = "teachable", f"no key: {count} of {len(attempts)} attempts agree"
    return Estimate(
        prompt_id=prompt.id,
        domain=prompt.domain,
        level=prompt.level,
        n=0,
        successes=0,
        n_undecided=len(attempts),
        posterior_a=0.5,
        posterior_b=0.5,
        agreement=votes.agreement,
        plurality=votes.answer,
        zone=zone,
        reason=reason,
        stopped=stopped,
        key=votes.answer if zone in ("teachable", "mastered") else None,
        key_source=MAJORITY,
        key_agreement=share,
    )


def _why_ambiguous(attempts: Sequence[Attempt], n_undecided: int, stopped: str) -> str:
    if not attempts:
        return "there was no attempt before the run was stopped" if stopped == "interrupted" else "there was no attempt"
    causes = Counter(attempt.reason for attempt in attempts if attempt.correct is None)
    return f"{n_undecided} of {len(attempts)} attempts could not be decided: {causes.most_common(1)[0][0]}"


def always_the_same(attempts: Sequence[Attempt]) -> bool:
    """Whether every prompt got one and the same answer each time, as from a server that decodes greedily.

    Said only where at least 20 prompts have two attempts or more: of fewer, a sure model may do that.
    """
    texts: dict[str, set[str]] = {}
    counts = Counter(attempt.prompt_id for attempt in attempts if attempt.finish_reason != "error")
    for attempt in attempts:
        if counts[attempt.prompt_id] > 1 and attempt.finish_reason != "error":
            texts.setdefault(attempt.prompt_id, set()).add(attempt.text)
    return len(texts) >= 20 and all(len(found) == 1 for found in texts.values())


def probe_stats(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Counts of a probe for its `stats.json`; spending and time are added by who measured them."""
    by_domain: dict[str, Counter[str]] = {}
    for found in estimates:
        by_domain.setdefault(found.domain, Counter())[found.zone] += 1
    n_attempts = sum(found.n + found.n_undecided for found in estimates)
    stopped = Counter(found.stopped for found in estimates)
    return {
        "n_prompts": len(estimates),
        "n_attempts": n_attempts,
        "samples_per_prompt": round(n_attempts / len(estimates), 2) if estimates else 0.0,
        "n_undecided": sum(found.n_undecided for found in estimates),
        "n_suspect": sum(found.suspect for found in estimates),
        "zones": {zone: sum(counts[zone] for counts in by_domain.values()) for zone in ZONES},
        "zones_by_domain": {domain: {zone: by_domain[domain][zone] for zone in ZONES} for domain in sorted(by_domain)},
        "stopped": dict(sorted(stopped.items())),
        "keys": dict(sorted(Counter(found.key_source or "verifier" for found in estimates).items())),
    }
