"""The verifier of mathematical answers: `Math`, equality of two answers (`equal`), and keys to group answers by
(`key`).
"""

from teachable.verify.maths.equality import equal
from teachable.verify.maths.keys import key
from teachable.verify.maths.verifier import Math

__all__ = ["Math", "equal", "key"]
