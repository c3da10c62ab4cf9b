"""Plurality voting: which answer do most attempts give, and how clearly?

Answers vote together when they are *equivalent* under the verifier (1/2 and 0.5), not only when they are written alike.
Comparing all pairs would cost the square of their number; instead

1. answers are grouped by their text and then by a canonical key, which costs one pass;
2. groups whose keys are *exact* (they begin with "=") are certainly different and are never compared;
3. what is left is compared pairwise, one representative a group, the largest groups first, and at most
   `max_comparisons` times. Pairs that this bound, or a comparison that could not tell, left apart are counted.

The partition depends on the answers alone, not on their order. Where equivalence is not transitive ("5 cm" equals "5",
which equals "5 m") a group joins the largest one that it is equal to.

What it does not protect against: a plurality that agrees on a wrong answer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from teachable.errors import TeachableError
from teachable.verify import maths
from teachable.verify.choosing import chosen
from teachable.verify.extract import final, unwrapped
from teachable.verify.options import Options
from teachable.verify.strings import canonical

VERIFIERS = ("choice", "exact", "math")
MAX_COMPARISONS = 1000
LIMIT_S = 5.0
_MAX_UNTOLD = 2  # after so many comparisons of a group that could not tell, it is left apart
_EXACT = "="

Key = Callable[[str], str | None]
Equal = Callable[[str, str], bool | None]


class Group(NamedTuple):
    """Attempts that give equivalent answers: the text that most of them give it in, and their indices, ascending."""

    answer: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Plurality:
    """The outcome of a vote.

    Attributes:
        answer: the text of the most frequent answer, as most of its voters write it; None where nobody voted. Of
            groups of one size the one that appeared first wins.
        votes: how many voted for it.
        n: how many attempts gave an answer.
        n_without: how many gave none, or one that is no commitment.
        agreement: votes / n, in [0, 1]; 0 where nobody voted.
        margin: the share of the first group minus that of the second, in [0, 1].
        entropy: of the groups' shares, in nats; 0 where all agree.
        groups: all groups, the largest first, those of one size by their first appearance.
        n_comparisons: pairs that were compared by more than their keys.
        n_undecided: pairs that stay apart though nothing shows that they differ.
    """

    answer: str | None
    votes: int
    n: int
    n_without: int
    agreement: float
    margin: float
    entropy: float
    groups: tuple[Group, ...]
    n_comparisons: int = 0
    n_undecided: int = 0


def plurality(
    attempts: Sequence[str | None],
    *,
    verifier: str = "math",
    extract: bool = True,
    options: Options | None = None,
    max_comparisons: int = MAX_COMPARISONS,
) -> Plurality:
    """The answer that most attempts give, answers counting together when they are equivalent.

    Args:
        attempts: responses, or answers that were extracted before; None and blank ones give no answer.
        verifier: what decides which answers are equivalent: "math", "exact" or "choice".
        extract: look for the final answer in each attempt; False takes each as an answer as it stands.
        options: for "choice": label -> text, so that "B" and "Paris" can vote together.
        max_comparisons: how many pairs of groups are compared by more than their keys.

    Raises:
        TeachableError: there is no vote under that verifier.
    """
    if verifier not in VERIFIERS:
        raise TeachableError(
            f"there is no vote by '{verifier}'", where="plurality", mend=f"Take one of {', '.join(VERIFIERS)}"
        )
    answers = [_answer(attempt, extract) for attempt in attempts]
    if verifier == "math":
        return _vote(answers, maths.key, _math_equal, max_comparisons)
    if verifier == "exact":
        return _vote(answers, lambda text: _EXACT + canonical(unwrapped(text)), _never, 0)
    known = options or {}
    return _vote(answers, lambda text: _EXACT + _choice_key(text, known), _never, 0)


def _answer(attempt: str | None, extract: bool) -> str | None:
    """What an attempt votes for. Several boxes vote as a list, alternatives as one text."""
    if attempt is None or not extract:
        return (attempt or "").strip() or None
    found = final(attempt)
    return None if found.refused else ", ".join(found.answers) or None


def _choice_key(text: str, options: Options) -> str:
    label = chosen(text, options).label
    return f"label {label}" if label else f"text {canonical(unwrapped(text), fold_articles=True)}"


def _math_equal(first: str, second: str) -> bool | None:
    return maths.equal(first, second, LIMIT_S)[0]


def _never(first: str, second: str) -> bool | None:
    return False


@dataclass
class _Cluster:
    """Answers that vote together; the text and the key are those of the group that it began with."""

    key: str
    text: str
    indices: list[int]

    @property
    def exact(self) -> bool:
        return self.key.startswith(_EXACT)


def _vote(answers: Sequence[str | None], key: Key, equal: Equal, max_comparisons: int) -> Plurality:
    indices: dict[str, list[int]] = {}
    for index, text in enumerate(answers):
        if text is not None:
            indices.setdefault(text, []).append(index)
    clusters, n_comparisons, n_undecided = _merged(_by_key(indices, key), equal, max_comparisons)
    groups = [Group(_wording(cluster.indices, answers), tuple(sorted(cluster.indices))) for cluster in clusters]
    groups.sort(key=lambda group: (-len(group.indices), group.indices[0]))
    n = sum(len(group.indices) for group in groups)
    shares = [len(group.indices) / n for group in groups] + [0.0, 0.0]
    return Plurality(
        answer=groups[0].answer if groups else None,
        votes=len(groups[0].indices) if groups else 0,
        n=n,
        n_without=len(answers) - n,
        agreement=shares[0],
        margin=shares[0] - shares[1],
        entropy=math.fsum(-share * math.log(share) for share in shares if 0 < share < 1),
        groups=tuple(groups),
        n_comparisons=n_comparisons,
        n_undecided=n_undecided,
    )


def _by_key(indices: Mapping[str, list[int]], key: Key) -> list[_Cluster]:
    """One cluster a key, the largest first; an answer without a key is one with those of the same text."""
    texts: dict[str, list[str]] = {}
    for text in indices:
        found = key(text)
        texts.setdefault(f"?{text}" if found is None else found, []).append(text)
    clusters = [
        _Cluster(
            key=name,
            text=min(members, key=lambda text: (len(text), text)),
            indices=[index for text in members for index in indices[text]],
        )
        for name, members in texts.items()
    ]
    return sorted(clusters, key=lambda cluster: (-len(cluster.indices), cluster.key))


def _merged(groups: Sequence[_Cluster], equal: Equal, max_comparisons: int) -> tuple[list[_Cluster], int, int]:
    """The clusters of equivalent groups, how many pairs were compared, and how many were left apart undecided."""
    clusters: list[_Cluster] = []
    without_exact: list[_Cluster] = []  # those that an exact group may still join
    n_comparisons = n_undecided = 0
    for group in groups:
        home, n_untold = None, 0
        rivals = without_exact if group.exact else clusters
        for n_tried, cluster in enumerate(rivals):
            if n_comparisons >= max_comparisons or n_untold >= _MAX_UNTOLD:
                n_undecided += len(rivals) - n_tried
                break
            n_comparisons += 1
            same = equal(cluster.text, group.text)
            if same:
                home = cluster
                break
            n_untold += same is None
            n_undecided += same is None
        if home is not None:
            home.indices += group.indices
            if group.exact:
                without_exact.remove(home)
        else:
            clusters.append(group)
            if not group.exact:
                without_exact.append(group)
    return clusters, n_comparisons, n_undecided


def _wording(indices: Sequence[int], answers: Sequence[str | None]) -> str:
    """The text that most of these attempts give their answer in; of equally frequent ones that of the first attempt."""
    return Counter(answers[index] or "" for index in sorted(indices)).most_common(1)[0][0]
