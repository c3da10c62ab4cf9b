r"""What a cell says: a final answer, a difficulty level, a chat, in the forms that public sets give them.

**Final answers.** A worked text gives its answer in one of two forms: after `####` on its last line (GSM8K), or in its
last \boxed{...} (MATH; braces are balanced). In a column that was recognised as, or mapped to, the answer, row by row:

1. a text with `####` on its last line: what follows is the answer, and the whole text a worked response;
2. a text with a \boxed{...}: its content is the answer; if there is more than the box, the text is a worked response;
3. any other text of a worked column (`solution`, `output`, ...: `columns.WORKED`) is the answer if it is one line of at
   most 100 characters; a longer one is a response without an answer;
4. any other text or number is the answer as it stands.

**Worked responses**, from whatever column, get a last line `Answer: ...` where they give their answer in one of the two
forms above: verifiers read it there, and what is trained on ends as what is evaluated must end. They are verified
against the reference answer like any other before anything trusts them.

**Levels.** Whole numbers from 0 stay as they are, 0 being "nobody said"; the 5 of "Level 5" counts as 5; words count as
very easy 1, easy 2, medium 3, hard 4, very hard 5. If any value of the file is a fraction, negative or above a million,
all numbers are ranked into up to five levels of about as many prompts each, equal values on one level, the lowest value
on level 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Message
from teachable.verify import answer_line, canonical

AS_IT_STANDS, AFTER_HASHES, IN_BOX = "as it stands", "after ####", r"in \boxed{}"
AS_TESTS = "the tests"
MAX_PLAIN_CHARS = 100
MAX_LEVELS = 5
LARGEST_LEVEL = 1_000_000

_HASHES = re.compile(r"(?<!#)####(?!#)[ \t]*(\S.*)")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BARE_BOX = re.compile(r"[^\s${}\\]+")
_LEVEL = re.compile(r"\s*(?:level|lvl|grade)?[\s:_-]*(-?\d+(?:\.\d+)?)\s*", re.IGNORECASE)
_WORDS = {
    "very easy": 1,
    "trivial": 1,
    "easy": 2,
    "simple": 2,
    "medium": 3,
    "moderate": 3,
    "intermediate": 3,
    "hard": 4,
    "difficult": 4,
    "very hard": 5,
    "expert": 5,
}
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}


def final_answer(text: str) -> tuple[str, str] | None:
    r"""The answer that a worked text marks as final, and the form (`AFTER_HASHES` or `IN_BOX`); None without a mark."""
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    hashes = list(_HASHES.finditer(last))
    if hashes:
        return hashes[-1][1].strip(), AFTER_HASHES
    content = _boxed(text)
    return (content, IN_BOX) if content else None


def _boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} (or \fbox{...}, or \boxed 7) on one line; None if it has no end."""
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return None
    start = boxes[-1].end()
    if text[start : start + 1] != "{":
        bare = _BARE_BOX.match(text, start)
        return bare[0].rstrip(".,;") if bare else None
    depth, place = 0, start
    while place < len(text):
        if text[place] == "\\":
            place += 1  # whatever it escapes is no brace that counts
        elif text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return " ".join(text[start + 1 : place].split())
        place += 1
    return None


def read_answer(value: Any, *, worked: bool, where: str) -> tuple[str | None, str, str | None]:
    """The answer in a cell, the form it was given in (empty without an answer), and the worked text, if it is one.

    Args:
        value: the cell.
        worked: the column is known for worked texts.
        where: file and row, for the sentence.

    Raises:
        TeachableError: the cell holds what is no text.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = scalar(value, "answer", where)
    if text is None:
        return None, "", None
    marked = final_answer(text)
    if marked is not None:
        answer, form = marked
        return answer, form, None if form == IN_BOX and _is_only_box(text) else text
    if worked and (len(text.strip()) > MAX_PLAIN_CHARS or "\n" in text.strip()):
        return None, "", text
    return text, AS_IT_STANDS, None


def _is_only_box(text: str) -> bool:
    bare = text.strip().strip("$.").strip()
    return _BOX.match(bare) is not None and bare.endswith("}") and len(list(_BOX.finditer(bare))) == 1


def as_response(text: str) -> str:
    """A worked text that ends with its answer as verifiers read it: on a line `Answer: ...`.

    A text that says so already, or marks no final answer at all, stays as it is.
    """
    marked = final_answer(text)
    if marked is None:
        return text
    answer, form = marked
    said = answer_line(text)
    if said is not None and canonical(said) == canonical(answer):
        return text
    body = text.rstrip()
    if form == AFTER_HASHES:
        body = body[: body.rindex("####")].rstrip()
    return f"{body}\nAnswer: {answer}" if body else f"Answer: {answer}"


def scalar(value: Any, field: str, where: str) -> str | None:
    """A cell as text; None where it is empty, also for a table's NaN, the one value that differs from itself.

    Raises:
        TeachableError: it is no text and no number.
    """
    if value is None or value != value:
        return None
    if not isinstance(value, str | int | float | Decimal):
        raise TeachableError(
            f"the {field} is a {type(value).__name__}",
            where=where,
            mend=f"Write it as text, or take another column with --map {field}=COLUMN",
        )
    text = str(value)
    return text if text.strip() else None


def without_gaps(value: Any) -> Any:
    """A cell of a table as it was meant: an object there has every key of its column, None where it has no value."""
    if isinstance(value, Mapping):
        return {str(key): without_gaps(item) for key, item in value.items() if item is not None}
    return [without_gaps(item) for item in value] if isinstance(value, list | tuple) else value


def levels(values: Sequence[Any]) -> tuple[list[int], str]:
    """The level of every row, and what was done to get there ("" where numbers stayed as they are)."""
    numbers = [_number(value) for value in values]
    known = sorted(number for number in numbers if number is not None)
    note = []
    if any(not number.is_integer() or not 0 <= number <= LARGEST_LEVEL for number in known):
        levels_of = _ranks(known)
        n_levels = len(set(levels_of.values()))
        note.append(f"ranked into {n_levels} level{'' if n_levels == 1 else 's'}")
    else:
        levels_of = {number: int(number) for number in known}
    found = [0 if number is None else levels_of[number] for number in numbers]
    unread = sum(number is None and not _is_blank(value) for number, value in zip(numbers, values, strict=True))
    if unread:
        note.append(f"not understood in {n_rows(unread)}")
    return found, ", ".join(note)


def n_rows(n: int) -> str:
    """A number of rows in words."""
    return f"{n:,} row{'' if n == 1 else 's'}"


def _ranks(ordered: Sequence[float]) -> dict[float, int]:
    """Each value's quantile level: the fifth of the rows in which the middle of its equals stands, made dense."""
    first: dict[float, int] = {}
    count: dict[float, int] = {}
    for place, value in enumerate(ordered):
        first.setdefault(value, place)
        count[value] = count.get(value, 0) + 1
    fifth = {v: int(MAX_LEVELS * (first[v] + (count[v] - 1) / 2) / len(ordered)) for v in first}
    dense = {old: new for new, old in enumerate(sorted(set(fifth.values())), start=1)}
    return {value: dense[level] for value, level in fifth.items()}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or _is_blank(value):
        return None
    if isinstance(value, str):
        word = " ".join(value.lower().replace("_", " ").replace("-", " ").split())
        if word in _WORDS:
            return float(_WORDS[word])
        found = _LEVEL.fullmatch(value)
        value = found[1] if found else None
    if not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_blank(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def chat(value: Sequence[Any], where: str) -> tuple[tuple[Message, ...], str | None]:
    """The turns up to the last question, and the assistant's answer to it where the chat ends with one.

    Turns are `{role, content}` or `{from, value}`; the names of ShareGPT (human, gpt) become those of chat templates.

    Raises:
        TeachableError: a turn lacks its role or its text, or the last question is not the user's.
    """
    turns = [_turn(turn, where) for turn in value]
    answer = turns.pop()["content"] if len(turns) > 1 and turns[-1]["role"] == "assistant" else None
    if turns[-1]["role"] != "user":
        raise TeachableError(
            f"the last message is the {turns[-1]['role']}'s", where=where, mend="End `messages` with a user's turn"
        )
    return tuple(turns), answer


def _turn(turn: Any, where: str) -> Message:
    known = turn if isinstance(turn, Mapping) else {}
    role, content = known.get("role"), known.get("content")
    if role is None and content is None:
        role, content = known.get("from"), known.get("value")
    if not isinstance(role, str) or not isinstance(content, str):
        raise TeachableError("`messages` needs a role and a content in every turn", where=where, mend="Complete it")
    return Message(role=_ROLES.get(role.lower(), role.lower()), content=content)
