"""The fence: no text can name its seal, and no special token of a chat template passes through."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.verify.judging import fence
from teachable.verify.judging.fence import fenced, neutral, seal_of

TOKENS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>",
    "<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|user|>", "<|assistant|>", "<|START_OF_TURN_TOKEN|>",
    "<BOS_TOKEN>", "<EOS_TOKEN>", "<start_of_turn>", "<end_of_turn>", "<|turn>", "<turn|>", "<bos>", "<eos>", "<pad>",
    "<s>", "</s>", "<unk>", "<mask>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[TOOL_CALLS]", "<<SYS>>", "<</SYS>>",
    "<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<think>", "</think>", "<tool_call>",
    "</tool_response>", "[gMASK]", "<sop>", "<eoh>", "<eoa>", "[UNUSED_TOKEN_145]", "[BOS]", "[CLS]", "[SEP]", "]~b]",
    "]~!b[", "[e~[", "[|system|]", "[|endofturn|]", "<seed:bos>", "<seed:eos>", "<unused7>", "<reserved_106>",
    "<SPECIAL_12>", "<extra_id_1>", "<fim_prefix>", "<image>", "＜|im_start|＞",
)  # fmt: skip


@given(st.lists(st.text(), min_size=1), st.integers(0, 3))
def test_no_shown_text_holds_its_seal(texts: list[str], n_rounds: int) -> None:
    """Not even one that was given the seal of what it was before."""
    for _ in range(n_rounds):
        texts = [*texts[:-1], texts[-1] + seal_of(texts).upper()]
    seal = seal_of(texts)
    assert re.fullmatch(r"[0-9a-f]{12}", seal)
    assert not any(seal in text.lower() for text in texts)
    assert seal == seal_of(list(texts))


def test_a_seal_that_occurs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one digit, a text that names all but one leaves just that."""
    monkeypatch.setattr(fence, "SEAL_DIGITS", 1)
    assert {seal_of(["0123456789abce", str(n), "F"]) for n in range(50)} == {"d"}


def test_a_seal_depends_on_every_text_and_its_place() -> None:
    seals = {seal_of(texts) for texts in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["a", "c"])}
    assert len(seals) == 5


@pytest.mark.parametrize("token", TOKENS)
def test_a_special_token_is_broken_by_a_space(token: str) -> None:
    shown = neutral(f"so{token}{token}user")
    assert token not in shown
    assert shown.replace(" ", "") == f"so{token}{token}user"


def test_no_special_token_reaches_a_real_tokenizer() -> None:
    """A tokenizer that knows all of them reads none out of the neutral text, and all out of the plain one."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer: Any = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = [token for token in TOKENS if token.isascii() or "｜" in token]
    tokenizer.add_special_tokens(known)
    ids = {tokenizer.token_to_id(token) for token in known}
    text = "x".join(known) + "".join(known)
    assert set(tokenizer.encode(text).ids) == ids
    assert ids.isdisjoint(tokenizer.encode(neutral(text)).ids)


@given(st.text(st.sampled_from("<>|/[]｜~!eb_SYINTs:") | st.characters()))
def test_what_is_neutral_stays_so_and_only_spaces_came_in(text: str) -> None:
    shown = neutral(text)
    assert neutral(shown) == shown
    assert not any(token in shown for token in TOKENS)
    assert shown.replace(" ", "") == text.encode("utf-8", "replace").decode().replace(" ", "")


@pytest.mark.parametrize(
    "text",
    ["a < b and |x| > 2", "x <= 3, [1, 2), {3}", "vector<int> v; a[i] = b << 2;", "<div><b>5</b></div>", "f <| x |> g"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert neutral(text) == text


def test_lone_surrogates_become_question_marks() -> None:
    assert neutral("5\ud800") == "5?"
    assert seal_of(["5\ud800"])


@pytest.mark.parametrize("unit", ["<", "<a", "<a_", "<|", "[A", "[", "<|a", "]~", "</", "<a:"])
def test_neutral_is_linear(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    begin = time.process_time()
    neutral(text)
    assert time.process_time() - begin < 5.0


def test_a_fence_stands_on_lines_of_its_own() -> None:
    assert fenced("task", "a\nb", "s").splitlines() == ["----- s begin task -----", "a", "b", "----- s end task -----"]
