"""The nearest question by telling shingles: exactly what comparing every pair would find."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from teachable.overlap.near import jaccard, shingles
from teachable.overlap.telling import NEAR_DUPLICATE, NearestQuestions, covered, templates, word_grams


def prose(rng: random.Random, n: int) -> str:
    return " ".join("".join(rng.choices("abcdefgh", k=4)) for _ in range(n))


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_exactly_what_brute_force_finds(seed: int) -> None:
    """Copies with more and more letters changed, so that similarities lie all around the threshold."""
    rng = random.Random(seed)
    questions = [prose(rng, rng.randint(6, 30)) for _ in range(60)]
    nearest = NearestQuestions(questions, ["d"] * 60, [])
    seen: Counter[bool] = Counter()
    for question in questions:
        for n_changed in range(1, 12):
            letters = list(question)
            for place in rng.sample(range(len(letters)), n_changed):
                letters[place] = "x"
            text = "".join(letters)
            similar = {i: jaccard(shingles(text), shingles(other)) for i, other in enumerate(questions)}
            highest = max(similar.values())
            found = nearest.best(text, frozenset())
            seen[found is not None] += 1
            if highest < NEAR_DUPLICATE:
                assert found is None
            else:
                assert found is not None and found[1] == similar[found[0]] == highest
    assert min(seen[True], seen[False]) > 50


def test_what_is_left_out_is_not_found() -> None:
    text = prose(random.Random(0), 12)
    nearest = NearestQuestions([text], ["d"], [])
    assert nearest.best(text, frozenset()) == (0, 1.0)
    assert nearest.best(text, {0}) is None


@pytest.mark.parametrize(("n", "n_sharing", "told"), [(2, 2, True), (3, 3, False), (10, 4, True), (10, 5, False)])
def test_a_template_is_what_enough_texts_of_a_benchmark_share(n: int, n_sharing: int, told: bool) -> None:
    sets = [frozenset({"shared" if i < n_sharing else "other", str(i)}) for i in range(n)]
    assert ("shared" not in templates(sets, ["d"] * n)["d"]) is told
    assert ("shared" not in templates([*sets, *[frozenset({"b"})] * 300], ["d"] * n + ["e"] * 300)["d"]) is told


def test_a_template_of_the_training_side_must_stand_in_more_than_one_question() -> None:
    rng = random.Random(0)
    head = prose(rng, 30)
    training = [f"{head} {prose(rng, 2)}" for _ in range(30)]
    one = f"{head} {prose(rng, 2)}"
    several = [one, f"{head} {prose(rng, 2)}"]
    assert NearestQuestions([one], ["d"], training).best(training[0], frozenset()) is not None
    assert NearestQuestions(several, ["d", "d"], training).best(training[0], frozenset()) is None
    assert NearestQuestions(several, ["d", "d"], training[:10]).best(training[0], frozenset()) is not None


def test_words_of_a_template_are_covered_in_runs_of_three() -> None:
    text = ("answer", "the", "question", "who", "was", "it")
    assert word_grams(text)[0] == "answer the question" and len(word_grams(text)) == 4
    assert covered(text, {"answer the question"}) == {0, 1, 2}
    assert covered(text, {"the who was"}) == frozenset()
