"""`rewrite`: what solvers or a judge have proved goes out, and every way to fail has its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.synthesize.misbehaving import shown
from tests.synthesize.workflows.planted_passages import (
    COMMAND,
    GLASS,
    Bridge,
    bridges,
    discussion,
    exercise,
    known_of,
    task,
    truth,
)
from tests.synthesize.workflows.small_runs import Answer, run

from teachable.records import Document, Message
from teachable.synthesize.checks.voting import DISAGREE
from teachable.synthesize.items import Seed, seed_of_document
from teachable.synthesize.workflows.augment_problems import FOLLOWS, HANDED_OUT, LEANS
from teachable.synthesize.workflows.rewrite import INCOMPLETE, OWN_STEPS, REFUSED, WORKFLOW
from teachable.synthesize.workflows.rewrite_asked import (
    ASIDE,
    FEW_TURNS,
    INVENTED,
    NO_STEPS,
    NO_TURNS,
    REPEATED,
    Ruling,
    Task,
    of_task,
)

KNOWN = bridges(4)
PASSES = {"fault": "", "supported": True, "right": True, "useful": True}
Change = Callable[[Bridge], Any]


def seeds(command: str = "", n: int = 1) -> list[Seed]:
    return [seed_of_document(Document(one.name, one.passage(command), "t", language="en")) for one in KNOWN[:n]]


def writing(
    made: Callable[[Bridge], Any],
    *,
    solver: Callable[[str, int], str] | None = None,
    alone: Callable[[str, int], str] | None = None,
    judge: Callable[[str], Any] | None = None,
) -> Answer:
    """A model that writes that, a solver who knows the truth, and a judge who knows of the glass."""

    def answer(messages: list[Message], sample: int) -> str:
        texts = shown(messages)
        if "problem" in texts:
            asked = texts["problem"]
            say = (alone if "passage" not in texts else solver) or (lambda text, _: f"Answer: {truth(text, KNOWN)}")
            return say(asked, sample)
        if "You check what" in messages[0]["content"]:
            written = next(text for label, text in texts.items() if label != "passage")
            ruling = judge(written) if judge is not None else PASSES | {"supported": GLASS not in written}
            return ruling if isinstance(ruling, str) else json.dumps(ruling)
        return json.dumps(made(known_of(messages, KNOWN)))

    return answer


def exercises(*made: Callable[[Bridge], Any]) -> Change:
    return lambda bridge: {"exercises": [one(bridge) for one in made]}


def test_exercises_go_out_when_solvers_agree(tmp_path: Path) -> None:
    def alone(asked: str, sample: int) -> str:
        return f"I walk and walk.\nAnswer: {truth(asked, KNOWN)}"

    made = exercises(exercise, lambda b: exercise(b, times=5), lambda b: exercise(b, times=7))
    ran = run(WORKFLOW, seeds(n=4), tmp_path, writing(made, alone=alone), forms=["exercise"])
    assert len(ran.prompts) == 8 and not ran.rejects  # no more than `n` of each passage
    for prompt in ran.prompts:
        history = prompt.meta["synthesis"]
        assert prompt.answer == truth(prompt.text, KNOWN) and prompt.meta["form"] == "exercise"
        assert history["proof"] == "agreement" and history["scores"] == {"agreement": 1, "margin": 1, "alone": 1}
        assert set(history["templates"]) == {"rewrite/exercise", "rewrite/solve"}
    # The response is by a solver who saw no more than its reader does.
    assert {row["messages"][-1]["content"].split("\n")[0] for row in ran.examples} == {"I walk and walk."}


def test_a_talk_goes_out_as_a_chat(tmp_path: Path) -> None:
    ran = run(WORKFLOW, seeds(n=4), tmp_path, writing(discussion), forms=["discussion"])
    assert len(ran.examples) == 4
    for row, prompt in zip(ran.examples, ran.prompts, strict=True):
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"] * 3
        assert (prompt.answer, prompt.verifier, prompt.meta["synthesis"]["proof"]) == (None, "judge", "judge")
        assert prompt.meta["synthesis"]["scores"] == {"votes": 1.0}


def test_tasks_are_solved_and_judged(tmp_path: Path) -> None:
    ran = run(WORKFLOW, seeds(n=4), tmp_path, writing(task), forms=["task"])
    assert len(ran.examples) == 4
    for row in ran.examples:
        assert row["messages"][-1]["content"].startswith("1. Each gate weighs")
        assert row["messages"][-1]["content"].endswith(f"\n\nAnswer: {row['answer']}")
        assert row["synthesis"]["scores"] == {"agreement": 1, "margin": 1, "alone": 1, "votes": 1}
        assert (row["synthesis"]["proof"], row["answer"]) == ("agreement", truth(row["messages"][0]["content"], KNOWN))


def test_an_open_task_is_judged_alone(tmp_path: Path) -> None:
    ran = run(WORKFLOW, seeds(), tmp_path, writing(lambda b: task(b, kind="open")), forms=["task"])
    (row,) = ran.examples
    assert (row["synthesis"]["proof"], row["verifier"]) == ("judge", "judge")
    assert row["answer"] == "A stronger crane, since a gate would go at once."
    assert row["messages"][-1]["content"].endswith(f"\n\n{row['answer']}")


def test_the_passage_may_go_out_before_it(tmp_path: Path) -> None:
    ran = run(WORKFLOW, seeds(), tmp_path, writing(discussion), forms=["discussion"], context="shown")
    assert ran.prompts[0].messages[0]["content"].startswith(KNOWN[0].passage() + "\n\nWhy did the masons")


def _turns(change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Change:
    return lambda bridge: {"turns": change(discussion(bridge)["turns"])}


def _idle(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**one, "text": f"Hm, {word} indeed"} for word, one in zip("abcdef", turns, strict=True)]


def _question(text: str) -> Change:
    return exercises(lambda b: {**exercise(b), "question": text.replace("NAME", b.name).replace("TOWN", b.town)})


WALK = "A guard walks over the NAME Bridge near TOWN 3 times. How many metres is that?"


@pytest.mark.parametrize(
    ("form", "made", "step", "reason"),
    [
        ("exercise", exercises(lambda b: exercise(b, off=1)), "solved", "solvers disagree with the stated answer"),
        ("exercise", _question(f"{WALK} The passage tells how long it is."), "checked", LEANS),
        ("exercise", _question(f"{WALK} (Answer: 5)"), "checked", HANDED_OUT),
        ("exercise", _question("What do seven and eleven come to, taken together twice?"), "checked", ASIDE),
        ("exercise", _question(f"{WALK} {COMMAND}"), "checked", FOLLOWS),
        ("discussion", lambda b: discussion(b, GLASS), "judged", REFUSED),
        ("discussion", lambda b: discussion(b, "It took 4711 days."), "checked", INVENTED),
        ("discussion", lambda b: discussion(b, "The text above says so."), "checked", LEANS),
        ("discussion", lambda b: discussion(b, COMMAND), "checked", FOLLOWS),
        ("discussion", _turns(lambda turns: turns[1:]), "checked", NO_TURNS),
        ("discussion", _turns(lambda turns: turns[:5]), "checked", NO_TURNS),
        ("discussion", _turns(lambda turns: [*turns[:2], *turns[3:], turns[2]]), "checked", NO_TURNS),
        ("discussion", _turns(lambda turns: turns[:2]), "checked", FEW_TURNS),
        ("discussion", _turns(lambda turns: [*turns, turns[0], turns[1]]), "checked", REPEATED),
        ("discussion", _turns(_idle), "checked", ASIDE),
        ("task", lambda b: task(b, claim=GLASS), "judged", REFUSED),
        ("task", lambda b: task(b, kind="open", claim=GLASS), "judged", REFUSED),
        ("task", lambda b: task(b, answer="41"), "solved", "solvers disagree with the stated answer"),
        ("task", lambda b: task(b, claim="Each gate weighs " + f"{b.tons} tons."), "checked", REPEATED),
        ("task", lambda b: task(b, claim="So."), "checked", NO_STEPS),
    ],
)  # fmt: skip
def test_what_can_not_go_out_is_dropped(tmp_path: Path, form: str, made: Change, step: str, reason: str) -> None:
    ran = run(WORKFLOW, seeds(COMMAND), tmp_path, writing(made), forms=[form])
    assert not ran.prompts and list(ran.dropped) == [(step, reason)]


def test_steps_that_do_not_give_the_answer(tmp_path: Path) -> None:
    made = lambda b: task(b, answer="6 loads or 7 loads")  # noqa: E731
    ran = run(WORKFLOW, seeds(), tmp_path, writing(made), forms=["task"])
    assert not ran.prompts and [step for step, _ in ran.dropped] == ["checked"]
    piece = of_task(Task.model_validate(task(KNOWN[0])))
    assert piece.problem is not None and piece.response.count("\n") == 4
    boxed = task(KNOWN[0], claim="This makes \\boxed{1} and \\boxed{2} of it.")
    ran = run(WORKFLOW, seeds(), tmp_path, writing(lambda b: boxed), forms=["task"])
    assert list(ran.dropped) == [("checked", OWN_STEPS)]


def test_an_exercise_must_be_complete_in_itself(tmp_path: Path) -> None:
    asks = writing(exercises(exercise), alone=lambda asked, sample: "It is not said.\nAnswer: unknown")
    ran = run(WORKFLOW, seeds(), tmp_path / "alone", asks, forms=["exercise"])
    assert list(ran.dropped) == [("solved", INCOMPLETE)]
    for name, options in (("none", {"k_alone": 0}), ("shown", {"context": "shown"})):
        ran = run(WORKFLOW, seeds(), tmp_path / name, asks, forms=["exercise"], **options)
        assert len(ran.examples) == 1


def test_solvers_who_scatter_prove_nothing_and_are_reviewed(tmp_path: Path) -> None:
    made = writing(exercises(exercise), solver=lambda asked, sample: f"Answer: {sample}")
    ran = run(WORKFLOW, seeds(), tmp_path, made, forms=["exercise"])
    assert list(ran.dropped) == [("solved", DISAGREE)]
    review = json.loads((tmp_path / "review.jsonl").read_text())
    assert review["answer"] == exercise(KNOWN[0])["answer"] and len(review["votes"]) == 8


@pytest.mark.parametrize(
    "ruling",
    [
        "It is fine.",
        {"fault": "", "supported": True, "right": True},
        PASSES | {"useful": False},
        PASSES | {"right": False},
        PASSES | {"fault": "The third turn says nothing."},
    ],
)
def test_a_vote_that_is_none_or_names_a_fault_does_not_pass(tmp_path: Path, ruling: Any) -> None:
    ran = run(WORKFLOW, seeds(), tmp_path, writing(discussion, judge=lambda text: ruling), forms=["discussion"])
    assert not ran.prompts and list(ran.dropped) == [("judged", REFUSED)]


def test_the_bar_is_on_the_share_of_votes(tmp_path: Path) -> None:
    said = iter([json.dumps(PASSES), "no vote", json.dumps(PASSES)] * 2)
    made = writing(discussion, judge=lambda text: next(said))
    assert len(run(WORKFLOW, seeds(), tmp_path / "a", made, forms=["discussion"], bar=0.6).prompts) == 1
    ran = run(WORKFLOW, seeds(), tmp_path / "b", made, forms=["discussion"], bar=0.7)
    assert not ran.prompts and ran.rejects[0]["detail"].startswith("67% of 3 votes")


def test_a_ruling_without_a_fault_passes() -> None:
    for word in ("", "None.", "nothing", "N/A"):
        assert Ruling.model_validate(PASSES | {"fault": word}).passes


def test_one_form_does_not_suffer_from_another(tmp_path: Path) -> None:
    def made(bridge: Bridge) -> Any:
        return discussion(bridge)

    ran = run(WORKFLOW, seeds(), tmp_path, writing(made))  # what is asked for as an exercise or a task is a talk
    assert len(ran.prompts) == 1 and ran.dropped == {("written", "wrong fields"): 2}


def test_what_a_seed_costs() -> None:
    options = WORKFLOW.options(forms=("exercise", "discussion"), n=2, k=8, k_alone=2, votes=3)  # type: ignore[call-arg]
    calls = WORKFLOW.calls(options)
    assert (calls.requests, calls.completions) == (2 + 2 * 2 + 3, 2 + 2 * 10 + 3)
