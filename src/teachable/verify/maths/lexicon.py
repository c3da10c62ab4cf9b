r"""The words and commands that the reader of answers knows, and what a run of letters in plain text is: a function, a
word, or letters that multiply each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from teachable.verify.maths.units import UNIT_WORDS
from teachable.verify.maths.words import NUMBER_WORDS

FUNCTIONS = {
    **{name: name for name in ("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh")},
    "sech": "sech", "csch": "csch", "coth": "coth",
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh")},
    **{name: name for name in ("ln", "log", "exp", "gcd", "lcm", "max", "min", "sgn", "lg")},
    "cosec": "csc", "ctg": "cot", "cotg": "cot", "tg": "tan", "arctg": "atan", "sign": "sgn", "arsinh": "asinh",
    "arcosh": "acosh", "artanh": "atanh", "Re": "re", "Im": "im",
}  # fmt: skip
_PLAIN_FUNCTIONS = {
    **{name: what for name, what in FUNCTIONS.items() if name not in ("min", "max", "tg", "lg", "sec", "sign")},
    **{f"a{name}": f"a{name}" for name in ("sin", "cos", "tan")},
    "abs": "abs", "floor": "floor", "ceil": "ceil", "ceiling": "ceil",
}  # fmt: skip
_FUNCTION_AND_LETTER = re.compile(r"([a-zA-Z]?)(sin|cos|tan|ln|log|cot|exp)([a-zA-Z]|pi|theta)")

COMMANDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"), ("command", "frac")),
    **dict.fromkeys(("binom", "dbinom", "tbinom"), ("command", "binom")),
    **{name: ("command", name) for name in ("sqrt", "surd", "cbrt", "fourthroot", "mathbb", "overline", "bar", "hat")},
    **{name: ("command", name) for name in ("vec", "tilde", "dot", "widehat", "overrightarrow", "widetilde")},
    **dict.fromkeys(("cdot", "times", "ast", "cdotp", "bullet"), ("sign", "*")),
    **dict.fromkeys(("div", "slash"), ("sign", "/")),
    "pm": ("sign", "pm"), "mp": ("sign", "mp"), "cup": ("sign", "cup"), "cap": ("sign", "cap"),
    **dict.fromkeys(("setminus", "backslash", "smallsetminus"), ("sign", "less")),
    **dict.fromkeys(("le", "leq", "leqslant", "leqq"), ("relation", "<=")),
    **dict.fromkeys(("ge", "geq", "geqslant", "geqq"), ("relation", ">=")),
    "lt": ("relation", "<"), "gt": ("relation", ">"), "in": ("relation", "in"),
    **dict.fromkeys(("ne", "neq"), ("relation", "!=")),
    **dict.fromkeys(("approx", "simeq"), ("relation", "~")),
    "infty": ("letter", "\\infty"), "pi": ("letter", "\\pi"),
    **dict.fromkeys(("emptyset", "varnothing", "O"), ("letter", "\\emptyset")),
    "circ": ("sign", "degree"), "degree": ("sign", "degree"), "percent": ("sign", "%"), "prime": ("sign", "'"),
    "colon": ("sign", ":"), **dict.fromkeys(("mid", "vert", "lvert", "rvert"), ("sign", "|")),
    **dict.fromkeys(("lor", "vee"), ("or", "or")), **dict.fromkeys(("land", "wedge"), ("and", "and")),
    "pounds": ("sign", "£"), "euro": ("sign", "€"), "textdollar": ("sign", "$"), "textdegree": ("sign", "degree"),
}  # fmt: skip
IGNORED = frozenset(("angle", "measuredangle", "triangle", "boxed", "mathop", "fbox", "therefore", "because", "text"))
OPENING = {
    "lbrace": "set", "langle": "angle", "lfloor": "floor", "lceil": "ceil", "lparen": "round", "lbrack": "square",
}  # fmt: skip
CLOSING = {
    "rbrace": "set", "rangle": "angle", "rfloor": "floor", "rceil": "ceil", "rparen": "round", "rbrack": "square",
}  # fmt: skip
MATRICES = {
    **dict.fromkeys(("matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "psmallmatrix", "array"), "matrix"),
    **dict.fromkeys(("vmatrix", "Vmatrix"), "determinant"),
    **dict.fromkeys(("aligned", "align", "gathered", "cases", "dcases"), "lines"),
}
_LETTER_TEXT = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega
    Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell hbar
"""
LETTERS = {
    **{name: name for name in _LETTER_TEXT.split()},
    **{f"var{name}": name for name in ("epsilon", "theta", "rho", "sigma", "phi")},
}
_FONT_TEXT = """
    mathbf mathrm mathit mathsf mathtt mathcal mathscr mathfrak boldsymbol bm pmb mathnormal bold
"""
_FONTS = frozenset(_FONT_TEXT.split())
_TEXT_COMMAND_TEXT = """
    text textbf textrm textit textsf texttt textnormal textup mbox hbox operatorname emph mathord textsc
"""
TEXT_COMMANDS = _FONTS | frozenset(_TEXT_COMMAND_TEXT.split())
_SHORT_WORD_TEXT = """
    yes no odd even dne mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep oct nov dec red blue cat dog bus
    car win hot up down left right top man men boy she the an all any not none und per pm am to of is are be we
    so it by my by on its his her our for one two six ten day days way ways no if has have had at each inf as
    can was who new old end but lie
"""
_SHORT_WORDS = frozenset(_SHORT_WORD_TEXT.split())
_CONSTANTS = {"pi": "\\pi", "Pi": "\\Pi", "inf": "\\infty", "infty": "\\infty", "oo": "\\infty", "infinity": "\\infty"}


def is_word(run: str, is_maths: bool = False, follows: str = "") -> bool:
    """Whether a run of two or more letters is a word (or a unit), not letters that multiply each other.

    Two letters are a word only where the text is no formula ("ax + by"), after a word, or a unit after a number.
    """
    low = run.lower()
    if len(run) == 2 and is_maths:
        is_unit = run in UNIT_WORDS and run != "in"
        return (is_unit and follows != "") or (low in _SHORT_WORDS and follows == "word")
    if run in UNIT_WORDS or len(run) > 3:
        return True
    if low in _SHORT_WORDS or low in NUMBER_WORDS:
        return not run[1:].isupper() or run.isupper()
    return len(run) == 3 and run.istitle()


def split(run: str, is_maths: bool = False, follows: str = "") -> Iterator[tuple[str, str]]:
    """What a run of letters in plain text stands for, as (kind, text) of tokens.

    Args:
        run: the letters.
        is_maths: whether the text around it has signs of a formula.
        follows: "number" where a number, a bracket or pi stands before it, "word" after a word, else nothing.
    """
    low = run.lower()
    if len(run) == 1:
        yield "letter", run
    elif low in ("or", "and"):
        yield low, low
    elif run in _PLAIN_FUNCTIONS:
        yield "function", _PLAIN_FUNCTIONS[run]
    elif run in ("sqrt", "cbrt"):
        yield "command", run
    elif run in _CONSTANTS or low == "infinity":
        yield "letter", _CONSTANTS[run if run in _CONSTANTS else low]
    elif run in LETTERS:
        yield "letter", f"\\{LETTERS[run]}"
    elif (found := _FUNCTION_AND_LETTER.fullmatch(run)) is not None:
        if found[1]:
            yield "letter", found[1]
        yield "function", FUNCTIONS[found[2]]
        yield from split(found[3])
    elif is_word(run, is_maths, follows) or not run.isascii():
        yield "words", run
    else:
        yield from (("letter", letter) for letter in run)


def words_in(content: str, command: str, follows_number: bool) -> Iterator[tuple[str, str] | None]:
    r"""What the argument of \text and its like stands for, as (kind, text) of tokens; None: read it as mathematics."""
    bare = content.strip().strip(",").strip()
    low = bare.lower()
    if not bare or not any(char.isalpha() for char in bare):
        yield None if bare else ("words", "")
    elif low in ("or", "and"):
        yield low, low
    elif bare in FUNCTIONS:
        yield "function", FUNCTIONS[bare]
    elif command in _FONTS and bare.isalpha() and not (follows_number and bare in UNIT_WORDS):
        yield from split(bare)
    elif any(char.isdigit() or char in "\\$=" for char in bare) or (command in _FONTS and bare not in UNIT_WORDS):
        yield None
    else:
        yield "words", bare
