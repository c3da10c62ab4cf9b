"""The options of a multiple-choice question: from the prompt's `meta["choices"]`, or read out of the question.

`meta["choices"]` is a list of texts (labelled A, B, ..), a mapping of labels to texts, or the mapping
{"label": [..], "text": [..]} that some public sets have. In a question, options are lines ("A. ..", "(A) ..", "a) ..",
"1. ..") or stand in a row ("(A) .. (B) .."); their labels must begin with A or 1 and go on without a gap.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from teachable.records import Prompt
from teachable.verify.boxes import bare

LABELS = string.ascii_uppercase
_NUMERALS = "123456789"
_LINE = re.compile(
    r"^[ \t>*-]{0,9}[*_]{0,2}[(\[]?(?P<label>[A-Za-z]|[1-9])[)\].:][)*_]{0,2}[ \t]{1,9}(?P<text>\S.*)$", re.M
)
_INLINE = re.compile(r"(?:(?<=\s)|\A)(?:[(\[](?P<bracketed>[A-Za-z]|[1-9])[)\]]|(?P<label>[A-Z]|[1-9])[).:](?=\s))\s*")
_TYPESET = re.compile(r"\\(?:text(?:bf|rm|it)?|math(?:bf|rm))\{\s?\(?([A-Z])[).]?\s?\}\s?[).]?(?:\\ |[~\s])*")
_GAP = re.compile(r"\\q?quad(?![A-Za-z])")
_READ_CHARS = 50_000

Options = Mapping[str, str]


def options_of(prompt: Prompt) -> Options:
    """Label -> text of the prompt's options, in their order; empty where none are known."""
    given = prompt.meta.get("choices")
    found = _from_meta(given) if given else {}
    if found:
        return found
    questions = [message["content"] for message in prompt.messages if message["role"] == "user"]
    return next((options for text in reversed(questions) if (options := options_in(text))), {})


def options_in(question: str) -> Options:
    """Label -> text of the options that a question lists; empty where it lists none. The last list counts."""
    text = _GAP.sub("  ", _TYPESET.sub(r" (\1) ", question[-_READ_CHARS:]))
    lines = [(m["label"].upper(), m["text"].strip()) for m in _LINE.finditer(text)]
    found = _last_run(lines)
    if len(found) > 1 and not any(_INLINE.search(each) for each in found.values()):
        return found
    marks = list(_INLINE.finditer(text))
    row = _last_run(
        [
            ((mark["bracketed"] or mark["label"]).upper(), text[mark.end() : end].partition("\n")[0])
            for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)], strict=False)
        ]
    )
    return row if len(row) > max(1, len(found)) else found if len(found) > 1 else {}


def _from_meta(given: Any) -> dict[str, str]:
    if isinstance(given, Mapping):
        labels, texts = given.get("label"), given.get("text")
        if isinstance(labels, Sequence) and isinstance(texts, Sequence) and not isinstance(texts, str):
            return {str(label).strip().upper(): str(text) for label, text in zip(labels, texts, strict=False)}
        return {str(label).strip(" ().").upper(): str(text) for label, text in given.items()}
    if isinstance(given, Sequence) and not isinstance(given, str):
        return {label: _without_label(label, str(text)) for label, text in zip(LABELS, given, strict=False)}
    return {}


def _without_label(label: str, text: str) -> str:
    """The text of an option whose label stands in it as well ("A. Paris")."""
    found = re.match(rf"\s*[(\[]?{label}[)\].:]\s+(?=\S)", text, re.IGNORECASE)
    return text[found.end() :] if found else text


def _plain(text: str) -> str:
    """An option's text without what stands around it, among it the other half of a formula that holds all options."""
    text = bare(text).strip().rstrip(",;")
    return text.strip("$ ") if text.count("$") % 2 else text


def _last_run(labelled: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The last of the lists that begin with A or 1 and go on in order, two options long or longer."""
    best: dict[str, str] = {}
    run: dict[str, str] = {}
    for label, text in labelled:
        order = _NUMERALS if label in _NUMERALS else LABELS
        if label == order[0]:
            run = {}
        elif not run or label != order[len(run) : len(run) + 1] or (order[0] not in run):
            continue
        run[label] = _plain(text)
        if len(run) > 1:
            best = run
    return best
