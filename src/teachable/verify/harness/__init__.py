"""lm-evaluation-harness's tasks: where they are written down, how they are built, and how they score a response.

Nothing here imports that library before it is needed (`library.py`): everything else works without it.
"""

from teachable.verify.harness.configs import Leaf, Tasks, find
from teachable.verify.harness.library import version
from teachable.verify.harness.scoring import Scorer
from teachable.verify.harness.task import NoRows, Splits, build, resolved
from teachable.verify.harness.verifier import LmEval

__all__ = ["Leaf", "LmEval", "NoRows", "Scorer", "Splits", "Tasks", "build", "find", "resolved", "version"]
