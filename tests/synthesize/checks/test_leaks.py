"""What leaks is told, and ordinary questions are not taken for leaks."""

from __future__ import annotations

import time

import pytest

from teachable.synthesize.checks.leaks import ASKED, EQUATED, MARKED, STATED, leak

LEAKS = [
    ("A box holds 12 eggs and 8 are eaten. How many are left? (Answer: 4)", "4", "math", MARKED),
    ("A box holds 12 eggs and 8 are eaten. How many are left?\n\nThe answer is 4.", "4", "math", MARKED),
    ("A box holds 12 eggs. 8 are eaten. Hint: it is 4! How many are left?", "4", "exact", MARKED),
    ("How many are left of 12 when 8 go? The correct answer should be **4**.", "4", "math", MARKED),
    ("A town has 1,250 people and 250 leave. How many stay? Answer: $1000$", "1,000", "math", MARKED),
    ("What is 12 - 8? #### 4", "4", "math", MARKED),
    ("What is half of one? \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", "math", MARKED),
    ("Who wrote the play? You know that Shakespeare is the correct answer.", "Shakespeare", "exact", MARKED),
    ("Is 7 prime? The answer is yes.", "yes", "exact", MARKED),
    ("Which is a fruit?\nA) stone\nB) apple\nAnswer: B", "B", "choice", MARKED),
    ("Which is a fruit?\nA) stone\nB) apple (correct)\nC) chair", "B", "choice", MARKED),
    ("Which is a fruit?\n(A) stone\n(B) apple ✓", "apple", "choice", MARKED),
    ("The function satisfies f(2) = 3 and f(3) = 7. Find f(3).", "7", "math", EQUATED),
    ("In the triangle a = 3, b = 4 and c = 5. Calculate c.", "5", "math", EQUATED),
    ("Let $x = 4$ and $y = 2x$. What is x?", "4", "math", EQUATED),
    ("The capital of France is Paris. What is the capital of France?", "Paris", "exact", EQUATED),
    ("What gas named carbon dioxide do plants take from the air?", "carbon dioxide", "exact", ASKED),
    ("A plant makes sugar by photosynthesis. What makes a plant's sugar?", "photosynthesis", "exact", STATED),
    ("A spider moves on 8 legs. How many legs does a spider move on?", "8", "math", STATED),
]  # fmt: skip

HONEST = [
    # Word problems, as in school books.
    ("A hen lays 16 eggs a day. He eats 3 and sells the rest for 2 dollars each. What is paid?", "26", "math"),
    ("Tom has 5 apples. He buys 3 more, then eats 3. How many apples does Tom have?", "5", "math"),
    ("A robe takes 2 bolts of blue fibre and half that much white fibre. How many bolts in total?", "3", "math"),
    ("A train goes 60 km in 1 hour. How far does it go in 1 hour and 30 minutes?", "90", "math"),
    ("Ann is 4. In how many years is she 8? Write the answer as a whole number.", "4", "math"),
    ("What is 4 + 0?", "4", "math"),
    ("What is the absolute value of 7?", "7", "math"),
    ("Round 12 to the nearest whole number.", "12", "math"),
    ("Simplify 9/1.", "9", "math"),
    ("Let x = 3y and y = 4. What is x?", "12", "math"),
    ("If 2x = 16 and y = 2, find x.", "16", "math"),
    ("Given x = 4 + y and y = 0, find x.", "4", "math"),
    ("How many positive divisors does 6 have? Give your answer: 4 digits at most.", "4", "math"),
    ("For example, if the sum is 2 + 2, the answer is 4. What is 3 + 1?", "4", "math"),
    ("The answer is 4 more than 6. Which number is it?", "10", "math"),
    # Choices, alternatives, lists.
    ("Is the statement true or false? Every square is a rectangle.", "true", "exact"),
    ("Answer yes if 7 is prime and no otherwise.", "yes", "exact"),
    ('The answer is "yes" if it is possible, and "no" otherwise. Can 7 be halved?', "yes", "exact"),
    ("Which is larger, the sun or the moon?", "the sun", "exact"),
    ("Which is a fruit?\nA) stone\nB) apple\nAnswer with a single letter.", "A", "choice"),
    ("The answer is a single letter. Which is a fruit?\nA) apple\nB) stone", "A", "choice"),
    ("Answer: A or B. Which is a fruit?\nA) apple\nB) stone", "A", "choice"),
    ("Alice is taller than Robert. Robert is taller than Carol. Who is the tallest?", "Alice", "exact"),
    ("Sort these words: banana, apple, cherry", "apple, banana, cherry", "exact"),
    ("Reverse the word 'level'.", "level", "exact"),
    ("What word is spelled the same backwards: level, apple?", "level", "exact"),
    ("Sally moves the ball from the basket to the drawer. Where is the ball?", "drawer", "exact"),
    ("What is the output of print('hello')?", "hello", "exact"),
    # A rubric, and tests.
    ("Write a poem. The answer is judged by its rhymes.", "judged by its rhymes", "judge"),
    ("Write add(a, b). The answer is assert add(1, 2) == 3", "assert add(1, 2) == 3", "code"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer", "verifier", "why"), LEAKS)
def test_leaks_are_told(question: str, answer: str, verifier: str, why: str) -> None:
    assert leak(question, answer, verifier) == why


@pytest.mark.parametrize(("question", "answer", "verifier"), HONEST)
def test_honest_questions_pass(question: str, answer: str, verifier: str) -> None:
    assert leak(question, answer, verifier) is None


def test_ordinary_questions_of_many_families_pass_and_marks_planted_in_them_do_not() -> None:
    """Questions by program, which leak nothing; and the same with the answer slipped in behind them."""
    reasoning_gym = pytest.importorskip("reasoning_gym")
    families = (
        "basic_arithmetic",
        "gsm_symbolic",
        "chain_sum",
        "knights_knaves",
        "family_relationships",
        "leg_counting",
    )
    families += ("word_sorting", "caesar_cipher", "number_sorting", "course_schedule", "calendar_arithmetic", "bitwise")
    families += ("simple_equations", "letter_counting", "syllogism", "propositional_logic", "time_intervals")
    families += ("leg_counting", "zebra_puzzles")
    n_asked = n_leaks = n_told = 0
    for family in families:
        if family not in reasoning_gym.factory.DATASETS:
            continue
        for entry in reasoning_gym.create_dataset(family, size=20, seed=11):
            question, answer = entry["question"], entry["answer"]
            if not answer:
                continue
            n_asked += 1
            n_leaks += leak(question, answer, "exact") is not None
            planted = (
                f"{question}\n(Answer: {answer})",
                f"Hint: {answer}\n{question}",
                f"{question} The answer is {answer}.",
            )
            n_told += sum(leak(one, answer, "exact") is not None for one in planted)
    assert n_asked >= 200
    assert n_leaks == 0
    assert n_told >= 0.85 * 3 * n_asked


def test_it_takes_little_time_on_long_and_hostile_prompts() -> None:
    for text in (
        "find x " * 3000,
        "answer is " * 2000,
        "4" * 20_000,
        "the answer is (" * 1500,
        '"4 ' * 7000,
        "x=4\n" * 5000,
    ):
        begin = time.process_time()
        leak(text + " what is x?", "4", "exact")
        leak(text, "4 and some more", "exact")
        assert time.process_time() - begin < 1.0, text[:10]
