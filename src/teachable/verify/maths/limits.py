"""What the reader of answers refuses before it computes anything, and the two ways in which it gives up.

Every bound holds for the text or is checked from logarithms before a number is made, so that no answer costs more than
some milliseconds: `9^{9^9}` is refused by the size of its exponent, not by trying.
"""

from __future__ import annotations

MAX_CHARACTERS = 2_000
"""The longest answer that is read, in characters."""

MAX_DIGITS = 1_000
"""The longest number that is read, in decimal digits."""

MAX_BITS = 12_000
"""The largest integer that is computed, in bits (about 3,600 decimal digits)."""

MAX_DEPTH = 30
"""The deepest nesting of brackets, fractions, roots and exponents that is read."""

MAX_TOKENS = 1_200
"""The most tokens that an answer may have."""

MAX_WORK = 8_000
"""Units of work for one answer or one comparison; a unit is some microseconds."""

MAX_ITEMS = 200
"""The most members of a list, set, tuple or matrix that are compared."""


class TooLarge(Exception):
    """The answer passes a bound: whether it is right could not be told. The message is a clause in plain English."""


class Unread(Exception):
    """The answer is not in the language that is read here; a computer algebra system may know better."""
