"""What a training stage does before it trains: see that none of its rows overlaps a held-out question.

`overlap.guard` has the rule. A stage whose role for held-out questions is empty has nothing to compare with, and says
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from teachable.errors import TeachableError
from teachable.overlap.guard import Guard, TrainingRow, asked, content_key
from teachable.recipe.spec import StageContext
from teachable.records import Example, Message, Prompt
from teachable.store.files import read_records, write_rows

ROLE = "heldout"
FILE = "overlaps.jsonl"  # a line a finding, beside the stage's tables
_NAMED = 3  # findings in a message


@dataclass(frozen=True)
class HeldOut:
    """The questions that a run is evaluated on, and the pool that was kept clear of them, by prompt id."""

    questions: tuple[Prompt, ...]
    pool: Mapping[str, Prompt]

    def row_of_chat(
        self, name: str, prompt_id: str, messages: Sequence[Message], responses: Mapping[str, str]
    ) -> TrainingRow:
        """A training row whose prompt is a chat."""
        known = self.pool.get(prompt_id)
        cleared = known is not None and known.messages == tuple(messages)
        key = content_key(known) if known is not None and cleared else ""
        return TrainingRow(name, asked(messages), responses, key, cleared=cleared)

    def row_of_example(self, name: str, example: Example) -> TrainingRow:
        """A training row whose response is the assistant's part of a chat."""
        said = [message for message in example.messages if message["role"] == "assistant"]
        prompt = example.messages[:-1] if example.messages[-1] in said else example.messages
        responses = {"response": "\n".join(message["content"] for message in said)}
        return self.row_of_chat(name, example.prompt_id, prompt, responses)

    def row_of_text(self, name: str, prompt_id: str, text: str, responses: Mapping[str, str]) -> TrainingRow:
        """A training row whose prompt is text: of a prompt of the pool, that prompt and the beginning of a response."""
        known = self.pool.get(prompt_id)
        if known is None or known.text.strip() not in text:
            return TrainingRow(name, (text,), responses)
        turns = asked(known.messages)
        return TrainingRow(name, turns, {"beginning": text, **responses}, content_key(known), cleared=True)


def held_out(ctx: StageContext, role: str = ROLE) -> HeldOut | None:
    """What fills the stage's role for held-out questions; None where nothing does, or nothing is held out there."""
    folder = ctx.inputs.get(role)
    if folder is None:
        return None
    questions = read_records(folder / "heldout.parquet", Prompt)
    pool = read_records(folder / "prompts.parquet", Prompt)
    return HeldOut(tuple(questions), {prompt.id: prompt for prompt in pool}) if questions else None


def refuse_overlaps(ctx: StageContext, held: HeldOut, rows: Sequence[TrainingRow], *, allow: bool) -> int:
    """How many of the rows overlap the held-out questions, which is 0 unless that is allowed.

    Every finding is written to `FILE` in the stage's folder.

    Raises:
        TeachableError: some rows overlap, and `allow` is false.
    """
    path = ctx.folder / FILE
    path.unlink(missing_ok=True)
    findings = Guard(held.questions, [text for row in rows for text in row.prompts]).check(rows)
    if not findings:
        return 0
    write_rows(path, [asdict(finding) for finding in findings])
    n_rows = len({finding.row for finding in findings})
    n = len(held.questions)
    questions = "the held-out question" if n == 1 else f"the {n:,} held-out questions"
    said = f"{n_rows:,} of {len(rows):,} training rows overlap {questions}"
    if allow:
        ctx.say(f"{said}, and are trained on all the same, since allow_overlap is true: see {path}")
        return n_rows
    first = "; ".join(finding.sentence for finding in findings[:_NAMED])
    raise TeachableError(
        f"{said}: {first}" + (f"; and {len(findings) - _NAMED:,} more" if len(findings) > _NAMED else ""),
        where=ctx.name,
        mend=f"{path} lists them all: leave these rows out, or evaluate on other questions "
        f"({ctx.name}.allow_overlap: true trains on them all the same)",
    )


def n_overlaps(
    ctx: StageContext, files: Iterable[Path], *, allow: bool, role: str = ROLE, domains: Collection[str] | None = None
) -> int | None:
    """How many examples of some files overlap the held-out questions; None where nobody said what is held out.

    Args:
        files: JSONL files of `Example`s; one that several of them hold counts once.
        role: whose stage holds questions out.
        domains: only examples of these; None is all.

    Raises:
        TeachableError: some overlap, and `allow` is false.
    """
    held = held_out(ctx, role)
    if held is None:
        return None
    rows: dict[str, TrainingRow] = {}
    for path in files:
        for number, example in enumerate(read_records(path, Example), start=1):
            if example.id not in rows and (domains is None or example.domain in domains):
                rows[example.id] = held.row_of_example(example_name(path, number), example)
    return refuse_overlaps(ctx, held, list(rows.values()), allow=allow)


def example_name(path: Path, number: int) -> str:
    """What a row of a file is called in messages."""
    return f"{path.name}, row {number}"
