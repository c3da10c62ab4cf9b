"""The embedded base model: a decoder of about half a million parameters, pretrained here from scratch.

Saved in plain Hugging Face format and loaded like any other model. Byte-level BPE with single digits: any text
can be encoded, numbers are read digit by digit, the words of the questions are one token each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from teachable.train.config import PretrainConfig
from teachable.train.corpus import tokenizer_texts

SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTEXT = 1024
ROPE_THETA = 300.0  # texts are short: a base of 10,000 would leave most of a head's few dimensions unturned
INIT_RANGE = 0.08  # about 1/sqrt(width): the usual 0.02 is meant for widths in the thousands
N_TOKENIZER_TEXTS = 3000


def build_tokenizer(config: PretrainConfig) -> Any:
    """A `PreTrainedTokenizerFast` trained on the corpus' own words."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=20,
    )
    inner.train_from_iterator(tokenizer_texts(config, N_TOKENIZER_TEXTS), trainer)
    return chat_tokenizer(inner)


def chat_tokenizer(inner: Any) -> Any:
    """A tokenizer of the `tokenizers` library as a `PreTrainedTokenizerFast` with our special tokens and template."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(config: PretrainConfig, tokenizer: Any) -> Any:
    """A `LlamaForCausalLM` with random weights drawn from `config.seed`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            max_position_embeddings=CONTEXT,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
            tie_word_embeddings=True,
            initializer_range=INIT_RANGE,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Config, safetensors and tokenizer in plain Hugging Face format."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
