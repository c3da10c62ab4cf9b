"""The words that mark an answer: "Answer: ..", "the answer is ..", a heading, a field of JSON, and GSM8K's "####".

A *strong* marker has a colon or is a heading, and its answer is the rest of its line. "The answer is .." is a weak one,
as it may be talk ("the answer is clear", "some think the answer is 5"): its answer is what looks like one, up to the
end of the sentence. Time is linear in the text's length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

from teachable.verify.boxes import bare, is_placeholder

DISPLAYS = (("$$", "$$"), (r"\[", r"\]"), ("```", "```"))
_MARKER = re.compile(
    r"(?<![^\W_])(?:answers?|ans|réponse|respuesta|resposta|risposta|antwort|ответ)(?![^\W_])"
    r"(?:[ \t]{1,9}\([^()\n]{0,40}\))?[ \t]{0,9}[*_]{0,3}[ \t]{0,9}[:：][ \t]{0,9}(?P<colon>(?:\*{1,3}|__(?!_))?)"
    r"|\banswers?(?:[ \t]{1,3}(?:to|for|of|in)[ \t][^\n.:?!]{0,80}?)?"
    r"(?:[ \t]{1,3}(?:is|are|equals|(?:must|should|would|will|could|may|might|can)(?: also| only)? be)"
    r"(?: then| therefore| thus| simply| just| indeed)?(?![A-Za-z]),?[ \t]{0,9}[:：]?|[ \t]{0,9}=(?!=))[*_]{0,3}"
    r"|(?:答案|答え|정답)[ \t]{0,3}(?:是|为|為|は|은|는)?[ \t]{0,3}[:：]?[*_]{0,3}",
    re.IGNORECASE,
)
_JSON = re.compile(
    r'"(?:final_?)?answer"\s{0,9}:\s{0,9}(?P<value>"(?P<text>(?:[^"\\\n]|\\.){0,2000})"|(?P<plain>[^,}"\n]{1,200}))',
    re.I,
)
_UNESCAPED = re.compile(r'\\([\\"/])')
_OPENINGS = tuple(left for left, _ in DISPLAYS)
_SIGN = re.compile(r"[^\W_]|[∞√∅]")
_HEADING = re.compile(
    r"^[ \t]{0,9}#{0,6}[ \t]{0,9}[*_]{0,3}(?:the |my )?(?:final )?answer[*_]{0,3}[ \t]{0,9}$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"(?<!\S)####(?!#)[ \t]*([^\n]*)")
_NUMBER_ALONE = re.compile(r"[-+−]?[$€£]?[-+−]?[\d,]*[./]?\d+%?\.?")
_NO_VALUE = re.compile(
    r"(?:not|never|right|correct|incorrect|wrong|obvious|clear|unclear|known|given|found|obtained|as follows|that|what|"
    r"in the|derived|based|below|above|determined by|left to)\b",
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
_REASON = re.compile(
    r"[ \t,;(–—-]{1,4}(?<![A-Za-z0-9])(?:because|since|which|where|"
    r"as (?:required|desired|expected|needed|claimed|shown|stated))\b",
    re.IGNORECASE,
)
_ROUGHLY = re.compile(
    r"(?:(?:approximately|about|roughly|around|nearly|exactly|precisely|simply|just|equal to)\s{1,3}|[≈∼~]\s{0,3}|"
    r"\\(?:approx|sim)\s{1,3})(?=[$\\]{0,3}[-+−]?[$€£]?[\d.√π])",
    re.IGNORECASE,
)
_STARTERS = re.compile(
    r"(?:this|that|because|the|it|i|we|so|since|therefore|as|option|hence|thus|note|here|in|let|you|explanation|reason|to|if|"
    r"both|all|others?|answer|my|final|these|for|and|but|or|alternatively|maybe|perhaps|otherwise|however|another)"
)
_ABBREVIATION = re.compile(r"\(?\$?(?:st|[dmj]r|mrs|ms|vs|no|approx|e\.g|i\.e|u\.[sk]|[ap]\.m|prof|sr|mt|ft|fig|eq)")


@dataclass(frozen=True)
class Marked:
    """An answer that a marker points to (empty where nothing follows it), and what is said after it."""

    answer: str
    rest: str
    how: Literal["marker", "hashes"]


def last_marked(said: str, n_lines: int) -> Marked | None:
    """What the last marker of an answer gives; None where the text has no marker."""
    fixed = max(filter(None, (_hashes(said), _in_json(said))), key=itemgetter(0), default=None)
    words = [(m.start(), m.end(), m["colon"] is not None) for m in _MARKER.finditer(said)]
    headings = [(m.start(), m.end(), True) for m in _HEADING.finditer(said)]
    places = sorted(words + headings)
    strong = max((end for _, end, is_strong in places if is_strong), default=-1)
    for start, end, is_strong in reversed(places[-20:]):
        if fixed and fixed[0] > end:
            break
        tail = said[end:]
        if not is_strong and not _says_a_value(said[max(0, start - 60) : start], tail[:200], strict=0 <= strong < end):
            continue
        return Marked(*_cut(tail, n_lines, is_strong), "marker")
    return fixed[1] if fixed else None


def answer_line(said: str, n_lines: int, whole: bool = False) -> str | None:
    """What follows the last "Answer:", with `whole` to the end of its line or lines; None where nothing does."""
    end = max((m.end() for m in _MARKER.finditer(said) if m["colon"] is not None), default=-1)
    if end < 0:
        return None
    if whole:
        return bare("\n".join([line.rstrip() for line in said[end:].splitlines() if line.strip()][:n_lines])) or None
    return _cut(said[end:], n_lines, is_strong=True)[0] or None


def _in_json(said: str) -> tuple[int, Marked] | None:
    """The field "answer" of an object written as JSON, and its place."""
    found = list(_JSON.finditer(said)) if '"' in said else []
    if not found:
        return None
    value = (found[-1]["text"] or found[-1]["plain"] or "").strip()
    return found[-1].start("value"), Marked(bare(_UNESCAPED.sub(r"\1", value)), "", "marker")


def _hashes(said: str) -> tuple[int, Marked] | None:
    """GSM8K's answer and its place: the last "####" that is no heading of a section."""
    if "####" not in said:
        return None
    found = [m for m in _HASHES.finditer(said) if m[1].strip()]
    if not found:
        return None
    content = bare(found[-1][1])
    is_last = not said[found[-1].end() :].strip()
    if (is_last or _NUMBER_ALONE.fullmatch(content)) and not is_placeholder(content):
        return found[-1].start(), Marked(content, "", "hashes")
    return None


def _says_a_value(before: str, tail: str, strict: bool) -> bool:
    """Does "answer is" give an answer? After an "Answer:" line only a clause of its own with a value in it does."""
    line = tail.lstrip().partition("\n")[0]
    if not (_SIGN.search(line) or line.strip() in _OPENINGS) or _NO_VALUE.match(line) or _MENTIONS.search(before):
        return False
    return not strict or (_VALUE_SIGN.search(line[:40]) is not None and _OPENS_CLAUSE.search(before) is not None)


def _cut(tail: str, n_lines: int, is_strong: bool) -> tuple[str, str]:
    """The answer at the start of a marker's tail, and what is said after it."""
    start = len(tail) - len(tail.lstrip(" \t\n\r}"))  # a brace closes \\text{Answer: }
    for left, right in DISPLAYS:
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
    answer = bare(answer)
    roughly = _ROUGHLY.match(answer)
    return (bare(answer[roughly.end() :]) if roughly else answer), rest


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
