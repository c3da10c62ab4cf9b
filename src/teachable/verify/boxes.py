r"""What LaTeX and Markdown put around an answer: \boxed{..}, dollars, emphasis, \text{..}.

Braces are counted, never matched by a pattern, so that any nesting is read in linear time; an escaped brace is a
character like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOX = re.compile(r"\\++(?P<box>(?:boxed|fbox)(?![A-Za-z]))?|(?<![A-Za-z\\])(?P<bare>boxed)(?=\{)|[{}]")
_WITHOUT_BRACE = re.compile(r"[ \t]{0,9}(\\?[^\s$\\]{1,200}(?:\\[a-zA-Z]{1,20}[^\s$\\]{0,200}){0,6})")
_INNER_BOX = re.compile(r"\\+(?:boxed|fbox)\s{0,9}\{")
_BRACES = re.compile(r"\\++|[{}]")
_PAIRS = (("**", "**"), ("__", "__"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"))
_TEXT_COMMAND = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|mbox|operatorname)\s{0,9}\{")
_PLACEHOLDER = re.compile(
    r"(?:\\?[.…]+|\\[lc]?dots|(?:\\text\{)?\W*(?:your |the |final |my |insert |here)*(?:answer|result)(?: here)?\W*)",
    re.IGNORECASE,
)
_EDGES = ".,;:。"
_NEEDLESS_STOP = re.compile(r"(?<=[\w)}\]%°])[.,;:。]\Z")
_WORD = re.compile(r"(?<!\\)[A-Za-z]{2}")


@dataclass(frozen=True)
class Box:
    """A box: its content without the braces (None when it is never closed), where it starts and where it ends."""

    content: str | None
    start: int
    end: int


def boxes(said: str) -> list[Box]:
    r"""The outermost boxes, \boxed{..}, \fbox{..} or \boxed 5, in their order; one never closed only as the last."""
    found: list[tuple[int, int, int]] = []  # where a box starts, its content starts, and its content ends
    stack: list[tuple[int, int]] = []  # for every open brace where its box starts, or -1, and where its content starts
    waiting, skip = -1, -1
    for token in _BOX.finditer(said):
        start, end = token.span()
        if start == skip:
            continue
        if token["box"] or token["bare"]:
            if said[end : end + 9].lstrip()[:1] == "{":
                waiting = start
            else:
                content = _WITHOUT_BRACE.match(said, end)
                found.append((start, *(content.span(1) if content else (end, end))))
        elif token[0] == "{":
            stack.append((waiting, end))
            waiting = -1
        elif token[0] == "}":
            box, opened = stack.pop() if stack else (-1, -1)
            if box >= 0:
                while found and found[-1][0] > box:
                    found.pop()  # a box within this one
                found.append((box, opened, start))
        elif (end - start) % 2 and said[end : end + 1] in "{}":
            skip = end  # an escaped brace is a character
    closed = [_box(said, *place) for place in found]
    unclosed = max((start for start, _ in stack), default=-1)
    if unclosed >= 0 and (not found or unclosed > found[-1][0]):
        closed.append(Box(None, unclosed, len(said)))
    return closed


def _box(said: str, start: int, opened: int, stop: int) -> Box:
    content = said[opened:stop]
    if said[opened - 1] != "{":
        return Box(content.rstrip(".,;"), start, stop)
    for _ in range(3):  # a box that is all that this one holds
        inner = _INNER_BOX.match(content)
        if inner is None or not content.endswith("}") or closing(content, inner.end() - 1) != len(content) - 1:
            break
        content = content[inner.end() : -1].strip()
    return Box(content, start, stop + 1)


def closing(text: str, opening: int) -> int:
    """The place of the brace that closes the one at `opening`; -1 without one."""
    depth, skip = 0, -1
    for token in _BRACES.finditer(text, opening):
        if token.start() == skip:
            continue
        if token[0][0] == "\\":
            skip = token.end() if len(token[0]) % 2 else -1
            continue
        depth += 1 if token[0] == "{" else -1
        if depth == 0:
            return token.start()
    return -1


def is_placeholder(text: str) -> bool:
    """Does a box or a tag only echo the task ("...", "your answer here")?"""
    return _PLACEHOLDER.fullmatch(text) is not None


def unwrapped(answer: str) -> str:
    r"""An answer without a \text{..} (or \mathrm, \boxed, ..) that holds all of it."""
    text = answer.strip()
    for _ in range(5):
        opening = _TEXT_COMMAND.match(text)
        if opening is None or not text.endswith("}") or closing(text, opening.end() - 1) != len(text) - 1:
            break
        text = bare(text[opening.end() : -1])
    return text or answer.strip()


def bare(text: str) -> str:
    """Text without mathematics delimiters, emphasis and quoting marks around all of it, nor a full stop after those."""
    text = text.strip()
    if text.count("**") % 2:  # one half of a pair that began or ends elsewhere
        text = (text.removesuffix("**") if text.endswith("**") else text.removeprefix("**")).strip() or text
    if text.endswith("$$") and text.count("$$") == 1:
        text = text[:-2].rstrip() or text
    for _ in range(6):
        inner = text.rstrip(_EDGES).rstrip()
        for left, right in _PAIRS:
            if len(inner) > len(left) + len(right) and inner.startswith(left) and inner.endswith(right):
                core = inner[len(left) : -len(right)]
                if left not in core and right not in core and core.strip():
                    text = core.strip()
                    break
        else:
            break
    # "6." is 6, but a sentence keeps its full stop, 0.33... its dots, and a row of a grid its cells.
    if "\n" not in text and _NEEDLESS_STOP.search(text) and not _WORD.search(text):
        return text[:-1]
    return text
