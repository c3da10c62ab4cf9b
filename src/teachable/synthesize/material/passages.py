"""Cut a text into passages: at headings first, then between paragraphs, and only at need between sentences.

What belongs together stays together: fenced code, tables, displayed formulas and the environments of TeX are never cut
where they have up to twice the words of a passage. One that is longer is cut between lines; each part of a fence is
fenced again, and each part of a Markdown table has its head. A heading is never the last line of a passage.

Words are runs of characters without white space; in scripts that are written without spaces every character counts as
one. Time is linear in the text's length.

What it does not do: tell a heading that is only set in bold, follow the structure of a table without its lines, or
notice that a passage needs the one before it to be understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from teachable.synthesize.config import DocumentsConfig
from teachable.synthesize.material.blocks import Block, Markup, blocks, fence_of, is_rule, n_words, title_of

LONGEST_WHOLE = 2  # times the words of a passage: how long a table or a piece of code may be and stay whole

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]{0,2}\s+(?=[\"'“‘(\[]{0,2}[^\sa-z])|(?<=[。！？])|\n(?=\s*(?:[-*+]|\d+[.)])\s)"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|al|Fig|Eq|No|Dr|Mr|Mrs|Ms|Prof|St|ca|approx|pp?|vol|Sec|Ch)|\b[A-Z])\.\Z"
)


@dataclass(frozen=True)
class Passage:
    """A part of a text, and the headings that it stands under, the highest first."""

    text: str
    headings: tuple[str, ...] = ()


def passages(text: str, markup: Markup, config: DocumentsConfig) -> list[Passage]:
    """The passages of a text, in its order. Together they hold all of it; some may be shorter than `min_words`.

    A passage has at most `max_words` words, unless it is one block that must not be cut.
    """
    found: list[Passage] = []
    path: list[Block] = []  # the headings that what comes stands under
    held: list[Block] = []
    above: tuple[str, ...] = ()
    for block in _fitting(blocks(text, markup), config.max_words):
        if block.kind == "heading":
            path = [one for one in path if one.level < block.level]
        trailing = _trailing_headings(held)
        n_held = sum(one.n_words for one in held)
        ends_here = block.kind == "heading" and not trailing and 2 * n_held >= config.max_words
        too_long = n_held + block.n_words > config.max_words
        if too_long and len(trailing) == len(held):
            trailing = []  # nothing but headings
        if held and (ends_here or too_long):
            found.append(_passage(held[: len(held) - len(trailing)], above))
            held = list(trailing)
            above = tuple(title_of(one) for one in path if one not in held)
        if not held:
            above = tuple(title_of(one) for one in path)
        held.append(block)
        if block.kind == "heading":
            path.append(block)
    if held:
        found.append(_passage(held, above))
    return _with_short_ends(found, config)


def _with_short_ends(found: Sequence[Passage], config: DocumentsConfig) -> list[Passage]:
    """The passages, a short one joined to that before it where both fit into one."""
    joined: list[Passage] = []
    for one in found:
        words = n_words(one.text)
        if joined and words < config.min_words and n_words(joined[-1].text) + words <= config.max_words:
            joined[-1] = Passage(f"{joined[-1].text}\n\n{one.text}", joined[-1].headings)
        else:
            joined.append(one)
    return joined


def _passage(blocks: Sequence[Block], above: tuple[str, ...]) -> Passage:
    return Passage("\n\n".join(block.text for block in blocks), above)


def _trailing_headings(blocks: Sequence[Block]) -> list[Block]:
    """The headings at the end, which belong to what comes."""
    trailing: list[Block] = []
    for block in reversed(blocks):
        if block.kind != "heading":
            break
        trailing.insert(0, block)
    return trailing


def _fitting(blocks: Iterator[Block], max_words: int) -> Iterator[Block]:
    """The blocks, those that are too long in parts."""
    for block in blocks:
        n = block.n_words
        if block.kind == "fixed" and n > LONGEST_WHOLE * max_words:
            yield from (Block("fixed", part) for part in _line_parts(block.text, max_words))
        elif block.kind == "prose" and n > max_words:
            yield from (Block("prose", part) for part in _sentence_parts(block.text, max_words))
        else:
            yield block


def _sentence_parts(text: str, max_words: int) -> Iterator[str]:
    """A paragraph in parts that end where sentences end; a sentence of more words is cut between words."""
    pieces = (piece for sentence in sentences(text) for piece in _word_parts(sentence, max_words))
    return _packed(pieces, max_words, " ")


def _packed(pieces: Iterator[str], max_words: int, joint: str) -> Iterator[str]:
    held: list[str] = []
    n_held = 0
    for piece in pieces:
        n = n_words(piece)
        if held and n_held + n > max_words:
            yield joint.join(held)
            held, n_held = [], 0
        held.append(piece)
        n_held += n
    if held:
        yield joint.join(held)


def _word_parts(sentence: str, max_words: int) -> Iterator[str]:
    if n_words(sentence) <= max_words:
        yield sentence
        return
    words = sentence.split()
    if len(words) * 2 < n_words(sentence):  # a script without spaces
        yield from (sentence[at : at + max_words] for at in range(0, len(sentence), max_words))
        return
    yield from _packed(iter(words), max_words, " ")


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, told by their ends; an abbreviation that is known ends none."""
    found: list[str] = []
    begin = 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATED.search(text, max(begin, end.start() - 12), end.start()):
            continue
        found.append(text[begin : end.end()].strip())
        begin = end.end()
    found.append(text[begin:].strip())
    return [one for one in found if one]


def _line_parts(text: str, max_words: int) -> Iterator[str]:
    """A fence, a table or a formula in parts between lines, each complete in itself as far as that can be."""
    lines = text.splitlines()
    head: list[str] = []
    tail: list[str] = []
    if fence_of(lines[0]):
        head = lines[:1]
        closed = len(lines) > 1 and lines[-1].strip() == fence_of(lines[0])
        tail = [fence_of(lines[0])]
        lines = lines[1:-1] if closed else lines[1:]
    elif len(lines) > 1 and is_rule(lines[1]):
        head, lines = lines[:2], lines[2:]
    for part in _packed(iter(lines), max_words, "\n"):
        yield "\n".join([*head, part, *tail])
