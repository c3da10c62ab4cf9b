"""Sampled tokens a second: our engine, as probing uses it, against `model.generate` on the same prompts.

    python benchmarks/engine_throughput.py [--model FOLDER] [--prompts 200] [--rounds 3] [--json FILE]

Without `--model`, the embedded base is taken from the user cache, or pretrained there first. Both sides run the same
weights in float32 on one thread, eight samples a prompt at temperature 1, and stop at the end-of-turn token or after
`--max-tokens`. `generate` gets its prompts sorted by length, padded on the left, in batches of several sizes, of which
the best one counts; it is not made to turn tokens into text, which our engine does.

The two take turns, `rounds` times, and medians count. Seconds are of processor time, since on one thread other work on
the machine then hardly matters. A token is one that a sample keeps: the end-of-turn token counts, padding after it does
not. Before anything is timed, the greedy answers of both are compared token by token; one that differs is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from teachable.train.pretrain import pretrain

OURS = "our engine"
GENERATE_PROMPTS = (1, 2, 4, 8, 16, 48)  # prompts

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
        """Kept tokens a second of processor time."""
        return self.tokens / self.processor_s


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
    eos, pad = model.generation_config.eos_token_id, model.generation_config.pad_token_id
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
            input_ids=ids_B_T,
            attention_mask=mask_B_T,
            num_return_sequences=asked.n_samples,
            max_new_tokens=asked.max_tokens,
            **(how if asked.temperature > 0 else {"do_sample": False}),
        )
        for row, tokens in enumerate(out[:, width:].tolist()):
            kept = tokens[: tokens.index(eos) + 1] if eos in tokens else tokens
            found[batch[row // asked.n_samples]].append(kept)
    return found


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
    theirs = sample_generate(model, encoded, greedy, GENERATE_PROMPTS[0])
    different = [p.text for p, one, other in zip(asked.prompts, ours, theirs, strict=True) if one != other]
    if different:
        raise AssertionError(f"{len(different)} of {len(ours)} greedy answers differ, as to {different[0]!r}")
    return len(ours)


def compare(engine: TransformersEngine, model: Any, encoded: list[list[int]], asked: Asked, n_rounds: int) -> Any:
    """Rounds of both, in turns: the name of each way -> its rounds."""
    ways: dict[str, Callable[[int], Tokens]] = {OURS: lambda round_: sample_ours(engine, asked, seed=round_)}
    for n in GENERATE_PROMPTS:
        ways[f"generate, {n} prompts"] = lambda round_, n=n: sample_generate(model, encoded, asked, n)  # type: ignore[misc]
    rounds: dict[str, list[Round]] = {name: [] for name in ways}
    for round_ in range(n_rounds):
        for name, way in ways.items():
            rounds[name].append(measure(lambda way=way, round_=round_: way(round_)))  # type: ignore[misc]
    return rounds


def summarise(rounds: dict[str, list[Round]]) -> dict[str, Any]:
    """Medians over rounds, and how the best batch size of `generate` compares."""
    ways = {
        name: {
            "tokens_per_s": statistics.median(r.tokens_per_s for r in of),
            "tokens_per_s_wall": statistics.median(r.tokens / r.wall_s for r in of),
            "rounds": [{"tokens": r.tokens, "processor_s": r.processor_s, "wall_s": r.wall_s} for r in of],
        }
        for name, of in rounds.items()
    }
    best = max((name for name in ways if name != OURS), key=lambda name: ways[name]["tokens_per_s"])
    return {"ways": ways, "best": best, "ratio": ways[OURS]["tokens_per_s"] / ways[best]["tokens_per_s"]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Sampled tokens a second: our engine against model.generate.")
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face format; default: the embedded base")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    from transformers import AutoModelForCausalLM

    folder = given.model or pretrain(PretrainConfig(), Resources().cache_path()).path
    probing = ProbeConfig(max_tokens=given.max_tokens)
    tasks = asyncio.run(build_tasks(TasksConfig(n_pool=given.prompts, n_heldout=25), seed=0))
    asked = Asked(tasks.pool, probing.n_samples, probing.max_tokens, probing.temperature)
    engine = TransformersEngine(folder, device="cpu", dtype="float32", batch_rows=Resources().batch_rows)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    encoded = [engine.encode(list(prompt.messages)) for prompt in asked.prompts]

    n_equal = count_equal_greedy(engine, model, encoded, asked)
    facts: dict[str, Any] = {"n_params": model.num_parameters(), "n_prompts": len(encoded), "n_greedy_equal": n_equal}
    facts |= {"n_samples": asked.n_samples, "max_tokens": asked.max_tokens, "n_threads": torch.get_num_threads()}
    facts |= summarise(compare(engine, model, encoded, asked, given.rounds))
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
