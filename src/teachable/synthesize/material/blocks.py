"""The blocks of a text: headings, paragraphs, and what is not to be cut (fences, tables, formulas, environments).

One pass over the lines, in the ways of Markdown, reStructuredText, TeX, or plain text. Words are runs of characters
without white space; in scripts that are written without spaces every character counts as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

Markup: TypeAlias = Literal["plain", "markdown", "rst", "tex"]
Kind: TypeAlias = Literal["heading", "prose", "fixed"]

MAX_BLOCK_LINES = 2000  # after which a formula or an environment that is still open is taken for none

_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}[ \t]*")
_SECTION = re.compile(r"\s*\\(part|chapter|section|subsection|subsubsection|paragraph)\*?\s*[\[{]")
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_BEGIN = re.compile(r"\s*\\begin\{([A-Za-z*]{1,40})\}")
_DISPLAYS = {"$$": "$$", "\\[": "\\]"}
_TABLE = re.compile(r"\s*[|+][-=|+: ].*[|+]\s*|\s*\|.*\|\s*|[^|\n]+(\|[^|\n]*)+")


@dataclass(frozen=True)
class Block:
    """Lines that belong together: a heading of some level, a paragraph, or what is not to be cut."""

    kind: Kind
    text: str
    level: int = 0

    @cached_property
    def n_words(self) -> int:
        return n_words(self.text)


def n_words(text: str) -> int:
    """Words of a text; a character of a script that is written without spaces is one."""
    return len(_UNSPACED.sub(" x ", text).split())


def title_of(heading: Block) -> str:
    """A heading's text without its marks."""
    first = heading.text.strip().splitlines()
    lines = [line for line in first if not _UNDERLINE.fullmatch(line.strip())] or first
    title = lines[0].strip().strip("#").strip()
    found = re.fullmatch(r"\\[a-z]+\*?(?:\[.*?\])?\{(.*)\}.*", title)
    return found[1] if found else title


def is_rule(line: str) -> bool:
    """Whether a line is the rule of a table, such as |---|---| or +---+---+."""
    signs = set(line.strip())
    return "-" in signs and signs <= set("-=:|+ ") and bool(signs & set("|+"))


def fence_of(line: str) -> str:
    """The marks that open a fence on a line; "" where none does."""
    found = _FENCE.match(line)
    return found[1] if found else ""


def blocks(text: str, markup: Markup) -> Iterator[Block]:
    """The blocks of a text. Headings and environments are told in the markup's own way."""
    reader = _Reader(text.split("\n"), markup)
    while not reader.done:
        block = reader.next()
        if block is not None:
            yield block


class _Reader:
    """Goes over the lines once, from block to block."""

    def __init__(self, lines: Sequence[str], markup: Markup) -> None:
        self._lines, self._markup, self._at = lines, markup, 0
        self._closings: dict[str, int] = {}  # what closes a block -> the line that it was last looked for up to
        self._underlines: list[str] = []  # of reStructuredText, in the order of their first use

    @property
    def done(self) -> bool:
        return self._at >= len(self._lines)

    def next(self) -> Block | None:
        """The block that begins at the next line; None where that is empty."""
        line = self._lines[self._at]
        if not line.strip():
            self._at += 1
            return None
        return self._fixed(line) or self._heading(line) or self._paragraph()

    def _take(self, end: int, kind: Kind, level: int = 0) -> Block:
        text = "\n".join(one.rstrip() for one in self._lines[self._at : end]).strip("\n")
        self._at = end
        return Block(kind, text, level)

    def _fixed(self, line: str) -> Block | None:
        """What begins here and is not to be cut: a fence, a displayed formula, an environment, a table."""
        end = self._fence_end(line) or self._display_end(line) or self._environment_end(line) or self._table_end()
        return self._take(end, "fixed") if end else None

    def _fence_end(self, line: str) -> int:
        if self._markup == "tex" or not _FENCE.match(line):
            return 0
        mark = fence_of(line)
        for at in range(self._at + 1, len(self._lines)):
            other = self._lines[at].strip()
            if other.startswith(mark) and not other.strip(mark[0]):
                return at + 1
        return len(self._lines)  # a fence that nobody closed holds all the rest

    def _display_end(self, line: str) -> int:
        stripped = line.strip()
        for opening, closing in _DISPLAYS.items():
            if stripped.startswith(opening):
                if closing in stripped[len(opening) :]:
                    return self._at + 1 if stripped.endswith(closing) else 0
                return self._closed(closing)
        return 0

    def _environment_end(self, line: str) -> int:
        found = _BEGIN.match(line)
        if not found or found[1] == "document":
            return 0
        ending = f"\\end{{{found[1]}}}"
        return self._at + 1 if ending in line else self._closed(ending)

    def _table_end(self) -> int:
        """The line after a table, of which the first two lines look like one."""
        end = self._at
        while end < len(self._lines) and _TABLE.fullmatch(self._lines[end]):
            end += 1
        ruled = any(is_rule(one) for one in self._lines[self._at : end])
        framed = self._lines[self._at].strip().startswith("|")
        return end if end - self._at >= 2 and (ruled or framed) else 0

    def _closed(self, closing: str) -> int:
        """The line after the next one that holds `closing`; 0 where none does soon, since it was no opening then."""
        known = self._closings.get(closing, 0)
        if known <= self._at:
            last = min(len(self._lines), self._at + MAX_BLOCK_LINES)
            known = next((at for at in range(self._at + 1, last) if closing in self._lines[at]), last)
            self._closings[closing] = known
        return known + 1 if known < len(self._lines) and closing in self._lines[known] else 0

    def _heading(self, line: str) -> Block | None:
        following = self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""
        if self._markup == "markdown":
            found = _ATX.match(line)
            if found:
                return self._take(self._at + 1, "heading", len(found[1]))
            if _SETEXT.fullmatch(following) and not line.lstrip().startswith(("-", "*", "+", ">")):
                return self._take(self._at + 2, "heading", 1 if "=" in following else 2)
        if self._markup == "tex" and (found := _SECTION.match(line)):
            return self._take(self._at + 1, "heading", _TEX_LEVELS.index(found[1]) + 1)
        if self._markup == "rst":
            return self._underlined(line, following)
        return None

    def _underlined(self, line: str, following: str) -> Block | None:
        """A title of reStructuredText, with its line below or with one above and one below."""
        over = _UNDERLINE.fullmatch(line)
        title = following if over else line
        at = self._at + (2 if over else 1)
        below = self._lines[at] if at < len(self._lines) else ""
        found = _UNDERLINE.fullmatch(below)
        if not found or not title.strip() or len(below.strip()) < len(title.strip()):
            return None
        mark = found[1] * (2 if over else 1)
        if mark not in self._underlines:
            self._underlines.append(mark)
        return self._take(at + 1, "heading", self._underlines.index(mark) + 1)

    def _paragraph(self) -> Block:
        """Lines up to an empty one, or to one that begins another kind of block."""
        end = self._at + 1
        while end < len(self._lines) and self._lines[end].strip() and not self._begins_another(self._lines[end]):
            end += 1
        return self._take(end, "prose")

    def _begins_another(self, line: str) -> bool:
        if self._markup == "tex":
            return bool(_SECTION.match(line) or _BEGIN.match(line)) or line.strip() in _DISPLAYS
        return bool(_FENCE.match(line)) or (self._markup == "markdown" and bool(_ATX.match(line)))
