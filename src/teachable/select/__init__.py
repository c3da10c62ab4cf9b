"""From estimates to training sets: one pool an arm, and the same number of training tokens for every arm."""

from teachable.select.config import SelectConfig
from teachable.select.run import Selection, select

__all__ = ["SelectConfig", "Selection", "select"]
