"""The guard: planted overlaps are found, other questions of the same kind are left alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from teachable.overlap.guard import Finding, Guard, TrainingRow, asked, content_key
from teachable.records import Message, Prompt
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig

RIVER = "Which of the three rivers that meet below the old mill carries the most water in the month of April?"
SHORT = "Which river flows through Lisbon?"
FERRY = "A ferry leaves at 7 with 48 passengers and picks up 12 more at each of the 3 islands. How many arrive?"


def user(text: str) -> Message:
    return Message(role="user", content=text)


def question(text: str, name: str = "q", domain: str = "own", key: str = "") -> Prompt:
    meta = {"content_key": key} if key else {}
    return Prompt(id=name, domain=domain, messages=(user(text),), meta=meta)


def row(*prompts: str, key: str = "", cleared: bool = False, own: tuple[str, ...] = (), **said: str) -> TrainingRow:
    return TrainingRow("row 1", prompts, said, key, own, cleared)


def how(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.field, finding.how) for finding in found]


# ---- the rule ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RIVER, "equal"),
        (f"  {RIVER.upper()}\n", "equal"),
        (RIVER.replace(" meet", ", meet,").replace("?", " ..."), "equal"),
        (RIVER.replace("April", "August"), "near-duplicate"),
        (f"Read this, answer in one word, and then say why. {RIVER} Thank you, and take your time.", "shared run"),
        ("Where do the three rivers that meet below the old mill carry the water to, and how fast do they flow?", None),
        ("Which of the three hills that rise behind the new church has the widest view in the month of May?", None),
    ],
)
def test_a_prompt_that_overlaps_is_found(text: str, expected: str | None) -> None:
    found = how(Guard([question(RIVER)]).check([row(text)]))
    assert found == ([("prompt", expected)] if expected else [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"I was asked: {SHORT} and knew it at once.", True),
        ("which river... flows (through) LISBON", True),
        ("Which river flows through London?", False),
        ("Which river flows through", False),
    ],
)
def test_a_short_question_is_looked_for_as_a_whole(text: str, found: bool) -> None:
    guard = Guard([question(SHORT)])
    assert bool(guard.check([row(text)])) is found
    assert bool(guard.check([row("Tell me a story.", response=text)])) is found


def test_a_message_that_is_a_part_of_a_question_is_found_and_a_response_is_not() -> None:
    part = "the three rivers that meet below the old mill"
    guard = Guard([question(RIVER)])
    assert how(guard.check([row(part)])) == [("prompt", "part")]
    assert guard.check([row("Where do we fish?", response=part)]) == []


def test_numbers_make_another_question() -> None:
    guard = Guard([question(FERRY)])
    assert how(guard.check([row(FERRY.replace("at each", "on each"))])) == [("prompt", "near-duplicate")]
    changed = "A ferry leaves at 9 with 48 passengers and picks up 15 more at each of the 3 islands. How many arrive?"
    assert guard.check([row(changed)]) == []


@pytest.mark.parametrize("text", ["Calculate 5 + 3 - 2 * 7.", "Calculate 12 - 5 + 3 - 2.", "Calculate 5 + 3 - 21."])
def test_a_longer_sum_is_another_question(text: str) -> None:
    """Each of them, but for its last number or sign, holds the other's words."""
    guard = Guard([question("Calculate 5 + 3 - 2.")])
    assert guard.check([row(text)]) == []
    assert how(guard.check([row("Calculate 5 + 3 - 2 = ?")])) == [("prompt", "contains")]


def test_the_content_key_decides_between_procedural_questions() -> None:
    guard = Guard([question("What is 12 + 34 + 56 + 78 + 90 + 11?", key="sum 11 12")])
    same = row("Add the following six numbers: 11, 12 and others", key="sum 11 12")
    assert how(guard.check([same])) == [("prompt", "same content")]
    assert guard.check([row("What is 12 + 34 + 56 + 78 + 90 + 11 + 0 + 0?", key="sum 0 0")]) == []


def test_what_a_response_repeats_of_its_own_prompt_is_the_prompts() -> None:
    passage = f"{RIVER} And which of them is the shortest one of all?"
    guard = Guard([question(RIVER)])
    assert how(guard.check([row("Tell me.", response=f"You mean: {RIVER}")])) == [("response", "shared run")]
    assert guard.check([row(passage, cleared=True, response=f"You ask: {passage}")]) == []
    assert guard.check([row(own=(passage,), response=f"You ask: {passage}")]) == []


def test_cleared_prompts_are_still_compared_for_sameness() -> None:
    guard = Guard([question(RIVER)])
    assert how(guard.check([row(RIVER.lower(), cleared=True)])) == [("prompt", "equal")]
    assert guard.check([row(RIVER.replace("April", "August"), cleared=True)]) == []


def test_each_turn_of_a_chat_is_looked_at_and_a_context_makes_a_question() -> None:
    chat = (user("Tell me of rivers."), Message(role="assistant", content="Gladly."), user(RIVER), user("And why?"))
    assert asked(chat)[2:] == ("And why?", f"Tell me of rivers.\n{RIVER}\nAnd why?")
    assert how(Guard([question(RIVER)]).check([TrainingRow("row 1", asked(chat))])) == [("prompt", "equal")]
    # "And why?" after another talk is another question.
    other = (user("Tell me of hills."), Message(role="assistant", content="Gladly."), user("And why?"))
    held = Prompt(id="q", domain="own", messages=chat)
    assert Guard([held]).check([TrainingRow("row 1", asked(other))]) == []
    assert how(Guard([held]).check([TrainingRow("row 1", asked(chat))])) == [("prompt", "equal")]


def test_worked_examples_before_a_question_are_no_questions() -> None:
    """In turns they are told by themselves; in one text a benchmark says what is the question."""
    turns = (user(FERRY), Message(role="assistant", content="84"), user(RIVER))
    text = f"Question: {FERRY}\nAnswer: 84\n\nQuestion: {RIVER}\nAnswer:"
    bare = Prompt(id="q", domain="own", messages=(user(text),), meta={"bare_question": RIVER})
    for held in (Prompt(id="q", domain="own", messages=turns), bare):
        assert Guard([held]).check([row(FERRY)]) == []
        assert how(Guard([held]).check([row(RIVER)])) == [("prompt", "equal")]
    assert how(Guard([replace(bare, meta={})]).check([row(FERRY)])) == [("prompt", "shared run")]


def test_scripts_without_spaces() -> None:
    held = "小明有五本书,又买了三本。他把其中的两本送给了小红,请问他现在还剩下几本书?"
    guard = Guard([question(held)])
    assert how(guard.check([row(f"请认真回答下面的问题,并且写出过程。{held}")])) == [("prompt", "shared run")]
    assert how(guard.check([row("你好", response=f"题目是:{held}")])) == [("response", "shared run")]
    assert guard.check([row("小红有五只猫,又养了三只。请问她现在一共有几只猫?")]) == []


def test_a_wrapping_is_a_template() -> None:
    """Few questions, all in the same words before and after: only what is between them tells."""
    things = ["the depth of the harbour", "a widow's five sons", "an owl in the belfry", "seven kinds of bread"]
    head = "Read the following question carefully, think step by step, and give the final answer on the last line. "
    held = [question(f"{head}Question: what is told of {thing}?", name=thing) for thing in things]
    guard = Guard(held)
    assert guard.check([row(f"{head}Question: who was the tallest of the guards?", response=head)]) == []
    found = guard.check([row(f"{head}Question: what is told of a widow's five sons?")])
    assert [finding.question_id for finding in found] == ["a widow's five sons"]


def test_a_finding_says_what_it_is() -> None:
    (found,) = Guard([replace(question(SHORT, "ab12"), meta={"benchmark": "quiz"})]).check([row(SHORT)])
    assert found.sentence == f"row 1: the prompt equals question ab12 of quiz ({SHORT!r})"
    assert Guard([]).check([row(SHORT)]) == []


# ---- planted truth ----

N_PLANTED = 60


def prose(rng: random.Random, n_words: int) -> str:
    """Words of a vocabulary of 3,000, the frequent ones as frequent as in a language."""
    return " ".join(rng.choices(VOCABULARY, weights=WEIGHTS, k=n_words)) + "?"


LETTERS = random.Random(1)
VOCABULARY = ["".join(LETTERS.choices("abcdefghilmnoprstuvw", k=LETTERS.randint(2, 9))) for _ in range(3000)]
WEIGHTS = [1 / (rank + 5) for rank in range(3000)]


@pytest.mark.parametrize("seed", range(3))
def test_planted_overlaps_are_found_and_nothing_else(seed: int) -> None:
    """All exact, re-cased, embedded and repeated questions, all in which one word of 25 was changed; no other row."""
    rng = random.Random(seed)
    held = [question(prose(rng, rng.randint(25, 90)), str(i), domain=f"d{i % 3}") for i in range(240)]
    held += [question(prose(rng, rng.randint(6, 12)), f"short {i}") for i in range(60)]

    def edited(text: str) -> str:
        said = text.split()
        for place in range(rng.randrange(20), len(said), 25):
            said[place] = "changed"
        return " ".join(said)

    plants = {
        "exact": lambda text: row(text),
        "re-cased": lambda text: row("\n " + text.upper().replace(" ", "  ")),
        "embedded": lambda text: row(f"{prose(rng, 40)} {text} {prose(rng, 40)}"),
        "repeated": lambda text: row(prose(rng, 10), response=f"{prose(rng, 100)} {text} {prose(rng, 10)}"),
        "edited": lambda text: row(edited(text)),
    }
    rows, expected = [], {}
    for i in range(2000):
        rows.append(replace(row(prose(rng, rng.randint(5, 90)), response=prose(rng, 150)), name=f"clean {i}"))
    for kind, planted in plants.items():
        from_ = held[:240] if kind == "edited" else held
        for i, prompt in enumerate(rng.sample(from_, N_PLANTED)):
            rows.append(replace(planted(prompt.text), name=f"{kind} {i}"))
            expected[f"{kind} {i}"] = prompt.id
    rng.shuffle(rows)
    found = Guard(held, [one.prompts[0] for one in rows]).check(rows)
    assert {finding.row: finding.question_id for finding in found} == expected
    counts = Counter((finding.row.split()[0], finding.how) for finding in found)
    assert counts["exact", "equal"] == counts["re-cased", "equal"] == N_PLANTED


@pytest.mark.parametrize(("n_pool", "n_heldout"), [(2000, 300), (400, 80), (40, 10)])
def test_built_in_pools_raise_no_false_alarm(n_pool: int, n_heldout: int) -> None:
    """Short questions of one template; the larger pools even where nothing says that they are procedural."""
    tasks = asyncio.run(build_tasks(TasksConfig(n_pool=n_pool, n_heldout=n_heldout), 0))
    taught = {solution.prompt_id: solution.text for solution in tasks.solutions}
    rows = [
        TrainingRow(prompt.id, asked(prompt.messages), {"response": taught[prompt.id]}, content_key(prompt))
        for prompt in tasks.pool
    ]
    assert Guard(tasks.heldout).check(rows) == []
    if n_heldout >= 80:
        bare = [replace(prompt, meta={}) for prompt in tasks.heldout]
        assert Guard(bare).check([replace(one, content_key="") for one in rows]) == []
    # And the same questions are found, every one.
    leaked = [TrainingRow(p.id, asked(p.messages), content_key=content_key(p)) for p in tasks.heldout]
    assert len(Guard(tasks.heldout).check(leaked)) == len(tasks.heldout)
