"""Sampled tokens a second: our engine, as probing uses it, against transformers on the same prompts.

    python benchmarks/engine_throughput.py [--model FOLDER | --random 0.5b] [--prompts 200] [--samples 8]
        [--shots 0] [--prefixes STEP] [--batch-rows 384] [--rounds 3] [--continuous] [--device cuda] [--json FILE]

Without `--model`, the embedded base is taken from the user cache, or pretrained there first; `--random` makes a model
of about that many parameters with random weights on the spot. Both sides run the same weights in float32 (bfloat16 on a
GPU), on one thread, `--samples` samples a prompt at temperature 1, and stop at the end-of-turn token or after
`--max-tokens`. `generate` gets its prompts sorted by length, padded on the left, in batches of several sizes, of which
the best one counts; it is not made to turn tokens into text, which our engine does. With `--continuous`, transformers'
own continuous batching (`generate_batch`) takes part too.

Prompts are questions of the pool, about 25 tokens each. `--shots` puts so many other questions before each of them, no
two the same. `--prefixes STEP` asks as a search for pivotal tokens does: each prompt is asked at every `STEP`-th of its
last 100 tokens, and our engine also runs with nothing kept of the prompts that it has read.

All take turns, `rounds` times, and medians count. Seconds are of processor time, since on one thread other work on the
machine then hardly matters; on a GPU they are of the wall clock. A token is one that a sample keeps: the end-of-turn
token counts, padding after it does not. Before anything is timed, the greedy answers of both are compared token by
token: in float32 and with trained weights, one that differs is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from teachable.engines.local import PREFIX_BYTES, TransformersEngine
from teachable.recipe.config import Resources
from teachable.records import Request
from teachable.rollouts import request_seed
from teachable.store.files import write_json
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train.config import PretrainConfig
from teachable.train.embedded import SPECIAL_TOKENS, build_model, chat_tokenizer, save_model
from teachable.train.pretrain import pretrain

OURS = "our engine"
NOTHING_KEPT = "the same, nothing kept"
GENERATE_ROWS = (32, 64, 128, 384)  # rows a batch of `generate`
CONTINUOUS_TOKENS = (256, 512, 1024)  # tokens a batch of `generate_batch` on a CPU; on a GPU it finds its own sizes
CONTINUOUS_PAGE = 32  # positions a page there
PREFIX_SPAN = 100  # tokens at the end of a prompt whose beginnings are asked
GREEDY_PROMPTS = 16

Tokens = list[list[list[int]]]  # [prompt][sample][token]


@dataclass(frozen=True)
class Asked:
    """What is asked of both."""

    prompts: Sequence[Sequence[int]]  # token ids
    n_samples: int
    max_tokens: int
    temperature: float


@dataclass(frozen=True)
class Round:
    """One pass over all prompts."""

    tokens: int
    processor_s: float
    wall_s: float

    @property
    def tokens_per_s(self) -> float:
        """Kept tokens a second of processor time; of wall time where there is a GPU."""
        return self.tokens / (self.wall_s if torch.cuda.is_available() else self.processor_s)


def sample_ours(engine: TransformersEngine, asked: Asked, seed: int) -> Tokens:
    """All requests at once, as a roll-out makes them: the engine batches them itself."""

    async def main() -> Tokens:
        requests = [
            Request(ids, asked.n_samples, asked.max_tokens, asked.temperature, seed=request_seed(seed, str(i)))
            for i, ids in enumerate(asked.prompts)
        ]
        answers = await asyncio.gather(*[engine.sample(request) for request in requests])
        return [[list(completion.token_ids) for completion in completions] for completions in answers]

    return asyncio.run(main())


@torch.inference_mode()
def sample_generate(model: Any, asked: Asked, n_rows: int) -> Tokens:
    """`model.generate` over batches of prompts of about equal length."""
    eos = model.generation_config.eos_token_id
    ends = set(eos if isinstance(eos, list) else [eos])
    pad = model.generation_config.pad_token_id or min(ends)
    order = sorted(range(len(asked.prompts)), key=lambda i: len(asked.prompts[i]))
    found: Tokens = [[] for _ in asked.prompts]
    n_per_batch = max(1, n_rows // asked.n_samples)
    for start in range(0, len(order), n_per_batch):
        batch = order[start : start + n_per_batch]
        prompts = [list(asked.prompts[i]) for i in batch]
        width = max(map(len, prompts))
        ids_B_T = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts])
        mask_B_T = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
        out = model.generate(
            input_ids=ids_B_T.to(model.device),
            attention_mask=mask_B_T.to(model.device),
            num_return_sequences=asked.n_samples,
            max_new_tokens=asked.max_tokens,
            **how_to_sample(asked),
        )
        for row, tokens in enumerate(out[:, width:].tolist()):
            n_kept = next((at + 1 for at, token in enumerate(tokens) if token in ends), len(tokens))
            found[batch[row // asked.n_samples]].append(tokens[:n_kept])
    return found


def how_to_sample(asked: Asked) -> dict[str, Any]:
    """For transformers, which would otherwise sample from the 50 likeliest tokens."""
    if asked.temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": asked.temperature, "top_k": 0, "top_p": 1.0}


def sample_continuous(model: Any, asked: Asked, n_tokens: int) -> Tokens:
    """transformers' own continuous batching, which forks a prompt's samples after one prefill."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    generation = GenerationConfig(
        max_new_tokens=asked.max_tokens,
        num_return_sequences=asked.n_samples,
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=model.generation_config.pad_token_id or 0,
        **how_to_sample(asked),
    )
    sizes = ContinuousBatchingConfig()
    if model.device.type == "cpu":  # left alone it takes 60% of the memory, and fills it with zeros first
        n_pages = -(-(max(map(len, asked.prompts)) + asked.max_tokens) // CONTINUOUS_PAGE) * n_tokens
        sizes = ContinuousBatchingConfig(
            page_size=CONTINUOUS_PAGE, num_blocks=n_pages, max_batch_tokens=n_tokens, max_requests_per_batch=n_tokens
        )
    out = model.generate_batch(
        inputs=[list(ids) for ids in asked.prompts],
        generation_config=generation,
        continuous_batching_config=sizes,
        warmup=model.device.type != "cpu",
        progress_bar=False,
    )
    n_wanted = len(asked.prompts) * asked.n_samples
    failed = [answer.error for answer in out.values() if answer.error]
    if failed or len(out) != n_wanted:
        raise AssertionError(f"{len(out)} of {n_wanted} samples came back; errors: {failed[:1]}")
    return [[list(answer.generated_tokens) for answer in out.values()]]


def random_model(n_params: float, folder: Path) -> Path:
    """A Llama of about `n_params` parameters with random weights and a tokenizer of bytes, saved in `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = chat_tokenizer(inner)
    # About 12 h^2 parameters a layer, and layers in proportion to the width, as models of this size have.
    hidden = max(64, round((n_params / 12 * 40) ** (1 / 3) / 256) * 256)
    n_layers = max(2, round(n_params / (12 * hidden**2)))
    config = PretrainConfig(
        hidden_size=hidden,
        n_layers=n_layers,
        n_heads=hidden // 64,
        n_kv_heads=max(1, hidden // 256),
        intermediate_size=3 * hidden,
        seed=0,
    )
    save_model(build_model(config, tokenizer), tokenizer, folder)
    return folder


def measure(work: Callable[[], Tokens]) -> Round:
    """One pass by both clocks."""
    processor, wall = time.process_time(), time.perf_counter()
    tokens = work()
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    return Round(sum(len(sample) for samples in tokens for sample in samples), processor, wall)


def prompts_of(engine: TransformersEngine, given: argparse.Namespace) -> list[list[int]]:
    """Token ids of what is asked, by the command line's settings."""
    tasks = asyncio.run(build_tasks(TasksConfig(n_pool=given.prompts, n_heldout=25), seed=0))
    texts = [prompt.text for prompt in tasks.pool]
    rng = random.Random(0)
    prompts = []
    for text in texts:
        before = [rng.choice(texts) for _ in range(given.shots)]
        prompts.append(engine.encode([{"role": "user", "content": "\n".join([*before, text])}]))
    if not given.prefixes:
        return prompts
    return [ids[:end] for ids in prompts for end in range(max(1, len(ids) - PREFIX_SPAN), len(ids) + 1, given.prefixes)]


def count_equal_greedy(engine: TransformersEngine, model: Any, asked: Asked) -> int:
    """How many prompts get the same greedy tokens from both."""
    greedy = Asked(asked.prompts, 1, asked.max_tokens, 0.0)
    ours = sample_ours(engine, greedy, seed=0)
    theirs = sample_generate(model, greedy, GREEDY_PROMPTS)
    return sum(one == other for one, other in zip(ours, theirs, strict=True))


def compare(
    make_engine: Callable[[int], TransformersEngine], model: Any, asked: Asked, given: argparse.Namespace
) -> dict[str, list[Round]]:
    """Rounds of all, in turns, under the name of each way.

    Our engine is made anew for each round, by `make_engine` from the bytes of prompts that it keeps: a round asks what
    the one before it asked, and what was kept of that would be too good.
    """
    rounds: dict[str, list[Round]] = {}
    for round_ in range(given.rounds):
        ways: dict[str, Callable[[], Tokens]] = {OURS: partial(sample_ours, make_engine(PREFIX_BYTES), asked, round_)}
        if given.prefixes:
            ways[NOTHING_KEPT] = partial(sample_ours, make_engine(0), asked, round_)
        # Their randomness is torch's own, seeded once: the round has nothing to say in it.
        for n_rows in GENERATE_ROWS:
            ways[f"generate, {n_rows} rows"] = partial(sample_generate, model, asked, n_rows)
        if given.continuous:
            for n in CONTINUOUS_TOKENS if given.device == "cpu" else (0,):
                name = f"generate_batch, {n} tokens" if n else "generate_batch"
                ways[name] = partial(sample_continuous, model, asked, n)
        for name, way in ways.items():
            rounds.setdefault(name, []).append(measure(way))
    return rounds


def summarise(rounds: dict[str, list[Round]]) -> dict[str, Any]:
    """Medians over rounds, and how the best way of transformers compares."""
    rates = {name: statistics.median(r.tokens_per_s for r in of) for name, of in rounds.items()}
    best = max((name for name in rates if name not in (OURS, NOTHING_KEPT)), key=rates.__getitem__)
    ways = {
        name: {
            "tokens_per_s": rates[name],
            "tokens_per_s_wall": statistics.median(r.tokens / r.wall_s for r in of),
            "rounds": [{"tokens": r.tokens, "processor_s": r.processor_s, "wall_s": r.wall_s} for r in of],
        }
        for name, of in rounds.items()
    }
    ratios = [a.tokens_per_s / b.tokens_per_s for a, b in zip(rounds[OURS], rounds[best], strict=True)]
    return {"ways": ways, "best": best, "ratio": rates[OURS] / rates[best], "ratios": ratios}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Sampled tokens a second: our engine against model.generate.")
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face format; default: the embedded base")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8, help="samples a prompt")
    parser.add_argument("--continuous", action="store_true", help="measure transformers' continuous batching too")
    parser.add_argument("--shots", type=int, default=0, help="other questions before each one")
    parser.add_argument("--prefixes", type=int, default=0, metavar="STEP", help="ask every prompt's last beginnings")
    parser.add_argument("--batch-rows", type=int, default=Resources().batch_rows, help="of our engine")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--random", metavar="SIZE", help="a random model of about so many parameters: 0.5b, 20m")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    with tempfile.TemporaryDirectory() as scratch:
        run(given, Path(scratch))


def run(given: argparse.Namespace, scratch: Path) -> None:
    """Measure what was asked for."""
    from transformers import AutoModelForCausalLM

    if given.random:
        scale = {"m": 1e6, "b": 1e9}[given.random[-1].lower()]
        folder = random_model(float(given.random[:-1]) * scale, scratch)
    else:
        folder = given.model or pretrain(PretrainConfig(), Resources().cache_path()).path
    dtype = "float32" if given.device == "cpu" else "bfloat16"

    def make_engine(prefix_bytes: int) -> TransformersEngine:
        rows = given.batch_rows
        return TransformersEngine(folder, device=given.device, dtype=dtype, batch_rows=rows, prefix_bytes=prefix_bytes)

    engine = make_engine(PREFIX_BYTES)
    asked = Asked(prompts_of(engine, given), given.samples, given.max_tokens, temperature=1.0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), use_safetensors=True).eval()
    model.to(given.device)

    n_equal = count_equal_greedy(engine, model, asked)
    # In bfloat16 the two round differently, and near ties of a random model fall either way.
    if n_equal < len(asked.prompts) and dtype == "float32" and not given.random:
        raise AssertionError(f"{len(asked.prompts) - n_equal} of {len(asked.prompts)} greedy answers differ")
    lengths = sorted(map(len, asked.prompts))
    facts: dict[str, Any] = {"model": engine.name, "n_params": model.num_parameters()}
    facts |= {
        "n_prompts": len(lengths),
        "n_prompt_tokens": [lengths[0], statistics.median(lengths), lengths[-1]],
        "n_greedy_equal": n_equal,
        "n_samples": asked.n_samples,
        "max_tokens": asked.max_tokens,
        "batch_rows": given.batch_rows,
        "n_threads": torch.get_num_threads(),
    }
    facts |= summarise(compare(make_engine, model, asked, given))
    show(facts, given.rounds)
    if given.json:
        write_json(given.json, facts)


def show(facts: dict[str, Any], n_rounds: int) -> None:
    """The table, and what is compared in it."""
    low, middle, high = facts["n_prompt_tokens"]
    print(f"{facts['n_params']:,} parameters; {facts['n_prompts']} prompts of {low} to {high} tokens", end=" ")
    print(f"(median {middle:g}), {facts['n_samples']} samples of each, {facts['max_tokens']} tokens at most;")
    print(f"{facts['batch_rows']} rows at once in our engine; one thread; medians of {n_rounds} rounds")
    print(f"greedy answers that are equal token for token: {facts['n_greedy_equal']} of {facts['n_prompts']}")
    print(f"{'':<30}{'tokens/s':>10}{'by the wall clock':>20}{'tokens a round':>16}")
    for name, of in facts["ways"].items():
        tokens = statistics.median(r["tokens"] for r in of["rounds"])
        print(f"{name:<30}{of['tokens_per_s']:>10,.0f}{of['tokens_per_s_wall']:>20,.0f}{tokens:>16,.0f}")
    ratios = sorted(facts["ratios"])
    print(f"{OURS} samples {facts['ratio']:.2f} times the tokens a second of {facts['best']}", end="; ")
    print(f"round by round {ratios[0]:.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()
