"""What is trained on must not hold what is evaluated on: the rule, and which rows break it.

A training row breaks the rule when a text of it overlaps a held-out question in one of these ways, looked for in this
order, the first one found told:

- `same content`: both are procedural and have one content key, whatever their phrasing. The key alone decides between
  two such questions: "What is 12 + 34?" and "What is 13 + 34?" share all words but one, and are two questions.
- `equal`: the same text after normalisation (case, white space, Unicode forms; for words, punctuation too).
- `near-duplicate`: the Jaccard similarity of their telling character 5-grams is 0.8 or more, and every number of the
  question stands in the text.
- `contains`: the text holds the whole of a question of 5 to 12 words, 3 of which tell something. Where the words go on
  as a sum does ("5 + 3" in "5 + 3 - 2"), it is another question.
- `part`: the whole of a user message of 8 to 12 words, 8 of which tell something, stands in a question.
- `shared run`: 13 words in a row stand in both, 8 of which tell something.

Responses are looked through for questions that they contain and for shared runs, apart from what they repeat of their
row's own prompt. What belongs to a template tells nothing: character 5-grams, and words in runs of three, that stand in
a tenth of a benchmark's questions (at least in 20 of them, or in half of fewer, never in fewer than 3). A text with
under 8 telling 5-grams is only ever the duplicate of an equal one.

What it does not protect against: paraphrases, translations, and a question of which only the numbers were changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from teachable.overlap.near import normalise
from teachable.overlap.ngram import MIN_WORDS_INSIDE, Run, WordRuns, words
from teachable.overlap.telling import NearestQuestions, covered, templates, word_grams
from teachable.records import Message, Prompt

CONTENT_KEY, BARE_QUESTION = "content_key", "bare_question"  # of a prompt's meta
RUN_WORDS, RUN_TELLING = 13, 8
QUESTION_TELLING = 3  # telling words of a short question that is looked for inside other texts
PART_WORDS = 8  # the shortest message that counts as a part of a longer question
PROMPT = "prompt"
ROWS_AT_ONCE = 5000
_HOW = {"": "shared run", "text": "part", "reference": "contains", "both": "equal"}  # by what a run is the whole of
_SAYING = {
    "same content": "has the content of",
    "equal": "equals",
    "near-duplicate": "is a near-duplicate of",
    "contains": "contains",
    "part": "is a part of",
    "shared run": f"shares {RUN_WORDS} words in a row with",
}
_SIGNS = frozenset("+-*/^%")


@dataclass(frozen=True)
class TrainingRow:
    """What the guard looks at of one training row.

    Args:
        name: what the row is called in messages.
        prompts: the user's messages, each a text.
        responses: field -> what the model is to say, or is to say less often.
        content_key: of a procedural prompt, else "".
        own: texts that the responses may repeat, beside `prompts`.
        cleared: the prompts were compared with these questions before, with all of their pool in sight; only sameness
            is looked for again.
    """

    name: str
    prompts: tuple[str, ...] = ()
    responses: Mapping[str, str] = field(default_factory=dict)
    content_key: str = ""
    own: tuple[str, ...] = ()
    cleared: bool = False


@dataclass(frozen=True)
class Finding:
    """A row's text that overlaps a held-out question. `shared` is what they share, in words."""

    row: str
    field: str
    how: str
    question_id: str
    benchmark: str
    question: str
    shared: str

    @property
    def sentence(self) -> str:
        """The finding, for a message."""
        of = f" of {self.benchmark}" if self.benchmark else ""
        return (
            f"{self.row}: the {self.field} {_SAYING[self.how]} question {self.question_id}{of} ({_cut(self.shared)!r})"
        )


def asked(messages: Sequence[Message]) -> tuple[str, ...]:
    """The texts of a chat that are looked at as prompts: every user message, and, of several, all in one."""
    turns = tuple(message["content"] for message in messages if message["role"] == "user")
    return (*turns, "\n".join(turns)) if len(turns) > 1 else turns


def content_key(prompt: Prompt) -> str:
    """What identifies a procedural question whatever its phrasing; "" for another prompt."""
    return str(prompt.meta.get(CONTENT_KEY) or "")


def question_text(prompt: Prompt) -> str:
    """What a held-out prompt asks, without the worked examples before it.

    That is `meta["bare_question"]` where a benchmark gives it; else the last user message, or, where that is too short
    to be a question by itself ("And why?"), all user messages in one.
    """
    if isinstance(bare := prompt.meta.get(BARE_QUESTION), str) and bare.strip():
        return bare
    turns = asked(prompt.messages) or ("",)
    return prompt.text if len(words(prompt.text)) >= PART_WORDS else turns[-1]


class Guard:
    """Held-out questions, made ready to be looked for.

    Args:
        questions: any prompts, each looked for as its `question_text`.
        context: further texts of the training side, for telling templates.
    """

    def __init__(self, questions: Sequence[Prompt], context: Sequence[str] = ()) -> None:
        self._questions = tuple(questions)
        self._texts = [question_text(prompt) for prompt in questions]
        self._keys: dict[str, int] = {}
        self._equal: dict[str, int] = {}
        for index, (prompt, text) in enumerate(zip(questions, self._texts, strict=True)):
            if key := content_key(prompt):
                self._keys.setdefault(key, index)
            self._equal.setdefault(normalise(text), index)
        # Between procedural questions the content key decides, so these are not compared with one another.
        self._keyed = frozenset(i for i, prompt in enumerate(questions) if content_key(prompt))
        domains = [str(prompt.meta.get("benchmark") or prompt.domain) for prompt in questions]
        self._near = NearestQuestions(self._texts, domains, context)
        texts_words = [words(text) for text in self._texts]
        common = templates([frozenset(word_grams(text)) for text in texts_words], domains)
        untold = [covered(text, common[domain]) for text, domain in zip(texts_words, domains, strict=True)]
        self._n_telling = [len(text) - len(places) for text, places in zip(texts_words, untold, strict=True)]
        self._runs = WordRuns(texts_words, RUN_WORDS, untold=untold, min_telling=RUN_TELLING)

    def check(self, rows: Sequence[TrainingRow]) -> list[Finding]:
        """The findings, one for each field of a row at most, in the order of the rows."""
        found: list[Finding] = []
        for begin in range(0, len(rows) if self._questions else 0, ROWS_AT_ONCE):
            found += self._batch(rows[begin : begin + ROWS_AT_ONCE])
        return found

    def _batch(self, rows: Sequence[TrainingRow]) -> list[Finding]:
        found: dict[tuple[int, str], Finding] = {}
        texts: list[_Text] = []
        for index, row in enumerate(rows):
            for text in row.prompts:
                if (index, PROMPT) not in found and (finding := self._as_question(row, text)) is not None:
                    found[index, PROMPT] = finding
            prompts = [words(text) for text in row.prompts]
            own = (*map(_padded, prompts), *(_padded(words(text)) for text in row.own))
            texts += [_Text(index, PROMPT, prompt, ()) for prompt in prompts if not row.cleared]
            texts += [_Text(index, name, words(text), own) for name, text in row.responses.items()]
        for run in self._runs.find([text.words for text in texts]):
            one = texts[run.text]
            if (one.row, one.field) not in found and self._counts(rows[one.row], one, run):
                said = " ".join(one.words[run.start : run.start + run.length])
                found[one.row, one.field] = self._finding(
                    rows[one.row], one.field, _HOW[run.whole], run.reference, said
                )
        return [finding for _, finding in sorted(found.items(), key=lambda item: item[0][0])]

    def _as_question(self, row: TrainingRow, text: str) -> Finding | None:
        """What is found by comparing a prompt's whole text with whole questions."""
        if row.content_key and (same := self._keys.get(row.content_key)) is not None:
            return self._finding(row, PROMPT, "same content", same, row.content_key)
        if (equal := self._equal.get(normalise(text))) is not None:
            return self._finding(row, PROMPT, "equal", equal, text)
        near = None if row.cleared else self._near.best(text, self._keyed if row.content_key else frozenset())
        if near is None:
            return None
        return self._finding(row, PROMPT, "near-duplicate", near[0], f"similarity {near[1]:.2f}")

    def _counts(self, row: TrainingRow, text: _Text, run: Run) -> bool:
        """Whether a run of shared words is an overlap, by the rules above."""
        is_prompt = text.field == PROMPT
        if is_prompt and row.content_key and run.reference in self._keyed:
            return False
        said = _padded(text.words[run.start : run.start + run.length])
        if any(said in own for own in text.own):
            return False
        if run.whole == "text":
            return is_prompt and run.length >= PART_WORDS
        if run.whole == "both":
            return is_prompt or run.length >= MIN_WORDS_INSIDE
        if run.whole == "reference":
            return self._n_telling[run.reference] >= QUESTION_TELLING and not _goes_on(text.words, run)
        return True

    def _finding(self, row: TrainingRow, name: str, how: str, index: int, shared: str) -> Finding:
        prompt = self._questions[index]
        return Finding(
            row=row.name,
            field=name,
            how=how,
            question_id=prompt.id,
            benchmark=str(prompt.meta.get("benchmark") or ""),
            question=self._texts[index],
            shared=shared,
        )


@dataclass(frozen=True)
class _Text:
    """A text whose words are looked through: of which row and field, and what it may repeat."""

    row: int
    field: str
    words: tuple[str, ...]
    own: tuple[str, ...]


def _padded(text: Sequence[str]) -> str:
    """Words as text in which a run of words is found only at words' edges."""
    return f" {' '.join(text)} "


def _goes_on(text: Sequence[str], run: Run) -> bool:
    """Whether a sum goes on before or after the run, which makes it a part of another question."""
    begin, end = run.start, run.start + run.length
    after = text[end : end + 2]
    before = text[max(0, begin - 2) : begin]
    continued = len(after) == 2 and after[0] in _SIGNS and _is_number(after[1]) and _is_number(text[end - 1])
    preceded = len(before) == 2 and before[1] in _SIGNS and _is_number(before[0]) and _is_number(text[begin])
    return continued or preceded


def _is_number(word: str) -> bool:
    return word[:1].isdigit()


def _cut(text: str, n_chars: int = 80) -> str:
    return text if len(text) <= n_chars else f"{text[: n_chars - 3]}..."
