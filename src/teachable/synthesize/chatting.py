"""A chat as one text, for trainers that read a column `text`: in ChatML, or in the base model's own template.

The text ends with the end of the last turn. It is what `teachable.chat` makes token ids of: the prompt as sampling sees
it, and the response after it. What users and engines wrote can't end a turn or begin one: where a message holds a token
that the form lives by, a space after its first character makes ordinary text of it. The tags <think> and </think> stay
as they are.

ChatML is OpenAI's form (each turn `<|im_start|>ROLE`, its content, `<|im_end|>`); no system message is put in that the
chat does not have.

What it does not protect against: special tokens that a tokenizer knows but does not name as special.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from teachable.chat import prompt_text
from teachable.errors import TeachableError
from teachable.records import Message

ChatKind: TypeAlias = Literal["messages", "chatml", "base"]
TextOf: TypeAlias = Callable[[Sequence[Message]], str]
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_LOADER = ("teachable.engines.loading", "load_tokenizer")  # needs transformers, as engines of that kind do
THINK_TAGS = ("<think>", "</think>")  # tokens in some tokenizers, and content all the same


def text_of(kind: ChatKind, base: str | Path = "", *, trust_remote_code: bool = False) -> TextOf | None:
    """How a chat becomes text.

    Args:
        kind: `messages` is no text at all, `chatml`, or `base` for the base model's own template.
        base: for `base`, the folder or hub id of the model; its tokenizer alone is read.

    Returns:
        chat -> text, or None for `messages`.

    Raises:
        TeachableError: no base is named, its tokenizer can't be loaded or has no chat template. The function that is
            returned raises it for a chat without turns, and where the base's template does not write out the chat
            that it is given.
    """
    if kind == "messages":
        return None
    if kind == "chatml":
        return chatml
    if not str(base):
        raise TeachableError(
            "there is no base model whose chat template could be used",
            where="chat: base",
            mend="Name one, or take chatml",
        )
    tokenizer = _tokenizer(base, trust_remote_code=trust_remote_code)
    prompt_text(tokenizer, [Message(role="user", content="?")])  # says that there is no template before work begins
    return lambda messages: base_text(tokenizer, messages)


def _tokenizer(base: str | Path, *, trust_remote_code: bool) -> Any:
    """The base's tokenizer. What reads it is loaded only here, since ChatML needs no model library.

    Raises:
        TeachableError: transformers is not installed, or the tokenizer can't be loaded.
    """
    try:
        load = getattr(importlib.import_module(_LOADER[0]), _LOADER[1])
    except ModuleNotFoundError as error:
        raise TeachableError(
            f"the base's chat template needs the package {error.name!r}, which is not installed",
            where="chat: base",
            mend="Install it: pip install 'teachable[train]'; or take chatml",
        ) from error
    return load(str(base), trust_remote_code=trust_remote_code)


def chatml(messages: Sequence[Message]) -> str:
    """A chat in ChatML.

    Raises:
        TeachableError: there is no message, or a role is no single word.
    """
    turns = []
    for message in messages:
        if not re.fullmatch(r"\w{1,32}", message["role"]):
            raise TeachableError(f"a message's role is {message['role']!r}", mend="Use system, user or assistant")
        turns.append(f"<|im_start|>{message['role']}\n{plain(message['content'], CHATML_TOKENS)}<|im_end|>")
    if not turns:
        raise TeachableError("a chat without messages has no text", mend="Give it a user's message")
    return "\n".join(turns)


def base_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """A chat in the template of a tokenizer, from its first turn to the end of its last.

    Raises:
        TeachableError: the last message is not the assistant's, the template writes a finished answer differently from
            the prompt that sampling sees, or it leaves out some of the response (its thoughts, in some templates).
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise TeachableError("a training example must end with an assistant message", mend="Add the response")
    special = [token for token in tokenizer.all_special_tokens if token not in THINK_TAGS]
    safe = [Message(role=message["role"], content=plain(message["content"], special)) for message in messages]
    before = prompt_text(tokenizer, safe[:-1])
    whole: str = tokenizer.apply_chat_template([dict(message) for message in safe], tokenize=False)
    if not whole.startswith(before):
        raise TeachableError(
            "the chat template writes a finished answer differently from the prompt that sampling sees",
            where=str(getattr(tokenizer, "name_or_path", "")),
            mend="Take chatml, or a template whose generation prompt is a prefix of the whole chat",
        )
    # Templates may set white space around thoughts and answers, so that it is left out of the comparison.
    if _bare(safe[-1]["content"]) not in _bare(whole[len(before) :]):
        raise TeachableError(
            "the chat template leaves out a part of the response",
            where=str(getattr(tokenizer, "name_or_path", "")),
            mend="Take chatml, or, where it leaves out thoughts, set options.think=strip",
        )
    return whole.rstrip("\n")


def plain(text: str, tokens: Iterable[str]) -> str:
    """The text with each of these special tokens broken by a space after its first character."""
    for token in tokens:
        if len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _bare(text: str) -> str:
    return "".join(text.split())
