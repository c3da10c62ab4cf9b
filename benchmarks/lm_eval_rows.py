"""Rows in the formats of published benchmarks, made of questions that the embedded base was pretrained on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from teachable.families.catalog import questions

SUBJECTS = ("abstract_algebra", "college_mathematics", "elementary_mathematics", "high_school_mathematics")


def entries(seed: int, n: int, families: Sequence[str]) -> Iterator[tuple[str, str]]:
    """n different questions and their answers, families and easy levels taking turns."""
    streams = [questions(name, level, seed) for name in families for level in (1, 2)]
    seen: set[str] = set()
    turn = 0
    while len(seen) < n:
        entry = next(streams[turn % len(streams)])
        turn += 1
        question = str(entry["question"]).strip()
        if question not in seen:
            seen.add(question)
            yield question, str(entry["answer"])


def gsm8k_rows(seed: int, n: int) -> list[dict[str, Any]]:
    """{question, answer}, the answer's last line `#### NUMBER`."""
    found = entries(seed, n, ("chain_sum", "simple_equations", "gcd", "letter_counting"))
    return [{"question": text, "answer": f"It is {answer}.\n#### {answer}"} for text, answer in found]


def mmlu_rows(seed: int, n: int) -> list[dict[str, Any]]:
    """{question, subject, choices, answer}, the answer an index."""
    draw, rows = random.Random(seed), []
    for place, (text, answer) in enumerate(entries(seed, n, ("chain_sum", "simple_equations"))):
        wrong = {int(answer) + shift for shift in (1, -1, 2, -2, 3, 5, 10)}
        choices = [str(number) for number in draw.sample(sorted(wrong), 3)]
        label = draw.randrange(4)
        choices.insert(label, answer)
        rows.append({"question": text, "subject": SUBJECTS[place % 4], "choices": choices, "answer": label})
    return rows


def drop_rows(seed: int, n: int) -> list[dict[str, Any]]:
    """The hub's columns; passage and question together are what the base knows as one question."""
    rows = []
    for place, (text, answer) in enumerate(entries(seed, n, ("simple_equations", "letter_counting", "gcd"))):
        cut = text.index(" ", len(text) // 2)
        one = {
            "number": answer,
            "date": {"day": "", "month": "", "year": ""},
            "spans": [],
            "worker_id": "w",
            "hit_id": "h",
        }
        second = {
            "number": [""],
            "date": [one["date"]],
            "spans": [[f"Answer: {answer}"]],
            "worker_id": ["w"],
            "hit_id": ["h"],
        }
        row = {
            "section_id": f"s{place}",
            "query_id": f"q{seed}-{place}",
            "passage": text[:cut],
            "question": text[cut + 1 :],
        }
        rows.append({**row, "answer": one, "validated_answers": second})
    return rows


def triviaqa_rows(seed: int, n: int) -> list[dict[str, Any]]:
    """The hub's columns that the task reads: a question and several right answers."""
    found = entries(seed, n, ("chain_sum", "gcd", "letter_counting"))
    return [
        {"question": text, "answer": {"value": answer, "aliases": [answer, f"Answer: {answer}", f"{answer} in all"]}}
        for text, answer in found
    ]


def ifeval_rows(seed: int, n: int) -> list[dict[str, Any]]:
    """The hub's columns, with instructions whose check needs no download."""
    rows = []
    for place, (text, answer) in enumerate(entries(seed, n, ("chain_sum", "spell_backward", "letter_counting"))):
        orders: tuple[tuple[str, dict[str, Any]], ...] = (
            ("punctuation:no_comma", {}),
            ("startend:end_checker", {"end_phrase": f"Answer: {answer}"}),
            ("length_constraints:number_words", {"relation": "less than", "num_words": 6}),
            ("keywords:existence", {"keywords": ["Answer", answer]}),
            ("keywords:letter_frequency", {"letter": "a", "let_frequency": 2, "let_relation": "at least"}),
            ("change_case:english_lowercase", {}),
            ("detectable_format:json_format", {}),
        )
        chosen = [orders[place % len(orders)], orders[(place // len(orders)) % 3]][: 1 + place % 2]
        ids, kwargs = [name for name, _ in chosen], [values for _, values in chosen]
        rows.append({"key": place, "prompt": text, "instruction_id_list": ids, "kwargs": kwargs})
    return rows


def gpqa_rows(seed: int, n: int) -> list[dict[str, Any]]:
    """The hub's columns that the task reads; it puts the four options into a random order itself."""
    return [
        {"Question": row["question"], "Correct Answer": row["choices"].pop(row["answer"])}
        | {f"Incorrect Answer {place}": text for place, text in enumerate(row["choices"], start=1)}
        for row in mmlu_rows(seed, n)
    ]


MAKERS = {
    "gsm8k": gsm8k_rows,
    "mmlu_generative": mmlu_rows,
    "drop": drop_rows,
    "triviaqa": triviaqa_rows,
    "ifeval": ifeval_rows,
    "gpqa_main_generative_n_shot": gpqa_rows,
}
