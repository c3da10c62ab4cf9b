"""The local engine against transformers' own `generate`, and against itself in other company."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from teachable.engines import Completion, Engine, Request
from teachable.engines.batch import Ended
from teachable.engines.local import PromptTooLong, TransformersEngine
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


STORY = "".join(f"{i} plus {i * 7 % 13} is {i + i * 7 % 13}; " for i in range(40))


def test_long_prompts_that_begin_alike_give_the_same_tokens_in_any_company(tiny_model: Path) -> None:
    """Kept prefixes, shared tiles, other lengths beside it, one sample or many: not a bit of difference.

    Lengths lie on both sides of every step: a block, the least shared length, and 256, where the CPU's matrix product
    begins to split its sums.
    """
    lengths = [31, 32, 33, 64, 90, 96, 97, 98, 128, 129, 180, 200, 225, 240, 256, 257, 290, 400]
    requests = [Request(STORY[:length], n=3, max_tokens=40, seed=length) for length in lengths]
    requests += [Request(STORY[40:140] + "?", n=20, max_tokens=12, seed=7), Request("short", n=2, max_tokens=70)]
    wide = TransformersEngine(tiny_model, dtype="float32", batch_rows=96)
    crowd = sample_all(wide, requests)
    bare = TransformersEngine(tiny_model, dtype="float32", batch_rows=7, prefix_bytes=0)
    backwards = sample_all(bare, requests[::-1])[::-1]
    assert crowd == backwards
    for request, expected in list(zip(requests, crowd, strict=True))[::3]:
        assert sample_all(wide, [request]) == [expected]  # all of its prompt's blocks are kept by now
        [alone] = sample_all(bare, [replace(request, n=1)])
        assert alone == expected[:1]


def test_long_prompts_are_sampled_as_generate_does(engine: TransformersEngine) -> None:
    requests = [Request(STORY[:length], n=1, max_tokens=24, temperature=0.0) for length in (60, 97, 130, 260, 400)]
    for request, [completion] in zip(requests, sample_all(engine, requests), strict=True):
        assert isinstance(request.prompt, str)
        ids = torch.tensor([engine.encode(request.prompt)])
        theirs = engine.model.generate(ids, do_sample=False, max_new_tokens=24)[0, ids.shape[1] :].tolist()
        assert list(completion.token_ids) == theirs


def test_asking_for_the_rest_gives_the_rest(engine: TransformersEngine) -> None:
    for prompt in ("abc", STORY[:150]):
        [six] = sample_all(engine, [Request(prompt, n=6, max_tokens=12, seed=9)])
        [rest] = sample_all(engine, [Request(prompt, n=4, first=2, max_tokens=12, seed=9)])
        assert [c.token_ids for c in rest] == [c.token_ids for c in six[2:]]
        assert [c.n_prompt_tokens for c in rest] == [len(prompt), 0, 0, 0]


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


@pytest.mark.parametrize(
    "how",
    [
        {"top_k": 5},
        {"top_p": 0.5},
        {"min_p": 0.05},
        {"temperature": 0.6, "top_k": 40, "top_p": 0.7, "min_p": 0.02},
    ],
)
def test_filters_are_those_of_generate(engine: TransformersEngine, how: dict[str, float]) -> None:
    """The tokens that come out are the ones that transformers' own warpers leave, with their probabilities."""
    from transformers import GenerationConfig

    n = 2000
    [completions] = sample_all(engine, [Request("abc", n=n, max_tokens=1, seed=5, **how)])  # type: ignore[arg-type]
    ids = torch.tensor([engine.encode("abc")])
    config = GenerationConfig(do_sample=True, **({"top_k": 0} | how))
    warpers = engine.model._get_logits_processor(generation_config=config, device="cpu")
    probs = warpers(ids, engine.model(ids).logits[:, -1])[0].softmax(-1)
    assert {c.token_ids[0] for c in completions} <= set(probs.nonzero()[:, 0].tolist())
    drawn = torch.tensor([c.token_ids[0] for c in completions])
    logprobs = torch.tensor([c.token_logprobs[0] for c in completions if c.token_logprobs])
    torch.testing.assert_close(logprobs, probs[drawn].log(), rtol=1e-4, atol=1e-4)
    likeliest = int(probs.argmax())
    p = float(probs[likeliest])
    assert abs(float((drawn == likeliest).double().mean()) - p) <= 4 * math.sqrt(p * (1 - p) / n)


def test_filters_of_others_change_nothing(engine: TransformersEngine) -> None:
    plain = Request("abc", n=4, max_tokens=12, seed=3)
    filtered = [Request(p, n=4, max_tokens=12, top_p=0.3, top_k=3, min_p=0.1, seed=1) for p in PROMPTS]
    assert sample_all(engine, [*filtered, plain])[-1] == sample_all(engine, [plain])[0]


def test_a_stop_string_ends_a_completion(engine: TransformersEngine) -> None:
    [[whole]] = sample_all(engine, [Request("abc", n=1, max_tokens=30, seed=8)])
    stop = whole.text[4:6]
    [[cut]] = sample_all(engine, [Request("abc", n=1, max_tokens=30, seed=8, stop=(stop,))])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert len(cut.token_ids) < len(whole.token_ids)


def test_a_stop_string_of_several_tokens_a_character_is_found(engine: TransformersEngine) -> None:
    """Every byte is a token here, so such a character is seen only with its last one."""
    for seed in range(20):
        [[whole]] = sample_all(engine, [Request("abc", n=1, max_tokens=400, seed=seed)])
        stop = next((c for c in whole.text[60:] if ord(c) > 127 and c != "\ufffd"), "")
        if stop and whole.text.index(stop) > 60:
            break
    assert stop
    [[cut]] = sample_all(engine, [Request("abc", n=1, max_tokens=400, seed=seed, stop=("never seen", stop))])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]
    assert stop in engine.decode(list(cut.token_ids))
    assert stop not in engine.decode(list(cut.token_ids[:-1]))


def test_too_long_a_prompt_fails_alone(engine: TransformersEngine) -> None:
    async def main() -> list[object]:
        requests = [Request("x" * 5000, max_tokens=10), Request("abc", n=2, max_tokens=3), Request("", max_tokens=3)]
        return list(await asyncio.gather(*[engine.sample(r) for r in requests], return_exceptions=True))

    too_long, fine, empty = asyncio.run(main())
    assert isinstance(too_long, PromptTooLong)
    assert not isinstance(too_long, TeachableError)  # which would end the whole run
    assert str(too_long) == (
        "a prompt of 5000 tokens and 10 new ones do not fit the model's context of 1024."
        " Shorten the prompt or lower max_tokens."
    )
    assert isinstance(fine, list)
    assert len(fine) == 2
    assert isinstance(empty, ValueError)


def test_an_error_reaches_everybody_and_the_engine_goes_on(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32", batch_rows=8)
    requests = [Request(p, n=4, max_tokens=9, seed=1) for p in PROMPTS]
    expected = sample_all(engine, requests)

    def fail(*args: object, **kwargs: object) -> object:
        raise torch.OutOfMemoryError("a lot was asked for")

    async def main() -> list[object]:
        return list(await asyncio.gather(*[engine.sample(r) for r in requests], return_exceptions=True))

    lm_head, engine.model.lm_head.forward = engine.model.lm_head.forward, fail
    failed = asyncio.run(main())
    assert len(failed) == len(requests)
    assert all(isinstance(error, TeachableError) and "resources.batch_rows" in str(error) for error in failed)
    engine.model.lm_head.forward = lm_head
    assert sample_all(engine, requests) == expected


def test_little_memory_makes_fewer_rows_and_the_same_tokens(tiny_model: Path) -> None:
    """A row of up to 32 positions takes 8 KiB here: with 20 KiB two decode together, with 1 byte one does."""
    requests = [Request(p, n=3, max_tokens=9, seed=1) for p in ("abc", "a b c", STORY[:150])]
    expected = sample_all(TransformersEngine(tiny_model, dtype="float32"), requests)
    for cache_bytes, n_rows in ((20 << 10, 2), (1, 1)):
        engine = TransformersEngine(tiny_model, dtype="float32", cache_bytes=cache_bytes)
        most = 0
        step = engine._batch.step

        def watched(engine: TransformersEngine = engine, step: Callable[[], list[Ended]] = step) -> list[Ended]:
            nonlocal most
            most = max(most, len(engine._batch.rows))
            return step()

        engine._batch.step = watched  # type: ignore[method-assign]
        assert sample_all(engine, requests) == expected
        assert most == n_rows
        assert engine._batch.n_bytes == 0


def test_what_nobody_waits_for_is_dropped(engine: TransformersEngine) -> None:
    async def main() -> list[Completion]:
        long = asyncio.ensure_future(engine.sample(Request("abc", n=8, max_tokens=900, seed=2, stop=("~~~~~~",))))
        await asyncio.sleep(0.05)
        long.cancel()
        return await engine.sample(Request("abc", n=2, max_tokens=3, seed=2))

    started = time.monotonic()
    assert len(asyncio.run(main())) == 2
    assert time.monotonic() - started < 2
    assert not engine._batch.rows
    assert not engine._jobs


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
