"""Diversity: each measure on texts where it is known by hand, planted collapses, and no alarm on halves of one set."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesize.mixing.balance_texts import TOPICS, edited, honest

from teachable.errors import TeachableError
from teachable.overlap.near import jaccard, shingles
from teachable.synthesize.mixing import diversity
from teachable.synthesize.mixing.diversity import (
    EMBEDDING,
    MEASURES,
    MIN_TEXTS,
    Diversity,
    compared,
    looked_at,
    nearness,
)
from teachable.synthesize.mixing.diversity_embedding import Embedder
from teachable.synthesize.mixing.diversity_topics import topics_of

ALWAYS = [name for name in MEASURES if name != EMBEDDING]


def ratio(found: Diversity, measure: str) -> float:
    value = next(one for one in found.comparisons if one.measure == measure).ratio
    assert value is not None
    return value


def measured(texts: list[str]) -> dict[str, float]:
    """Every measure of all the texts, nothing cut."""
    pool = diversity._Pool(texts, np.zeros(len(texts), np.int64), None)
    return pool.measured(np.arange(len(texts)), 10**9, 10**9)


def test_distinct_runs_are_counted_as_by_hand() -> None:
    found = measured(["the cat sat", "The cat ran", "a dog sat"])
    assert found["distinct_1"] == pytest.approx(6 / 9)  # the, cat, sat, ran, a, dog
    assert found["distinct_2"] == pytest.approx(5 / 6)  # "the cat" twice
    assert found["distinct_3"] == 1.0


def test_novelty_is_one_less_the_nearest_jaccard_similarity() -> None:
    texts = ["a long sentence about cats", "a long sentence about dogs", "nothing of the kind at all", "short"]
    sets = [shingles(text) for text in texts]
    expected = [max(jaccard(one, other) for other in sets if other is not one) for one in sets]
    assert measured(texts)["novelty"] == pytest.approx(1 - sum(expected) / len(texts), abs=1e-6)
    assert measured(["the same"] * 4)["novelty"] == 0.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="abc é€𝔘\n", max_size=40), min_size=1, max_size=12))
def test_nearness_is_the_jaccard_similarity_of_shingles(texts: list[str]) -> None:
    found = nearness([diversity._shingles(text) for text in texts])
    for i, one in enumerate(texts):
        for j, other in enumerate(texts):
            expected = 0.0 if i == j else jaccard(shingles(one), shingles(other))
            assert found[i, j] == pytest.approx(expected, abs=1e-5)


def test_shingles_that_many_texts_share_are_counted_over_several_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [diversity._shingles(text) for text in honest(30, 1)]
    whole = nearness(sets)
    monkeypatch.setattr(diversity, "COLUMNS_AT_ONCE", 7)
    assert np.allclose(nearness(sets), whole) and whole.max() > 0


def test_repeats_compress_and_noise_does_not() -> None:
    assert measured(["again and again the same " * 4] * 50)["incompressible"] < 0.05
    luck = random.Random(1)
    noise = ["".join(chr(luck.randrange(33, 127)) for _ in range(100)) for _ in range(50)]
    assert measured(noise)["incompressible"] > 0.75


def test_topics_are_found_and_counted_evenly() -> None:
    luck = random.Random(2)
    truth = [i % 6 for i in range(240)]
    texts = [" ".join(luck.choices(TOPICS[topic], k=40)) for topic in truth]
    labels = topics_of(texts, n_fitted=240, k=6)
    pairs = {(topic, int(label)) for topic, label in zip(truth, labels, strict=True)}
    assert len(pairs) == len({label for _, label in pairs}) == 6
    pool = diversity._Pool(texts, labels, None)
    assert pool.measured(np.arange(240), 10**9, 10**9)["topics"] == pytest.approx(6.0)
    assert (topics_of(texts, n_fitted=240, k=6) == labels).all()


@pytest.mark.parametrize("texts", [["the same words"] * 30, [""] * 30, ["1 + 2 = 3"] * 30])
def test_texts_without_telling_words_are_one_topic(texts: list[str]) -> None:
    assert set(topics_of(texts, n_fitted=30, k=5)) == {0}


@pytest.mark.parametrize("seed", range(4))
def test_no_alarm_on_an_honest_split_of_one_set(seed: int) -> None:
    texts = honest(400, seed)
    random.Random(seed).shuffle(texts)
    found = compared(texts[:160], texts[160:], seed=seed, n_topics=N)
    assert found.collapsed == () and found.n_texts == 80 and found.coverage is not None and found.coverage > 0.95
    assert [one.measure for one in found.comparisons] == ALWAYS
    for one in found.comparisons:
        assert one.low is not None and one.high is not None and one.low < 1.1 and one.high > 0.9, one
        assert one.ratio == pytest.approx(1.0, abs=0.1)


N = 12


def test_a_set_that_is_merely_larger_has_not_collapsed() -> None:
    few, many = honest(60, 1), honest(1500, 2)
    # Compared whole, the larger set would look far poorer: it repeats more of its words.
    different = [len({word for text in texts for word in text.split()}) / (50 * len(texts)) for texts in (few, many)]
    assert different[1] < 0.3 * different[0]
    found = compared(few, many, n_topics=N)
    assert found.collapsed == () and ratio(found, "distinct_1") == pytest.approx(1.0, abs=0.08)


def test_longer_texts_have_not_collapsed_by_their_words() -> None:
    found = compared(honest(200, 1, n_words=30), honest(200, 2, n_words=120), n_topics=N)
    assert ratio(found, "distinct_1") > 0.9 and ratio(found, "distinct_2") > 0.95
    assert {one.measure for one in found.collapsed} <= {"novelty"}


def test_one_sentence_with_small_edits_has_collapsed() -> None:
    found = compared(honest(300, 1), edited(300, 2), n_topics=N)
    assert {one.measure for one in found.collapsed} >= {"distinct_2", "distinct_3", "incompressible", "novelty"}
    for one in found.collapsed:
        assert one.high is not None and one.high < 0.8 and one.second < one.first


def test_few_topics_have_collapsed_by_topics_alone() -> None:
    found = compared(honest(300, 1), honest(300, 2, topics=2), n_topics=N)
    assert [one.measure for one in found.collapsed] == ["topics"]
    assert found.coverage is not None and found.coverage < 0.4
    assert ratio(found, "distinct_2") > 0.9


def test_the_bar_decides_by_the_whole_interval() -> None:
    first, second = honest(300, 1), honest(300, 2, topics=6)
    topics = next(one for one in compared(first, second, n_topics=N).comparisons if one.measure == "topics")
    assert topics.low is not None and topics.high is not None and topics.low < 0.8
    for bar, collapsed in ((topics.high + 0.01, True), (topics.high - 0.01, False)):
        again = compared(first, second, n_topics=N, bar=bar)
        assert ("topics" in [one.measure for one in again.collapsed]) is collapsed


def test_intervals_cover_what_other_samples_show() -> None:
    """The ratio of two other samples of the same sources lies in the interval about as often as it claims."""
    drawn = [(honest(100, 2 * seed), honest(100, 2 * seed + 1, topics=8)) for seed in range(10)]
    found = [compared(*two, n_topics=N, rounds=60) for two in drawn]
    truth = sum(ratio(one, "distinct_2") for one in found) / len(found)
    inside = []
    for one in found:
        low, high = next((c.low, c.high) for c in one.comparisons if c.measure == "distinct_2")
        assert low is not None and high is not None
        inside.append(low <= truth <= high)
    assert sum(inside) >= 7


def test_the_same_texts_in_another_order_give_the_same() -> None:
    first, second = honest(90, 1), honest(70, 2)
    found = compared(first, second, first[:50], n_topics=N, rounds=20)
    assert compared(first[::-1], second[::-1], first[:50][::-1], n_topics=N, rounds=20) == found
    assert compared(first, second, first[:50], n_topics=N, rounds=20, seed=1) != found


def test_a_further_set_is_measured_at_the_same_size() -> None:
    first, second = honest(100, 1), edited(100, 2)
    found = compared(first, second, [*first[:50], *second[:50]], n_topics=N)
    assert found.also is not None and set(found.also) == set(ALWAYS)
    low, high = (next(o for o in found.comparisons if o.measure == "novelty").second, found.also["novelty"])
    assert low < high < next(o for o in found.comparisons if o.measure == "novelty").first
    assert compared(first, second, first[:20], n_topics=N).also is None  # fewer than half of the number


@pytest.mark.parametrize("n", [0, 1, MIN_TEXTS - 1])
def test_too_few_texts_say_nothing(n: int) -> None:
    assert compared(honest(100, 1), honest(n, 2)) == Diversity(0)
    assert compared(honest(MIN_TEXTS, 1), honest(MIN_TEXTS, 2), rounds=20).n_texts == MIN_TEXTS // 2


def test_repeats_keep_their_share_of_what_is_looked_at() -> None:
    texts = ["the same sentence again"] * 500 + honest(500, 3)
    first, second, third = looked_at(texts, honest(100, 4), max_texts=600)
    assert len(first) == len(second) == 100 and third == []
    assert first.count("the same sentence again") == pytest.approx(50, abs=1)


def test_texts_without_anything_to_compare() -> None:
    found = compared(["."] * 40, ["the same words again"] * 40, rounds=20)
    one = next(c for c in found.comparisons if c.measure == "distinct_1")
    assert (one.ratio, one.low, one.high, one.collapsed) == (None, None, None, False)
    assert found.collapsed == ()


def test_embeddings_tell_a_narrow_set_from_a_wide_one() -> None:
    generator = np.random.default_rng(0)
    first, second = honest(80, 1), honest(80, 2)
    wide = {text: generator.standard_normal(16) for text in first}
    narrow = {text: np.ones(16) + 0.1 * generator.standard_normal(16) for text in second}
    found = compared(first, second, n_topics=N, embeddings={**wide, **narrow})
    assert [one.measure for one in found.collapsed] == [EMBEDDING]
    one = found.collapsed[0]
    assert one.first == pytest.approx(1.0, abs=0.05) and one.second < 0.05
    known = np.stack([wide[text] / np.linalg.norm(wide[text]) for text in first])
    pool = diversity._Pool(first, np.zeros(80, np.int64), np.stack([wide[text] for text in first]))
    pairs = [1 - known[i] @ known[j] for i in range(80) for j in range(80) if i != j]
    assert pool.measured(np.arange(80), 10**9, 10**9)[EMBEDDING] == pytest.approx(sum(pairs) / len(pairs))
    assert math.isfinite(ratio(found, EMBEDDING))


def test_a_real_model_embeds_texts_the_same_in_any_batch(tiny_embedder: Path) -> None:
    embed = Embedder(tiny_embedder)
    texts = ["one cat", "a much longer sentence about dogs and their masters", "", "one cat"]
    found = embed(texts)
    assert found.shape == (4, 32) and np.allclose(found[0], found[3]) and not np.allclose(found[0], found[1])
    assert np.allclose(embed(texts[1:2])[0], found[1], atol=1e-5)
    (tiny_embedder / "1_Pooling").mkdir()
    (tiny_embedder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert not np.allclose(Embedder(tiny_embedder)(texts)[1], found[1])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="this folder holds no embedding model"):
        Embedder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TeachableError, match="this embedding model can't be loaded"):
        Embedder(tmp_path)


@pytest.fixture
def tiny_embedder(tmp_path: Path) -> Path:
    """A BERT of random weights with a byte-level tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    tokenizer = _bytes_tokenizer()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]")
    fast.save_pretrained(tmp_path)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), **shape)).save_pretrained(tmp_path)
    return tmp_path


def _bytes_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["[PAD]", "[CLS]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    return tokenizer
