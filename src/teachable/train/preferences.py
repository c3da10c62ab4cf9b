"""Preference pairs: as the rows of a file say them, and as the token ids that a model is trained on.

Rows have TRL's columns `prompt`, `chosen` and `rejected`, as text or as messages. Where `prompt_token_ids`,
`chosen_token_ids` and `rejected_token_ids` stand beside them, those are what is trained on, to the letter: nothing is
tokenised again and no end token is added, so a pair may be two single tokens in the middle of a solution. The text is
then only a check that the ids are this model's and not another's.

Without ids, messages become tokens as everywhere (`chat.py`), the response with its end-of-turn token. Text becomes
the prompt's tokens as it stands, without a chat template, then the continuation's and the end token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from teachable.chat import training_tokens
from teachable.errors import TeachableError
from teachable.records import Message
from teachable.store.files import ROW_FORMATS, read_rows, require_file

FILE = "preferences.parquet"  # of the stages that hand pairs on
SIDES = ("prompt", "chosen", "rejected")
_OTHER_MODEL = "Use pairs that were made with this base, or leave the token id columns out"

Said: TypeAlias = str | tuple[Message, ...]
"""What a row holds in a column: text, or messages."""


@dataclass(frozen=True)
class Preference:
    """A continuation of a prompt that is better than another one.

    `chosen` and `rejected` are text where `prompt` is text, and one assistant message each where it is messages.
    `token_ids` are the prompt's, the chosen's and the rejected's ids, or None. `where` names the row in errors.
    """

    prompt: Said
    chosen: Said
    rejected: Said
    token_ids: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None
    where: str = ""


@dataclass(frozen=True)
class TokenPair:
    """What is trained on: the loss is on every token of `chosen` and `rejected`, and on none of `prompt`."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens of both sequences, the prompt counted in each."""
        return 2 * len(self.prompt) + self.n_response_tokens

    @property
    def n_response_tokens(self) -> int:
        """Tokens that carry the loss."""
        return len(self.chosen) + len(self.rejected)

    @property
    def longest(self) -> int:
        """Tokens of the longer sequence."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def read_preferences(path: Path) -> list[Preference]:
    """The pairs of a Parquet or JSONL file, which may be none.

    Raises:
        TeachableError: the file can't be read, or a row is no pair; the row is named.
    """
    path = Path(path)
    require_file(path, ROW_FORMATS)
    if path.suffix not in ROW_FORMATS:
        raise TeachableError(
            "preference pairs are not read from this kind of file",
            where=str(path),
            mend=f"Name a {' or '.join(ROW_FORMATS)} file",
        )
    return preferences_from(read_rows(path), str(path))


def preferences_from(rows: Sequence[Mapping[str, Any]], where: str = "pairs") -> list[Preference]:
    """The pairs of rows in TRL's columns. Rows are counted from 1.

    Raises:
        TeachableError: a column is missing, or a row is no pair; `where` and the row are named.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    conversations = any(_is_list(row.get("chosen")) for row in rows)
    for name in SIDES:
        # The messages that both responses begin with may stand for the prompt.
        if rows and name not in columns and not (name == "prompt" and conversations):
            raise TeachableError(
                f"the column {name!r} is missing; there are {', '.join(columns) or 'none'}",
                where=where,
                mend="Name the columns prompt, chosen and rejected",
            )
    return [_preference(row, f"{where}, row {number}") for number, row in enumerate(rows, start=1)]


def _preference(row: Mapping[str, Any], where: str) -> Preference:
    ids = _token_ids(row, where)
    if ids is None and row.get("kind") == "pivotal":
        raise TeachableError("this pivotal pair has no token ids", where=where, mend="Keep the three token id columns")
    prompt, chosen, rejected = (_said(row.get(name), name, where) for name in SIDES)
    if isinstance(chosen, tuple) or isinstance(rejected, tuple):
        prompt, chosen, rejected = _conversation(prompt, chosen, rejected, where)
    elif isinstance(prompt, tuple):
        chosen, rejected = _assistant(chosen), _assistant(rejected)
    if ids is None:
        for name, said in zip(SIDES, (prompt, chosen, rejected), strict=True):
            if not said or (isinstance(said, tuple) and not said[-1]["content"]):
                raise TeachableError(f"{name!r} is empty", where=where, mend="Leave the row out")
    if (ids[1] == ids[2]) if ids else (chosen == rejected):
        raise TeachableError("chosen and rejected are the same", where=where, mend="Leave the row out")
    return Preference(prompt, chosen, rejected, ids, where)


def _token_ids(row: Mapping[str, Any], where: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """The three lists of ids, or None where the row has none of them."""
    found: list[tuple[int, ...]] = []
    given = {f"{name}_token_ids": row.get(f"{name}_token_ids") for name in SIDES}
    if all(value is None for value in given.values()):
        return None
    for name, value in given.items():
        if not _is_list(value) or not value:
            raise TeachableError(
                f"{name!r} is empty while the row has token ids",
                where=where,
                mend="Give all three lists of ids, or none of them",
            )
        if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value):
            raise TeachableError(f"{name!r} holds something that is no token id", where=where)
        found.append(tuple(value))
    return found[0], found[1], found[2]


def _said(value: object, name: str, where: str) -> Said:
    """A column's value as text or messages; "" where there is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(_is_message(one) for one in value):
        return tuple(Message(role=one["role"], content=one["content"]) for one in value)
    raise TeachableError(
        f"{name!r} is neither text nor a list of messages",
        where=where,
        mend='Write text, or messages such as [{"role": "user", "content": "..."}]',
    )


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(part), str) for part in ("role", "content"))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _assistant(said: Said) -> Said:
    return (Message(role="assistant", content=said),) if isinstance(said, str) else said


def _conversation(prompt: Said, chosen: Said, rejected: Said, where: str) -> tuple[Said, Said, Said]:
    """A pair whose responses are messages, which may repeat the prompt's (both in the same words)."""
    left, right = _assistant(chosen), _assistant(rejected)
    n = 0
    while n < min(len(left), len(right)) - 1 and left[n] == right[n]:
        n += 1
    if n:
        prompt, left, right = left[:n], left[n:], right[n:]
    elif isinstance(prompt, str):
        prompt = (Message(role="user", content=prompt),) if prompt else ()
    for name, said in (("chosen", left), ("rejected", right)):
        if said and (len(said) != 1 or _role(said) != "assistant"):
            raise TeachableError(
                f"{name!r} is not one assistant message after a prompt that both share",
                where=where,
                mend="Write the prompt's messages into prompt, and one assistant message into each of the others",
            )
    return prompt, left, right


def _role(said: Said) -> str:
    return said[-1]["role"] if isinstance(said, tuple) and said else ""


# ---- to tokens ----


def token_pairs(tokenizer: Any, preferences: Iterable[Preference], n_vocab: int) -> list[TokenPair]:
    """The token ids of pairs, in their order.

    Args:
        n_vocab: how many tokens the model knows.

    Raises:
        TeachableError: a row's ids are another model's, or the tokenizer can't write it; the row is named.
    """
    return [_token_pair(tokenizer, one, n_vocab) for one in preferences]


def _token_pair(tokenizer: Any, one: Preference, n_vocab: int) -> TokenPair:
    if one.token_ids is not None:
        _check_ids(tokenizer, one, n_vocab)
        return TokenPair(*one.token_ids)
    if isinstance(one.prompt, tuple):
        prompt, chosen = _of_chat(tokenizer, one.prompt, one.chosen, one.where)
        _, rejected = _of_chat(tokenizer, one.prompt, one.rejected, one.where)
    else:
        prompt = tuple(tokenizer.encode(one.prompt, add_special_tokens=False))
        chosen, rejected = (_of_text(tokenizer, said, one.where) for said in (one.chosen, one.rejected))
    if chosen == rejected:
        raise TeachableError("chosen and rejected are the same tokens", where=one.where, mend="Leave the row out")
    return TokenPair(prompt, chosen, rejected)


def _of_chat(
    tokenizer: Any, prompt: tuple[Message, ...], response: Said, where: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids of the prompt, and of the response with its end-of-turn token."""
    assert isinstance(response, tuple)  # a conversation's responses are messages
    try:
        ids, mask = training_tokens(tokenizer, [*prompt, *response])
    except TeachableError as error:
        raise TeachableError(error.what, where=error.where or where, mend=error.mend) from error
    n_prompt = mask.index(True)
    return tuple(ids[:n_prompt]), tuple(ids[n_prompt:])


def _of_text(tokenizer: Any, said: Said, where: str) -> tuple[int, ...]:
    """Ids of a text that ends there."""
    ids = tuple(tokenizer.encode(said, add_special_tokens=False))
    end = tokenizer.eos_token_id
    if end is None:
        raise TeachableError("the base's tokenizer has no end token, which a text ends with", where=where)
    return ids if ids and ids[-1] == end else (*ids, end)


def _check_ids(tokenizer: Any, one: Preference, n_vocab: int) -> None:
    """See that ids say what the row's text says.

    Texts may have been decoded with special tokens or without, and a continuation alone or as the end of the whole
    (tokenizers that mark a word's beginning decode the two differently).
    """
    assert one.token_ids is not None
    prompt, chosen, rejected = one.token_ids
    highest = max(*prompt, *chosen, *rejected)
    if highest >= n_vocab:
        raise TeachableError(
            f"the token id {highest} is beyond the base's vocabulary of {n_vocab:,} tokens",
            where=one.where,
            mend=_OTHER_MODEL,
        )
    fits = _says(tokenizer, prompt, one.prompt) and all(
        _says(tokenizer, ids, said) or _says(tokenizer, prompt + ids, one.prompt, said)
        for ids, said in ((chosen, one.chosen), (rejected, one.rejected))
    )
    if not fits:
        raise TeachableError(
            "the token ids do not decode to the row's text under the base's tokenizer",
            where=one.where,
            mend=_OTHER_MODEL,
        )


def _says(tokenizer: Any, ids: tuple[int, ...], *said: Said) -> bool:
    """Whether ids decode to a text, or contain what messages say."""
    texts = [tokenizer.decode(list(ids), skip_special_tokens=skip) for skip in (True, False)]
    if all(isinstance(part, str) for part in said):
        return "".join(str(part) for part in said) in texts
    contents = [message["content"].strip() for part in said if isinstance(part, tuple) for message in part]
    return all(content in texts[1] for content in contents)
