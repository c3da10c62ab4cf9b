"""What the checker of math answers is measured against: math-verify alone, sympy alone, and two string matches.

Each baseline says True, False or None (it failed) for a reference and an attempt, and gets its best fair setting:

- `MathVerify`: math-verify's own `parse` and `verify`, their defaults, in the main thread, where its timeouts work. It
  reads no LaTeX but between dollar signs or in a box. So a text with neither, which is no sentence, may be put between
  dollar signs, or read both ways, where one that fits is enough. A reference that it cannot read makes it say False.
- `sympy_verdicts`: LaTeX rewritten by a few rules for sympy's own parser, then `simplify` of the difference.
- `plain` and `normalised`: the text of the answer, as it is, or without case, spaces, dollar signs and the like.

math-verify has an extraction of its own. The others get `final_text`: the last box, `####`, "answer is", or the whole.

sympy's parser runs what it reads as Python. That is why it gets nothing but our own pairs, in a process of its own with
limits on time and memory: this file, run as a script. Never give it a model's output.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import math_verify
import sympy
from sympy.parsing import sympy_parser

PAIR_LIMIT_S = 5.0
MEMORY_BYTES = 2 << 30
_MARK = re.compile(r"(?:####|answer is:?|answer:)", re.IGNORECASE)
_NOISE = re.compile(r"\\left|\\right|\\text(?:bf|it)?|\\math(?:rm|bf)|\\[,;!: ]|[\s$,;!'\"{}\\*]")
_MARKED = re.compile(r"(?<!\\)\$|\\boxed|\\fbox")
_SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}(?![^{]*\})|\n")


def final_text(attempt: str) -> str:
    """The answer by the simplest rules: inside the last box, or after the last mark of an answer, or all of it."""
    spoken = attempt.rpartition("</think>")[2]
    start = spoken.rfind("\\boxed{")
    if start >= 0:
        depth, begin = 0, start + len("\\boxed{")
        for place in range(begin, len(spoken)):
            depth += {"{": 1, "}": -1}.get(spoken[place], 0)
            if depth < 0:
                return spoken[begin:place].strip()
    marks = list(_MARK.finditer(spoken))
    return (spoken[marks[-1].end() :] if marks else spoken).strip().strip("$").strip()


def plain(reference: str, attempt: str) -> bool:
    """Is the answer's text the reference's?"""
    return final_text(attempt) == reference.strip()


def normalised(reference: str, attempt: str) -> bool:
    """The same without case, spaces, LaTeX's dress and the last full stop; signs of arithmetic stay."""
    return _bare(final_text(attempt)) == _bare(reference)


def _bare(text: str) -> str:
    for dressed in ("\\dfrac", "\\tfrac"):
        text = text.replace(dressed, "\\frac")
    return _NOISE.sub("", text).lower().rstrip(".")


@dataclass(frozen=True)
class MathVerify:
    """math-verify alone, and how it is given a bare answer: as it is, between dollar signs, or in both ways."""

    bare: Literal["as given", "in dollars", "both"]

    def __call__(self, reference: str, attempt: str) -> bool | None:
        try:
            return bool(math_verify.verify(self._read(reference), self._read(attempt)))
        except Exception as error:  # whatever it raises is "could not tell"
            sys.stderr.write(f"math-verify failed on {attempt!r}: {type(error).__name__}\n")
            return None

    def _read(self, text: str) -> list[Any]:
        if self.bare == "as given" or _MARKED.search(text) or _SENTENCE.search(text):
            return math_verify.parse(text)
        dressed = math_verify.parse(f"${text}$")
        return dressed if self.bare == "in dollars" else dressed + math_verify.parse(text)


def sympy_verdicts(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    """sympy's verdicts on pairs (reference, attempt) of ours, from a process of its own; None where it failed.

    Raises:
        RuntimeError: the process ended before it had answered for all pairs.
    """
    rows = "".join(json.dumps([reference, final_text(attempt)]) + "\n" for reference, attempt in pairs)
    done = subprocess.run(
        [sys.executable, __file__], input=rows, capture_output=True, text=True, timeout=PAIR_LIMIT_S * (len(pairs) + 6)
    )
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    if len(verdicts) != len(pairs):
        raise RuntimeError(f"sympy's process answered for {len(verdicts)} of {len(pairs)} pairs: {done.stderr[-500:]}")
    return verdicts


# ---- the other process ----

_WORDS = {
    r"\cdot": "*", r"\times": "*", r"\div": "/", r"\pi": "pi", r"\infty": "oo",
    r"\ge": ">=", r"\geq": ">=", r"\le": "<=", r"\leq": "<=", r"\gt": ">", r"\lt": "<",
    r"\left": "", r"\right": "",
    r"\!": "", r"\,": "", r"\;": "", r"\ ": " ", r"\%": "/100", "%": "/100", r"^\circ": "", r"^{\circ}": "", "°": "",
    r"\$": "", "$": "", r"\ln": "log", "−": "-", "√": "sqrt", "π": "pi", "²": "^2", "³": "^3", "×": "*", "{,}": "",
}  # fmt: skip
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
_ROOT = re.compile(r"\\sqrt\s*(?:\[([^\]]*)\])?\s*(?:\{([^{}]*)\}|(\w))")
_BINOMIAL = re.compile(r"\\binom\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_DRESS = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{[^{}]*\}")
_ZEROS = re.compile(r"(?<![\w.])0+(?=\d)")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def _to_sympy_text(text: str) -> str:
    """A LaTeX answer in the notation of sympy's parser, innermost braces first."""
    for written in sorted(_WORDS, key=len, reverse=True):
        text = text.replace(written, _WORDS[written])
    text = _GROUPED.sub("", _DRESS.sub("", text))
    before = ""
    while before != text:
        before = text
        text = _FRACTION.sub(lambda m: f"(({m[1] or m[2]})/({m[3] or m[4]}))", text)
        text = _ROOT.sub(lambda m: f"(({m[2] or m[3]})**(1/({m[1] or 2})))", text)
        text = _BINOMIAL.sub(r"binomial(\1,\2)", text)
        text = re.sub(r"([\^_])\{([^{}]*)\}", r"\1(\2)", text)
    text = text.replace("\\{", "{").replace("\\}", "}").replace("\\", "").strip().rstrip(".")
    return _ZEROS.sub("", text)


def _parsed(text: str) -> Any:
    """sympy's reading of an answer: an expression, a relation, a set or a tuple; of "x = 5" the 5."""
    left, sign, right = text.rpartition("=")
    if sign and (not left.strip(" $").isalpha() or "{" in left) and not re.search(r"[<>=]", left):
        return sympy.Eq(_read(left), _read(right))
    return _read(right if sign and not re.search(r"[<>]", left) else text)


def _read(text: str) -> Any:
    steps = (
        *sympy_parser.standard_transformations,
        sympy_parser.implicit_multiplication_application,
        sympy_parser.convert_xor,
    )
    return sympy_parser.parse_expr(_to_sympy_text(text), {"e": sympy.E, "i": sympy.I}, transformations=steps)


def _same(one: Any, other: Any) -> bool:
    """Equal after `simplify`; tuples part by part, sets in some order, equations up to a factor."""
    if isinstance(one, tuple | sympy.Tuple) and isinstance(other, tuple | sympy.Tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, set) and isinstance(other, set):
        return len(one) == len(other) and all(any(_same(a, b) for b in other) for a in one)
    if isinstance(one, sympy.Eq) and isinstance(other, sympy.Eq):
        ratio = sympy.simplify((one.lhs - one.rhs) / (other.lhs - other.rhs))
        return bool(ratio.is_number and ratio != 0)
    if isinstance(one, sympy.Eq) and one.lhs.is_Symbol and isinstance(other, sympy.Expr):
        return _same(one.rhs, other)
    if isinstance(one, sympy.Expr) and isinstance(other, sympy.Expr):
        return bool(one == other or sympy.simplify(one - other) == 0)
    return bool(one == other)


def _equal(reference: str, answer: str) -> bool | None:
    """Do sympy's readings agree? None where a side cannot be read or time runs out."""
    try:
        return _same(_parsed(reference), _parsed(answer))
    except Exception as error:  # the parser raises whatever Python raises
        sys.stderr.write(f"{type(error).__name__}\n")
        return None


def _expire(signum: int, frame: object) -> None:
    raise TimeoutError


def _serve() -> None:
    """Answer a verdict a line for pairs on standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _expire)
    for line in sys.stdin:
        reference, answer = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, PAIR_LIMIT_S)
        try:
            verdict = _equal(reference, answer)
        except TimeoutError:
            verdict = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    _serve()
