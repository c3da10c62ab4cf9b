"""The local engine against transformers' own `generate`, and against itself in other company."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
import torch

from teachable.engines import Completion, Engine, Request
from teachable.engines.local import TransformersEngine
from teachable.errors import TeachableError

PROMPTS = ["1 + 1 =", "a longer prompt with many more characters in it", "x", "what is 12 * 13? " * 5, "yes or no"]


def sample_all(engine: TransformersEngine, requests: list[Request]) -> list[list[Completion]]:
    async def main() -> list[list[Completion]]:
        return list(await asyncio.gather(*[engine.sample(r) for r in requests]))

    return asyncio.run(main())


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, dtype="float32", batch_rows=8)


def test_it_follows_the_protocol(engine: TransformersEngine) -> None:
    assert isinstance(engine, Engine)
    assert engine.name.startswith("transformers:")


def test_greedy_tokens_equal_generate(engine: TransformersEngine) -> None:
    requests = [Request(p, n=1, max_tokens=24, temperature=0.0) for p in PROMPTS]
    ours = sample_all(engine, requests)
    for prompt, [completion] in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([engine.encode(prompt)])
        theirs = engine.model.generate(ids, do_sample=False, max_new_tokens=24)[0, ids.shape[1] :].tolist()
        assert list(completion.token_ids) == theirs
        assert completion.finish_reason == ("stop" if theirs[-1] == engine.tokenizer.eos_token_id else "length")


def test_a_request_gives_the_same_tokens_in_any_company(tiny_model: Path) -> None:
    """The same request alone, in a crowd, in another order, in a narrower batch: the same tokens."""
    requests = [Request(PROMPTS[i % len(PROMPTS)] + str(i), n=3, max_tokens=20, seed=i) for i in range(40)]
    wide = TransformersEngine(tiny_model, dtype="float32", batch_rows=64)
    crowd = sample_all(wide, requests)
    narrow = TransformersEngine(tiny_model, dtype="float32", batch_rows=5)
    backwards = sample_all(narrow, requests[::-1])[::-1]
    alone = [sample_all(wide, [r])[0] for r in requests[:10]]
    assert crowd == backwards  # log-probabilities too, to the last bit
    assert crowd[:10] == alone


def test_samples_differ_and_seeds_matter(engine: TransformersEngine) -> None:
    [first, other] = sample_all(engine, [Request("abc", n=6, max_tokens=12, seed=s) for s in (1, 2)])
    assert len({c.token_ids for c in first}) > 1
    assert [c.token_ids for c in first] != [c.token_ids for c in other]


def test_asking_for_fewer_gives_the_first_ones(engine: TransformersEngine) -> None:
    [six] = sample_all(engine, [Request("abc", n=6, max_tokens=12, seed=9)])
    [two] = sample_all(engine, [Request("abc", n=2, max_tokens=12, seed=9)])
    assert two == six[:2]


def test_log_probabilities_are_those_of_the_model(engine: TransformersEngine) -> None:
    [[completion]] = sample_all(engine, [Request("abc", n=1, max_tokens=10, temperature=0.7, seed=4)])
    prompt = engine.encode("abc")
    ids = torch.tensor([prompt + list(completion.token_ids)])
    logits = engine.model(ids).logits[0, len(prompt) - 1 : -1] / 0.7
    expected = logits.log_softmax(-1).gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
    assert completion.token_logprobs is not None
    torch.testing.assert_close(torch.tensor(completion.token_logprobs), expected, rtol=1e-4, atol=1e-5)


def test_samples_follow_the_distribution(engine: TransformersEngine) -> None:
    """Of 2,000 first tokens the share of the likeliest lies within 4 standard errors of its probability."""
    n = 2000
    [completions] = sample_all(engine, [Request("abc", n=n, max_tokens=1, seed=11)])
    probs = engine.model(torch.tensor([engine.encode("abc")])).logits[0, -1].softmax(-1)
    likeliest = int(probs.argmax())
    p = float(probs[likeliest])
    share = sum(c.token_ids[0] == likeliest for c in completions) / n
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_top_p_keeps_the_nucleus(engine: TransformersEngine) -> None:
    probs = engine.model(torch.tensor([engine.encode("abc")])).logits[0, -1].softmax(-1)
    ordered, index = probs.sort(descending=True)
    nucleus = set(index[: int((ordered.cumsum(0) < 0.5).sum()) + 1].tolist())
    [completions] = sample_all(engine, [Request("abc", n=300, max_tokens=1, top_p=0.5, seed=5)])
    assert {c.token_ids[0] for c in completions} <= nucleus


def test_a_stop_string_ends_a_completion(engine: TransformersEngine) -> None:
    [[whole]] = sample_all(engine, [Request("abc", n=1, max_tokens=30, seed=8)])
    stop = whole.text[4:6]
    [[cut]] = sample_all(engine, [Request("abc", n=1, max_tokens=30, seed=8, stop=(stop,))])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert len(cut.token_ids) < len(whole.token_ids)


def test_too_long_a_prompt_is_one_sentence(engine: TransformersEngine) -> None:
    with pytest.raises(TeachableError, match="do not fit the model's context"):
        sample_all(engine, [Request("x" * 5000, max_tokens=10)])


def test_after_a_failure_the_engine_still_works(engine: TransformersEngine) -> None:
    with pytest.raises(TeachableError):
        sample_all(engine, [Request("x" * 5000, max_tokens=10)])
    assert len(sample_all(engine, [Request("abc", n=2, max_tokens=3)])[0]) == 2


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "mistral"])
def test_other_families_of_models_sample_as_generate_does(family: str, tiny_model: Path, tmp_path: Path) -> None:
    """Learned positions, biases, a sliding window: none of it is ours to know."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    sizes = {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 250},  # no multiple of a block
        "qwen2": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        "mistral": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    }[family]
    if family != "gpt2":
        sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 256}
    eos = tokenizer.eos_token_id
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), eos_token_id=eos, bos_token_id=None, **sizes)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(6.0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = TransformersEngine(tmp_path, dtype="float32", batch_rows=8)
    prompts = [*PROMPTS, "y" * 233]  # up to the last position
    ours = sample_all(engine, [Request(p, n=1, max_tokens=16, temperature=0.0) for p in prompts])
    for prompt, [completion] in zip(prompts, ours, strict=True):
        ids = torch.tensor([engine.encode(prompt)])
        theirs = model.eval().generate(ids, do_sample=False, max_new_tokens=16, pad_token_id=0)[0, ids.shape[1] :]
        assert list(completion.token_ids) == theirs.tolist()


def test_layers_without_full_attention_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("gemma2", vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=8, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(TeachableError, match="layers of the kind sliding_attention"):
        TransformersEngine(tmp_path, dtype="float32")


def test_a_prompt_that_ends_in_the_end_token_is_continued(engine: TransformersEngine) -> None:
    ids = (*engine.encode("abc"), engine.tokenizer.eos_token_id)
    [[completion]] = sample_all(engine, [Request(ids, n=1, max_tokens=5, seed=2)])
    assert len(completion.token_ids) >= 1


def test_a_prompt_of_one_token(engine: TransformersEngine) -> None:
    [[completion]] = sample_all(engine, [Request((7,), n=1, max_tokens=6, temperature=0.0)])
    theirs = engine.model.generate(torch.tensor([[7]]), do_sample=False, max_new_tokens=6)[0, 1:].tolist()
    assert list(completion.token_ids) == theirs


def test_prompts_under_one_seed_have_random_numbers_of_their_own(engine: TransformersEngine) -> None:
    """Two prompts with nearly the same, nearly flat distribution rarely draw the same first token.

    Under one stream they would nearly always. 400 pairs of draws from at least 100 likely tokens agree about 4 times;
    40 is beyond any doubt.
    """
    [left, right] = sample_all(engine, [Request(p, n=400, max_tokens=1, seed=5) for p in ("abcdef", "abcdeg")])
    same = sum(a.token_ids == b.token_ids for a, b in zip(left, right, strict=True))
    assert same < 40


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_samples(tiny_model: Path, dtype: str) -> None:
    engine = TransformersEngine(tiny_model, dtype=dtype, batch_rows=8)
    [completions] = sample_all(engine, [Request("abc", n=3, max_tokens=5, seed=1)])
    assert all(1 <= len(c.token_ids) <= 5 for c in completions)
    assert engine.name.endswith(dtype)
