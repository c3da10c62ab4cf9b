"""Multiple-choice benchmarks: MMLU, MMLU-Pro, GPQA. The verifier `choice` decides.

GPQA publishes the right option apart from the wrong ones; they are put in the order of a hash of the question and the
option, which is the same in every run, and as good as random to a model. The others keep their published order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from teachable.records import content_id
from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.spec import Question
from teachable.verify.options import LABELS

MMLU_COLUMNS = ("question", "A", "B", "C", "D", "answer")
_PADDING = "N/A"  # fills MMLU-Pro's lists of options up to ten
_SPLIT_WORDS = re.compile(r"_?(?:test|val|dev)$|^(?:test|val|dev)_?|-\d{5}-of-\d{5}")


def mmlu(cells: Cells) -> Question:
    """`question`, `subject`, `choices` and `answer` (its index); or columns `A` to `D` and the letter of the answer."""
    if cells.has("choices"):
        options = cells.texts("choices")
        right = _index(cells, options, "answer")
    else:
        options = [cells.text(letter) for letter in "ABCD"]
        letter = cells.text("answer").strip().upper()
        if letter not in LABELS[:4]:
            cells.refuse("answer", f"is {letter[:40]!r}, where a letter from A to D is needed")
        right = LABELS.index(letter)
    subject = cells.optional("subject") or _subject_of(cells.place)
    return _question(cells.text("question"), options, right, subject)


def mmlu_pro(cells: Cells) -> Question:
    """`question`, `options` (up to ten), `answer_index` and the same as a letter in `answer`, `category`."""
    options = cells.texts("options")
    while len(options) > 1 and options[-1].strip() == _PADDING:
        options.pop()
    right = _index(cells, options, "answer_index")
    if cells.has("answer") and cells.text("answer").strip().upper() != LABELS[right]:
        cells.refuse("answer", f"is {cells.text('answer')[:40]!r}, while `answer_index` says {LABELS[right]}")
    return _question(cells.text("question"), options, right, cells.optional("category"))


def gpqa(cells: Cells) -> Question:
    """`Question`, `Correct Answer`, `Incorrect Answer 1` to `3`, `High-level domain`."""
    question = cells.text("Question").strip()
    names = ("Correct Answer", *(f"Incorrect Answer {number}" for number in (1, 2, 3)))
    published = [cells.text(name).strip() for name in names]
    order = sorted(range(4), key=lambda place: (content_id(question, published[place]), place))
    options = [published[place] for place in order]
    return _question(question, options, order.index(0), cells.optional("High-level domain", "Subdomain"))


def _index(cells: Cells, options: Sequence[str], name: str) -> int:
    """The place of the right option, which the data gives as a number or, in copies of it, as a letter."""
    text = cells.text(name).strip().upper()
    right = LABELS.index(text) if len(text) == 1 and text in LABELS else cells.whole(name)
    if not 0 <= right < min(len(options), len(LABELS)):
        cells.refuse(name, f"is {right}, while there are {len(options)} options, counted from 0")
    return right


def _question(question: str, options: Sequence[str], right: int, subject: str) -> Question:
    labelled = {label: text.strip() for label, text in zip(LABELS, options, strict=False)}
    listed = "\n".join(f"{label}. {text}" for label, text in labelled.items())
    fields = {"question": question.strip(), "options": listed}
    return Question(fields, LABELS[right], needs={"choices": labelled}, subject=subject)


def _subject_of(place: PurePath) -> str:
    """The subject in a file's name or its folder's: `anatomy_test.csv`, `anatomy/test-00000-of-00001.parquet`."""
    names = [_SPLIT_WORDS.sub("", name) for name in (place.stem, place.parent.name)]
    subject = next((name for name in names if name and name != "all"), "")
    return subject.replace("_", " ") if subject != "mmlu" else ""
