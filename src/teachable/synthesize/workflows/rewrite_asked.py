"""What a model makes of a passage: exercises, talks, tasks with their reasoning; and what Python can tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from teachable.records import Message
from teachable.synthesize.checks.grounding import numbers_of, telling
from teachable.synthesize.checks.injection import obeys
from teachable.synthesize.items import user
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.augment_problems import FOLLOWS, LEANS, Kind, Problem, fault_of
from teachable.synthesize.workflows.questions_asked import leans

Form: TypeAlias = Literal["exercise", "discussion", "task"]
FORMS: tuple[Form, ...] = ("exercise", "discussion", "task")
MIN_SHARED = 2  # telling words that an exercise or a task shares with its passage
MIN_FROM_PASSAGE = 0.25  # of the tutor's telling words
MAX_TURN_CHARS = 4000

ASIDE, NO_TURNS = "not about the passage", "the turns do not alternate"
FEW_TURNS, REPEATED = "too few turns", "it repeats itself"
INVENTED, NO_STEPS = "a number that the passage does not have", "no steps"
_NO_FAULT = frozenset({"", "none", "no", "nothing", "n/a", "-", "null", "no fault"})


class Exercise(BaseModel):
    """An exercise, which its writer has worked out before stating the answer."""

    model_config = ConfigDict(frozen=True)

    question: str = Field(min_length=1, max_length=6000, description="the whole exercise, without its answer")
    working: str = Field(min_length=1, description="how the answer is worked out, step by step")
    answer: str = Field(min_length=1, max_length=200, description="the answer alone, as short as can be")
    kind: Kind = Field(
        description="what the answer is; an expression is a formula, a choice the letter of one of the options that "
        "the exercise lists as A, B, C, ..."
    )


class Exercises(BaseModel):
    """The exercises of a passage."""

    model_config = ConfigDict(frozen=True)

    exercises: tuple[Exercise, ...] = Field(min_length=1, description="one entry for each exercise")


class Turn(BaseModel):
    """What one of the two says."""

    model_config = ConfigDict(frozen=True)

    speaker: Literal["learner", "tutor"] = Field(description='"learner" or "tutor"')
    text: str = Field(min_length=1, max_length=MAX_TURN_CHARS, description="what they say")


class Discussion(BaseModel):
    """A talk about a passage."""

    model_config = ConfigDict(frozen=True)

    turns: tuple[Turn, ...] = Field(min_length=2, description="one entry for each turn, the learner's first")


class Task(BaseModel):
    """A task, and the reasoning that solves it."""

    model_config = ConfigDict(frozen=True)

    task: str = Field(min_length=1, max_length=6000, description="the whole task, without its answer")
    steps: tuple[str, ...] = Field(min_length=2, max_length=16, description="the steps of the solution, in their order")
    answer: str = Field(min_length=1, max_length=1000, description="the answer, as short as can be")
    kind: Kind | Literal["open"] = Field(
        description="what the answer is; an expression is a formula, a choice the letter of one of the options that "
        "the task lists, and open is what has no one short answer"
    )


class Ruling(BaseModel):
    """A vote of the judge."""

    model_config = ConfigDict(frozen=True)

    fault: str = Field(max_length=2000, description="what is wrong, in one sentence; empty if nothing is")
    supported: bool = Field(description="true if all it states as a fact stands in the passage or follows from it")
    right: bool = Field(description="true if every step and every answer in it is right")
    useful: bool = Field(description="true if it can be understood alone, and a learner learns something from it")

    @property
    def passes(self) -> bool:
        """Whether all is well; a ruling that names a fault does not pass, whatever else it says."""
        named = self.fault.strip(" .").lower() not in _NO_FAULT
        return self.supported and self.right and self.useful and not named


@dataclass(frozen=True)
class Piece:
    """What was made of a passage, in one shape.

    Attributes:
        form: what it is.
        messages: what goes out as the prompt.
        response: what goes out as the response; "" where a solver's is taken.
        problem: where it has a short answer that solvers can give; None where it is open.
        answer: of an open task; "" elsewhere.
        said: what is stated as a fact: the tutor's turns, or the steps.
    """

    form: Form
    messages: tuple[Message, ...]
    response: str = ""
    problem: Problem | None = None
    answer: str = ""
    said: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it, as a judge reads it."""
        names = {"user": "Learner", "assistant": "Tutor"}
        if self.form == "discussion":
            turns = (*self.messages, Message(role="assistant", content=self.response))
            return "\n\n".join(f"{names[turn['role']]}: {turn['content']}" for turn in turns)
        return "\n\n".join([*(turn["content"] for turn in self.messages), *([self.response] if self.response else [])])


def of_exercises(exercises: Exercises, n: int) -> tuple[Piece, ...]:
    """The first n exercises."""
    problems = [Problem(question=one.question, kind=one.kind, answer=one.answer) for one in exercises.exercises[:n]]
    return tuple(Piece("exercise", user(one.question), problem=one) for one in problems)


def of_discussion(discussion: Discussion) -> Piece:
    """A talk: the learner is the user, the tutor the assistant, whose last turn is the response."""
    roles = {"learner": "user", "tutor": "assistant"}
    messages = tuple(Message(role=roles[turn.speaker], content=turn.text.strip()) for turn in discussion.turns)
    said = tuple(turn.text for turn in discussion.turns if turn.speaker == "tutor")
    return Piece("discussion", messages[:-1], response=messages[-1]["content"], said=said)


def of_task(task: Task) -> Piece:
    """A task: its numbered steps and its answer are the response."""
    steps = [" ".join(step.split()) for step in task.steps]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    if task.kind == "open":
        response = f"{numbered}\n\n{task.answer.strip()}"
        return Piece("task", user(task.task), response, answer=task.answer.strip(), said=tuple(steps))
    problem = Problem(question=task.task, kind=task.kind, answer=task.answer)
    return Piece("task", user(task.task), f"{numbered}\n\nAnswer: {task.answer.strip()}", problem, said=tuple(steps))


def fault_in(piece: Piece, passage: str, *, n_turns: int, reader_sees_it: bool) -> Fault | None:
    """What is wrong with a piece as it stands; None where nothing can be told.

    Args:
        passage: with the headings that it stands under.
        n_turns: fewest turns of a talk.
        reader_sees_it: the passage stands before it, and it may speak of it then.
    """
    followed = obeys(piece.text + (f"\n{piece.problem.answer}" if piece.problem else ""), passage)
    if followed is not None:
        return Fault(FOLLOWS, followed)
    if not reader_sees_it and leans(piece.text):
        return Fault(LEANS, "Its reader does not see the passage.")
    if piece.form == "discussion":
        return _discussion_fault(piece, passage, n_turns)
    if piece.problem is not None:
        fault = fault_of(piece.problem, f"{passage}\nthe passage" if reader_sees_it else passage)
        if fault is not None:
            return fault
    if len(telling(piece.messages[-1]["content"]) & telling(passage)) < MIN_SHARED:
        return Fault(ASIDE, "It shares next to no words with the passage.")
    if piece.form == "task" and len({step.casefold() for step in piece.said}) < len(piece.said):
        return Fault(REPEATED, "Two of its steps are the same.")
    if piece.form == "task" and not all(len(step.split()) >= 3 for step in piece.said):
        return Fault(NO_STEPS, "A step is a statement of three words or more.")
    return None


def _discussion_fault(piece: Piece, passage: str, n_turns: int) -> Fault | None:
    turns = (*piece.messages, Message(role="assistant", content=piece.response))
    if any(turn["role"] != ("user", "assistant")[place % 2] for place, turn in enumerate(turns)) or len(turns) % 2:
        return Fault(NO_TURNS, "The learner begins, the two take turns, and the tutor has the last word.")
    if len(turns) < n_turns:
        return Fault(FEW_TURNS, f"{len(turns)} turns.")
    if len({" ".join(turn["content"].casefold().split()) for turn in turns}) < len(turns):
        return Fault(REPEATED, "Two turns are the same.")
    asked = numbers_of(" ".join(turn["content"] for turn in turns if turn["role"] == "user"))
    if not numbers_of(" ".join(piece.said)) <= numbers_of(passage) | asked | {"1", "2"}:
        return Fault(INVENTED, "The tutor's numbers come from the passage.")
    words = telling(" ".join(piece.said))
    if len(words & telling(passage)) < max(MIN_SHARED, MIN_FROM_PASSAGE * len(words)):
        return Fault(ASIDE, "The tutor says little of what the passage says.")
    return None
