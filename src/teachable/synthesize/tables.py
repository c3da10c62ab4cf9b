"""The files of a synthesis, written as it goes on: a run of any length takes the same memory.

Files grow under names of their own and take the place of what was there when all is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from teachable.records import Message, Prompt, to_row
from teachable.store.files import mending, plain
from teachable.store.streams import RowWriter, growing
from teachable.synthesize.gates import Refusal
from teachable.synthesize.items import Made
from teachable.synthesize.run import Dropped

PROMPTS, EXAMPLES, REJECTS, REVIEW = "prompts.parquet", "examples.jsonl", "rejects.jsonl", "review.jsonl"
FILES = (PROMPTS, EXAMPLES, REJECTS, REVIEW)


class Writer:
    """The files in a folder, for the block.

    `prompts.parquet` has every accepted prompt (`Prompt`), `examples.jsonl` those with a response, as rows that
    trainers read (`messages`), `rejects.jsonl` what was dropped with step, reason and text, `review.jsonl` what people
    are to look at.

    Args:
        folder: where they are written.
        text_of: a chat as text, for a column `text` of the examples; None leaves it out.

    Raises:
        TeachableError: the disk is full, or the folder can't be written.
    """

    def __init__(self, folder: Path, text_of: Any = None) -> None:
        self._folder, self._text_of = Path(folder), text_of
        self._stack = ExitStack()
        self.n_prompts = self.n_examples = self.n_rejects = self.n_review = 0

    def __enter__(self) -> Self:
        self._prompts = self._stack.enter_context(RowWriter(self._folder / PROMPTS, Prompt))
        self._examples, self._rejects, self._review = (self._lines(name) for name in (EXAMPLES, REJECTS, REVIEW))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _lines(self, name: str) -> IO[str]:
        path = self._stack.enter_context(growing(self._folder / name))
        return self._stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))

    def accept(self, made: Made) -> None:
        """Write an output that has passed every gate."""
        self._prompts.write(to_row(made.prompt))
        self.n_prompts += 1
        if made.output.response:
            self._line(self._examples, self._example(made))
            self.n_examples += 1

    def _example(self, made: Made) -> dict[str, Any]:
        prompt = made.prompt
        messages: Sequence[Message] = [*prompt.messages, Message(role="assistant", content=made.output.response)]
        history = dict(prompt.meta["synthesis"])
        return {
            "prompt_id": prompt.id,
            "messages": list(messages),
            **({"text": self._text_of(messages)} if self._text_of is not None else {}),
            "domain": prompt.domain,
            "level": prompt.level,
            "answer": prompt.answer,
            "verifier": prompt.verifier,
            "why": f"{history['workflow']}: {history['proof']}",
            "synthesis": history,
            "lineage": [{"parent": s.parent, "transform": s.transform, "params": s.params} for s in prompt.lineage],
        }

    def refuse(self, made: Made, refusal: Refusal) -> None:
        """Write an output that a gate has refused."""
        row: dict[str, Any] = {"step": refusal.gate, "reason": refusal.reason, "detail": refusal.detail}
        row |= {"text": made.output.text, "response": made.output.response, "answer": made.output.answer}
        self._reject(made.item.seed.id, made.item.id, row)

    def drop(self, dropped: Dropped) -> None:
        """Write an item that a step has dropped."""
        row = {"step": dropped.step, "reason": dropped.reason, "detail": dropped.detail, "text": dropped.text}
        self._reject(dropped.item.seed.id, dropped.item.id, {**row, "response": "", "answer": None})
        if dropped.review is not None:
            self._line(self._review, {"seed": dropped.item.seed.id, "reason": dropped.reason, **dropped.review})
            self.n_review += 1

    def _reject(self, seed: str, item: str, row: Mapping[str, Any]) -> None:
        self._line(self._rejects, {"seed": seed, "item": item, **row})
        self.n_rejects += 1

    def _line(self, file: IO[str], row: Mapping[str, Any]) -> None:
        with mending(self._folder):
            file.write(json.dumps(plain(row), ensure_ascii=False) + "\n")
