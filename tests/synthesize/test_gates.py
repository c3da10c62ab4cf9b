"""The gates: what each refuses and why, that they count, and that what one refuses does not come to the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from teachable.errors import TeachableError
from teachable.records import Document, Message, Prompt, Verdict
from teachable.synthesize import GatesConfig, Item, Output, user
from teachable.synthesize.gates import GATES, Gates, Refusal
from teachable.synthesize.items import Made, Seed, made_of, seed_of_document, seed_of_prompt

QUESTION = "A farmer counts the sheep in the meadow behind the old barn and finds {} of them. How many legs are there?"
OTHER = "Somebody draws marbles of glass from a leather bag with {} in it and puts none back. How often can it be done?"
GERMAN = "Ein Bauer zählt jeden Abend seine Schafe und stellt fest, dass {} von ihnen seit dem Morgen fehlen. Warum?"
PASSAGE = seed_of_document(Document("d1", "A passage that tells of sheep and of marbles.", "notes.txt"))


def output(text: str = QUESTION.format(12), **more: Any) -> Output:
    """An output that every gate lets pass."""
    values: dict[str, Any] = {"answer": "48", "verifier": "math", "response": "Four each.\nThe answer is 48."}
    return Output(user(text), "agreement", **{**values, **more})


def made(one: Output, seed: Seed = PASSAGE) -> Made:
    return made_of(Item(id=seed.id, seed=seed), one, "toy", "0")


def config(**settings: Any) -> GatesConfig:
    return GatesConfig.model_validate(settings)


def passing(gates: Gates, outputs: Sequence[Output | Made]) -> list[Refusal | None]:
    """The outputs through all gates, as a run has it."""
    all_made = [one if isinstance(one, Made) else made(one) for one in outputs]

    async def alone() -> list[Refusal | None]:
        return [await gates.alone(one) for one in all_made]

    refusals = asyncio.run(alone())
    left = [place for place, refusal in enumerate(refusals) if refusal is None]
    for place, refusal in zip(left, gates.together([all_made[place] for place in left]), strict=True):
        refusals[place] = refusal
    return refusals


def reasons(gates: Gates, *outputs: Output | Made) -> list[str]:
    return [f"{one.gate}: {one.reason}" if one is not None else "" for one in passing(gates, outputs)]


def chat(*turns: str) -> tuple[Message, ...]:
    """A chat of the user's and the model's turns."""
    return tuple(Message(role=("user", "assistant")[place % 2], content=content) for place, content in enumerate(turns))


def test_a_good_output_passes_every_gate_and_is_counted_in_each() -> None:
    gates = Gates(
        config(language="en"), heldout=[Prompt("h", "d", user("Which river is the longest of all on earth?"))]
    )
    assert passing(gates, [output()]) == [None]
    assert {gate: (one.entered, one.left, sum(one.dropped.values())) for gate, one in gates.counts.items()} == {
        gate: (1, 1, 0) for gate in GATES
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (output(), ""),
        (replace(output(), proof=""), "proof: nothing proves it"),
        (replace(output(), proof="trust"), "proof: nothing proves it"),
        (replace(output(), messages=()), "proof: no question"),
        (replace(output(), messages=chat("What is 6 times 8?", "It is 48.")), "proof: no question"),
        (output("  \n"), "proof: malformed chat"),
        (replace(output(), messages=chat("What is six times eight?", " ", "And?")), "proof: malformed chat"),
        (
            replace(output(), messages=(Message(role="tool", content="x"), *user("A question?"))),
            "proof: malformed chat",
        ),
        (output(answer=" "), "proof: the answer is empty"),
        (output(response="\n"), "proof: the response is empty"),
        (output("Legs?"), "length: prompt too short"),
        (output("Which? " * 40), "length: prompt too long"),
        (output(response="So. " * 100 + "The answer is 48."), "length: response too long"),
        (output(QUESTION.format(12) + " (Answer: 48)"), "leak: the answer can be read off the prompt"),
        (output(QUESTION.format(12) + " (Answer: 48)", leak_checked=True), ""),
        (output(response="The answer is 47."), "verifier: the response is wrong"),
        (output(response=""), ""),
        (output(response="", answer="any of 1, 2, 3"), "verifier: the verifier refuses the reference"),
        (output(answer=None, response=""), ""),
        (output(answer="It says how many.", verifier="judge"), ""),
        (output(answer="assert f(1) == 1", verifier="code", response=""), ""),
    ],
)
def test_each_gate_refuses_for_its_own_reasons(bad: Output, reason: str) -> None:
    gates = Gates(config(max_chars=250, max_response_chars=300))
    assert reasons(gates, bad) == [reason]
    entered = [gate for gate in GATES if gates.counts[gate].entered]
    assert entered == list(GATES[: GATES.index(reason.split(":")[0]) + 1] if reason else GATES)
    if reason:
        gate, _, label = reason.partition(": ")
        assert gates.counts[gate].dropped == {label: 1}
        assert gates.counts[gate].left == 0


class Yes:
    """A verifier that accepts whatever it is shown."""

    name = "yes"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        return Verdict(True, attempt, "")


class Broken:
    """A verifier that fails."""

    name = "broken"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        raise RuntimeError("out of order")


def test_a_verifier_has_to_prove_itself_and_one_that_fails_accepts_nothing() -> None:
    gates = Gates(config(), verifiers={"yes": Yes(), "broken": Broken()})
    refused = passing(
        gates,
        [output(verifier="yes", response=""), output(verifier="broken"), output(verifier="broken", response="")],
    )
    assert [one.reason for one in refused if one is not None] == [
        "the verifier accepts what is wrong",
        "the response could not be verified",
        "the verifier refuses the reference",
    ]
    assert refused[0] is not None and "near-miss" in refused[0].detail
    assert refused[1] is not None and "out of order" in refused[1].detail


def test_an_unknown_verifier_is_the_users_mistake() -> None:
    with pytest.raises(TeachableError, match="no verifier called 'maths'"):
        passing(Gates(config()), [output(verifier="maths")])


def test_the_language_is_the_outputs_own_or_the_runs() -> None:
    german = output(GERMAN.format(3), answer=None, response="")
    assert reasons(Gates(config()), german) == [""]
    assert reasons(Gates(config(language="en")), german) == ["language: another language"]
    assert reasons(Gates(config(language="en")), replace(german, language="de")) == [""]
    answered = output(answer=None, response=GERMAN.format(3))
    refused = passing(Gates(config(language="en")), [answered])
    assert refused[0] is not None and refused[0].detail == "the response is in de, not in en"


HELDOUT = [Prompt("h1", "farm", user(QUESTION.format(77)), answer="308", meta={"benchmark": "farms"})]


@pytest.mark.parametrize(
    ("one", "is_refused"),
    [
        (output(QUESTION.format(77), answer="308", response=""), True),
        (output(QUESTION.format(77).upper(), answer="308", response=""), True),
        (output(OTHER.format(9), answer="9", response=f"{QUESTION.format(77)} 308. The answer is 9."), True),
        (replace(output(answer=None, response=""), messages=chat(OTHER.format(9), QUESTION.format(77), "Why?")), True),
        (output(OTHER.format(9), answer="9", response=""), False),
    ],
)
def test_held_out_questions_are_in_no_side_of_an_output(one: Output, is_refused: bool) -> None:
    reason = "held out: overlaps a held-out question" if is_refused else ""
    assert reasons(Gates(config(), heldout=HELDOUT), one) == [reason]
    assert reasons(Gates(config(allow_overlap=True), heldout=HELDOUT), one) == [""]


def test_held_out_refusals_name_the_question_and_fall_on_the_right_output() -> None:
    outputs = [
        output(OTHER.format(9), answer="9", response=""),
        output(QUESTION.format(77), answer="308", response=""),
        output(OTHER.format(10), answer="10", response=""),
    ]
    gates = Gates(config(), heldout=HELDOUT)
    refused = passing(gates, outputs)
    assert [one is not None for one in refused] == [False, True, False]
    assert refused[1] is not None and refused[1].detail.startswith("the prompt equals question h1 of farms")
    assert gates.counts["near-duplicate"].entered == 2


def test_the_first_of_near_duplicates_is_kept_across_batches() -> None:
    gates = Gates(config())
    first = output(QUESTION.format(12))
    again = output(QUESTION.format(12).replace("finds", "found"))
    another = output(QUESTION.format(13), answer="52", response="")
    assert reasons(gates, first, again, another) == ["", "near-duplicate: repeats another prompt", ""]
    refused = passing(gates, [again])
    assert refused[0] is not None and made(first).prompt.id in refused[0].detail
    assert reasons(Gates(config(near_duplicate=1.0)), first, again) == ["", ""]


def test_what_was_accepted_in_another_run_is_not_repeated() -> None:
    gates = Gates(config(), against=[made(output()).prompt])
    assert reasons(gates, output(), output(OTHER.format(9), answer="9", response="")) == [
        "near-duplicate: repeats another prompt",
        "",
    ]


def test_an_output_may_not_repeat_the_prompt_that_it_was_made_of_unless_allowed() -> None:
    text = QUESTION.format(12)
    seed = seed_of_prompt(Prompt("p1", "farm", user(text), answer="48"))
    same, near = output(text), output(text.replace("finds", "found"))
    assert reasons(Gates(config()), made(same, seed)) == ["near-duplicate: repeats its seed"]
    assert reasons(Gates(config()), made(near, seed)) == ["near-duplicate: repeats its seed"]
    assert reasons(Gates(config()), made(output(QUESTION.format(13), answer="52", response=""), seed)) == [""]
    allowed = replace(same, allowed=(text,))
    assert reasons(Gates(config()), made(allowed, seed), made(allowed, seed)) == ["", ""]
    assert reasons(Gates(config(), against=[seed.prompt] if seed.prompt else []), made(allowed, seed)) == [""]


def test_content_keys_decide_between_procedural_outputs() -> None:
    text = "What becomes of the word if each letter moves on by a place in the alphabet, and is then read backwards?"
    one = Output(user(text), "program", content_key="a")
    gates = Gates(config())
    assert reasons(gates, one, replace(one, content_key="b"), Output(user(OTHER), "program", content_key="a")) == [
        "",
        "",
        "near-duplicate: repeats another prompt",
    ]
    seed = seed_of_prompt(Prompt("p1", "words", user(text), meta={"content_key": "c"}))
    assert reasons(Gates(config()), made(one, seed)) == [""]
    assert reasons(Gates(config()), made(replace(one, content_key="c"), seed)) == ["near-duplicate: repeats its seed"]


def test_two_chats_with_the_same_last_message_are_two() -> None:
    first = replace(output(answer=None, response=""), messages=chat(QUESTION.format(12), "48.", "And why is that so?"))
    second = replace(first, messages=chat(OTHER.format(9), "9 times.", "And why is that so?"))
    assert reasons(Gates(config()), first, second, first) == ["", "", "near-duplicate: repeats another prompt"]


def test_what_they_say_depends_on_nothing_but_the_outputs_and_their_order() -> None:
    outputs = [output(QUESTION.format(n % 7), answer=str(4 * (n % 7)), response="") for n in range(1, 40)]
    outputs += [output(OTHER.format(n).replace("often", "many times"), answer="3", response="") for n in range(20)]
    first, second = Gates(config()), Gates(config())
    assert passing(first, outputs) == passing(second, outputs)
    assert sum(first.counts["near-duplicate"].dropped.values()) == 39 - 7


def test_the_counts_of_all_gates_add_up() -> None:
    outputs = [output(QUESTION.format(n), answer=str(4 * n), response="") for n in range(1, 30)]
    outputs += [replace(output(), proof=""), output("Legs?"), output(response="The answer is 7."), *outputs[:5]]
    outputs.append(output(OTHER.format(9), answer="9", response=""))
    gates = Gates(config(), heldout=[Prompt("h2", "bag", user(OTHER.format(9)))])
    n_accepted = reasons(gates, *outputs).count("")
    entered = len(outputs)
    for gate in GATES:
        counts = gates.counts[gate]
        assert counts.entered == entered
        assert counts.left == entered - sum(counts.dropped.values())
        entered = counts.left
    assert entered == n_accepted == 29


def test_an_output_of_300_characters_passes_in_under_half_a_millisecond() -> None:
    """Four times that is allowed here, where other work may share the machine."""
    words: Mapping[int, str] = {n: "".join(chr(97 + (n * p) % 26) for p in (3, 5, 7, 11, 17)) for n in range(26**2)}
    texts = [" ".join(words[(n * (p + 3) ** 2 + p) % 676] for p in range(45)) for n in range(1000)]
    outputs = [
        made(output(f"{text} {n} and how many?", answer=str(n + 5000), response="")) for n, text in enumerate(texts)
    ]
    gates = Gates(config())
    passing(gates, outputs[:10])
    begin = time.process_time()
    passing(gates, outputs[10:])
    assert (time.process_time() - begin) / len(outputs) < 0.002
