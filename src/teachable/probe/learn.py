"""What the attempts so far say of all prompts together: the prior of each group, and with it everyone's posterior."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.probe.config import ProbeConfig
from teachable.probe.estimate import Belief
from teachable.probe.policy import Policy, expected_samples, policy_of, prices_with, worth_of
from teachable.probe.prior import Floats, Ints, Posterior, Tables, build_tables, fit_weights, posterior_of
from teachable.records import Prompt

# Of a prompt that nobody tried to judge.
UNKNOWN = Belief((0.0, 0.0, 0.0), 0.5, 1.0 / 8.0)
# Priors are fitted anew when there is this much more to learn from, or when nobody waits under the ones in use.
RELEARN = 1.01


@dataclass(frozen=True)
class Group:
    """Prompts of one domain and level: their places, and what is known of their kind."""

    domain: str
    level: int
    members: Ints
    posterior: Posterior
    worth: Floats


class Learner:
    """Learns the priors of a set of prompts, by domain and level, round after round."""

    def __init__(self, prompts: Sequence[Prompt], config: ProbeConfig) -> None:
        self._config = config
        self._tables = _tables(config)
        self._prices = prices_with(config.sample_price)
        members: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, prompt in enumerate(prompts):
            members[prompt.domain][prompt.level].append(place)
        self._members = {
            domain: {level: np.array(places) for level, places in sorted(levels.items())}
            for domain, levels in sorted(members.items())
        }
        self._before: dict[tuple[str, int] | str, Floats] = {}
        self._n_learnt = -1
        self._price = -1.0
        self.groups: tuple[Group, ...] = ()
        self._policies: tuple[Policy, ...] = ()
        self._group_of = np.zeros(len(prompts), dtype=np.int64)

    def learn(
        self, n: Ints, s: Ints, *, anew: bool = False, left: float = math.inf, is_open: NDArray[np.bool_] | None = None
    ) -> None:
        """Fit the priors to the attempts so far, where these are many more than last time, and set the policies.

        Args:
            n, s: decided attempts and right ones of every prompt, [P].
            anew: fit wherever there is anything more than last time.
            left: samples that may still be spent. Where they won't do, samples get the price at which they do, so that
                they go to those prompts, among all, for which they tell most.
            is_open: prompts that may still be sampled, [P]; None for all. It matters with `left` alone.
        """
        fit = n.sum() > self._n_learnt * (1.0 if anew else RELEARN)
        if fit:
            self._n_learnt = int(n.sum())
            self._fit_groups(n, s)
        price = self._config.sample_price
        if left < math.inf and price > 0:
            price = self._price_within(left, n, s, np.ones(len(n), dtype=np.bool_) if is_open is None else is_open)
        if fit or price != self._price:
            delta = self._config.delta
            self._policies = tuple(policy_of(group.posterior, price, delta, group.worth) for group in self.groups)
            self._price = price

    def _fit_groups(self, n: Ints, s: Ints) -> None:
        groups: list[Group] = []
        for (domain, level), weights in self._weights(n, s).items():
            posterior = posterior_of(self._tables, weights)
            places = self._members[domain][level]
            self._group_of[places] = len(groups)
            groups.append(Group(domain, level, places, posterior, worth_of(posterior, self._prices)))
        self.groups = tuple(groups)

    def _price_within(self, left: float, n: Ints, s: Ints, is_open: NDArray[np.bool_]) -> float:
        """The lowest price at which all prompts together are expected to take no more than `left` samples.

        The one below it where that would leave more than half unspent: those for whom a sample is worth most are asked
        first, so it does no harm that not everyone gets his.
        """
        prices = self._prices[self._prices >= self._config.sample_price]
        wanted = np.zeros(len(prices))
        for group in self.groups:
            places = group.members[is_open[group.members]]
            if len(places):
                wanted += expected_samples(group.posterior, group.worth, prices)[:, n[places], s[places]].sum(-1)
        place = min(int((wanted > left).sum()), len(prices) - 1)
        return float(prices[place - 1 if place > 0 and wanted[place] < left / 2 else place])

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
        posterior = self.groups[self._group_of[place]].posterior
        below, between, above = (float(mass) for mass in posterior.masses[n, s])
        return Belief((below, between, above), float(posterior.mean[n, s]), float(posterior.variance[n, s]))

    def index(self, place: int, n: int, s: int) -> float:
        """What a further sample of the prompt is worth; 0 where it has had enough."""
        return float(self._policies[self._group_of[place]].index[n, s])

    def ask(self, place: int, n: int, s: int) -> int:
        """How many samples to ask for next."""
        return int(self._policies[self._group_of[place]].ask[n, s])

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
