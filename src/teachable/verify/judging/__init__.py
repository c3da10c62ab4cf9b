"""A language model as the judge of an attempt, or of two; and how far such a judge is to be believed."""

from teachable.verify.judging.calibration import Calibration, calibrate
from teachable.verify.judging.scoring import Scoring
from teachable.verify.judging.verifier import Judge
from teachable.verify.judging.votes import Comparison, Winner

__all__ = ["Calibration", "Comparison", "Judge", "Scoring", "Winner", "calibrate"]
