"""How far a verifier is to be believed: its verdicts against labels of people, or of a verifier that is proven.

Agreement alone flatters: where nine attempts of ten are right, a judge that accepts everything agrees on 90%. So
beside it stand Cohen's kappa (Cohen 1960, "A coefficient of agreement for nominal scales"; agreement beyond what the
two would have by chance), sensitivity and specificity, each with an interval: Wilson's for shares, and for kappa
Wilson's interval of the agreement carried over by kappa's definition, chance being held at what was counted. On
planted judges (30 to 400 labels, half to 95% of them right) that covered the true kappa 96% to 99% of the time at a
nominal 95%, where plus or minus 1.96 standard errors covered 79% to 95%. The standard error, for those who combine
studies, is that of Fleiss, Cohen and Everitt (1969, "Large sample standard errors of kappa and weighted kappa").

Verdicts that are None are left out of every share and counted apart, because "could not tell" is neither right nor
wrong; a judge that passes over the hard attempts looks better for it, so read `n_undecided` with the rest.

What this does not show: whether the labels are right, and how the judge does on other questions or against attempts
that were written, or trained, to please it. The intervals take attempts as independent; with several attempts at one
question they are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.errors import TeachableError
from teachable.stats import wilson_interval


@dataclass(frozen=True)
class Share:
    """A proportion of `n` cases, in [0, 1], and its interval; `value` is None where there was no case."""

    value: float | None
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.value is None:
            return "unknown (no such attempt)"
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, n = {self.n})"


@dataclass(frozen=True)
class Calibration:
    """What a verifier's verdicts are worth, measured on labelled attempts.

    The four counts are of decided attempts: a true positive is accepted and labelled right, a false positive accepted
    and labelled wrong. `agreement` is the share of decided attempts on which verdict and label are the same;
    `sensitivity` is the share of right attempts that are accepted, `specificity` of wrong ones that are refused,
    `precision` of accepted ones that are right. `confidence` is that of all intervals.

    `kappa` is Cohen's, in [-1, 1]: 1 is full agreement and 0 what chance gives. It is None, with its error and
    interval, where nothing was decided or all decided attempts bear the same label: then it says nothing.
    """

    n: int
    n_undecided: int
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    agreement: Share
    sensitivity: Share
    specificity: Share
    precision: Share
    kappa: float | None
    kappa_se: float | None
    kappa_low: float | None
    kappa_high: float | None
    confidence: float

    @property
    def n_decided(self) -> int:
        """Attempts on which the verdict was yes or no."""
        return self.n - self.n_undecided

    @property
    def text(self) -> str:
        """All of it in a paragraph, for the terminal."""
        undecided = f" ({self.n_undecided / self.n:.1%})" if self.n else ""
        said = f"{self.n} labelled attempts, {self.n_undecided} of them undecided{undecided}."
        if not self.n_decided:
            return f"{said} Nothing was decided, so agreement and kappa are unknown."
        counts = (
            f"{self.true_positives} right and accepted, {self.false_negatives} right and refused, "
            f"{self.true_negatives} wrong and refused, {self.false_positives} wrong and accepted."
        )
        shares = f"Sensitivity {self.sensitivity}, specificity {self.specificity}, precision {self.precision}."
        return (
            f"{said} Agreement {self.agreement}; {self._kappa_text}. {shares} Of those decided: {counts} "
            f"Intervals are at {self.confidence:.0%}."
        )

    @property
    def _kappa_text(self) -> str:
        if self.kappa is None:
            return "Cohen's kappa is unknown, since all decided attempts bear the same label"
        return f"Cohen's kappa {self.kappa:.3f} ({self.kappa_low:.3f} to {self.kappa_high:.3f})"


def calibrate(judged: Sequence[bool | None], labels: Sequence[bool], confidence: float = 0.95) -> Calibration:
    """Measure verdicts against labels.

    Args:
        judged: a verdict's `correct` for each attempt, None where it could not tell. (Of a comparison: whether the
            winner is "first", None for a tie and for None; the label then says whether the first really is better.)
        labels: whether each attempt is right, in the same order.
        confidence: of the intervals, above 0 and below 1.

    Raises:
        TeachableError: there are more verdicts than labels or fewer, or one of them is not true or false.
    """
    if len(judged) != len(labels):
        raise TeachableError(
            f"there are {len(judged)} verdicts and {len(labels)} labels", mend="Give every attempt one label"
        )
    for row, (verdict, label) in enumerate(zip(judged, labels, strict=True), start=1):
        # A text such as "false" counts as true in Python, and would poison the count in silence.
        if label not in (True, False) or verdict not in (True, False, None):
            raise TeachableError(
                f"the verdict is {verdict!r} and the label {label!r}",
                where=f"attempt {row}",
                mend="A label is true or false, a verdict true, false or None",
            )
    decided = [(bool(v), bool(label)) for v, label in zip(judged, labels, strict=True) if v is not None]
    tp, fp = decided.count((True, True)), decided.count((True, False))
    tn, fn = decided.count((False, False)), decided.count((False, True))
    kappa, se, low, high = _kappa(tp, fp, tn, fn, confidence)
    return Calibration(
        n=len(labels),
        n_undecided=len(labels) - len(decided),
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
        agreement=_share(tp + tn, len(decided), confidence),
        sensitivity=_share(tp, tp + fn, confidence),
        specificity=_share(tn, tn + fp, confidence),
        precision=_share(tp, tp + fp, confidence),
        kappa=kappa,
        kappa_se=se,
        kappa_low=low,
        kappa_high=high,
        confidence=confidence,
    )


def _share(successes: int, n: int, confidence: float) -> Share:
    low, high = wilson_interval(successes, n, confidence)
    return Share(successes / n if n else None, low, high, n)


def _kappa(
    tp: int, fp: int, tn: int, fn: int, confidence: float
) -> tuple[float | None, float | None, float | None, float | None]:
    """Cohen's kappa of two by two counts, its standard error and its interval; None where it says nothing."""
    n = tp + fp + tn + fn
    if n == 0 or tp + fn in (0, n):
        return None, None, None, None
    observed = (tp + tn) / n
    yes, no = ((tp + fp) / n, (tp + fn) / n), ((tn + fn) / n, (tn + fp) / n)  # shares by the judge, by the labels
    chance = yes[0] * yes[1] + no[0] * no[1]
    beyond = 1.0 - chance  # above 0, since the labels differ
    kappa = (observed - chance) / beyond
    on_diagonal = sum(
        count / n * (beyond - sum(shares) * (1.0 - observed)) ** 2 for count, shares in ((tp, yes), (tn, no))
    )
    # An attempt off the diagonal weighs by how often the judge gives its label, and the labels its verdict.
    off_diagonal = fp / n * (no[0] + yes[1]) ** 2 + fn / n * (yes[0] + no[1]) ** 2
    spread = on_diagonal + (1.0 - observed) ** 2 * off_diagonal - (observed * chance - 2.0 * chance + observed) ** 2
    se = math.sqrt(max(0.0, spread) / n) / beyond**2
    low, high = ((share - chance) / beyond for share in wilson_interval(tp + tn, n, confidence))
    return kappa, se, max(-1.0, low), min(1.0, high)
