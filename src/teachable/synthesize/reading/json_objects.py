r"""The JSON objects in a model's reply, whatever stands around them, and one sentence where one can't be read.

An object begins where `{` is followed by a quotation mark (or by `}`, with no letter before it), so sets and groups of
LaTeX in prose are passed over. Objects are read from the outside: what stands inside one that can't be read is never
taken for an object itself. Work is linear in the reply's length.

What is put right, since the meaning is beyond doubt: line breaks and tabs inside a string; backslashes of LaTeX and of
regular expressions that were written once where JSON wants two. `\(` and `\alpha` are no escapes of JSON at all;
`\frac`, `\beta` and `\rho` would silently become a form feed, a backspace, a carriage return, none of which a text
holds; `\nabla` and `\times` a line break and a tab before letters that begin no word. The few that could be both
(`\nu`, `\ne`, `\to`; a line that begins with "u", "e" or "o") are LaTeX where a formula is open (`$`, `\(`, `\[`) and
nothing in the string shows that its author writes two backslashes. So a text loses its form feeds and backspaces.

What is not put right, but said: trailing commas, bare quotation marks, a key that comes twice, NaN and Infinity,
numbers too large to hold, half a surrogate pair.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Objects that are looked at in a reply: a bound on the work that a reply of braces can make.
MAX_OBJECTS = 64
MAX_DIGITS = 1000
_START = re.compile(r'\{\s*+"|(?<![\w^}\\$])\{\s*+\}')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[{}]', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
# A backslash with what it escapes, or what opens and closes formulas.
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|\\[()\[\]]|[A-Za-z]+|.)|\$", re.DOTALL)
_UNICODE = re.compile(r"u[0-9a-fA-F]{4}")
_TWO_BACKSLASHES = re.compile(r"(?<!\\)\\\\[A-Za-z]{2}")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
# Commands that begin with n or t, whose rest begins no word: they are LaTeX wherever they stand.
_SURE = re.compile(
    r"nabla|natural|nearrow|newcommand|newline|nolimits|nonumber|notin|not|nwarrow|n(?:left|right)arrow|nsu[bp]seteq"
    r"|tanh|tau|tbinom|text(?:bf|color|it|normal|rm|sc|sf|style|tt)|tfrac|theta|therefore|thick(?:approx|sim)|thinspace"
    r"|tilde|times|tiny|triangle(?:down|left|q|right)?|twoheadrightarrow"
)
# Commands whose rest is a word or a name: LaTeX only within a formula.
_UNSURE = re.compile(
    r"n(?:cong|e|eg|eq|exists|geq|gtr|i|leq|less|mid|orm|parallel|prec|sim|succ|u|vdash)|t(?:ag|an|ext|o|op|t)"
)
_REASONS = {
    "Expecting property name enclosed in double quotes": "a name in double quotation marks is missing",
    "Expecting ':' delimiter": "a colon is missing after a name",
    "Expecting ',' delimiter": "a comma is missing, or a quotation mark inside a text lacks its backslash",
    "Expecting value": "a value is missing or is no JSON",
    "Unterminated string starting at": "a text lacks its closing quotation mark",
}


@dataclass(frozen=True)
class Found:
    """An object of a reply: where it begins and ends, and its value, or why it has none."""

    begin: int
    end: int
    value: dict[str, Any] | None
    source: str = ""
    fault: str = ""


def objects_in(text: str) -> Iterator[Found]:
    """The outermost objects of a text, in order, at most `MAX_OBJECTS`; one that has no end is the last."""
    place = 0
    for _ in range(MAX_OBJECTS):
        start = _START.search(text, place)
        if start is None:
            return
        end = _end_of(text, start.start())
        yield _read(text, start.start(), len(text) if end is None else end, is_whole=end is not None)
        if end is None:
            return
        place = end


def _end_of(text: str, start: int) -> int | None:
    """The place after the bracket that closes the one at `start`, strings passed over; None where there is none."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _read(text: str, begin: int, end: int, *, is_whole: bool) -> Found:
    source = text[begin:end]
    if "\\" in source:
        source = _STRING.sub(lambda string: _mended(string[0]) if "\\" in string[0] else string[0], source)
    try:
        value = _DECODER.decode(source)
        if _HALF_PAIR.search(source):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return Found(begin, end, None, source, _fault(source, error, is_whole=is_whole))
    except UnicodeEncodeError:
        return Found(begin, end, None, source, "it holds half of a surrogate pair")
    except RecursionError:
        return Found(begin, end, None, source, "it is nested too deeply")
    except ValueError as error:
        return Found(begin, end, None, source, str(error))
    return Found(begin, end, value, source)


def _fault(source: str, error: json.JSONDecodeError, *, is_whole: bool) -> str:
    """What is wrong with an object, in words for the model that wrote it."""
    place = error.pos
    if not is_whole and place >= len(source.rstrip()):
        return "it ends before its last closing bracket"
    is_comma = source[:place].rstrip().endswith(",") and source[place : place + 1] in ("}", "]")
    reason = "a comma stands before a closing bracket" if is_comma else _REASONS.get(error.msg, error.msg)
    return f"{reason}, near {_near(source, place)}"


def literals(source: str) -> Any:
    """The value of an object that was read, with its numbers as they were written."""
    return json.JSONDecoder(strict=False, parse_float=str, parse_int=str).decode(source)


def _near(source: str, place: int) -> str:
    """The words about a place, on one line."""
    return repr(" ".join(source[max(0, place - 20) : place + 20].split()))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} comes twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has over {MAX_DIGITS:,} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:30]} is too large")
    return value


_DECODER = json.JSONDecoder(
    strict=False,
    object_pairs_hook=_without_repeats,
    parse_constant=_no_constant,
    parse_int=_integer,
    parse_float=_real,
)


def _mended(string: str) -> str:
    """A string of JSON, quotation marks and all, with the backslashes put right that were written once."""
    return _ESCAPE.sub(_Mending(string), string)


class _Mending:
    """One string's backslashes, from the left; it knows whether a formula is open."""

    def __init__(self, string: str) -> None:
        self._writes_two = _TWO_BACKSLASHES.search(string) is not None
        self._string = string
        self._is_open = False
        self._fresh = -1  # the place behind what opened a formula or ended a line of it, where a line break may stand
        self._behind_dollar = -1

    def __call__(self, found: re.Match[str]) -> str:
        escaped = found[1]
        if escaped is None:
            return self._dollar(found.start())
        if escaped[-1] in "()[]" and len(escaped) <= 2:
            self._is_open = escaped[-1] in "(["
            self._fresh = found.end()
            return found[0] if len(escaped) == 2 else "\\" + found[0]
        if escaped == "\\":
            self._fresh = found.end()
            return found[0]
        return self._letters(found, escaped)

    def _dollar(self, place: int) -> str:
        if place == self._behind_dollar:  # the second of $$
            self._fresh = place + 1
        else:
            self._is_open = not self._is_open
            self._behind_dollar = place + 1
        return "$"

    def _letters(self, found: re.Match[str], escaped: str) -> str:
        if escaped == "'":
            return "'"  # an escape of other languages
        if escaped in ('"', "/", "r") or _UNICODE.fullmatch(escaped):
            return found[0]
        if escaped[0] in "nt" and not self._is_command(found, escaped):
            return found[0]
        return "\\" + found[0]

    def _is_command(self, found: re.Match[str], escaped: str) -> bool:
        if _SURE.fullmatch(escaped):
            return True
        if self._writes_two or not _UNSURE.fullmatch(escaped):
            return False
        braced = escaped in ("text", "tag") and self._string[found.end() : found.end() + 1] == "{"
        return braced or (self._is_open and found.start() != self._fresh)
