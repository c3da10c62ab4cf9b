"""Sampled tokens a second: our engine, as probing uses it, against `model.generate` on the same prompts.

    python benchmarks/engine_throughput.py [--model FOLDER | --random 0.5b] [--prompts 200] [--samples 8]
        [--rounds 3] [--continuous] [--device cuda] [--json FILE]

Without `--model`, the embedded base is taken from the user cache, or pretrained there first; `--random` makes a model
of about that many parameters with random weights on the spot. Both sides run the same weights in float32 (bfloat16 on a
GPU), on one thread, `--samples` samples a prompt at temperature 1, and stop at the end-of-turn token or after
`--max-tokens`. `generate` gets its prompts sorted by length, padded on the left, in batches of several sizes, of which
the best one counts; it is not made to turn tokens into text, which our engine does. With `--continuous`, transformers'
own continuous batching (`generate_batch`) takes part too.

The two take turns, `rounds` times, and medians count. Seconds are of processor time, since on one thread other work on
the machine then hardly matters. A token is one that a sample keeps: the end-of-turn token counts, padding after it does
not. Before anything is timed, the greedy answers of both are compared token by token; one that differs is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from teachable.engines.local import TransformersEngine
from teachable.probe.config import ProbeConfig
from teachable.recipe.config import Resources
from teachable.records import Prompt, Request
from teachable.rollouts import request_seed
from teachable.store.files import write_json
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train.config import PretrainConfig
from teachable.train.embedded import SPECIAL_TOKENS, build_model, chat_tokenizer, save_model
from teachable.train.pretrain import pretrain

OURS = "our engine"
GENERATE_PROMPTS = (4, 8, 16, 48)  # prompts a batch of `generate`; with eight samples each, 32 to 384 rows
GREEDY_PROMPTS = 16

Tokens = list[list[list[int]]]  # [prompt][sample][token]


@dataclass(frozen=True)
class Asked:
    """What is asked of both."""

    prompts: Sequence[Prompt]
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
            Request(p.messages, asked.n_samples, asked.max_tokens, asked.temperature, seed=request_seed(seed, p.id))
            for p in asked.prompts
        ]
        answers = await asyncio.gather(*[engine.sample(request) for request in requests])
        return [[list(completion.token_ids) for completion in completions] for completions in answers]

    return asyncio.run(main())


@torch.inference_mode()
def sample_generate(model: Any, encoded: list[list[int]], asked: Asked, n_per_batch: int) -> Tokens:
    """`model.generate` over batches of prompts of about equal length."""
    eos = model.generation_config.eos_token_id
    ends = set(eos if isinstance(eos, list) else [eos])
    pad = model.generation_config.pad_token_id or min(ends)
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    found: Tokens = [[] for _ in encoded]
    # Without these two, `generate` would sample from its default of the 50 likeliest tokens.
    how = {"do_sample": True, "temperature": asked.temperature, "top_k": 0, "top_p": 1.0}
    for start in range(0, len(order), n_per_batch):
        batch = order[start : start + n_per_batch]
        width = max(len(encoded[i]) for i in batch)
        ids_B_T = torch.tensor([[pad] * (width - len(encoded[i])) + encoded[i] for i in batch])
        mask_B_T = torch.tensor([[0] * (width - len(encoded[i])) + [1] * len(encoded[i]) for i in batch])
        out = model.generate(
            input_ids=ids_B_T.to(model.device),
            attention_mask=mask_B_T.to(model.device),
            num_return_sequences=asked.n_samples,
            max_new_tokens=asked.max_tokens,
            **(how if asked.temperature > 0 else {"do_sample": False}),
        )
        for row, tokens in enumerate(out[:, width:].tolist()):
            n_kept = next((at + 1 for at, token in enumerate(tokens) if token in ends), len(tokens))
            found[batch[row // asked.n_samples]].append(tokens[:n_kept])
    return found


def sample_continuous(model: Any, encoded: list[list[int]], asked: Asked) -> Tokens:
    """transformers' own continuous batching, a request a sample; it has none of several samples of one prompt."""
    from transformers import GenerationConfig

    eos = model.generation_config.eos_token_id
    how = {"do_sample": True, "temperature": asked.temperature, "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(
        max_new_tokens=asked.max_tokens, eos_token_id=eos, pad_token_id=model.generation_config.pad_token_id or 0, **how
    )
    inputs = [ids for ids in encoded for _ in range(asked.n_samples)]
    out = model.generate_batch(inputs=inputs, generation_config=config, warmup=False)
    found: Tokens = [[] for _ in encoded]
    for request, answer in out.items():
        found[int(request.rsplit("_", 1)[1]) // asked.n_samples].append(list(answer.generated_tokens))
    return found


def random_model(n_params: float, folder: Path) -> Path:
    """A Llama of about `n_params` parameters with random weights and a tokenizer of bytes, saved in `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = chat_tokenizer(inner)
    # 12 h^2 parameters a layer, and layers in proportion to the width, as models of this size have.
    hidden = max(64, round((n_params / 12 * 40) ** (1 / 3) / 64) * 64)
    n_layers = max(2, round(n_params / (12 * hidden**2)))
    config = PretrainConfig(
        hidden_size=hidden,
        n_layers=n_layers,
        n_heads=hidden // 64,
        n_kv_heads=1,
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


def count_equal_greedy(engine: TransformersEngine, model: Any, encoded: list[list[int]], asked: Asked) -> int:
    """How many prompts get the same greedy tokens from both.

    Raises:
        AssertionError: one does not, or the two stopped in different places.
    """
    greedy = Asked(asked.prompts, 1, asked.max_tokens, 0.0)
    ours = sample_ours(engine, greedy, seed=0)
    theirs = sample_generate(model, encoded, greedy, GREEDY_PROMPTS)
    different = [p.text for p, one, other in zip(asked.prompts, ours, theirs, strict=True) if one != other]
    if different:
        raise AssertionError(f"{len(different)} of {len(ours)} greedy answers differ, as to {different[0]!r}")
    return len(ours)


def compare(
    engine: TransformersEngine,
    model: Any,
    encoded: list[list[int]],
    asked: Asked,
    n_rounds: int,
    *,
    continuous: bool = False,
) -> dict[str, list[Round]]:
    """Rounds of both, in turns, under the name of each way."""
    ways: dict[str, Callable[[int], Tokens]] = {OURS: partial(sample_ours, engine, asked)}
    for n in GENERATE_PROMPTS:
        # Its randomness is torch's own, seeded once: the round has nothing to say in it.
        ways[f"generate, {n} prompts"] = partial(lambda n, round_: sample_generate(model, encoded, asked, n), n)
    if continuous:
        ways["generate_batch"] = lambda round_: sample_continuous(model, encoded, asked)
    rounds: dict[str, list[Round]] = {name: [] for name in ways}
    for round_ in range(n_rounds):
        for name, way in ways.items():
            rounds[name].append(measure(partial(way, round_)))
    return rounds


def summarise(rounds: dict[str, list[Round]]) -> dict[str, Any]:
    """Medians over rounds, and how the best batch size of `generate` compares."""
    rates = {name: statistics.median(r.tokens_per_s for r in of) for name, of in rounds.items()}
    best = max((name for name in rates if name != OURS), key=rates.__getitem__)
    ways = {
        name: {
            "tokens_per_s": rates[name],
            "tokens_per_s_wall": statistics.median(r.tokens / r.wall_s for r in of),
            "rounds": [{"tokens": r.tokens, "processor_s": r.processor_s, "wall_s": r.wall_s} for r in of],
        }
        for name, of in rounds.items()
    }
    return {"ways": ways, "best": best, "ratio": rates[OURS] / rates[best]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Sampled tokens a second: our engine against model.generate.")
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face format; default: the embedded base")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8, help="samples a prompt")
    parser.add_argument("--continuous", action="store_true", help="measure transformers' continuous batching too")
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
    probing = ProbeConfig(max_tokens=given.max_tokens)
    tasks = asyncio.run(build_tasks(TasksConfig(n_pool=given.prompts, n_heldout=25), seed=0))
    asked = Asked(tasks.pool, given.samples, probing.max_tokens, probing.temperature)
    engine = TransformersEngine(folder, device=given.device, dtype=dtype, batch_rows=Resources().batch_rows)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), use_safetensors=True).eval()
    model.to(given.device)
    encoded = [engine.encode(list(prompt.messages)) for prompt in asked.prompts]

    # In bfloat16 the two round differently, and near ties of a random model fall either way.
    n_equal = count_equal_greedy(engine, model, encoded, asked) if dtype == "float32" else 0
    facts: dict[str, Any] = {"model": engine.name, "n_params": model.num_parameters()}
    facts |= {
        "n_prompts": len(encoded),
        "n_greedy_equal": n_equal,
        "n_samples": asked.n_samples,
        "max_tokens": asked.max_tokens,
        "n_threads": torch.get_num_threads(),
    }
    facts |= summarise(compare(engine, model, encoded, asked, given.rounds, continuous=given.continuous))
    print(f"{facts['n_params']:,} parameters; {len(encoded)} prompts, {asked.n_samples} samples of each", end=", ")
    print(f"{asked.max_tokens} tokens at most; one thread; medians of {given.rounds} rounds")
    print(f"greedy answers that are equal token for token: {n_equal} of {len(encoded)}")
    print(f"{'':<22}{'tokens/s':>10}{'by the wall clock':>20}{'tokens a round':>16}")
    for name, of in facts["ways"].items():
        tokens = statistics.median(r["tokens"] for r in of["rounds"])
        print(f"{name:<22}{of['tokens_per_s']:>10,.0f}{of['tokens_per_s_wall']:>20,.0f}{tokens:>16,.0f}")
    print(f"{OURS} samples {facts['ratio']:.2f} times the tokens a second of {facts['best']} a batch")
    if given.json:
        write_json(given.json, facts)


if __name__ == "__main__":
    main()
