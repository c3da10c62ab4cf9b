"""Rows become pairs and pairs become tokens: to the letter where there are ids, by the chat template where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from teachable.chat import prompt_tokens
from teachable.errors import TeachableError
from teachable.store.files import write_rows
from teachable.train.preferences import TokenPair, preferences_from, read_preferences, token_pairs

USER = {"role": "user", "content": "1 + 1?"}
RIGHT, WRONG = ({"role": "assistant", "content": text} for text in ("It is 2", "It is 3"))
TEXT = {"prompt": "1 + 1 = ", "chosen": "2", "rejected": "3"}
CHAT = {"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG]}
N_VOCAB = 320


def ids_row(tokenizer: Any, prompt: list[int], chosen: list[int], rejected: list[int]) -> dict[str, Any]:
    """A row with token ids and their text."""
    sides = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return {name: tokenizer.decode(ids) for name, ids in sides.items()} | {
        f"{name}_token_ids": ids for name, ids in sides.items()
    }


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.parametrize("row", [TEXT, CHAT], ids=["text", "messages"])
def test_a_file_is_read(row: dict[str, Any], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"pairs.{ending}"
    write_rows(path, [row, {**row, "delta": 0.5}])
    pairs = read_preferences(path)
    assert len(pairs) == 2
    said = (pairs[1].prompt, pairs[1].chosen, pairs[1].rejected)
    assert said == tuple(tuple(one) if isinstance(one, list) else one for one in row.values())
    assert (pairs[1].token_ids, pairs[1].where) == (None, f"{path}, row 2")


def test_an_empty_file_holds_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("\n")
    assert read_preferences(tmp_path / "pairs.jsonl") == []


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": [USER, RIGHT], "rejected": [USER, WRONG]},
        {"prompt": "1 + 1?", "chosen": [USER, RIGHT], "rejected": [USER, WRONG]},
        {"prompt": "1 + 1?", "chosen": [RIGHT], "rejected": [WRONG]},
        {"prompt": [USER], "chosen": "It is 2", "rejected": "It is 3"},
    ],
    ids=["no prompt", "prompt twice", "prompt as text", "responses as text"],
)
def test_other_common_shapes_of_a_chat_are_the_same_pair(row: dict[str, Any]) -> None:
    (pair,), (expected,) = preferences_from([row]), preferences_from([CHAT])
    assert pair == expected


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "a", "chosen": "b"}, "pairs: the column 'rejected' is missing; there are prompt, chosen"),
        ({"chosen": "b", "rejected": "c"}, "pairs: the column 'prompt' is missing"),
        (TEXT | {"rejected": "2"}, "pairs, row 2: chosen and rejected are the same"),
        (TEXT | {"rejected": ""}, "pairs, row 2: 'rejected' is empty"),
        (TEXT | {"prompt": None}, "pairs, row 2: 'prompt' is empty"),
        (CHAT | {"prompt": []}, "pairs, row 2: 'prompt' is empty"),
        (CHAT | {"chosen": []}, "pairs, row 2: 'chosen' is empty"),
        (CHAT | {"chosen": [{"role": "assistant", "content": ""}]}, "pairs, row 2: 'chosen' is empty"),
        (TEXT | {"chosen": 2}, "pairs, row 2: 'chosen' is neither text nor a list of messages"),
        (CHAT | {"chosen": [{"role": "assistant"}]}, "pairs, row 2: 'chosen' is neither text nor a list of messages"),
        (CHAT | {"chosen": [RIGHT, USER, RIGHT]}, "pairs, row 2: 'chosen' is not one assistant message"),
        (CHAT | {"rejected": [USER]}, "pairs, row 2: 'rejected' is not one assistant message"),
        (TEXT | {"prompt_token_ids": [5]}, "pairs, row 2: 'chosen_token_ids' is empty while the row has token ids"),
        (
            TEXT | {"prompt_token_ids": [5], "chosen_token_ids": [6], "rejected_token_ids": ["7"]},
            "pairs, row 2: 'rejected_token_ids' holds something that is no token id",
        ),
        (
            TEXT | {"prompt_token_ids": [5], "chosen_token_ids": [6], "rejected_token_ids": [6]},
            "pairs, row 2: chosen and rejected are the same",
        ),
        (TEXT | {"kind": "pivotal"}, "pairs, row 2: this pivotal pair has no token ids"),
    ],
)
def test_what_is_no_pair_is_one_sentence(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        preferences_from(
            [{name: CHAT[name] if isinstance(row["chosen"], list) else TEXT[name] for name in row if name in TEXT}, row]
        )
    assert str(caught.value).startswith(sentence)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("prompt,chosen,rejected\n")
    with pytest.raises(TeachableError, match=r"pairs\.csv: preference pairs are not read from this kind of file"):
        read_preferences(tmp_path / "pairs.csv")
    with pytest.raises(TeachableError, match="this file is missing"):
        read_preferences(tmp_path / "none.jsonl")


def test_token_ids_are_taken_to_the_letter(tokenizer: Any) -> None:
    text = "What is the "
    merged = tokenizer.encode(text, add_special_tokens=False)
    letters = [tokenizer.encode(letter, add_special_tokens=False)[0] for letter in text]
    assert len(letters) > len(merged)  # tokenised again, they would be others
    (digit,), (other,) = (tokenizer.encode(one, add_special_tokens=False) for one in "78")
    row = ids_row(tokenizer, letters, [digit], [other])
    assert token_pairs(tokenizer, preferences_from([row]), N_VOCAB) == [TokenPair(tuple(letters), (digit,), (other,))]


def test_the_text_beside_ids_may_leave_special_tokens_out(tokenizer: Any) -> None:
    chat = prompt_tokens(tokenizer, [USER])
    (digit,), (other,) = (tokenizer.encode(one, add_special_tokens=False) for one in "78")
    row = ids_row(tokenizer, chat, [digit], [other])
    without = row | {"prompt": tokenizer.decode(chat, skip_special_tokens=True)}
    assert row["prompt"] != without["prompt"] == "1 + 1?"
    for each in (row, without):
        assert token_pairs(tokenizer, preferences_from([each]), N_VOCAB)[0].prompt == tuple(chat)


def test_the_ids_of_another_model_are_refused_by_row(tokenizer: Any) -> None:
    ids = tokenizer.encode("What is the sum?", add_special_tokens=False)
    good = ids_row(tokenizer, ids, [20], [21])
    for change in ({"prompt": "Quite another text"}, {"chosen": "x!"}, {"rejected": "x!"}):
        with pytest.raises(TeachableError) as caught:
            token_pairs(tokenizer, preferences_from([good, good | change], "p.parquet"), N_VOCAB)
        assert str(caught.value) == (
            "p.parquet, row 2: the token ids do not decode to the row's text under the base's tokenizer. "
            "Use pairs that were made with this base, or leave the token id columns out."
        )
    with pytest.raises(TeachableError, match="row 1: the token id 9000 is beyond the base's vocabulary of 320 tokens"):
        token_pairs(tokenizer, preferences_from([good | {"chosen_token_ids": [9000]}]), N_VOCAB)


def test_messages_become_the_prompt_that_sampling_sees_and_a_response_with_its_end(tokenizer: Any) -> None:
    (pair,) = token_pairs(tokenizer, preferences_from([CHAT]), N_VOCAB)
    assert list(pair.prompt) == prompt_tokens(tokenizer, [USER])
    assert tokenizer.decode(list(pair.chosen)) == "It is 2<|end|>"
    assert tokenizer.decode(list(pair.rejected)) == "It is 3<|end|>"
    assert pair.n_response_tokens == len(pair.chosen) + len(pair.rejected)
    assert pair.n_tokens == 2 * len(pair.prompt) + pair.n_response_tokens


def test_text_is_continued_as_it_stands_and_ended(tokenizer: Any) -> None:
    rows = [TEXT, TEXT | {"chosen": "2<|end|>"}]
    first, ended = token_pairs(tokenizer, preferences_from(rows), N_VOCAB)
    assert first == ended
    assert [tokenizer.decode(list(ids)) for ids in (first.prompt, first.chosen)] == ["1 + 1 = ", "2<|end|>"]


def test_a_tokenizer_without_a_template_is_one_sentence(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", None)
    with pytest.raises(TeachableError, match=r"pairs, row 1: .* has no chat template"):
        token_pairs(tokenizer, preferences_from([CHAT]), N_VOCAB)
