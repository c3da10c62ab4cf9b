"""Which questions there are, how hard they get, and when two of them are the same."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from typing import Any

import pytest
from tests.families.conftest import KINDS, SEEDS, Draw, N

from teachable.errors import TeachableError
from teachable.families import catalog
from teachable.families.catalog import FAMILIES, SIDES, family, questions, to_prompt
from teachable.records import from_row, to_row

Entry = Mapping[str, Any]
WINDOW = 8  # questions in a row that no two streams share: in the smallest level, by chance, once in 10^13


def size(name: str, entry: Entry) -> int:
    """How large a question is: the digits, words or letters that it is about."""
    meta = entry["metadata"]
    if name == "letter_counting":
        return len(meta["span"])
    if name == "spell_backward":
        return len(meta["word"])
    about = str(meta.get("expression") or meta.get("equation") or meta.get("numbers"))
    return sum(c.isdigit() for c in about)


def chain(expression: str) -> Entry:
    return {"metadata": {"expression": expression}}


def equation(text: str, variable: str = "x") -> Entry:
    return {"metadata": {"equation": text, "variable": variable}}


def numbers(*values: int) -> Entry:
    return {"metadata": {"numbers": list(values)}}


def letters(letter: str, text: str) -> Entry:
    return {"metadata": {"target_letter": letter, "span": text.split()}}


def word(text: str) -> Entry:
    return {"metadata": {"word": text}}


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("chain_sum", chain("3 + 5"), chain("5 + 3")),
        ("chain_sum", chain("30 - 5 + 12"), chain("12 + 30 - 5")),
        ("simple_equations", equation("3*x + 5 = 20"), equation("3*g + 5 = 20", "g")),
        ("gcd", numbers(12, 30), numbers(30, 12)),
        ("letter_counting", letters("t", "the last sun"), letters("t", "sun The last")),
        ("spell_backward", word("Gib"), word("gib")),
    ],
)
def test_the_same_question_in_another_order_has_the_same_key(name: str, one: Entry, other: Entry) -> None:
    key = FAMILIES[name].content_key
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("chain_sum", chain("3 + 5"), chain("3 - 5")),
        ("chain_sum", chain("5 - 3"), chain("3 - 5")),
        ("chain_sum", chain("1 + 23"), chain("12 + 3")),
        ("simple_equations", equation("3*x + 5 = 20"), equation("5*x + 3 = 20")),
        ("simple_equations", equation("3*x + 5 = 20"), equation("3*x - 5 = 20")),
        ("gcd", numbers(12, 30), numbers(12, 3)),
        ("gcd", numbers(1, 23), numbers(12, 3)),
        ("letter_counting", letters("t", "the last"), letters("s", "the last")),
        ("letter_counting", letters("t", "the last"), letters("t", "thelast")),
        ("spell_backward", word("gib"), word("big")),
    ],
)
def test_another_question_has_another_key(name: str, one: Entry, other: Entry) -> None:
    key = FAMILIES[name].content_key
    assert key(one) != key(other)


def test_reasoning_gym_writes_an_equations_terms_in_one_order(draw: Draw) -> None:
    """Or else 5 + 3*x = 20 and 3*x + 5 = 20 would need the same key: a sum starts with its unknown."""
    for level, seed in itertools.product(range(1, 5), SEEDS):
        for entry in draw("simple_equations", level, seed):
            left = entry["metadata"]["equation"].split(" = ")[0].split()
            assert " + " not in f" {' '.join(left)} " or entry["metadata"]["variable"] in left[0]


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_equal_keys_mean_equal_answers_and_equal_questions_equal_ids(draw: Draw, name: str, level: int) -> None:
    """A key that lumped different questions together would show as two answers to one key."""
    entries = [entry for seed in SEEDS for entry in draw(name, level, seed)]
    prompts = [to_prompt(name, level, entry) for entry in entries]
    answers: dict[str, set[str]] = {}
    ids: dict[str, set[str]] = {}
    for prompt in prompts:
        answers.setdefault(prompt.meta["content_key"], set()).add(str(prompt.answer).lower())
        ids.setdefault(prompt.text, set()).add(prompt.id)
    assert all(len(found) == 1 for found in answers.values()), answers
    assert all(len(found) == 1 for found in ids.values())
    assert len({p.id for p in prompts}) == len({p.text for p in prompts})


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_streams_of_different_seeds_do_not_overlap(draw: Draw, name: str, level: int) -> None:
    """reasoning-gym draws question i from seed + i, so streams that began close by would repeat each other."""
    windows = [
        {tuple(e["question"] for e in entries[i : i + WINDOW]) for i in range(N - WINDOW + 1)}
        for entries in (draw(name, level, seed) for seed in SEEDS)
    ]
    assert not any(a & b for a, b in itertools.combinations(windows, 2))


def test_a_stream_goes_on_past_its_batch_and_is_the_same_again(monkeypatch: pytest.MonkeyPatch, draw: Draw) -> None:
    whole = [entry["question"] for entry in draw("chain_sum", 4, 0)]
    monkeypatch.setattr(catalog, "BATCH", 32)
    in_batches = [entry["question"] for entry in itertools.islice(questions("chain_sum", 4, 0), N)]
    assert in_batches == whole
    assert len(set(whole)) > 0.9 * N


@pytest.mark.parametrize("name", FAMILIES)
def test_questions_grow_from_level_to_level(draw: Draw, name: str) -> None:
    sizes = [
        statistics.mean(size(name, entry) for seed in SEEDS for entry in draw(name, level, seed))
        for level in range(1, len(FAMILIES[name].levels) + 1)
    ]
    assert sizes == sorted(sizes)
    assert all(later > 1.05 * earlier for earlier, later in itertools.pairwise(sizes)), sizes


def test_there_are_families_of_different_kinds_each_with_levels() -> None:
    assert len(FAMILIES) >= 4
    assert all(len(f.levels) >= 4 for f in FAMILIES.values())
    assert sum(SIDES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_holds_what_its_verifier_needs_and_survives_a_file(draw: Draw, name: str) -> None:
    prompt = to_prompt(name, 2, draw(name, 2, 0)[0])
    assert (prompt.domain, prompt.level, prompt.verifier, prompt.answer_source) == (name, 2, "gym", "program")
    assert prompt.text == prompt.meta["entry"]["question"]
    assert from_row(type(prompt), to_row(prompt)) == prompt


def test_an_id_is_of_the_question_alone() -> None:
    """Golden: a change would make every cached attempt look new."""
    entry = {
        "question": "State the final answer to the following arithmetic problem: 3 + 5 =",
        "answer": "8",
        "metadata": {"expression": "3 + 5", "source_index": 4, "difficulty": {"num_terms": (2, 2)}},
    }
    moved = {**entry, "metadata": {**entry["metadata"], "source_index": 5}}
    first, second = to_prompt("chain_sum", 1, entry), to_prompt("chain_sum", 1, moved)
    assert first == second
    assert first.id == "2fe74253882c6bb7"
    assert first.meta["content_key"] == "chain_sum 3 5"


def test_an_unknown_family_is_one_sentence() -> None:
    with pytest.raises(TeachableError) as caught:
        family("chain_sums")
    assert str(caught.value) == (
        "tasks.families: there is no task family 'chain_sums'. Choose from chain_sum, simple_equations, gcd, "
        "letter_counting, spell_backward."
    )
