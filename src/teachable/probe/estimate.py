"""From the attempts at a prompt to its zone.

The pass rate has the posterior Beta(prior_a + successes, prior_b + failures) (Jeffreys' prior by default); the
zone is the one of the three intervals [0, low), [low, high], (high, 1] that holds the most of it. Attempts
without a verdict count neither way; a prompt with more of those than half is `ambiguous`, and so is one
that has no verdict at all, for want of a reference answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from teachable.probe.config import ProbeConfig
from teachable.records import ZONES, Attempt, Estimate, Prompt, Zone
from teachable.stats import plurality, zone_masses
from teachable.verify import canonical

_ZONES_UPWARDS: tuple[Zone, ...] = ("beyond", "teachable", "mastered")


@lru_cache(maxsize=65536)
def _masses(a: float, b: float, low: float, high: float) -> tuple[float, float, float]:
    """`zone_masses` of one posterior; a probe meets the same few counts thousands of times."""
    below, between, above = (float(mass) for mass in zone_masses(a, b, low, high))
    return below, between, above


def estimate(prompt: Prompt, attempts: Sequence[Attempt], config: ProbeConfig) -> Estimate:
    """What these attempts say of the prompt.

    Args:
        prompt: the prompt.
        attempts: all attempts at it, in the order of their samples.
        config: prior and thresholds.
    """
    decided = [attempt for attempt in attempts if attempt.correct is not None]
    n, n_undecided = len(decided), len(attempts) - len(decided)
    successes = sum(attempt.correct is True for attempt in decided)
    favourite, agreement = plurality([canonical(a.answer) for a in attempts if a.answer is not None])
    a, b = config.prior_a + successes, config.prior_b + n - successes
    zone: Zone = "ambiguous"
    if n == 0 or 2 * n_undecided > len(attempts):
        reason = _why_ambiguous(attempts, n_undecided)
    else:
        masses = _masses(a, b, config.low, config.high)
        best = max(range(3), key=lambda i: masses[i])
        zone = _ZONES_UPWARDS[best]
        where = (f"below {config.low:g}", f"in {config.low:g} to {config.high:g}", f"above {config.high:g}")[best]
        aside = f" ({n_undecided} more undecided)" if n_undecided else ""
        reason = (
            f"{successes} of {n} attempts right{aside}: the pass rate lies {where} with probability {masses[best]:.2f}"
        )
    return Estimate(
        prompt_id=prompt.id,
        domain=prompt.domain,
        level=prompt.level,
        n=n,
        successes=successes,
        n_undecided=n_undecided,
        posterior_a=a,
        posterior_b=b,
        agreement=agreement,
        plurality=favourite,
        zone=zone,
        reason=reason,
    )


def _why_ambiguous(attempts: Sequence[Attempt], n_undecided: int) -> str:
    if not attempts:
        return "there was no attempt"
    causes = Counter(attempt.reason for attempt in attempts if attempt.correct is None)
    return f"{n_undecided} of {len(attempts)} attempts could not be decided: {causes.most_common(1)[0][0]}"


def probe_stats(estimates: Sequence[Estimate], n_samples: int) -> dict[str, Any]:
    """Counts of a probe for its `stats.json`; spending and time are added by who measured them."""
    by_domain: dict[str, Counter[str]] = {}
    for found in estimates:
        by_domain.setdefault(found.domain, Counter())[found.zone] += 1
    return {
        "n_prompts": len(estimates),
        "n_samples": n_samples,
        "n_undecided": sum(found.n_undecided for found in estimates),
        "zones": {zone: sum(counts[zone] for counts in by_domain.values()) for zone in ZONES},
        "zones_by_domain": {domain: {zone: by_domain[domain][zone] for zone in ZONES} for domain in sorted(by_domain)},
    }
