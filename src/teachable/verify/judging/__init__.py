"""A language model as the judge of an attempt, or of two; and how far such a judge is to be believed."""

from teachable.verify.judging.calibration import Calibration, calibrate
from teachable.verify.judging.duel import Duel
from teachable.verify.judging.graded import Graded
from teachable.verify.judging.scoring import Scoring
from teachable.verify.judging.verifier import Judge
from teachable.verify.judging.votes import Comparison, Winner

JUDGED = (Judge.name, Graded.name, Duel.name)  # the verifiers that ask a language model

__all__ = ["JUDGED", "Calibration", "Comparison", "Duel", "Graded", "Judge", "Scoring", "Winner", "calibrate"]
