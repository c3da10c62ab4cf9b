"""Programs: the verifier `code`, and the sandbox in which everything that a model wrote is run."""

from teachable.verify.programs.sandbox import Bounds, Sandbox, find_sandbox
from teachable.verify.programs.verifier import Code

__all__ = ["Bounds", "Code", "Sandbox", "find_sandbox"]
