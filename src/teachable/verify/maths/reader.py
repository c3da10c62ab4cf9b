r"""The text of an answer -> what it is: a number with its unit, a set, an interval, an equation, words, ...

`read` is the way in. The whole text is one answer: it is split at commas, "or" and "and", each part at its relation
signs, and what is left is a bracket, a union, a quantity or an expression. Nothing is searched for: an answer of
which a part is not understood is `Unknown`, or `Words` where it is in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Several
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from teachable.verify.maths import regions, relations, words
from teachable.verify.maths.algebra import INFINITY, Arithmetic, Ratio, ratio_of
from teachable.verify.maths.brackets import closing, matched, split, with_unions
from teachable.verify.maths.cleaning import cleaned
from teachable.verify.maths.limits import MAX_CHARACTERS, MAX_DEPTH, MAX_ITEMS, TooLarge, Unread
from teachable.verify.maths.literals import decimal_of_tokens, quick, rational_of
from teachable.verify.maths.parser import Parser
from teachable.verify.maths.quantities import Stripped, in_words, strip_unit
from teachable.verify.maths.tokens import Token, tokens_of
from teachable.verify.maths.units import is_known, unit_of
from teachable.verify.maths.values import (
    Interval,
    Matrix,
    Named,
    Region,
    Relation,
    Scalar,
    Sequence,
    Unknown,
    Value,
    Words,
)

_WORD = re.compile(r"[A-Za-z]{2,}")
_FOREIGN = re.compile(r"\\(?!text|mathrm|mbox|mathbf|operatorname|emph|quad|ldots|dots)[A-Za-z]{2,}|[=^_]")
_ADVERB_TEXT = "about approximately approx exactly only just roughly around nearly simply negative minus"
_ADVERBS = frozenset(_ADVERB_TEXT.split())
_TEX = re.compile(r"\\[A-Za-z]+|[{}$\\]")


@lru_cache(maxsize=8192)
def read(text: str) -> Value:
    """What an answer is.

    Raises:
        TooLarge: the answer passes a bound (see `limits`).
    """
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"it is longer than {MAX_CHARACTERS:,} characters")
    plain = quick(text)
    if plain is not None:
        return plain
    clean = cleaned(text)
    plain = quick(clean)
    if plain is not None:
        return plain
    try:
        tokens = tokens_of(clean)
    except Unread as error:
        return _as_words(clean, None) or _right_side(clean) or Unknown(str(error))
    try:
        return Reader(Arithmetic()).answer(matched(tokens))
    except Unread as error:
        return _as_words(clean, tokens) or Unknown(str(error))
    except RecursionError:
        raise TooLarge("it is nested too deeply") from None


def _right_side(clean: str) -> Named | None:
    """What stands right of the only equals sign outside brackets, where the left is not read: \\lim ... = 5."""
    depth, places = 0, []
    for at, char in enumerate(clean):
        depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(char, 0)
        if char == "=" and depth == 0:
            places.append(at)
    if len(places) != 1 or any(sign in clean for sign in ("\\pmod", "\\equiv", "\\Rightarrow", "\\implies", "<", ">")):
        return None
    value = read(clean[places[0] + 1 :])
    return Named("words:" + clean[: places[0]].strip(), value) if isinstance(value, Scalar | Sequence) else None


def _as_words(clean: str, tokens: list[Token] | None) -> Words | None:
    """The answer as words, where it has words (or is a mere name) and nothing that only mathematics writes."""
    if tokens is not None:
        if not any(token.kind == "words" for token in tokens):
            return None
        return Words(words.folded(" ".join(token.text for token in tokens)))
    if _FOREIGN.search(clean):
        return None
    bare = _TEX.sub(" ", clean)
    return Words(words.folded(bare)) if _WORD.search(bare) else None


class Reader:
    """Tokens -> a value. `upper` says which sign plus-minus stands for."""

    def __init__(self, arithmetic: Arithmetic, upper: bool = True, depth: int = 0) -> None:
        self.arithmetic = arithmetic
        self.upper = upper
        self.depth = depth

    def answer(self, tokens: list[Token]) -> Value:
        """What all tokens make together.

        Raises:
            TooLarge, Unread.
        """
        if not tokens:
            raise Unread("nothing")
        if tokens[0].kind == "words" and any(token.kind == "and" for token in tokens):
            spelled = in_words(tokens)
            if spelled is not None and not any(token.kind == "and" for token in spelled.tokens):
                return _with_unit(self._bare(spelled.tokens), spelled, self)
        if len(tokens) > 3 and [tokens[0].text, tokens[-1].text] == ["<", ">"]:
            tokens = [Token("open", "angle"), *tokens[1:-1], Token("close", "angle")]
        compound = self._compound(tokens)
        if compound is not None:
            return compound
        parts, joints = split(tokens, ("comma", "or", "and"))
        if len(parts) > MAX_ITEMS:
            raise TooLarge(f"it has more than {MAX_ITEMS} members")
        if len(parts) == 1:
            return self.part(tokens)
        kept = [part for part in parts if part]
        if len(kept) < len(parts) and any(joint == "comma" for joint in joints) and not joints.count("and"):
            raise Unread("a comma with nothing beside it")
        items: list[Value] = []
        for part in kept:
            value = self.part(part)
            items.extend(value.items if isinstance(value, Sequence) and value.brackets == "none" else (value,))
        if len(items) == 1:
            return items[0]
        joined = relations.joined(items, joints, self.arithmetic)
        return joined if joined is not None else Sequence("none", tuple(items))

    def _compound(self, tokens: list[Token]) -> Scalar | None:
        """A quantity in several units (2 hours and 30 minutes, 5 feet 6 inches), each smaller than the one before."""
        kept = [token for token in tokens if token.kind not in ("comma", "and")]
        numbers, names = kept[::2], kept[1::2]
        if not 2 <= len(names) <= 4 or len(numbers) != len(names) or len(tokens) > len(kept) + len(names) - 1:
            return None
        if any(token.kind != "number" for token in numbers) or any(token.kind != "words" for token in names):
            return None
        total, before = Fraction(0), None
        for digits, name in zip(numbers, names, strict=True):
            unit = unit_of(name.text)
            if unit is None or not is_known(unit) or not unit.dimensions:
                return None
            if before is not None and (unit.dimensions != before.dimensions or unit.factor >= before.factor):
                return None
            total, before = total + rational_of(digits.text) * unit.factor, unit
        assert before is not None
        return Scalar(ratio_of(total / before.factor), unit=before)

    def part(self, tokens: list[Token]) -> Value:
        """One member of a list: a relation or a term. Plus-minus makes it two."""
        self._deeper()
        if any(token.kind == "sign" and token.text in ("pm", "mp") for token in tokens) and self.upper:
            first = self._part(tokens)
            second = Reader(self.arithmetic, upper=False, depth=self.depth)._part(tokens)
            self.depth -= 1
            return _both(first, second)
        found = self._part(tokens)
        self.depth -= 1
        return found

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"it is nested more than {MAX_DEPTH} deep")

    def _part(self, tokens: list[Token]) -> Value:
        while len(tokens) > 1 and tokens[0].kind == "words" and tokens[0].text.lower() in _ADVERBS:
            if tokens[0].text.lower() in ("negative", "minus"):
                value = self._part(tokens[1:])
                return (
                    replace(value, ratio=self.arithmetic.negative(value.ratio)) if isinstance(value, Scalar) else value
                )
            tokens = tokens[1:]
        parts, signs = split(tokens, ("relation",))
        if len(parts) == 1:
            labelled = self._labelled(tokens)
            return self.term(tokens) if labelled is None else labelled
        if not all(parts):
            if len(parts) == 2 and not parts[0] and signs[0] in ("=", "~"):
                return self.term(parts[1])
            if len(parts) == 2 and not parts[0] and signs[0] in ("<", ">", "<=", ">="):
                anonymous = relations.relation([[Token("letter", "x")], parts[1]], signs, self)
                return Named("words:", anonymous.value) if isinstance(anonymous, Named) else anonymous
            raise Unread("a relation with nothing on a side")
        return relations.relation(parts, signs, self)

    def _labelled(self, tokens: list[Token]) -> Value | None:
        """Words before a colon or a bracket name what follows: "vertex: (1, 2)"."""
        n = next((i for i, token in enumerate(tokens) if token.kind != "words"), len(tokens))
        if not 0 < n < len(tokens):
            return None
        has_colon = tokens[n].kind == "sign" and tokens[n].text == ":"
        if not has_colon and not (tokens[n].kind == "open" and closing(tokens, n) == len(tokens) - 1):
            return None
        rest = tokens[n + has_colon :]
        if not rest:
            return None
        return Named("words:" + " ".join(token.text for token in tokens[:n]), self.part(rest))

    def term(self, tokens: list[Token]) -> Value:
        """A quantity, a bracket, a union of sets, a ratio or an expression."""
        stripped = strip_unit(tokens)
        if stripped is None:
            raise Unread("words that are no unit")
        if stripped.is_plain:
            return self._bare(tokens)
        value = self._bare(stripped.tokens)
        return _with_unit(value, stripped, self)

    def _bare(self, tokens: list[Token]) -> Value:
        if not tokens:
            raise Unread("nothing where a value should be")
        if len(tokens) == 1 and tokens[0].kind == "letter" and tokens[0].text == "\\emptyset":
            return Sequence("set", ())
        pieces, signs = split(with_unions(tokens), ("sign",), ("cup", "cap", "less"))
        if len(pieces) == 1 and tokens[0].text == "mathbb":
            pieces, signs = split(tokens, ("sign",), ("-",))
        if len(pieces) > 1:
            return self._combined(pieces, signs)
        named = relations.number_set(tokens)
        if named is not None:
            return named
        if tokens[0].kind == "open" and closing(tokens, 0) == len(tokens) - 1:
            return self._bracket(tokens)
        ratio, _ = split(tokens, ("sign",), (":",))
        if len(ratio) > 1:
            return Sequence("ratio", tuple(self._bare(piece) for piece in ratio))
        return Scalar(self.expression(tokens), decimal_of_tokens(tokens))

    def expression(self, tokens: Several[Token]) -> Ratio:
        """The tokens as an expression; infinity alone, or with a sign, may be one.

        Raises:
            TooLarge, Unread.
        """
        found = Parser(tokens, self.arithmetic, self.upper).parse()
        if any(token.text == "\\infty" for token in tokens):
            bare = [token for token in tokens if token.text not in ("brace", "round", "+", "-", "pm", "mp")]
            if len(bare) > 1 or found.single is None or found.single[0] != ((INFINITY, 1),):
                raise Unread("infinity within an expression")
        return found

    def _combined(self, pieces: list[list[Token]], signs: list[str]) -> Value:
        found: Region | None = None
        for piece, sign in zip(pieces, ["", *signs], strict=True):
            value = relations.as_region(self.part(piece), self.arithmetic)
            if value is None:
                raise Unread("a union of what are no sets of numbers")
            if found is None:
                found = value
            else:
                how = {
                    "-": regions.without,
                    "cup": regions.union,
                    "cap": regions.intersection,
                    "less": regions.without,
                }[sign]
                found = how(found, value, self.arithmetic)
        assert found is not None
        return relations.as_set(found)

    def _bracket(self, tokens: list[Token]) -> Value:
        kind, end = tokens[0].text, tokens[-1].text
        inner = tokens[1:-1]
        if kind == "matrix":
            return self._matrix(inner)
        if kind == "lines":
            return self.answer([Token("comma", ",") if t.kind == "end of row" else t for t in inner])
        if kind in ("floor", "ceil", "determinant"):
            return Scalar(self.expression(tokens))
        if kind in ("set", "brace"):
            return self._set(inner)
        parts, _ = split(inner, ("comma",))
        if len(parts) == 1:
            if not inner:
                raise Unread("empty brackets")
            return self.part(inner) if kind == end != "angle" else self._one_in_angles(inner)
        if not parts[-1]:
            parts.pop()
        if len(parts) > MAX_ITEMS:
            raise TooLarge(f"it has more than {MAX_ITEMS} members")
        items = tuple(self.part(part) for part in parts)
        if len(items) == 2 and all(isinstance(item, Scalar) for item in items):
            interval = _interval(items, (kind == "square", end == "square"))
            if kind != end or interval.low is None or interval.high is None:
                return regions.region((interval,), self.arithmetic)
        if kind != end:
            raise Unread("brackets that do not match")
        if kind == "square":
            return _rows(items) or Sequence("square", items)
        return Sequence("angle" if kind == "angle" else "round", items)

    def _one_in_angles(self, inner: list[Token]) -> Value:
        return Sequence("angle", (self.part(inner),))

    def _set(self, inner: list[Token]) -> Value:
        if not inner:
            return Sequence("set", ())
        described, _ = split(inner, ("sign",), ("|", ":"))
        if len(described) == 2:
            value = self.answer(described[1])
            region = relations.as_region(value, self.arithmetic)
            if region is None or not isinstance(value, Named | Region):
                raise Unread("a set described by a condition")
            return region
        parts, _ = split(inner, ("comma", "and"))
        items: list[Value] = []
        if len(parts) > MAX_ITEMS:
            raise TooLarge(f"it has more than {MAX_ITEMS} members")
        for part in parts:
            value = self.part(part)
            is_both = isinstance(value, Sequence) and value.brackets == "none"
            items.extend(value.items if is_both and isinstance(value, Sequence) else (value,))
        return Sequence("set", tuple(items))

    def _matrix(self, inner: list[Token]) -> Value:
        lines, _ = split(inner, ("end of row",))
        if lines and not lines[-1]:
            lines.pop()
        rows: list[tuple[Scalar, ...]] = []
        for line in lines:
            cells, _ = split(line, ("cell",))
            if (len(rows) + 1) * len(cells) > MAX_ITEMS:
                raise TooLarge(f"it has more than {MAX_ITEMS} entries")
            values = [self.part(cell) if cell else None for cell in cells]
            row = tuple(value for value in values if isinstance(value, Scalar))
            if len(row) != len(cells) or (rows and len(row) != len(rows[0])):
                raise Unread("a matrix of other things than numbers, or with rows of different lengths")
            rows.append(row)
        if not rows:
            raise Unread("an empty matrix")
        return Matrix(tuple(rows))


def _both(first: Value, second: Value) -> Value:
    """The two values of an answer with plus-minus."""
    if isinstance(first, Named) and isinstance(second, Named):
        return Named(first.name, _both(first.value, second.value))
    items: list[Value] = []
    for value in (first, second):
        items.extend(value.items if isinstance(value, Sequence) and value.brackets == "none" else (value,))
    return Sequence("none", tuple(items))


def _interval(ends: Several[Value], closed: tuple[bool, bool]) -> Interval:
    low, high = (end.ratio for end in ends if isinstance(end, Scalar))
    no_low, no_high = (end.single is not None and end.single[0] == ((INFINITY, 1),) for end in (low, high))
    return Interval(
        None if no_low else low, None if no_high else high, (closed[0] and not no_low, closed[1] and not no_high)
    )


def _rows(items: tuple[Value, ...]) -> Matrix | None:
    rows: list[tuple[Scalar, ...]] = []
    for item in items:
        if not isinstance(item, Sequence) or item.brackets != "square":
            return None
        row = tuple(entry for entry in item.items if isinstance(entry, Scalar))
        if len(row) != len(item.items) or (rows and len(row) != len(rows[0])):
            return None
        rows.append(row)
    return Matrix(tuple(rows))


def _with_unit(value: Value, stripped: Stripped, reader: Reader) -> Value:
    if isinstance(value, Scalar):
        ratio = reader.arithmetic.multiply(value.ratio, ratio_of(stripped.times))
        other = None
        if stripped.letters:
            try:
                other = Scalar(reader.expression(stripped.letters))
            except Unread:
                other = None
        main = Scalar(ratio, value.decimal if stripped.times == 1 else None, stripped.percent, stripped.unit, other)
        if stripped.is_loose and other is not None:
            return Scalar(other.ratio, other=Scalar(ratio, value.decimal, stripped.percent, stripped.unit))
        return main
    if isinstance(value, Sequence) and stripped.unit is not None:
        if value.brackets == "ratio":
            return Sequence("ratio", (*value.items, Words(" ".join(name for name, _ in stripped.unit.dimensions))))
        return Sequence(value.brackets, tuple(_with_unit(item, stripped, reader) for item in value.items))
    if isinstance(value, Region | Named | Relation | Matrix) and stripped.unit is not None:
        return value
    raise Unread("a unit after what is no number")
