"""Agreement, kappa and their intervals: textbook numbers, planted judges, and bounds that always hold."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.verify.judging.planted import Recording, compare_all, points, prefers, question, verify_all

from teachable.errors import TeachableError
from teachable.stats import wilson_interval
from teachable.verify.judging import Calibration, Judge, calibrate

TABLES = st.tuples(*[st.integers(0, 40)] * 4)


def of_counts(tp: int, fp: int, tn: int, fn: int, n_undecided: int = 0) -> Calibration:
    judged = [True] * (tp + fp) + [False] * (tn + fn) + [None] * n_undecided
    labels = [True] * tp + [False] * (fp + tn) + [True] * fn + [False] * n_undecided
    return calibrate(judged, labels)


def kappa_of(p: Any) -> float:
    """Cohen's kappa of shares (tp, fp, tn, fn), by its definition."""
    tp, fp, tn, fn = p
    chance = (tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)
    return float((tp + tn - chance) / (1 - chance))


def test_a_textbook_table() -> None:
    """20 and 15 on the diagonal, 5 and 10 beside it: agreement 0.7, of which chance gives 0.5."""
    found = of_counts(20, 5, 15, 10, n_undecided=3)
    assert (found.n, found.n_undecided, found.n_decided) == (53, 3, 50)
    assert found.agreement.value == pytest.approx(0.7)
    assert (found.agreement.low, found.agreement.high) == wilson_interval(35, 50)
    assert found.kappa == pytest.approx(0.4)
    assert found.sensitivity.value == pytest.approx(20 / 30)
    assert found.specificity.value == pytest.approx(15 / 20)
    assert found.precision.value == pytest.approx(20 / 25)
    counts = (found.true_positives, found.false_positives, found.true_negatives, found.false_negatives)
    assert counts == (20, 5, 15, 10)


@given(TABLES)
def test_the_standard_error_is_the_delta_methods(counts: tuple[int, int, int, int]) -> None:
    """Fleiss, Cohen and Everitt's formula is the first-order variance of kappa under multinomial sampling."""
    tp, fp, tn, fn = counts = tuple(count + 1 for count in counts)  # type: ignore[assignment]
    p = np.array(counts) / sum(counts)
    step = 1e-6
    slope = np.array([(kappa_of(p + step * e) - kappa_of(p - step * e)) / (2 * step) for e in np.eye(4)])
    # Off the simplex the definition is not homogeneous; the covariance below takes the component along ones out.
    variance = slope @ (np.diag(p) - np.outer(p, p)) @ slope / sum(counts)
    found = of_counts(tp, fp, tn, fn)
    assert found.kappa_se == pytest.approx(math.sqrt(max(variance, 0.0)), rel=1e-3, abs=1e-5)


@given(TABLES, st.integers(0, 5))
def test_what_always_holds(counts: tuple[int, int, int, int], n_undecided: int) -> None:
    tp, fp, tn, fn = counts
    found = of_counts(tp, fp, tn, fn, n_undecided)
    for share in (found.agreement, found.sensitivity, found.specificity, found.precision):
        assert 0 <= share.low <= share.high <= 1
        assert share.value is None or share.low <= share.value <= share.high
        assert (share.value is None) == (share.n == 0)
    assert str(found.n) in found.text and "nan" not in found.text.lower()
    if (tp + fn) in (0, sum(counts)):
        assert (found.kappa, found.kappa_se, found.kappa_low, found.kappa_high) == (None,) * 4
        return
    assert found.kappa is not None and found.kappa_low is not None and found.kappa_high is not None
    assert -1 <= found.kappa_low <= found.kappa + 1e-12 and found.kappa - 1e-12 <= found.kappa_high <= 1
    assert found.kappa == pytest.approx(kappa_of(np.array(counts) / sum(counts)))
    assert (found.kappa == pytest.approx(1)) == (fp + fn == 0)
    assert found.kappa_low < found.kappa_high
    mirrored = of_counts(tn, fn, tp, fp)  # right called wrong on both sides
    assert mirrored.kappa == pytest.approx(found.kappa)
    assert mirrored.sensitivity.value == found.specificity.value
    if (tp + fp) not in (0, sum(counts)):
        assert of_counts(tp, fn, tn, fp).kappa == pytest.approx(found.kappa)  # the two change places


def test_a_judge_that_accepts_everything_has_no_kappa_worth_the_name() -> None:
    found = of_counts(90, 10, 0, 0)
    assert found.agreement.value == pytest.approx(0.9)
    assert found.kappa == pytest.approx(0.0)
    assert found.specificity.value == 0.0
    assert "precision 90.0%" in found.text


def test_where_kappa_says_nothing_the_text_says_why() -> None:
    assert "unknown, since all decided attempts bear the same label" in of_counts(9, 0, 0, 1).text
    nothing = calibrate([None, None], [True, False])
    assert nothing.agreement.value is None and nothing.kappa is None
    assert nothing.text == (
        "2 labelled attempts, 2 of them undecided (100.0%). Nothing was decided, so agreement and kappa are unknown."
    )
    assert calibrate([], []).text.startswith("0 labelled attempts, 0 of them undecided. Nothing")


def test_the_text_is_one_paragraph_with_all_numbers() -> None:
    assert of_counts(45, 8, 42, 5, n_undecided=2).text == (
        "102 labelled attempts, 2 of them undecided (2.0%). Agreement 87.0% (79.0% to 92.2%, n = 100); Cohen's kappa "
        "0.740 (0.580 to 0.845). Sensitivity 90.0% (78.6% to 95.7%, n = 50), specificity 84.0% (71.5% to 91.7%, "
        "n = 50), precision 84.9% (72.9% to 92.1%, n = 53). Of those decided: 45 right and accepted, 5 right and "
        "refused, 42 wrong and refused, 8 wrong and accepted. Intervals are at 95%."
    )


@pytest.mark.parametrize(
    ("judged", "labels", "match"),
    [
        ([True], [], "1 verdicts and 0 labels"),
        ([True, True], [True, "false"], r"attempt 2: .*'false'"),
        (["yes"], [True], "attempt 1: the verdict is 'yes'"),
        ([True], [None], "attempt 1: .*the label None"),
        ([True], [math.nan], "attempt 1"),
    ],
)
def test_what_is_no_truth_value_is_refused(judged: Any, labels: Any, match: str) -> None:
    with pytest.raises(TeachableError, match=match):
        calibrate(judged, labels)


def test_numpys_truth_values_will_do() -> None:
    found: Any = calibrate(list(np.array([True, False])), list(np.array([True, False])))
    assert found.kappa == pytest.approx(1.0) and found.true_positives == 1


# ---- planted truth ----


@pytest.mark.parametrize(
    ("p", "n"), [((0.45, 0.1, 0.4, 0.05), 60), ((0.9, 0.05, 0.03, 0.02), 100), ((0.49, 0.01, 0.49, 0.01), 30)]
)
def test_the_interval_of_kappa_covers_it(p: tuple[float, ...], n: int) -> None:
    """Four standard errors of the coverage below 95% would be 90.6% of 400 tables; it is never so low."""
    true = kappa_of(np.array(p))
    tables = np.random.default_rng(1).multinomial(n, p, size=400)
    found = [of_counts(*map(int, table)) for table in tables]
    covered = [
        f.kappa_low <= true <= f.kappa_high for f in found if f.kappa_low is not None and f.kappa_high is not None
    ]
    assert len(covered) > 300
    assert sum(covered) / len(covered) > 0.906


@pytest.mark.parametrize("votes", [1, 3])
def test_a_judge_of_planted_error_rates_is_measured_right(votes: int) -> None:
    """Of 600 attempts, 60% right; a vote finds 85% of the right ones and 75% of the wrong ones."""
    n, base, sensitivity, specificity = 600, 0.6, 0.85, 0.75
    luck = random.Random(5)
    labels = [luck.random() < base for _ in range(n)]
    attempts = [
        (f"attempt {i}: {'RIGHT' if label else 'WRONG'}", question(prompt_id=str(i))) for i, label in enumerate(labels)
    ]
    judge = Judge(Recording(points(sensitivity, specificity)), votes=votes)
    found = calibrate(verify_all(judge, attempts), labels)
    for share, rate in ((found.sensitivity, sensitivity), (found.specificity, specificity)):
        expected = rate if votes == 1 else rate**3 + 3 * rate**2 * (1 - rate)
        assert share.value is not None
        assert abs(share.value - expected) < 4 * math.sqrt(expected * (1 - expected) / share.n)
    rates = [rate if votes == 1 else rate**3 + 3 * rate**2 * (1 - rate) for rate in (sensitivity, specificity)]
    right = sum(labels) / n
    p = (right * rates[0], (1 - right) * (1 - rates[1]), (1 - right) * rates[1], right * (1 - rates[0]))
    assert found.kappa is not None and found.kappa_se is not None
    assert abs(found.kappa - kappa_of(p)) < 4 * found.kappa_se
    assert found.n_undecided == 0


@pytest.mark.parametrize("frac", [0.3])
def test_lost_replies_are_counted_and_decide_nothing(frac: float) -> None:
    labels = [i % 2 == 0 for i in range(300)]
    attempts = [
        (f"attempt {i}: {'RIGHT' if label else 'WRONG'}", question(prompt_id=str(i))) for i, label in enumerate(labels)
    ]
    judge = Judge(Recording(points(1.0, 1.0), frac_truncated=frac), votes=1)
    found = calibrate(verify_all(judge, attempts), labels)
    assert (found.false_positives, found.false_negatives, found.kappa) == (0, 0, pytest.approx(1.0))
    assert abs(found.n_undecided / 300 - frac) < 4 * math.sqrt(frac * (1 - frac) / 300)


def test_a_planted_position_bias_is_measured_and_costs_decisions_not_mistakes() -> None:
    """With one vote a pair of orders agrees on the better answer only where neither reply leaned nor erred.

    A leaning judge asked once would be wrong in (1 - bias)(1 - accuracy) + bias / 2 of the pairs.
    """
    n, accuracy, bias = 600, 0.9, 0.4
    pairs = [(f"{i} RIGHT", f"{i} WRONG", question(prompt_id=str(i))) for i in range(n)]
    pairs = [(b, a, prompt) if i % 2 else (a, b, prompt) for i, (a, b, prompt) in enumerate(pairs)]
    found = compare_all(Judge(Recording(prefers(accuracy, bias)), votes=1), pairs)
    truth = ["second" if i % 2 else "first" for i in range(n)]
    # The better one is shown first in one order and second in the other.
    shown_first, shown_second = bias + (1 - bias) * accuracy, (1 - bias) * accuracy
    for expected, seen in (
        (shown_first * shown_second, sum(f.winner == t for f, t in zip(found, truth, strict=True))),
        (
            (1 - shown_first) * (1 - shown_second),
            sum(f.winner not in (t, None) for f, t in zip(found, truth, strict=True)),
        ),
    ):
        assert abs(seen / n - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    biases = [f.position_bias for f in found if f.position_bias is not None]
    assert len(biases) == n
    assert abs(sum(biases) / n - bias) < 4 * math.sqrt(1 / n)
    assert sum(f.n_flipped for f in found) == sum(f.winner is None for f in found)
