"""Merging: several models tuned from one base become one model, and what their changes say of how well that may go."""

from teachable.merge.config import METHODS, MergeConfig
from teachable.merge.predict import Interference, Prediction, predict
from teachable.merge.run import MergeResult, merge

__all__ = ["METHODS", "Interference", "MergeConfig", "MergeResult", "Prediction", "merge", "predict"]
