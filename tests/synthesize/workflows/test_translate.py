"""Translations keep what they have to, and lead back: every fault of a planted translator is found by its own check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.synthesize.misbehaving import shown
from tests.synthesize.workflows.planted_tongues import asked_for, question, seeds, translation, truth
from tests.synthesize.workflows.small_runs import Ran, Told, run

from teachable.errors import TeachableError
from teachable.records import Message, Prompt
from teachable.synthesize.checks.fidelity import chrf
from teachable.synthesize.items import Seed, seed_of_prompt
from teachable.synthesize.workflows.translate import WORKFLOW
from teachable.synthesize.workflows.translate_checks import back_flaw, flaw, shared_run, stands_in, verbatim, worded

NO_FAULT: Callable[[str], str] = lambda text: text  # noqa: E731


def said(text: str) -> str:
    return json.dumps({"translation": text})


def translator(spoil: Callable[[str], str] = NO_FAULT, spoil_back: Callable[[str], str] = NO_FAULT) -> Any:
    """A translator that is right but for what `spoil` makes of it; `spoil_back` of the way back."""

    def answer(messages: list[Message], sample: int) -> str:
        language, text = asked_for(messages), shown(messages)["text"]
        found = translation(text, language)
        return said(spoil_back(found) if language == "en" else spoil(found))

    return Told(answer)


def ran(tmp_path: Path, given: Any, **more: Any) -> Ran:
    return run(
        WORKFLOW, more.pop("seeds", seeds(1)), tmp_path, {"": given}, **{"languages": ("de",), "tries": 1} | more
    )


def test_a_faithful_translation_comes_out_in_every_language_with_its_answer(tmp_path: Path) -> None:
    result = ran(tmp_path, translator(), seeds=seeds(3), languages=("de", "fr"))
    made = {(p.meta["original"], p.meta["language"]): (p.text, p.answer) for p in result.prompts}
    assert made == {
        (f"q{place}", code): (question(place, code), truth(place)) for place in range(3) for code in ("de", "fr")
    }
    assert {p.meta["synthesis"]["proof"] for p in result.prompts} == {"fidelity"}
    assert all(p.meta["synthesis"]["scores"]["chrf"] == 1 and p.answer_source == "organic" for p in result.prompts)
    assert not result.rejects and not result.examples


@pytest.mark.parametrize(
    ("place", "spoil", "reason"),
    [
        (0, lambda text: question(0, "en"), "not in the language asked for"),
        (0, lambda text: question(0, "fr"), "not in the language asked for"),
        (0, lambda text: text + " How many pieces of fruit are that?", "left untranslated"),
        (0, lambda text: text.replace("20", "21"), "a number, formula or name was not kept"),
        (0, lambda text: text.replace("20 ", ""), "a number, formula or name was not kept"),
        (0, lambda text: text + " (Antwort: 120)", "a number, formula or name was not kept"),
        (0, lambda text: text.replace("Martha", "Marta"), "a number, formula or name was not kept"),
        (1, lambda text: text.replace("+ x", "- x"), "a number, formula or name was not kept"),
        (2, lambda text: text.replace("- y", "+ y"), "a number, formula or name was not kept"),
        (0, lambda text: text.replace("?", ", und " * 70 + "?"), "much longer or shorter"),
    ],
)
def test_each_fault_of_a_translation_is_found(
    tmp_path: Path, place: int, spoil: Callable[[str], str], reason: str
) -> None:
    result = ran(tmp_path, translator(spoil), seeds=seeds(3)[place : place + 1])
    assert result.dropped == {("translate", reason): 1} and not result.prompts


@pytest.mark.parametrize(
    "spoil_back",
    [
        lambda text: "Which animal is this?",
        lambda text: text.replace("20", "30"),
        lambda text: text.replace("20", "#").replace("100", "20").replace("#", "100"),  # as a swap on the way there
    ],
)
def test_a_way_back_that_leads_elsewhere_proves_nothing(tmp_path: Path, spoil_back: Callable[[str], str]) -> None:
    result = ran(tmp_path, translator(spoil_back=spoil_back))
    assert result.dropped == {("back", "the way back leads elsewhere"): 1}
    assert "chrF" in result.rejects[0]["detail"] and not result.prompts


def test_names_that_have_changed_places_are_told(tmp_path: Path) -> None:
    """Hardly another letter, and another question."""
    original = "Anna is older than Bert, and Bert is as old as Carl. Who is the oldest of the three?"
    assert back_flaw(original, original, names=True) == ""
    swapped = original.replace("Anna", "X").replace("Bert", "Anna").replace("X", "Bert")
    assert chrf(swapped, original) > 0.8
    assert back_flaw(original, swapped, names=True).startswith("the names come as")
    assert back_flaw(original, swapped, names=False) == ""


def test_the_way_back_never_sees_the_original_and_may_have_an_engine_of_its_own(tmp_path: Path) -> None:
    writer, reader = translator(), translator()
    run(WORKFLOW, seeds(1), tmp_path, {"": writer, "reader": reader}, languages=("de",))
    (asked,) = reader.asked
    assert question(0, "de") in str(asked.prompt) and "bought" not in str(asked.prompt)


def test_an_unfaithful_translation_is_asked_for_again_with_its_fault(tmp_path: Path) -> None:
    faults: list[str] = []

    def answer(messages: list[Message], sample: int) -> str:
        parts = shown(messages)
        found = translation(parts["text"], asked_for(messages))
        if "fault" in parts:
            faults.append(parts["fault"])
        elif asked_for(messages) == "de":
            found = found.replace("20", "21")
        return said(found)

    result = ran(tmp_path, Told(answer), tries=2)
    assert len(result.prompts) == 1 and faults == ["the number '20' is missing"]
    assert result.row("translate")["retried"] == {"a number, formula or name was not kept": 1}


def of(question: str, answer: str | None, verifier: str = "exact", **meta: Any) -> list[Seed]:
    messages = (Message(role="user", content=question),)
    return [seed_of_prompt(Prompt("p", "d", messages, answer=answer, verifier=verifier, meta=meta))]


BOTH = {
    "Which one is heavier when both are of the same size, a ball of iron or a ball of wood?": (
        "Was ist schwerer, wenn beide gleich groß sind, eine Kugel aus Eisen oder eine Kugel aus Holz?"
    ),
    "What do we call the season of the year that comes directly after the long winter?": (
        "Wie nennen wir die Jahreszeit, die unmittelbar auf den langen Winter folgt?"
    ),
    "Which of these metals is heavier when both are of the same size?\nA) iron\nB) aluminium": (
        "Welches dieser Metalle ist schwerer, wenn beide gleich groß sind?\nA) Eisen\nB) Aluminium"
    ),
}
HEAVIER, SEASON, METALS = BOTH
WORDS = {"iron": "Eisen", "spring": "Frühling", "in 2 weeks": "in 2 Wochen"}


def bilingual(words: dict[str, str] | None = None, back: dict[str, str] | None = None) -> Any:
    """A translator of the questions in `BOTH`, and of answers by table."""
    there = {**WORDS, **(words or {})}
    again = {german: english for english, german in there.items()} | (back or {})

    def answer(messages: list[Message], sample: int) -> str:
        parts = shown(messages)
        if "its answer" in parts:
            return said({**there, **again}[parts["its answer"]])
        text = parts["text"]
        return said(BOTH.get(text) or next(english for english, german in BOTH.items() if german == text))

    return Told(answer)


def test_an_answer_in_words_is_translated_and_must_come_back(tmp_path: Path) -> None:
    result = ran(tmp_path / "1", bilingual(), seeds=of(HEAVIER, "iron"))
    assert (result.prompts[0].answer, result.prompts[0].answer_source) == ("Eisen", "teacher")
    result = ran(tmp_path / "2", bilingual(), seeds=of(SEASON, "spring"))
    assert result.prompts[0].answer == "Frühling"
    result = ran(tmp_path / "3", bilingual(back={"Frühling": "summer"}), seeds=of(SEASON, "spring"))
    assert result.dropped == {("answer", "the answer does not fit the translation"): 1}


@pytest.mark.parametrize(
    ("place", "answer", "became", "detail"),
    [
        (0, "iron", "Stahl", "it stands in the question, and not in its translation"),
        (1, "spring", "Winter", "it stands in the translation, and not in the question"),
        (1, "spring", "spring", "it was left as it is"),
        (1, "in 2 weeks", "in 3 Wochen", "the number '2' is missing"),
    ],
)
def test_an_answer_that_does_not_fit_is_dropped(
    tmp_path: Path, place: int, answer: str, became: str, detail: str
) -> None:
    result = ran(tmp_path, bilingual({answer: became}), seeds=of(list(BOTH)[place], answer))
    assert result.dropped == {("answer", "the answer does not fit the translation"): 1}
    assert detail in result.rejects[0]["detail"]


def test_a_choice_is_named_by_its_label(tmp_path: Path) -> None:
    result = ran(tmp_path / "1", bilingual(), seeds=of(METALS, "iron", "choice", choices=["iron", "aluminium"]))
    (made,) = result.prompts
    assert (made.answer, made.answer_source) == ("A", "organic") and "choices" not in made.meta
    lost = Told(lambda messages, sample: said(BOTH[METALS].replace("\nB) Aluminium", " Und Aluminium?")))
    result = ran(tmp_path / "2", lost, seeds=of(METALS, "A", "choice"))
    assert result.dropped == {("translate", "the options were not kept"): 1}
    result = ran(tmp_path / "3", bilingual(), seeds=of(METALS, "gold", "choice"))
    assert result.dropped == {("answer", "the answer does not fit the translation"): 1}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (of(HEAVIER, "A", "choice", choices=["iron", "wood"]), "its choices stand apart from its question"),
        (of(HEAVIER, "iron", "gym"), "its verifier is bound to one language"),
        (of(HEAVIER, "iron", "lm_eval"), "its verifier is bound to one language"),
        (of(BOTH[HEAVIER], "Eisen"), "already in that language"),
    ],
)
def test_what_can_t_go_into_another_language_is_dropped_before_anybody_is_asked(
    tmp_path: Path, given: list[Seed], reason: str
) -> None:
    engine = bilingual()
    assert ran(tmp_path, engine, seeds=given).dropped == {("languages", reason): 1}
    assert engine.asked == []


def test_every_message_is_translated(tmp_path: Path) -> None:
    messages = tuple(Message(role=role, content=question(i, "en")) for i, role in enumerate(["system", "user"]))
    prompt = Prompt("p", "d", messages, answer=None, verifier="judge")
    (made,) = ran(tmp_path, translator(), seeds=[seed_of_prompt(prompt)]).prompts
    assert [m["content"] for m in made.messages] == [question(0, "de"), question(1, "de")]
    assert [m["role"] for m in made.messages] == ["system", "user"]


def test_solvers_see_what_the_way_back_does_not(tmp_path: Path) -> None:
    def solver(answers: list[str]) -> Any:
        return Told(lambda messages, sample: f"Also. Answer: {answers[sample]}", "solver")

    right, wrong = truth(0), str(int(truth(0)) - 1)
    made = {"": translator(), "solver": solver([right, right, wrong, right])}
    result = run(WORKFLOW, seeds(1), tmp_path / "1", made, languages=("de",), k=4)
    assert result.prompts[0].meta["synthesis"]["scores"]["agreement"] == 0.75
    made = {"": translator(), "solver": solver([wrong, wrong, wrong, right])}
    result = run(WORKFLOW, seeds(1), tmp_path / "2", made, languages=("de",), k=4)
    assert result.dropped == {("solve", "solvers come to another answer"): 1}
    made = {"": translator(), "solver": solver([right, "1", "2", "3"])}
    result = run(WORKFLOW, seeds(1), tmp_path / "3", made, languages=("de",), k=4)
    assert result.dropped == {("solve", "samples disagree"): 1}


def test_a_language_that_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="there is no language 'xx'"):
        ran(tmp_path, translator(), languages=("xx",))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Solve 3x + 2 = 11 for x.", ["3x+2=11"]),
        ("A 3-digit number is -5 + y^2, see https://a.b/c.", ["-5+y^2", "https://a.b/c"]),
        ("If f(x) = 2x and a/b < 1/2, so what?", ["f(x)=2x", "a/b<1/2"]),
        ("Dear {name}, the well-known and/or (see A) - but", ["{name}"]),
        ("It was -7.5 degrees.", ["-7.5"]),
        ("Combien y a-t-il de pommes ? A-t-elle raison ?", []),
        ("Manzanas y/o peras; con y/2, no con x-axis ni 1/2-inch.", ["y/2"]),
        ("$a + b$ and \\(c - d\\)", []),  # LaTeX is compared by `kept`
    ],
)
def test_what_is_written_the_same_in_every_language_is_told(text: str, found: list[str]) -> None:
    assert sorted(verbatim(text).elements()) == sorted(found)


def test_words_in_a_row_that_both_have_are_untranslated_but_for_quotes_and_names() -> None:
    assert shared_run("How many apples are there now?", "Wie viele? (How many apples are there now?)")
    assert not shared_run(
        'Decode "how many apples are there now" please', 'Entschlüssle "how many apples are there now"'
    )
    assert not shared_run("Anna, Bob, Carl, Dora and Emil", "Anna, Bob, Carl, Dora and Emil")


def test_short_texts_whose_language_can_t_be_told_must_at_least_differ() -> None:
    found = flaw("What is 7 + 8?", "What is 7 + 8?", "de")
    assert found is not None and found.label == "left untranslated"
    assert flaw("What is 7 + 8?", "Was ist 7 + 8?", "de") is None
    assert flaw("7 + 8 = ?", "7 + 8 = ?", "de") is None


@pytest.mark.parametrize(("text", "has"), [("5 cm", False), ("$\\text{yes}$", False), ("B", False), ("five", True)])
def test_units_labels_and_formulas_are_no_words(text: str, has: bool) -> None:
    assert worded(text) is has


@pytest.mark.parametrize(
    ("answer", "question", "stands"),
    [
        ("iron", "a ball of iron or of wood", True),
        ("iron", "an environment of wood", False),
        ("铁", "铁球和木球哪个更重？", True),
        ("", "a ball", False),
    ],
)
def test_an_answer_stands_in_a_question_as_whole_words(answer: str, question: str, stands: bool) -> None:
    assert stands_in(answer, question) is stands
