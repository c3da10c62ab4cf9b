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

from teachable.verify import hedges
from teachable.verify.boxes import bare, boxes, unwrapped
from teachable.verify.thoughts import spoken

__all__ = ["NO_ANSWER", "Final", "answer_line", "bare", "extract_answer", "final", "spoken", "unwrapped"]

How = Literal["boxed", "tag", "marker", "hashes", "line", "nothing"]

NO_ANSWER = "no answer found"
EMPTY_BOX = "the answer box is empty"
EMPTY_TAG = "the answer tag is empty"
CUT_OFF = "the answer box is never closed"

_TAG = re.compile(r"<(?P<close>/)?answer(?:\s[^<>]{0,200})?>", re.IGNORECASE)
_MARKER = re.compile(
    r"\b(?:answers?|ans)\b(?:[ \t]{1,9}\([^()\n]{0,40}\))?"
    r"[ \t]{0,9}[*_]{0,3}[ \t]{0,9}[:：][ \t]{0,9}(?P<colon>[*_]{0,3})"
    r"|\banswers?(?:[ \t]{1,3}(?:to|for|of|in)[ \t][^\n.:?!]{0,80}?)?"
    r"[ \t]{1,3}(?:is|are|equals|(?:must|should|would|will|could|may|might|can)(?: also| only)? be)"
    r"(?: then| therefore| thus| simply| just| indeed)?(?P<verb>(?![A-Za-z]),?[ \t]{0,9}[:：]?[*_]{0,3})",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[ \t]{0,9}#{0,6}[ \t]{0,9}[*_]{0,3}(?:the |my )?(?:final )?answer[*_]{0,3}[ \t]{0,9}$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"(?<!\S)####(?!#)[ \t]*([^\n]*)")
_NUMBER_ALONE = re.compile(r"[-+−]?[$€£]?[-+−]?[\d,]*[./]?\d+%?\.?")
_NO_VALUE = re.compile(
    r"(?:not|never|right|correct|incorrect|wrong|obvious|clear|unclear|known|given|found|obtained|as follows|that|what|"
    r"in the|derived|based|below|above|determined by)\b",
    re.IGNORECASE,
)
_VALUE_SIGN = re.compile(r"[\d$\\*`\"“=√π∞]|(?<![A-Za-z'])(?!A\b|I\b)[A-Z](?![A-Za-z'])")
# "Some think the answer is 5" and "another answer is 5" mention an answer, "I think the answer is 5" gives one.
_MENTIONS = re.compile(
    r"\b(?:if|whether|unless|another|other|second|alternative|wrong|incorrect|common|tempting|"
    r"(?<!i )(?:thinks?|thought|believes?|says?|said|guess|assumed?|claims?|argues?|suggests?))\b[^.!?\n]{0,30}\Z",
    re.IGNORECASE,
)
_OPENS_CLAUSE = re.compile(
    r"(?:\A|[.!?:\n])[\s*_#]{0,9}(?:(?:so|thus|therefore|hence|finally|actually|no|wait|and|then),?[ \t]{1,3}){0,3}"
    r"(?:(?:the|my|our)[ \t]{1,3})?(?:(?:final|correct|right|actual|real)[ \t]{1,3})?[*_]{0,3}\Z",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<![.\s])[.!?。](?=\s|$)")
_REASON = re.compile(r",?[ \t](?:because|since)\b", re.IGNORECASE)
_STARTERS = re.compile(
    r"(?:this|that|because|the|it|i|we|so|since|therefore|as|option|hence|thus|note|here|in|let|you|explanation|reason|to|if|"
    r"both|all|others?|answer|my|final|these|for|and|but|or|alternatively|maybe|perhaps|however|another)"
)
_ABBREVIATION = re.compile(r"\(?\$?(?:st|[dmj]r|mrs|ms|vs|no|approx|e\.g|i\.e|u\.[sk]|[ap]\.m|prof|sr|mt|ft|fig|eq)")
_DISPLAYS = (("$$", "$$"), (r"\[", r"\]"), ("```", "```"))
_PLACEHOLDER = re.compile(
    r"(?:\\?[.…]+|\\[lc]?dots|(?:\\text\{)?\W*(?:your |the |final |my |insert |here)*(?:answer|result)(?: here)?\W*)",
    re.IGNORECASE,
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
        hedged: it offers alternatives. `answers` then holds the whole text ("5 or 6"), or the boxes that it joins with
            "or"; only a reference of several values can be met (`hedges.alternatives` takes the text apart).
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


def answer_line(text: str, n_lines: int = 1) -> str | None:
    """What follows the last "Answer:", whatever else the response holds; None where nothing does."""
    said = spoken(text)
    end = max((m.end() for m in _MARKER.finditer(said) if m["colon"] is not None), default=-1)
    return _cut(said[end:], n_lines, is_strong=True)[0] or None if end >= 0 else None


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
        if not tag["close"]:
            opened = tag.end()
        elif opened >= 0:
            contents.append((said[opened : tag.start()], tag.end()))
            opened = -1
    if opened >= 0:
        contents.append((said[opened:], len(said)))
    if not contents:
        return None
    return _from_several([(_within_tag(content), end) for content, end in contents], said, "tag", EMPTY_TAG)


def _from_several(contents: list[tuple[str, int]], said: str, how: How, empty: str) -> Final:
    """The commitment of boxes or tags, each (content, where it ends in `said`); "\\boxed{...}" echoes the task."""
    texts = {content: bare(content) for content, _ in contents}
    answers = tuple(dict.fromkeys(text for text in texts.values() if text and not _PLACEHOLDER.fullmatch(text)))
    if not answers or not contents[-1][0].strip():
        return Final((), how, empty)
    if len(answers) == 1:
        return _weighed(answers[0], said[contents[-1][1] :], how)
    joined = any(hedges.joins_with_or(said[end : end + 40]) for _, end in contents[:-1])
    return Final(answers, how, next(filter(None, map(hedges.open_range, answers)), ""), joined)


def _within_tag(content: str) -> str:
    marked = _from_markers(content, content.count("\n") + 1)
    if marked and marked.how == "marker" and marked.answers:
        return marked.answers[-1]
    return "\n".join(line.rstrip() for line in content.splitlines() if line.strip())


def _from_markers(said: str, n_lines: int) -> Final | None:
    """What the last marker that has an answer behind it gives; a last "Answer:" with nothing behind it is no answer."""
    hashes = _hashes(said)
    markers = [(m.start(), m.end(), m["colon"] is not None) for m in _MARKER.finditer(said)]
    headings = [(m.start(), m.end(), True) for m in _HEADING.finditer(said)]
    places = sorted(markers + headings)
    strong = max((end for _, end, is_strong in places if is_strong), default=-1)
    for start, end, is_strong in reversed(places[-20:]):
        if hashes and hashes[1] > end:
            break
        tail = said[end:]
        if not is_strong and not _says_a_value(said[max(0, start - 60) : start], tail[:200], strict=0 <= strong < end):
            continue
        answer, rest = _cut(tail, n_lines, is_strong)
        if not answer:
            return Final((), "nothing")
        return _weighed(answer, rest, "marker")
    if hashes:
        return _weighed(hashes[0], "", "hashes")
    return None


def _hashes(said: str) -> tuple[str, int] | None:
    """GSM8K's answer and its place: the last "####" that is no heading of a section."""
    if "####" not in said:
        return None
    found = [m for m in _HASHES.finditer(said) if m[1].strip()]
    if not found:
        return None
    content = bare(found[-1][1])
    is_last = not said[found[-1].end() :].strip()
    if (is_last or _NUMBER_ALONE.fullmatch(content)) and not _PLACEHOLDER.fullmatch(content):
        return content, found[-1].start()
    return None


def _says_a_value(before: str, tail: str, strict: bool) -> bool:
    """Does "answer is" give an answer? After an "Answer:" line only a clause of its own with a value in it does."""
    line = tail.lstrip().partition("\n")[0]
    if not line or _NO_VALUE.match(line) or _MENTIONS.search(before):
        return False
    return not strict or (_VALUE_SIGN.search(line[:40]) is not None and _OPENS_CLAUSE.search(before) is not None)


def _cut(tail: str, n_lines: int, is_strong: bool) -> tuple[str, str]:
    """The answer at the start of a marker's tail, and what is said after it."""
    start = len(tail) - len(tail.lstrip())
    for left, right in _DISPLAYS:
        if tail.startswith(left, start):
            end = tail.find(right, start + len(left))
            if end >= 0:
                block = tail[start + len(left) : end]
                block = block.partition("\n")[2] if left == "```" and "\n" in block else block
                return bare("\n".join(line.rstrip() for line in block.splitlines() if line.strip())), tail[
                    end + len(right) :
                ]
    kept: list[str] = []
    place = start
    while place < len(tail) and len(kept) < n_lines:
        end = tail.find("\n", place)
        end = len(tail) if end < 0 else end
        kept.extend(line.rstrip() for line in tail[place:end].splitlines() if line.strip())
        place = end + 1
    answer, rest = "\n".join(kept[:n_lines]), tail[place:]
    if n_lines == 1:
        end = _sentence_end(answer, is_strong)
        answer, rest = answer[:end], answer[end:] + "\n" + rest
    return bare(answer), rest


def _sentence_end(line: str, is_strong: bool) -> int:
    """Where the answer on this line ends: at its first sentence, where a second one or a reason goes on about it."""
    head = line[:2000]
    for stop in _SENTENCE_END.finditer(head):
        first, following = head[: stop.start()], head[stop.end() :].split(maxsplit=1)
        word = first.rsplit(None, 1)[-1].lower() if first.strip() else ""
        if not following or not first.strip() or _ABBREVIATION.fullmatch(word):
            continue
        second = following[0].strip("*_,:'\"").lower()
        short = len(first.split()) <= 1 or re.search(r"[\d$\\]", first) is not None
        label = first.strip(" (*_")
        is_label = (
            label.isdigit() if is_strong and len(label) > 1 else len(label) == 1 and (is_strong or label.isalpha())
        )
        if _STARTERS.fullmatch(second) if is_label else (not is_strong or (short and not following[0][0].islower())):
            head = first
            break
    if not is_strong or len(head.split()) <= 1 or re.search(r"[\d$\\]|^\W*[A-Z]\b", head):
        reason = _REASON.search(head)
        if reason and reason.start() > 0:
            head = head[: reason.start()]
    return len(head) if len(head) < min(len(line), 2000) else len(line)


def _from_last_line(said: str, n_lines: int) -> Final:
    body = said.rstrip()
    for left, right in _DISPLAYS:
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
    refused = hedges.open_range(answer)
    goes_on = how in ("boxed", "tag") or rest[:9].lstrip()[:2].lower() == "or"
    joined = hedges.continuation(rest) if goes_on else ""
    if joined:
        return Final((f"{answer} {joined}",), how, refused, True)
    other = hedges.taken_back(answer, rest)
    if other is not None:
        return Final((f"{answer} or {other}".rstrip(),), how, refused, True)
    return Final((answer,), how, refused, hedges.offers_several(answer, prose=how == "line"))
