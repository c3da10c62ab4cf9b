"""Preference pairs: responses of several engines to one prompt, judged by a language model."""

from teachable.prefer.config import JudgePairsConfig
from teachable.prefer.found import Judged, JudgedPairs, Pair, PromptResult, Response
from teachable.prefer.run import judge_pairs

__all__ = ["JudgePairsConfig", "Judged", "JudgedPairs", "Pair", "PromptResult", "Response", "judge_pairs"]
