"""What the attempts so far say of all prompts together: the prior of each group, and with it everyone's posterior."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teachable.probe.config import ProbeConfig
from teachable.probe.estimate import Belief
from teachable.probe.policy import PRICES, Policy, expected_samples, policy_of
from teachable.probe.prior import Floats, Ints, Posterior, Tables, build_tables, fit_weights, posterior_of
from teachable.records import Prompt

# Of a prompt that nobody tried to judge.
UNKNOWN = Belief((0.0, 0.0, 0.0), 0.5, 1.0 / 8.0)


@dataclass(frozen=True)
class Group:
    """Prompts of one domain and level: their places, and what is known of their kind."""

    domain: str
    level: int
    members: Ints
    posterior: Posterior
    policy: Policy


class Learner:
    """Learns the priors of a set of prompts, by domain and level, round after round."""

    def __init__(self, prompts: Sequence[Prompt], config: ProbeConfig) -> None:
        self._config = config
        self._tables = _tables(config)
        members: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, prompt in enumerate(prompts):
            members[prompt.domain][prompt.level].append(place)
        self._members = {
            domain: {level: np.array(places) for level, places in sorted(levels.items())}
            for domain, levels in sorted(members.items())
        }
        self._before: dict[tuple[str, int] | str, Floats] = {}
        self.groups: tuple[Group, ...] = ()
        self.group_of = np.zeros(len(prompts), dtype=np.int64)

    def learn(self, n: Ints, s: Ints, left: float = math.inf) -> None:
        """Fit the priors anew, and the policies with them.

        Args:
            n, s: decided attempts and right ones of every prompt, [P].
            left: samples that may still be spent. Where they won't do, samples get the price at which they do, so that
                they go to those prompts, among all, for which they tell most.
        """
        weights = self._weights(n, s)
        posteriors = {name: posterior_of(self._tables, weights[name]) for name in weights}
        price = self._config.sample_price
        if left < math.inf:
            price = max(price, self._price_within(left, posteriors, n, s))
        groups: list[Group] = []
        for (domain, level), posterior in posteriors.items():
            places = self._members[domain][level]
            self.group_of[places] = len(groups)
            groups.append(Group(domain, level, places, posterior, policy_of(posterior, price, self._config.delta)))
        self.groups = tuple(groups)

    def _price_within(self, left: float, posteriors: Mapping[tuple[str, int], Posterior], n: Ints, s: Ints) -> float:
        """The lowest price at which all prompts together are expected to take no more than `left` samples."""
        wanted = np.zeros(len(PRICES))
        for (domain, level), posterior in posteriors.items():
            places = self._members[domain][level]
            wanted += expected_samples(posterior)[:, n[places], s[places]].sum(-1)
        enough = wanted <= left
        return float(PRICES[enough.argmax()]) if enough.any() else float(PRICES[-1])

    def _weights(self, n: Ints, s: Ints) -> dict[tuple[str, int], Floats]:
        k = self._tables.n_components
        even = np.full(k, 1.0 / k)
        if self._config.prior == "fixed":
            return {(domain, level): even for domain, levels in self._members.items() for level in levels}
        found: dict[tuple[str, int], Floats] = {}
        whole = self._fit("", n, s, even)
        for domain, levels in self._members.items():
            places = np.concatenate(list(levels.values()))
            inner = self._fit(domain, n[places], s[places], whole) if len(self._members) > 1 else whole
            for level, members in levels.items():
                several = len(levels) > 1
                found[domain, level] = self._fit((domain, level), n[members], s[members], inner) if several else inner
        return found

    def _fit(self, name: tuple[str, int] | str, n: Ints, s: Ints, towards: Floats) -> Floats:
        self._before[name] = fit_weights(self._tables, n, s, towards, self._before.get(name))
        return self._before[name]

    def belief(self, place: int, n: int, s: int) -> Belief:
        """The posterior of the prompt at `place` after n decided attempts with s right."""
        posterior = self.groups[self.group_of[place]].posterior
        below, between, above = (float(mass) for mass in posterior.masses[n, s])
        return Belief((below, between, above), float(posterior.mean[n, s]), float(posterior.variance[n, s]))

    def index(self, place: int, n: int, s: int) -> float:
        """What a further sample of the prompt is worth; 0 where it has had enough."""
        return float(self.groups[self.group_of[place]].policy.index[n, s])

    def ask(self, place: int, n: int, s: int) -> int:
        """How many samples to ask for next."""
        return int(self.groups[self.group_of[place]].policy.ask[n, s])

    def document(self) -> list[dict[str, Any]]:
        """The priors, a row a group: its size, the expected pass rate, and the share of each zone."""
        return [
            {
                "domain": group.domain,
                "level": group.level,
                "n_prompts": len(group.members),
                "pass_rate": round(float(group.posterior.mean[0, 0]), 4),
                **{
                    zone: round(float(mass), 4)
                    for zone, mass in zip(
                        ("beyond", "teachable", "mastered"), group.posterior.masses[0, 0], strict=True
                    )
                },
            }
            for group in self.groups
        ]


def _tables(config: ProbeConfig) -> Tables:
    if config.prior == "learnt":
        return build_tables(config.most_samples, config.low, config.high)
    return build_tables(config.most_samples, config.low, config.high, [(config.prior_a, config.prior_b)])
