r"""The final answer that a response commits to, which every verifier that compares answers starts from.

Only what is *said* counts: text inside <think>..</think> and its relatives is dropped first (`spoken`). Of the rest,
in this order:

1. "boxed": \boxed{..} or \fbox{..} with balanced braces, or \boxed 5. Several different boxes are several answers
   for the verifier to weigh; a last box that is empty, or that the token limit cut off, is no answer.
2. "tag": <answer>..</answer>; without its closing tag to the end, as stop sequences leave it.
3. "marker" and "hashes", whichever stands last: "Answer: ..", "the final answer is ..", a heading "Answer" with the
   answer below it; and GSM8K's "#### ..".
4. "line": the last line with anything on it.

A commitment that goes on with "or ..", or that is taken back further on ("or it could be 7"), is `hedged`: its answer
is then the whole text with all alternatives. "any of 1, 2, 3" is `refused` whatever the reference is (see `hedges`).

Time is linear in the text's length: every pattern is anchored at a literal and bounded, and nothing is searched twice.

What it does not protect against: a last line that happens to hold the answer, and an answer that is taken back in words
that are not foreseen here ("no, that was wrong" after a box).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from teachable.verify import hedges, markers
from teachable.verify.boxes import bare, boxes, is_placeholder, unwrapped
from teachable.verify.thoughts import spoken

__all__ = ["NO_ANSWER", "Final", "answer_line", "bare", "extract_answer", "final", "spoken", "unwrapped"]

How = Literal["boxed", "tag", "marker", "hashes", "line", "nothing"]

NO_ANSWER = "no answer found"
EMPTY_BOX = "the answer box is empty"
EMPTY_TAG = "the answer tag is empty"
CUT_OFF = "the answer box is never closed"

_TAG = re.compile(
    r"<(?P<close>/)?(?:final[_ -]?)?answer(?:\s[^<>]{0,200})?>|\[(?P<close2>/)?(?:FINAL[_ ])?ANSWER\]", re.IGNORECASE
)


@dataclass(frozen=True)
class Final:
    """What a response commits to.

    Attributes:
        answers: the answers as written, without mathematics delimiters and emphasis around them, in their order;
            usually one. Several only where several different boxes (or tags) stand; equal ones count once. Empty where
            there is none.
        how: where it was found.
        refused: why this is no commitment, whatever the reference is; empty where it is one.
        hedged: it offers alternatives, or denies or doubts the value that it names. `answers` then holds the whole text
            ("5 or 6"), or the boxes that it joins with "or"; only a reference of several values, or of the same words,
            can be met (`hedges.alternatives` takes the text apart).
    """

    answers: tuple[str, ...]
    how: How
    refused: str = ""
    hedged: bool = False


def final(text: str, n_lines: int = 1) -> Final:
    """The final answer of a response; see the module for the order in which it is looked for.

    Args:
        text: the whole response.
        n_lines: how many lines an answer after a marker, or at the end, may take (a grid takes several).
    """
    said = spoken(text)
    return _from_boxes(said) or _from_tags(said) or _from_markers(said, n_lines) or _from_last_line(said, n_lines)


def extract_answer(text: str, n_lines: int = 1) -> str | None:
    """The last answer of `final(text, n_lines)` as plain text, or None when it gives none."""
    answers = final(text, n_lines).answers
    return unwrapped(answers[-1]) if answers else None


def answer_line(text: str, n_lines: int = 1, whole: bool = False) -> str | None:
    """What follows the last "Answer:", whatever else the response holds; None where nothing does.

    With `whole` that is all of the line: "5, because .." and not 5.
    """
    return markers.answer_line(spoken(text), n_lines, whole)


def _from_boxes(said: str) -> Final | None:
    if "boxed" not in said and "fbox" not in said:
        return None
    found = boxes(said)
    if not found:
        return None
    if found[-1].content is None:
        return Final((), "boxed", CUT_OFF)
    return _from_several([(box.content, box.end) for box in found if box.content is not None], said, "boxed", EMPTY_BOX)


def _from_tags(said: str) -> Final | None:
    contents: list[tuple[str, int]] = []
    opened = -1
    for tag in _TAG.finditer(said):
        if not (tag["close"] or tag["close2"]):
            opened = tag.end()
        elif opened >= 0:
            contents.append((said[opened : tag.start()], tag.end()))
            opened = -1
    if opened >= 0:
        contents.append((said[opened:], len(said)))
    if not contents:
        return None
    return _from_several(contents, said, "tag", EMPTY_TAG)


def _from_several(contents: list[tuple[str, int]], said: str, how: How, empty: str) -> Final:
    """The commitment of boxes or tags, each (content, where it ends in `said`); "\\boxed{...}" echoes the task."""
    texts = {content: bare(_within(content)) for content, _ in contents}
    answers = tuple(dict.fromkeys(text for text in texts.values() if text and not is_placeholder(text)))
    if not answers or not contents[-1][0].strip():
        return Final((), how, empty)
    if len(answers) == 1:
        return _weighed(answers[0], said[contents[-1][1] :], how)
    joined = any(hedges.joins_with_or(said[end : end + 40]) for _, end in contents[:-1])
    return Final(answers, how, next(filter(None, map(hedges.open_range, answers)), ""), joined)


def _within(content: str) -> str:
    """What a box or a tag holds, without an "Answer:" of its own and without empty lines."""
    marked = markers.last_marked(content, content.count("\n") + 1) if "answer" in content.lower() else None
    if marked and marked.how == "marker" and marked.answer:
        return marked.answer
    return "\n".join(line.rstrip() for line in content.splitlines() if line.strip())


def _from_markers(said: str, n_lines: int) -> Final | None:
    found = markers.last_marked(said, n_lines)
    if found is None:
        return None
    return _weighed(found.answer, found.rest, found.how) if found.answer else Final((), "nothing")


def _from_last_line(said: str, n_lines: int) -> Final:
    body = said.rstrip()
    for left, right in markers.DISPLAYS:
        if body.endswith(right) and (start := body.rfind(left, 0, len(body) - len(right))) >= 0:
            inner = body[start + len(left) : -len(right)]
            if "\n" in inner and (lines := [line.rstrip() for line in inner.splitlines() if line.strip()]):
                answer = bare("\n".join(lines if n_lines > 1 or left != "```" else lines[-1:]))
                return _weighed(answer, "", "line")
    kept: list[str] = []
    for line in reversed(body[-200_000:].splitlines()):
        if line.strip():
            kept.append(line.strip())
        if len(kept) == n_lines:
            break
    answer = bare("\n".join(reversed(kept)))
    return _weighed(answer, "", "line") if answer else Final((), "nothing")


def _weighed(answer: str, rest: str, how: How) -> Final:
    """The commitment to one answer, in the light of what it says itself and of what is said after it."""
    if how in ("marker", "line") and "\n" not in answer:
        answer = hedges.without_aside(answer)
    refused = hedges.open_range(answer)
    goes_on = how in ("boxed", "tag") or rest[:9].lstrip()[:2].lower() == "or"
    joined = hedges.continuation(rest) if goes_on else ""
    if joined:
        return Final((f"{answer} {joined}",), how, refused, True)
    other = hedges.taken_back(answer, rest)
    if other is not None:
        return Final((f"{answer} or {other}".rstrip(),), how, refused, True)
    return Final((answer,), how, refused, hedges.offers_several(answer, prose=how == "line"))
