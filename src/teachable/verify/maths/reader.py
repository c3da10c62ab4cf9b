r"""The text of an answer -> what it is: a number with its unit, a set, an interval, an equation, words, ...

`read` is the way in. The whole text is one answer: it is split at commas, "or" and "and", each part at its relation signs,
and what is left is a bracket, a union, a quantity or an expression. Nothing is searched for: an answer of which a part
is not understood is `Unknown`, or `Words` where it is in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Several
from fractions import Fraction
from functools import lru_cache

from teachable.verify.maths import regions, relations, words
from teachable.verify.maths.algebra import INFINITY, Arithmetic, Ratio, ratio_of
from teachable.verify.maths.glyphs import to_latex
from teachable.verify.maths.limits import MAX_CHARACTERS, MAX_DEPTH, MAX_ITEMS, TooLarge, Unread
from teachable.verify.maths.parser import Parser, rational_of
from teachable.verify.maths.quantities import Stripped, in_words, strip_unit
from teachable.verify.maths.tokens import Token, tokens_of
from teachable.verify.maths.values import (
    Decimal,
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
    number,
)

_PLAIN = re.compile(r"[+-]?(?:\d{1,300}(?:\.\d{1,300})?|\.\d{1,300})")
_PLAIN_QUOTIENT = re.compile(r"(-?)(?:(\d{1,300})/(\d{1,300})|\\[dt]?frac\{(\d{1,300})\}\{(\d{1,300})\})")
_HALF_DAY = re.compile(r"\b([AaPp])\.\s?[mM]\.?(?!\w)")
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_BOXED = re.compile(r"\A\s*\\(?:boxed|fbox)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\s*\Z")
_WORD = re.compile(r"[A-Za-z]{2,}")
_TEX = re.compile(r"\\[A-Za-z]+|[{}$\\]")


def cleaned(text: str) -> str:
    """The text without what stands around an answer: dollar signs of TeX, emphasis, quotes, a full stop. Linear."""
    text = _HALF_DAY.sub(r"\1m", to_latex(text))
    text = _without_dollars(text)
    while True:
        before = text
        text = _BOXED.sub(r"\1", text)
        text = _without_trailing(text).lstrip(" \t\n\r`=:").removeprefix("**")
        for opening, closing in _WRAPS:
            inside = text[len(opening) : -len(closing)]
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                if opening not in inside and closing not in inside:
                    text = inside
                break
        if text == before:
            return text


def _without_trailing(text: str) -> str:
    """Without white space, marks that end a sentence, and line breaks of TeX at the end; a factorial's mark stays."""
    text = text.rstrip(" \t\n\r.,;:`")
    while text.endswith(("**", "\\\\")):
        text = text[:-2].rstrip(" \t\n\r.,;:`")
    if text.endswith("!") and len(text) > 2 and text[-3:-1].isalpha():
        text = text.rstrip("!")
    return text[:-1] if text.endswith("\\") else text


def _without_dollars(text: str) -> str:
    """Without the dollar signs that delimit mathematics; those that are currency stay."""
    places = [m.start() for m in re.finditer(r"(?<!\\)\$", text)]
    if len(places) < 2:
        return text
    if any(text[at + 1 : at + 2].isdigit() for at in places[1::2]) or len(places) % 2:
        if len(places) % 2 and text.startswith("$") and text[1:2] == "$":
            return text
        return text if not (len(places) == 3 and text.startswith("$") and text.endswith("$")) else text[1:-1]
    return text.replace("\\$", "\0").replace("$", " ").replace("\0", "\\$")


@lru_cache(maxsize=8192)
def read(text: str) -> Value:
    """What an answer is.

    Raises:
        TooLarge: the answer passes a bound (see `limits`).
    """
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"it is longer than {MAX_CHARACTERS:,} characters")
    plain = _quick(text)
    if plain is not None:
        return plain
    clean = cleaned(text)
    plain = _quick(clean)
    if plain is not None:
        return plain
    try:
        tokens = tokens_of(clean)
    except Unread as error:
        return _as_words(clean, None) or Unknown(str(error))
    try:
        return Reader(Arithmetic()).answer(tokens)
    except Unread as error:
        return _as_words(clean, tokens) or Unknown(str(error))
    except RecursionError:
        raise TooLarge("it is nested too deeply") from None


def _quick(text: str) -> Value | None:
    """Whole numbers, decimals and quotients, without taking the text apart."""
    if _PLAIN.fullmatch(text) and text.isascii():
        digits = text.lstrip("+-")
        value = rational_of(digits)
        return Scalar(ratio_of(-value if text[0] == "-" else value), decimal_of(digits))
    found = _PLAIN_QUOTIENT.fullmatch(text)
    if found and text.isascii():
        over, under = int(found[2] or found[4]), int(found[3] or found[5])
        if under:
            value = Fraction(over, under)
            return number(-value if found[1] else value)
    return None


def decimal_of(digits: str) -> Decimal | None:
    """How a number token was written, where it is a decimal."""
    mantissa, _, exponent = digits.partition("e")
    whole, dot, tail = mantissa.partition(".")
    if not tail:
        return None
    return Decimal(len((whole + tail).lstrip("0")), Fraction(10) ** (int(exponent or 0) - len(tail)))


def _as_words(clean: str, tokens: list[Token] | None) -> Words | None:
    """The answer as words, where it has words (or is a mere name) and nothing that only mathematics writes."""
    if tokens is not None:
        if not any(token.kind == "words" for token in tokens):
            return None
        return Words(words.folded(" ".join(token.text for token in tokens)))
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
        parts, signs = split(tokens, ("relation",))
        if len(parts) == 1:
            return self.term(tokens)
        if not all(parts):
            if len(parts) == 2 and not parts[0] and signs[0] in ("=", "~"):
                return self.term(parts[1])
            raise Unread("a relation with nothing on a side")
        return relations.relation(parts, signs, self)

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
        pieces, signs = split(_unions(tokens), ("sign",), ("cup", "cap", "less"))
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
        return Scalar(self.expression(tokens), _decimal(tokens))

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
                how = {"-": regions.without, "cup": regions.union, "cap": regions.intersection, "less": regions.without}[sign]
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


def _decimal(tokens: Several[Token]) -> Decimal | None:
    """How the expression was written, where it is a decimal, also times a power of ten."""
    texts = [token.text for token in tokens if token.text != "brace"]
    while texts and texts[0] in "+-":
        texts.pop(0)
    if not texts or "." not in texts[0] or tokens[-1].kind not in ("number", "close"):
        return None
    decimal = decimal_of(texts[0]) if texts[0].replace(".", "").replace("e", "").replace("-", "").isdigit() else None
    if len(texts) == 1 or decimal is None:
        return decimal
    if texts[1:4] == ["*", "10", "^"]:
        power = "".join(texts[4:])
        if power.lstrip("-").isdigit() and len(power) < 5:
            return Decimal(decimal.digits, decimal.step * Fraction(10) ** int(power))
    return None


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


def _unions(tokens: list[Token]) -> list[Token]:
    """With the letter U between two brackets as the sign of a union."""
    return [
        Token("sign", "cup")
        if token.kind == "letter" and token.text == "U" and 0 < i < len(tokens) - 1 and tokens[i - 1].kind == "close"
        and tokens[i + 1].kind == "open"
        else token
        for i, token in enumerate(tokens)
    ]  # fmt: skip


def split(
    tokens: list[Token], kinds: Several[str], texts: Several[str] | None = None
) -> tuple[list[list[Token]], list[str]]:
    """The runs of tokens between those of the kinds (and texts) that stand outside brackets, and what stood there.

    Raises:
        Unread: brackets that do not match.
    """
    parts: list[list[Token]] = [[]]
    joints: list[str] = []
    depth = 0
    for token in tokens:
        if token.kind == "open":
            depth += 1
        elif token.kind == "close":
            depth -= 1
            if depth < 0:
                raise Unread("a bracket that was not opened")
        elif depth == 0 and token.kind in kinds and (texts is None or token.text in texts):
            parts.append([])
            joints.append(token.text if token.kind in ("relation", "sign") else token.kind)
            continue
        parts[-1].append(token)
    if depth:
        raise Unread("a bracket that is not closed")
    return parts, joints


def closing(tokens: list[Token], start: int) -> int:
    """Where the bracket that opens at `start` is closed; -1 where it is not."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += {"open": 1, "close": -1}.get(tokens[at].kind, 0)
        if depth == 0:
            return at
    return -1
