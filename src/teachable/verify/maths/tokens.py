r"""An answer's text as tokens: numbers, letters, functions, operators, brackets and runs of words. Linear in the
length.

What LaTeX and plain text write differently comes out the same: `\left(`, `\dfrac`, `\cdot`, `*`. A comma or a space
that groups a number's thousands is taken into the number: between brackets a comma does so only where another comma
of the text is followed by a space, as (1,234) is a pair and (1,234, 5) is not three numbers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from teachable.verify.maths import lexicon
from teachable.verify.maths.limits import MAX_DIGITS, MAX_TOKENS, TooLarge, Unread


class Token(NamedTuple):
    """`kind`: number, letter, function, command, sign, relation, open, close, comma, or, and, words, end of row, cell.

    `spaced` says that white space stood before it.
    """

    kind: str
    text: str
    spaced: bool = False


_SPACE = re.compile(
    r"(?:\s|~|\\[ ,;:!>\n]|\\(?:q?quad|left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|middle|hfill"
    r"|thinspace|enspace|nobreak|allowbreak|strut|mathstrut|boldmath|rm|bf|it|normalsize|large|Large|hline)(?![A-Za-z])"
    r"|&(?=\s*=))+"
)
_GROUPED = re.compile(
    r"[1-9]\d{0,2}(?P<s>,\\!|\\,|\\!|\\;|\\:|\\ |\{,\}|,|_| |~|\u00a0|')\d{3}(?!\d)(?:(?P=s)\d{3}(?!\d))*"
    r"(?!(?P=s)\d|\d)(?:\.\d+)?"
)
_NUMBER = re.compile(r"\d+(?:\.\d+|\.(?!\w))?|\.\d+")
_REPEATING = re.compile(r"(\d+\.\d*)\((\d{1,30})\)(?!\w)")
_EXPONENT = re.compile(r"[eE]([+-]?\d{1,9})(?![\w])")
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
_LETTERS = re.compile(r"[^\W\d_]+")
_ENVIRONMENT = re.compile(r"\s*\{([A-Za-z*]{1,20})\}(?:\[[^\]]{0,20}\]|\{[lcr|@. ]{1,40}\})?")
_FORMULA = re.compile(r"[=+*/^_\\]")
_WIDE_COMMA = re.compile(r",\s")
_SIGNS = {"**": "^", "<=": "<=", ">=": ">=", "=<": "<=", "==": "=", "!=": "!=", "~=": "~", "=>": "=>", "->": "->"}
_RELATIONS = frozenset(("=", "<", ">", "<=", ">=", "!=", "~"))


def tokens_of(text: str) -> list[Token]:
    """The tokens of an answer.

    Raises:
        TooLarge: it has too many tokens, or a number of too many digits.
        Unread: a sign that means nothing here.
    """
    return _Reader(text, 0).read()


class _Reader:
    def __init__(self, text: str, level: int) -> None:
        self.text = text
        self.level = level
        self.at = 0
        self.groups: list[bool] = []
        self.spaced = False
        self.found: list[Token] = []
        self.is_maths = _FORMULA.search(text) is not None or (len(text) == 2 and text.lower() != "no")
        self.is_wide = _WIDE_COMMA.search(text) is not None

    def read(self) -> list[Token]:
        text, n = self.text, len(self.text)
        while True:
            space = _SPACE.match(text, self.at)
            if space:
                self.at, self.spaced = space.end(), True
            if self.at >= n:
                return self.found
            self._one(text[self.at])
            self.spaced = False
            if len(self.found) > MAX_TOKENS:
                raise TooLarge(f"it has more than {MAX_TOKENS} parts")

    def add(self, kind: str, text: str, length: int = 0) -> None:
        self.found.append(Token(kind, text, self.spaced))
        self.at += length

    def _one(self, char: str) -> None:
        if char.isdigit() or (char == "." and self.text[self.at + 1 : self.at + 2].isdigit()):
            self._number()
        elif char == "\\":
            self._backslash()
        elif char.isalpha():
            self._letters()
        else:
            self._sign(char)

    def _number(self) -> None:
        repeating = _REPEATING.match(self.text, self.at)
        if repeating and repeating[0].isascii():
            self.add("number", repeating[1], len(repeating[0]))
            group = (Token("open", "brace"), Token("number", repeating[2]), Token("close", "brace"))
            self.found.extend((Token("command", "overline"), *group))
            return
        grouped = _GROUPED.match(self.text, self.at)
        if grouped and not self._groups(grouped):
            grouped = None
        found = grouped or _NUMBER.match(self.text, self.at)
        if found is None or not found[0].isascii():
            raise Unread("a digit of another script")
        digits = found[0]
        if grouped:
            head, dot, tail = digits.rpartition(".") if "." in digits else (digits, "", "")
            digits = re.sub(r"\D", "", head) + dot + tail
        if len(digits) > MAX_DIGITS:
            raise TooLarge(f"a number in it has more than {MAX_DIGITS} digits")
        length = len(found[0])
        exponent = _EXPONENT.match(self.text, found.end())
        if exponent:
            digits, length = f"{digits}e{exponent[1]}", length + len(exponent[0])
        self.add("number", digits, length)

    def _groups(self, grouped: re.Match[str]) -> bool:
        """Whether what looks like thousands is: not a list of three-digit numbers, nor a number in base 123."""
        separator = grouped["s"]
        if separator == ",":
            follows = self.text[grouped.end() : grouped.end() + 2]
            if follows[:1] == "," and follows[1:].isdigit():
                return False
            return self.is_wide or not any(self.groups)
        before = self.found[-1] if self.found else None
        is_mixed = self.text[grouped.end() : grouped.end() + 1] == "/"  # 8 131/135
        return separator != " " or not (is_mixed or (before is not None and before.kind == "number"))

    def _letters(self) -> None:
        found = _LETTERS.match(self.text, self.at)
        assert found is not None
        run = found[0]
        before = self.found[-1] if self.found else None
        if before is not None and before.text == "/" and len(self.found) > 1 and self.found[-2].kind == "words":
            before = self.found[-2]
        follows = {"number": "number", "close": "number", "words": "word"}.get(before.kind, "") if before else ""
        if before is not None and before.text == "\\pi" and self.spaced:
            follows = "number"
        is_inch = run == "in" and self.spaced and follows == "number"
        for kind, text in [("words", run)] if is_inch else lexicon.split(run, self.is_maths, follows):
            self.add(kind, text)
            self.spaced = False
        self.at += len(run)

    def _sign(self, char: str) -> None:
        pair = self.text[self.at : self.at + 2]
        if pair in _SIGNS:
            sign = _SIGNS[pair]
            self.add("relation" if sign in _RELATIONS else "sign", sign, 2)
        elif char in "=<>":
            self.add("relation", char, 1)
        elif char in "([{":
            self._open({"(": "round", "[": "square", "{": "brace"}[char], 1)
        elif char in ")]}":
            self._close({")": "round", "]": "square", "}": "brace"}[char], 1)
        elif char in ",;":
            self.add("comma", char, 1)
        elif char == "&":
            self.add("cell", char, 1)
        elif char in "+-*/^_!|:'%$\"?#€£¥₹¢@`.":
            self.add("sign", char, 1)
        else:
            raise Unread(f"the sign {char!a}")

    def _open(self, kind: str, length: int) -> None:
        before = self.found[-1] if self.found else None
        is_argument = kind == "brace" and before is not None and before.kind not in ("relation", "comma")
        self.groups.append(not is_argument)
        self.add("open", kind, length)

    def _close(self, kind: str, length: int) -> None:
        if self.groups:
            self.groups.pop()
        self.add("close", kind, length)

    def _backslash(self) -> None:
        command = _COMMAND.match(self.text, self.at)
        if command is None:
            self._escaped(self.text[self.at + 1 : self.at + 2])
            return
        name, length = command[1], len(command[0])
        if name in ("begin", "end"):
            self._environment(name, length)
        elif name in lexicon.TEXT_COMMANDS:
            self._text(length)
        elif name in lexicon.OPENING:
            self._open(lexicon.OPENING[name], length)
        elif name in lexicon.CLOSING:
            self._close(lexicon.CLOSING[name], length)
        elif name in lexicon.COMMANDS:
            kind, text = lexicon.COMMANDS[name]
            self.add(kind, text, length)
        elif name in lexicon.IGNORED:
            self.at += length
        elif name in lexicon.FUNCTIONS:
            self.add("function", lexicon.FUNCTIONS[name], length)
        elif name in lexicon.LETTERS:
            self.add("letter", f"\\{lexicon.LETTERS[name]}", length)
        else:
            raise Unread(f"the command \\{name[:20]}")

    def _escaped(self, char: str) -> None:
        if char == "{":
            self._open("set", 2)
        elif char == "}":
            self._close("set", 2)
        elif char == "\\":
            self.add("end of row", "\\\\", 2)
        elif char and char in "%$_#&|":
            self.add("sign", char, 2)
        elif char in ("(", ")", "[", "]"):
            self.at += 2  # a math delimiter
        else:
            raise Unread("a lone backslash")

    def _environment(self, which: str, length: int) -> None:
        name = _ENVIRONMENT.match(self.text, self.at + length)
        if name is None:
            raise Unread("an environment without a name")
        kind = name[1].rstrip("*")
        if kind not in lexicon.MATRICES:
            raise Unread(f"the environment {kind}")
        if which == "begin":
            self._open(lexicon.MATRICES[kind], name.end() - self.at)
        else:
            self._close(lexicon.MATRICES[kind], self.text.index("}", self.at) + 1 - self.at)

    def _text(self, length: int) -> None:
        r"""The argument of \text and its like: as words, or as mathematics where there is no word in it."""
        start = self.at + length
        while start < len(self.text) and self.text[start].isspace():
            start += 1
        if self.text[start : start + 1] != "{":
            self.at += length
            return
        end, depth = start, 0
        while end < len(self.text):
            depth += {"{": 1, "}": -1}.get(self.text[end], 0)
            end += 1
            if depth == 0:
                break
        content = self.text[start + 1 : end - 1]
        command = self.text[self.at + 1 : self.at + length]
        before = self.found[-1].kind if self.found else ""
        for token in lexicon.words_in(content, command, before in ("number", "close")):
            if token is None and self.level > 3:
                raise TooLarge("words in it are nested too deeply")
            if token is None:
                self.found.extend(_Reader(content, self.level + 1).read())
            else:
                self.add(*token)
        self.at = end
