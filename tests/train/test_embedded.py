"""The embedded tokenizer reads any text and every digit; the embedded model is what its config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from teachable.train.config import PretrainConfig
from teachable.train.embedded import CHAT_TEMPLATE, SPECIAL_TOKENS, build_model, save_model


@given(st.text())
@example("  two  spaces\tand\r\n lines ")
@example("Grüße, 漢字 und 🙂\x00\u202e")
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


@given(st.from_regex(r"\A[ a-z=+-]{0,5}[0-9]{1,30}[ a-z=+-]{0,5}[0-9]{0,9}\Z"))
def test_every_digit_is_a_token_of_its_own(tokenizer: Any, text: str) -> None:
    tokens = [tokenizer.decode([i]) for i in tokenizer.encode(text, add_special_tokens=False)]
    assert [t for t in tokens if any(c.isdigit() for c in t)] == [c for c in text if c.isdigit()]


def test_words_of_the_questions_are_short(tokenizer: Any, small_config: PretrainConfig) -> None:
    """Merges were learnt: the vocabulary is full, and common words take fewer tokens than letters."""
    assert len(tokenizer) == small_config.vocab_size
    text = "What is the"
    assert len(tokenizer.encode(text, add_special_tokens=False)) < 0.7 * len(text)


def test_special_tokens_are_the_first_and_the_turns_are_marked_by_them(tokenizer: Any) -> None:
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3]
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|pad|>", "<|end|>")
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_the_weights_are_a_function_of_the_seed(tokenizer: Any, small_config: PretrainConfig) -> None:
    first, again = build_model(small_config, tokenizer), build_model(small_config, tokenizer)
    other = build_model(small_config.model_copy(update={"seed": 1}), tokenizer)
    weights = [model.model.embed_tokens.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_saved_model_is_loaded_like_any_other(tokenizer: Any, small_config: PretrainConfig, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = build_model(small_config, tokenizer).eval()
    save_model(model, tokenizer, tmp_path)
    loaded, its_tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = "<|user|>What is 17 + 25?<|end|><|assistant|>"
    ids = its_tokenizer.encode(text, add_special_tokens=False)
    assert ids == tokenizer.encode(text, add_special_tokens=False)
    assert its_tokenizer.chat_template == CHAT_TEMPLATE
    assert loaded.generation_config.eos_token_id == tokenizer.eos_token_id
    with torch.no_grad():
        assert torch.equal(loaded.eval()(torch.tensor([ids])).logits, model(torch.tensor([ids])).logits)


@pytest.mark.parametrize(("setting", "value"), [("n_layers", 2), ("hidden_size", 32), ("intermediate_size", 64)])
def test_the_shape_is_the_configs(tokenizer: Any, small_config: PretrainConfig, setting: str, value: int) -> None:
    small, large = (
        build_model(config, tokenizer) for config in (small_config, small_config.model_copy(update={setting: value}))
    )
    assert large.num_parameters() > small.num_parameters()
    names = {"n_layers": "num_hidden_layers"}
    assert getattr(large.config, names.get(setting, setting)) == value
