"""Prompts to tokens: the only place where a chat, or a text to go on from, becomes token ids.

Training text is built from the very ids that sampling sees: the prompt's ids come first, unchanged, and the
response's ids follow. So the generation prompt is a prefix of the training tokens by construction, and a
tokenizer that would merge characters across that border cannot make training and sampling differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Message


def prompt_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The chat as text, ending where the assistant is to begin.

    Raises:
        TeachableError: the tokenizer has no chat template.
    """
    _require_template(tokenizer)
    text: str = tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=True)
    return text


def prompt_tokens(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of `prompt_text`."""
    ids: list[int] = tokenizer.encode(prompt_text(tokenizer, messages), add_special_tokens=False)
    return ids


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that a model is to go on from.

    Where the tokenizer begins every text with a token of its own (Llama's `<|begin_of_text|>`), so does this, once; no
    token is put at the end.
    """
    plain: list[int] = tokenizer.encode(text, add_special_tokens=False)
    begin = tokenizer.bos_token_id
    if begin is None or plain[:1] == [begin]:
        return plain
    whole: list[int] = tokenizer.encode(text, add_special_tokens=True)
    return [begin, *plain] if whole[:1] == [begin] else plain


def training_tokens(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """Token ids of a whole chat and which of them are the last response (and so carry the loss).

    Returns:
        ids [T] and mask [T]; mask is True on the final assistant turn, its end-of-turn token included.

    Raises:
        TeachableError: the last message is not the assistant's, or the template does not keep the generation
            prompt as a prefix of the whole text.
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise TeachableError("a training example must end with an assistant message", mend="Add the response")
    before = prompt_text(tokenizer, messages[:-1])
    whole: str = tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False)
    if not whole.startswith(before):
        raise TeachableError(
            "the chat template writes a finished answer differently from the prompt that sampling sees",
            mend="Use a template whose generation prompt is a prefix of the whole chat",
        )
    prompt_ids = tokenizer.encode(before, add_special_tokens=False)
    response_ids = tokenizer.encode(whole[len(before) :].rstrip("\n"), add_special_tokens=False)
    return prompt_ids + response_ids, [False] * len(prompt_ids) + [True] * len(response_ids)


def _require_template(tokenizer: Any) -> None:
    if not getattr(tokenizer, "chat_template", None):
        raise TeachableError(
            f"the tokenizer of {getattr(tokenizer, 'name_or_path', 'this model')!r} has no chat template",
            mend="Add a chat_template to tokenizer_config.json, or use the model's instruct version",
        )
