"""The best of n: what may be chosen, who decides, and why the rest is dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.synthesize.workflows.small_runs import Ran, Told, run
from tests.verify.judging.planted import sealed, shown_in

from teachable.errors import TeachableError
from teachable.records import Message, Prompt
from teachable.synthesize.items import Seed, seed_of_prompt
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.responses import WORKFLOW
from teachable.synthesize.workflows.responses_candidates import BROKEN, NO_REASONING, response_of

THOUGHT = "Seven and eight make fifteen, I check it."


def seed(answer: str | None = "15", question: str = "What is 7 + 8, in one number?", **more: Any) -> Seed:
    messages = (Message(role="user", content=question),)
    return seed_of_prompt(
        Prompt(id="p", domain="sums", messages=messages, answer=answer, **{"verifier": "math"} | more)
    )


def judging(score: Callable[[str], float | None], accepts: Callable[[str], bool] = lambda text: True) -> Any:
    """A judge that scores and accepts by what a candidate says."""

    def answer(messages: list[Message], sample: int) -> str:
        text = messages[-1]["content"]
        candidate = shown_in(text)["candidate's answer"]
        if '"accuracy"' not in text:
            return sealed(text, correct=accepts(candidate))
        value = score(candidate)
        return sealed(text, accuracy=value, style=value, detail=value)

    return Told(answer, "judge")


def of(texts: list[str]) -> Any:
    """A teacher that gives these responses, in this order."""
    return Told(lambda messages, sample: texts[sample % len(texts)], "teacher")


def ran(tmp_path: Path, texts: list[str], *, judge: Any = None, seeds: list[Seed] | None = None, **more: Any) -> Ran:
    return run(WORKFLOW, seeds or [seed()], tmp_path, {"": of(texts), "judge": judge}, **{"n": len(texts)} | more)


def chosen(result: Ran) -> str:
    (example,) = result.examples
    return str(example["messages"][-1]["content"])


def test_only_what_the_verifier_accepts_is_chosen_however_the_judge_likes_the_rest(tmp_path: Path) -> None:
    texts = ["A splendid essay. Answer: 16", "So it is. Answer: 15", "Hm. Answer: 15"]
    judge = judging(lambda text: 10 if "splendid" in text else 3)
    result = ran(tmp_path, texts, judge=judge, votes=1)
    assert chosen(result) == "Hm. Answer: 15"
    assert result.examples[0]["why"] == "responses: verifier"
    assert not any("splendid" in str(request.prompt) for request in judge.asked)
    scores = result.prompts[0].meta["synthesis"]["scores"]
    assert (scores["right"], scores["judge"]) == (pytest.approx(2 / 3, abs=1e-5), 3)


def test_the_judge_ranks_what_is_right_and_the_shortest_of_equals_wins(tmp_path: Path) -> None:
    texts = ["Plain. Answer: 15", "Better said. Answer: 15", "Good, said. Answer: 15", "Good! Answer: 15"]
    judge = judging(lambda text: 9 if "Good" in text else 8.8 if "Better" in text else 5)
    assert chosen(ran(tmp_path / "1", texts, judge=judge, votes=1, tie=0)) == "Good! Answer: 15"
    judge = judging(lambda text: 9 if "Good" in text else 8.8 if "Better" in text else 8.75)
    assert chosen(ran(tmp_path / "2", texts[:3], judge=judge, votes=1)) == "Plain. Answer: 15"


def test_without_a_judge_the_shortest_right_response_wins(tmp_path: Path) -> None:
    result = ran(tmp_path, ["At length: Answer: 15", "Answer: 15", "Answer: 1"], votes=0)
    assert chosen(result) == "Answer: 15"


def test_one_right_response_needs_no_judge_and_one_that_can_t_tell_does_no_harm(tmp_path: Path) -> None:
    judge = judging(lambda text: None)
    assert chosen(ran(tmp_path / "1", ["Answer: 15", "Answer: 3"], judge=judge)) == "Answer: 15"
    assert judge.asked == []
    assert chosen(ran(tmp_path / "2", ["It is so. Answer: 15", "Answer: 15"], judge=judge)) == "Answer: 15"


def test_no_right_response_and_a_verifier_that_can_t_tell_are_two_things(tmp_path: Path) -> None:
    result = ran(tmp_path / "1", ["Answer: 16", "Answer: 17"])
    assert result.dropped == {("check", "no response is right"): 1} and not result.prompts
    choices = seed("Rome", "Which city?\nA) Paris\nB) Oslo", verifier="choice")
    result = ran(tmp_path / "2", ["Answer: A"], seeds=[choices])
    assert result.dropped == {("check", "the verifier could not tell"): 1}


def test_without_a_reference_the_judge_s_bar_and_votes_decide(tmp_path: Path) -> None:
    texts = ["First, and good enough.", "Second, and the better one."]
    scores = {"First": 8.0, "Second": 9.0}
    judge = judging(lambda text: scores[text.partition(",")[0]], accepts=lambda text: "Second" not in text)
    result = ran(tmp_path / "1", texts, seeds=[seed(None, verifier="judge")], judge=judge, votes=1)
    assert chosen(result).startswith("First") and result.examples[0]["why"] == "responses: judge"
    judge = judging(lambda text: 6.9)
    result = ran(tmp_path / "2", texts, seeds=[seed(None)], judge=judge, votes=1)
    assert result.dropped == {("choose", "below the judge's bar"): 1}
    judge = judging(lambda text: 9, accepts=lambda text: False)
    result = ran(tmp_path / "3", texts, seeds=[seed(None)], judge=judge, votes=1)
    assert result.dropped == {("choose", "the judge accepts none"): 1}
    result = ran(tmp_path / "4", texts, seeds=[seed(None)], judge=judging(lambda text: None))
    assert result.dropped == {("choose", "the judge could not tell"): 1}
    result = ran(tmp_path / "5", texts, seeds=[seed(None)], votes=0)
    assert result.dropped == {("choose", "nothing to judge by"): 1}


def test_a_prompt_whose_verifier_is_a_judge_is_judged_against_its_reference(tmp_path: Path) -> None:
    judge = judging(lambda text: 5, accepts=lambda text: "no" not in text)
    judged = seed("It is so.", "Why is the sky blue?", verifier="judge")
    result = ran(tmp_path, ["no", "yes"], seeds=[judged], judge=judge, votes=1)
    assert chosen(result) == "yes" and result.examples[0]["why"] == "responses: judge"
    assert "reference answer" in str(judge.asked[0].prompt)


def test_a_judge_s_engine_that_fails_is_a_failure_and_no_verdict(tmp_path: Path) -> None:
    def down(messages: list[Message], sample: int) -> str:
        raise OSError("down")

    result = ran(tmp_path, ["Answer: 15", "It is. Answer: 15"], judge=Told(down))
    assert result.stats["failed_items"] == 1 and not result.rejects and not result.prompts
    assert result.row("choose")["failed"] == 1 and "down" in result.stats["failures"][0]


def test_malformed_responses_are_sent_back_then_left_out(tmp_path: Path) -> None:
    def teacher(messages: list[Message], sample: int) -> str:
        if messages[-1]["content"].startswith("Your reply was cut off"):
            return "Answer: 15"
        return ["too long…", "Answer: 16"][sample]

    result = run(WORKFLOW, [seed()], tmp_path / "1", teacher, retries=1, n=2, votes=0)
    assert chosen(result) == "Answer: 15" and result.row("respond")["retried"] == {"cut off": 1}
    result = ran(tmp_path / "2", ["too long…", "Answer: 15"], votes=0)
    assert chosen(result) == "Answer: 15" and result.prompts[0].meta["synthesis"]["scores"]["whole"] == 0.5
    result = ran(tmp_path / "3", ["too long…", "also…", ""], votes=0)
    assert result.dropped == {("respond", "cut off"): 1} and "2 cut off, 1 empty" in result.rejects[0]["detail"]


def test_a_second_try_that_speaks_of_the_first_is_no_response(tmp_path: Path) -> None:
    def teacher(messages: list[Message], sample: int) -> str:
        return "Sorry for the length. Answer: 15" if len(messages) > 2 else "too long…"

    result = run(WORKFLOW, [seed()], tmp_path, teacher, retries=1, n=1, votes=0)
    assert result.dropped == {("respond", "speaks of an earlier reply"): 1}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"<think>{THOUGHT}</think>\n\n15", f"<think>\n{THOUGHT}\n</think>\n\n15"),
        (f"{THOUGHT}</think>15", f"<think>\n{THOUGHT}\n</think>\n\n15"),  # the template opened it
        ("<think></think>15", "15"),
        ("15", "15"),
        (f"<think>{THOUGHT}", BROKEN),
        (f"<think>{THOUGHT}</think>", BROKEN),
        (f"15 <think>{THOUGHT}</think> 15", BROKEN),
        (f"<think>{THOUGHT}</think> 15 <think>again</think> 16", BROKEN),
        (f"<think>a <think>{THOUGHT}</think> b</think> 15", BROKEN),
        (f"<thinking>{THOUGHT}</thinking> 15", BROKEN),
        (f"[THINK]{THOUGHT}[/THINK] 15", BROKEN),
    ],
)
def test_kept_thoughts_stand_once_and_first(text: str, kept: str) -> None:
    found = response_of(text, "keep")
    assert (found.label if isinstance(found, Fault) else found) == kept


def test_thoughts_that_are_required_are_there(tmp_path: Path) -> None:
    whole = f"<think>\n{THOUGHT}\n</think>\n\nAnswer: 15"
    texts = ["Answer: 15", "<think>Easy.</think>\nAnswer: 15", f"<think>{THOUGHT}</think>\nAnswer: 15"]
    texts.append("<think>The answer is of course 15.</think>The answer is of course 15.")
    result = ran(tmp_path / "1", texts, think="require", votes=0)
    assert chosen(result) == whole and result.prompts[0].meta["synthesis"]["scores"]["whole"] == 0.25
    result = ran(tmp_path / "2", texts[:2], think="require", votes=0)
    assert result.dropped == {("respond", NO_REASONING): 1}


def test_stripped_thoughts_leave_no_trace(tmp_path: Path) -> None:
    result = ran(tmp_path, [f"<think>{THOUGHT}</think>\nAnswer: 15"], votes=0)
    assert chosen(result) == "Answer: 15"


def test_the_prompt_is_asked_as_it_stands_and_comes_out_as_it_was(tmp_path: Path) -> None:
    messages: tuple[Message, ...] = (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello, what is 7?"},
        {"role": "assistant", "content": "Seven."},
        {"role": "user", "content": "And seven and eight?"},
    )
    prompt = Prompt("p", "sums", messages, answer="15", verifier="math", level=3, meta={"a": 1})
    teacher = of(["Answer: 15"])
    result = run(WORKFLOW, [seed_of_prompt(prompt)], tmp_path, {"": teacher}, n=1)
    asked = teacher.asked[0].prompt
    assert list(asked[1:]) == list(messages[1:]) and asked[0]["content"].startswith("Be kind.\n\n")
    (made,) = result.prompts
    assert made.messages == messages and (made.answer, made.level, made.domain) == ("15", 3, "sums")
    assert made.answer_source == "organic" and made.meta["a"] == 1
    assert result.examples[0]["messages"][:-1] == list(messages)


def test_without_a_guide_the_prompt_is_all_that_is_asked(tmp_path: Path) -> None:
    teacher = of(["So it is. Answer: 15"])
    result = run(WORKFLOW, [seed()], tmp_path, {"": teacher, "judge": None}, n=1, guide=False, votes=0)
    assert chosen(result) == "So it is. Answer: 15"
    [request] = teacher.asked
    assert [message["role"] for message in request.prompt] == ["user"]
    assert result.examples[0]["synthesis"]["templates"] == {}


def test_equal_samples_for_want_of_temperature_are_told(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="at temperature 0 all responses are the same"):
        run(WORKFLOW, [seed()], tmp_path, {"": of(["15"])}, writing={"temperature": 0})
