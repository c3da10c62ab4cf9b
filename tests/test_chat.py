"""Training text is what sampling sees, and then the response: nothing else bears loss."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.chat import prompt_text, prompt_tokens, text_tokens, training_tokens
from teachable.errors import TeachableError
from teachable.records import Message

QUESTION: list[Message] = [{"role": "user", "content": "What is 17 + 25?"}]
ANSWER: Message = {"role": "assistant", "content": "17 + 25 = 42\nAnswer: 42"}
PLAIN = "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}{% endif %}"


@pytest.fixture(scope="module")
def merging_tokenizer() -> Any:
    """A tokenizer that would merge the last character of the prompt, ":", with the first of the response, "4"."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocab = {token: i for i, token in enumerate(["<unk>", "Q", ":", "4", "2", ".", ":4", "\n"])}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[(":", "4")], unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", chat_template=PLAIN)


@given(question=st.text(max_size=60), answer=st.text(max_size=60))
def test_the_generation_prompt_is_a_prefix_and_only_the_response_bears_loss(
    tokenizer: Any, question: str, answer: str
) -> None:
    asked: list[Message] = [{"role": "user", "content": question}]
    ids, mask = training_tokens(tokenizer, [*asked, {"role": "assistant", "content": answer}])
    prompt = prompt_tokens(tokenizer, asked)
    assert ids[: len(prompt)] == prompt
    assert mask == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[len(prompt) :]) == answer + "<|end|>"


def test_only_the_last_answer_of_a_longer_chat_bears_loss(tokenizer: Any) -> None:
    again: list[Message] = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes"}]
    ids, mask = training_tokens(tokenizer, [*QUESTION, ANSWER, *again])
    learnt = [i for i, bears in zip(ids, mask, strict=True) if bears]
    assert tokenizer.decode(learnt) == "Yes<|end|>"


def test_the_prompt_ends_where_the_assistant_begins(tokenizer: Any) -> None:
    assert prompt_text(tokenizer, QUESTION) == "<|user|>What is 17 + 25?<|end|><|assistant|>"


def test_no_token_reaches_across_the_border(merging_tokenizer: Any) -> None:
    """Encoded as a whole, prompt and response share a token that sampling could never have produced."""
    chat: list[Message] = [{"role": "user", "content": "Q:"}, {"role": "assistant", "content": "42"}]
    merged = merging_tokenizer.encode("Q:42", add_special_tokens=False)
    assert merging_tokenizer.convert_ids_to_tokens(merged) == ["Q", ":4", "2"]
    ids, mask = training_tokens(merging_tokenizer, chat)
    assert merging_tokenizer.convert_ids_to_tokens(ids) == ["Q", ":", "4", "2"]
    assert mask == [False, False, True, True]


def test_line_ends_that_the_template_puts_after_the_last_turn_bear_no_loss(merging_tokenizer: Any) -> None:
    """Sampling stops at the end-of-turn token, so what a template writes after it is never seen."""
    merging_tokenizer.chat_template = PLAIN.replace("{% endfor %}", "{{ '.\n' }}{% endfor %}", 1)
    chat: list[Message] = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "2"}]
    ids, _ = training_tokens(merging_tokenizer, chat)
    assert merging_tokenizer.convert_ids_to_tokens(ids) == ["Q", ".", "\n", "2", "."]
    merging_tokenizer.chat_template = PLAIN


@pytest.mark.parametrize("messages", [[], QUESTION, [*QUESTION, ANSWER, *QUESTION]])
def test_an_example_without_a_response_is_refused(tokenizer: Any, messages: list[Message]) -> None:
    with pytest.raises(TeachableError, match="must end with an assistant message"):
        training_tokens(tokenizer, messages)


def test_a_tokenizer_without_a_template_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    for call in (training_tokens, prompt_tokens):
        with pytest.raises(TeachableError, match="has no chat template"):
            call(bare, [*QUESTION, ANSWER])


def test_a_template_that_writes_a_finished_answer_differently_is_refused(merging_tokenizer: Any) -> None:
    """As the templates of some reasoning models do: the generation prompt opens a thought, a finished chat has none."""
    merging_tokenizer.chat_template = PLAIN.replace("%}{% endif %}", "%}<think>{% endif %}")
    with pytest.raises(TeachableError, match="differently from the prompt that sampling sees"):
        training_tokens(merging_tokenizer, [*QUESTION, ANSWER])
    merging_tokenizer.chat_template = PLAIN


def test_a_text_begins_as_the_tokenizer_begins_texts(tokenizer: Any) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4}
    inner = Tokenizer(models.WordLevel(vocab=vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    begun = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    assert begun.encode("a b") == [1, 3, 4, 2]
    assert text_tokens(begun, "a b") == [1, 3, 4]  # no end, which would stop the model
    assert text_tokens(begun, "<s> a b") == [1, 3, 4]  # and not twice
    assert text_tokens(tokenizer, "What?") == tokenizer.encode("What?", add_special_tokens=False)
