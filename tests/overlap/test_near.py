"""Near-duplicate groups: found, never falsely merged, and not fooled by templates."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.overlap.near import jaccard, near_duplicate_groups, shingles


def sentence(generator: random.Random, n: int = 30) -> str:
    """N made-up words, hardly ever the same twice."""
    return " ".join("".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(n))


def test_copies_and_small_edits_are_grouped() -> None:
    generator = random.Random(0)
    base = [sentence(generator) for _ in range(40)]
    edited = [text.replace(text.split()[7], "other", 1) for text in base]
    shouted = [text.upper().replace(" ", "  ") for text in base]
    groups = near_duplicate_groups(base + edited + shouted, threshold=0.7)
    assert groups == list(range(40)) * 3


def test_questions_of_one_template_are_different_questions() -> None:
    """Forty words of template around two numbers: a similarity of 0.95 that means nothing."""
    template = "Solve this problem with care, think step by step, and write only the final number: what is {} times {}?"
    generator = random.Random(0)
    texts = sorted({template.format(generator.randrange(10**6), generator.randrange(10**6)) for _ in range(300)})
    assert jaccard(shingles(texts[0]), shingles(texts[1])) > 0.7
    assert near_duplicate_groups(texts, threshold=0.8) == list(range(len(texts)))


def test_templates_are_told_by_domain() -> None:
    """A template of a small domain is common within it and rare overall."""
    generator = random.Random(1)
    template = "In the kingdom of Veldow every knight is counted twice at dawn; tell how many are there for code {}?"
    asked = [template.format(sentence(generator, 1)) for i in range(30)]
    other = [sentence(generator, 15) for _ in range(400)]
    together = near_duplicate_groups(asked + other, threshold=0.7)
    domains = ["knights"] * 30 + ["words"] * 400
    apart = near_duplicate_groups(asked + other, threshold=0.7, domains=domains)
    assert set(together[:30]) == {0}
    assert apart[:30] == list(range(30))


def test_texts_with_little_to_tell_are_only_equal_to_equals() -> None:
    assert near_duplicate_groups(["3 + 4", "3 + 5", " 3 +  4", ""]) == [0, 1, 0, 3]


@given(st.lists(st.text(alphabet="abcd ", max_size=40), max_size=25), st.floats(0.3, 1.0), st.randoms())
@settings(max_examples=60, deadline=None)
def test_every_member_is_linked_by_a_true_pair(texts: list[str], threshold: float, shuffler: random.Random) -> None:
    groups = near_duplicate_groups(texts, threshold=threshold)
    sets = [shingles(text) for text in texts]
    for index, group in enumerate(groups):
        assert group <= index
        assert groups[group] == group
        if group != index:
            others = [j for j, g in enumerate(groups) if g == group and j != index]
            assert max(jaccard(sets[index], sets[j]) for j in others) >= threshold
    order = list(range(len(texts)))
    shuffler.shuffle(order)
    shuffled = near_duplicate_groups([texts[i] for i in order], threshold=threshold)
    assert {frozenset(order[i] for i, g in enumerate(shuffled) if g == name) for name in shuffled} == {
        frozenset(i for i, g in enumerate(groups) if g == name) for name in groups
    }


def test_pairs_above_the_threshold_are_not_missed() -> None:
    """Against all pairs by brute force, on texts without a template."""
    generator = random.Random(5)
    texts = []
    for _ in range(60):
        text = sentence(generator, 20)
        texts.append(text)
        swapped = text.split()
        for _ in range(generator.randrange(1, 5)):
            swapped[generator.randrange(20)] = sentence(generator, 1)
        texts.append(" ".join(swapped))
    domains = [str(i // 2) for i in range(120)]  # domains of two texts have no template
    groups = near_duplicate_groups(texts, threshold=0.7, domains=domains)
    sets = [shingles(text) for text in texts]
    pairs = [(i, j) for i in range(120) for j in range(i) if jaccard(sets[i], sets[j]) >= 0.7]
    assert len(pairs) > 10
    assert all(groups[i] == groups[j] for i, j in pairs)


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(TeachableError, match=r"not at 1\.5"):
        near_duplicate_groups(["a", "b"], threshold=1.5)
    with pytest.raises(ValueError, match="1 domains for 2 texts"):
        near_duplicate_groups(["a", "b"], domains=["d"])
