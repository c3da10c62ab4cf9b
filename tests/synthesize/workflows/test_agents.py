"""Author, critic, solver and editor over one problem: how it gets out, and every reason why it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.synthesize.misbehaving import shown
from tests.synthesize.workflows.small_runs import Ran, Told, run

from teachable.records import Document, Message
from teachable.store.files import read_rows
from teachable.synthesize.items import Seed, seed_of_document
from teachable.synthesize.workflows.agents import WORKFLOW

PASSAGE = "A baker fills trays. Every tray holds the same number of rolls, so the total is a product."
GOOD = "A baker fills 6 trays with 12 rolls each and sells 20 rolls. How many rolls are left?"
VAGUE = "A baker fills some trays with 12 rolls each and sells 20 rolls. How many rolls are left?"
SOLVED = {GOOD: "52", VAGUE: "40"}


def passage() -> Seed:
    return seed_of_document(Document("d", PASSAGE, "bread.txt"))


def problem(question: str = GOOD, answer: str = "52", kind: str = "number", **more: Any) -> str:
    return json.dumps({"question": question, "working": "6 * 12 - 20", "kind": kind, "answer": answer, **more})


def review(*faults: tuple[str, str]) -> str:
    return json.dumps({"faults": [{"quote": q, "fault": f} for q, f in faults], "content": not faults})


def saying(*texts: str) -> Told:
    """An engine whose replies are given, one after the other."""
    left = list(texts)
    return Told(lambda messages, sample: left.pop(0), "said")


def critic(faults: dict[str, tuple[str, str]] | None = None) -> Told:
    """A critic that finds these faults in these questions, and none in others."""

    def reply(messages: list[Message], sample: int) -> str:
        found = (faults or {}).get(shown(messages)["problem"])
        return review(found) if found else review()

    return Told(reply, "critic")


def solver(answers: Callable[[str, int], str] | None = None) -> Told:
    """A solver that knows the answers, or says what it is told to."""

    def reply(messages: list[Message], sample: int) -> str:
        question = shown(messages)["problem"]
        return f"I work it out{'.' * sample}\nAnswer: {(answers or (lambda q, i: SOLVED[q]))(question, sample)}"

    return Told(reply, "solver")


def ran(
    folder: Path,
    *,
    author: Told,
    critic: Told,
    solver: Told | None = None,
    editor: Told | None = None,
    **more: Any,
) -> Ran:
    """The workflow on one passage; who is not given must not be asked."""
    roles = {"": saying(), "author": author, "critic": critic, "solver": solver, "editor": editor}
    return run(WORKFLOW, [passage()], folder, {role: who or saying() for role, who in roles.items()}, **more)


def test_what_the_critic_is_content_with_and_the_solvers_agree_on_is_kept(tmp_path: Path) -> None:
    who = solver()
    result = ran(tmp_path, author=saying(problem()), critic=critic(), solver=who)
    (prompt,) = result.prompts
    assert (prompt.text, prompt.answer, prompt.verifier) == (GOOD, "52", "math")
    assert prompt.meta["agents"] == []
    assert prompt.meta["synthesis"]["proof"] == "agreement"
    assert prompt.meta["synthesis"]["scores"] == {"agreement": 1, "margin": 1, "rounds": 0}
    assert result.examples[0]["messages"][-1]["content"] == "I work it out\nAnswer: 52"  # the shortest
    # The solver saw neither the passage nor the stated answer.
    (request,) = who.asked
    assert request.n == 8 and "52" not in str(request.prompt) and "product" not in str(request.prompt)


def test_the_editor_mends_what_the_critic_finds_and_that_is_kept(tmp_path: Path) -> None:
    finds = critic({VAGUE: ("some trays", "nobody knows how many")})
    editor = saying(problem())
    result = ran(tmp_path, author=saying(problem(VAGUE, "40")), critic=finds, solver=solver(), editor=editor)
    assert [prompt.text for prompt in result.prompts] == [GOOD]
    (row,) = result.prompts[0].meta["agents"]
    assert row["faults"] == ["In: some trays\nFault: nobody knows how many"]
    assert f"-{VAGUE}" in row["diff"] and f"+{GOOD}" in row["diff"] and "+Answer: 52" in row["diff"]
    assert shown(list(editor.asked[0].prompt))["faults"] == row["faults"][0]  # type: ignore[arg-type]


def test_the_editor_is_told_that_solvers_disagree_and_never_what_they_say(tmp_path: Path) -> None:
    who, editor = solver(), saying(problem(answer="52"))
    result = ran(tmp_path, author=saying(problem(answer="72")), critic=critic(), solver=who, editor=editor)
    assert result.prompts[0].answer == "52"
    faults = shown(list(editor.asked[0].prompt))["faults"]  # type: ignore[arg-type]
    assert "not with the stated answer" in faults and "52" not in str(editor.asked[0].prompt)
    # The question stayed as it was, so it was not solved again: no second draw.
    assert len(who.asked) == 1


def test_a_question_that_changed_is_solved_again(tmp_path: Path) -> None:
    other = GOOD.replace("20", "22")
    who = solver(lambda question, sample: "50" if question == other else "52")
    editor = saying(problem(other, "50"))
    result = ran(tmp_path, author=saying(problem(answer="72")), critic=critic(), solver=who, editor=editor)
    assert (result.prompts[0].text, result.prompts[0].answer) == (other, "50")
    assert len(who.asked) == 2 and who.asked[0].seed != who.asked[1].seed


def test_where_solvers_never_agree_with_the_answer_it_is_dropped_and_people_look_at_it(tmp_path: Path) -> None:
    editor = saying(problem(answer="71"))
    result = ran(
        tmp_path, author=saying(problem(answer="72")), critic=critic(), solver=solver(), editor=editor, rounds=1
    )
    assert result.dropped == {("work", "solvers disagree with the stated answer"): 1}
    (row,) = read_rows(tmp_path / "review.jsonl")
    assert (row["question"], row["answer"], row["votes"]) == (GOOD, "71", {"52": 8})


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (["52", "52", "52", "51", "51", "51", "50", "49"], "samples disagree"),
        (["52"] * 5 + ["51"] * 3, "too close a vote"),
        (["who knows?\nAnswer:"] * 8, "samples give no answer"),
    ],
)
def test_solvers_that_do_not_agree_with_each_other_prove_nothing(
    tmp_path: Path, answers: Sequence[str], reason: str
) -> None:
    who = solver(lambda question, sample: answers[sample])
    other = problem(GOOD.replace("20", "21"), "51")
    result = ran(tmp_path, author=saying(problem()), critic=critic(), solver=who, editor=saying(other), rounds=1)
    assert result.dropped == {("work", reason): 1} and not result.prompts


def test_a_critic_that_is_never_content_ends_it(tmp_path: Path) -> None:
    finds = critic({VAGUE: ("some trays", "how many?"), GOOD: ("6 trays", "of what size?")})
    result = ran(tmp_path, author=saying(problem(VAGUE, "40")), critic=finds, editor=saying(problem()), rounds=1)
    assert result.dropped == {("work", "the critic is not content"): 1}


def test_an_editor_that_changes_nothing_ends_it(tmp_path: Path) -> None:
    finds = critic({VAGUE: ("some trays", "how many?")})
    same = problem(VAGUE.upper(), "40")
    result = ran(tmp_path, author=saying(problem(VAGUE, "40")), critic=finds, editor=saying(same))
    assert result.dropped == {("work", "the critic is not content"): 1}
    assert result.rejects[0]["detail"].endswith("The editor changed nothing.")


@pytest.mark.parametrize(
    "said",
    [
        review(("five trays", "there are no five")),
        json.dumps({"faults": [], "content": False}),
        json.dumps({"faults": [{"quote": "6 trays", "fault": "too few"}], "content": True}),
    ],
)
def test_a_critic_that_contradicts_itself_or_makes_quotes_up_is_asked_again(tmp_path: Path, said: str) -> None:
    result = ran(tmp_path / "1", author=saying(problem()), critic=saying(said, review()), solver=solver(), retries=1)
    assert len(result.prompts) == 1 and result.row("work")["retried"] == {"unsound critique": 1}
    gone = ran(tmp_path / "2", author=saying(problem()), critic=saying(said))
    assert gone.dropped == {("work", "unsound critique"): 1}


def test_a_fault_of_a_short_answer_may_quote_all_of_it(tmp_path: Path) -> None:
    finds = saying(review(("72", "the product is 72, but 20 are sold")), review())
    result = ran(tmp_path, author=saying(problem(answer="72")), critic=finds, solver=solver(), editor=saying(problem()))
    assert result.prompts[0].answer == "52"


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (problem(PASSAGE), "repeats its seed"),
        (problem("How many rolls?"), "no question"),
        (problem("How many rolls of the passage hold 6 trays of 12?"), "leans on what the reader can't see"),
        (problem("There are 6 trays of 12 rolls. Prove that there are 72."), "asks for more than a short answer"),
        (problem(GOOD + "\n(Answer: 52)"), "the answer stands in the question"),
        (problem(answer="52 or 53"), "no short answer"),
        (problem(answer="fifty-two, since 72 - 20 = 52"), "no short answer"),
        (problem(answer="many"), "no short answer"),
        (problem(answer="the rolls that nobody has bought by the end of day", kind="phrase"), "no short answer"),
        (problem(answer="C", kind="choice"), "the answer is none of the options"),
    ],
)
def test_a_draft_that_can_be_no_problem_is_sent_back_and_then_dropped(tmp_path: Path, draft: str, reason: str) -> None:
    author = saying(draft, problem())
    mended = ran(tmp_path / "1", author=author, critic=critic(), solver=solver(), retries=1)
    assert [prompt.text for prompt in mended.prompts] == [GOOD]
    assert mended.row("author")["retried"] == {reason: 1}
    assert "Your last reply could not be used." in author.asked[1].prompt[-1]["content"]  # type: ignore[index, call-overload]
    assert ran(tmp_path / "2", author=saying(draft), critic=critic()).dropped == {("author", reason): 1}


def test_a_choice_votes_by_its_options(tmp_path: Path) -> None:
    question = "Which of these is a prime number?\nA. 21\nB. 23\nC. 25"
    who = solver(lambda asked, sample: "B" if sample % 2 else "23")
    draft = saying(problem(question, "B", "choice"))
    (prompt,) = ran(tmp_path, author=draft, critic=critic(), solver=who).prompts
    assert (prompt.verifier, prompt.meta["choices"]) == ("choice", {"A": "21", "B": "23", "C": "25"})
    assert prompt.meta["synthesis"]["scores"]["agreement"] == 1


def test_a_prompt_alone_where_no_response_is_wanted(tmp_path: Path) -> None:
    result = ran(tmp_path, author=saying(problem()), critic=critic(), solver=solver(), response=False)
    assert len(result.prompts) == 1 and not result.examples


def test_what_it_is_expected_to_cost() -> None:
    calls = WORKFLOW.calls(WORKFLOW.options.model_validate({"k": 10}))
    assert (calls.requests, calls.completions) == (5.5, 19)
