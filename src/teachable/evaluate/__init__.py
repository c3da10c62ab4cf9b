"""Accuracy on held-out questions, with intervals, paired comparisons and a verdict."""

from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.score import Scores, score_model
from teachable.evaluate.summarise import summarise

__all__ = ["EvaluateConfig", "Scores", "score_model", "summarise"]
