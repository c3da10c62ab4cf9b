"""A real vLLM server, driven by the `openai` engine with token-id prompts, beside the engine that samples in process.

    python benchmarks/vllm_server.py --python VLLM_ENVIRONMENT/bin/python [--model FOLDER] [--prompts 64] [--samples 8]
    python benchmarks/vllm_server.py --url http://127.0.0.1:8000 --model FOLDER

vLLM wants an environment of its own; `docs/servers.md` says how to make one, on a machine without a GPU too. The server
is started on a free port, with prefix caching on (vLLM's default) and no other setting that changes a sample, and is
killed at the end, after errors too. With `--url` one that is up already is asked; FOLDER is then what it serves.
Without `--model` it is the quickstart's base, pretrained first where the user cache lacks it, and with its attention
heads filled up with zeros (`wide_heads.py`), since vLLM's attention on a CPU does not know heads of 24 numbers.

Printed, and with `--json` written:

- greedy answers that are equal token for token, and in their text;
- how far the log-probabilities that the server reports are from what the model itself gives those tokens, in nats;
- samples that come out the same when they are asked for again with the same seeds, in another order;
- sampled tokens a second of wall-clock time, median of the rounds, in which both take turns: the server's with
  everything that HTTP adds. Tokens are what a sample keeps, the end-of-turn token included;
- requests that failed;
- what went over the wire when a ledger stood before the engine: nothing at all the second time, or it is an error, and
  only what is missing when more samples are wanted;
- what share of the prompt tokens came out of the prefix cache: for samples of one prompt, and for prompts that go on
  from an earlier prompt and half of an answer to it, as a search over continuations asks them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Ledgered
from teachable.engines.local import TransformersEngine
from teachable.engines.openai import OpenAIEngine
from teachable.recipe.config import Resources
from teachable.records import Completion, Engine, Request
from teachable.rollouts import request_seed
from teachable.store.files import write_json
from teachable.store.ledger import Ledger
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train.config import PretrainConfig
from teachable.train.pretrain import pretrain
from vllm_process import Counts, get, served
from wide_heads import widen_heads

CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)  # widths that vLLM's attention on a CPU knows
MAX_LOGIT_DIFFERENCE = 1e-3
N_ADDED = 2  # samples that are wanted beyond those in the ledger


@dataclass(frozen=True)
class Round:
    """The answers to all requests, in order; None for one that failed."""

    answers: list[list[Completion] | None]
    failures: list[str]
    wall_s: float

    @property
    def n_tokens(self) -> int:
        return sum(one.n_tokens for of in self.answers for one in of or ())

    @property
    def tokens(self) -> list[list[tuple[int, ...]]]:
        """[request][sample] -> token ids."""
        return [[one.token_ids for one in of or ()] for of in self.answers]


async def ask(engine: Engine, requests: Sequence[Request]) -> Round:
    """All requests at once, as a roll-out makes them.

    Raises:
        RuntimeError: every one of them failed; the message has the first reason.
    """
    start = time.perf_counter()
    outcomes = await asyncio.gather(*[engine.sample(request) for request in requests], return_exceptions=True)
    wall_s = time.perf_counter() - start
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if requests and len(failed) == len(requests):
        raise RuntimeError(f"all {len(failed)} requests failed: {failed[0]}") from failed[0]
    answers = [None if isinstance(outcome, BaseException) else outcome for outcome in outcomes]
    return Round(answers, [f"{type(error).__name__}: {error}" for error in failed], wall_s)


def model_folder(given: Path | None, scratch: Path) -> tuple[Path, float]:
    """A folder that vLLM can serve on a CPU, and how far its logits are from the original's."""
    folder = given or pretrain(PretrainConfig(), Resources().cache_path()).path
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    if width in CPU_HEADS or given is not None:
        return folder, 0.0
    difference = widen_heads(folder, scratch / "model", next(wide for wide in CPU_HEADS if wide > width))
    if difference > MAX_LOGIT_DIFFERENCE:
        raise AssertionError(f"the widened model is another one: its logits differ by {difference:.2g}")
    return scratch / "model", difference


def logprob_gap(folder: Path, prompts: Sequence[list[int]], sampled: Round) -> tuple[float, int]:
    """The largest difference, in nats, between a reported log-probability and the model's own, and over how many."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    worst, n_seen = 0.0, 0
    for prompt, answers in zip(prompts, sampled.answers, strict=True):
        for one in answers or ():
            if not one.token_logprobs:
                continue
            ids_T = torch.tensor([*prompt, *one.token_ids])
            with torch.no_grad():
                logits_T_V = model(ids_T[None, :-1]).logits[0, len(prompt) - 1 :]
            own_T = logits_T_V.log_softmax(-1).gather(1, ids_T[len(prompt) :, None])[:, 0]
            worst = max(worst, (own_T - torch.tensor(one.token_logprobs)).abs().max().item())
            n_seen += len(one.token_ids)
    return worst, n_seen


def n_same(one: Round, other: Round) -> int:
    """How many samples have the same tokens in both, of requests that both answered."""
    pairs = zip(one.tokens, other.tokens, strict=True)
    return sum(a == b for ours, theirs in pairs for a, b in zip(ours, theirs, strict=False))


def same_texts(one: Round, other: Round) -> int:
    """How many first samples have the same text in both."""
    pairs = zip(one.answers, other.answers, strict=True)
    return sum(bool(a and b) and a[0].text == b[0].text for a, b in pairs)  # type: ignore[index]


async def through_ledger(engine: OpenAIEngine, requests: Sequence[Request], url: str, scratch: Path) -> dict[str, Any]:
    """Ask twice with a ledger before the engine, then for `N_ADDED` samples more each, and count what was sent.

    Raises:
        AssertionError: the second time anything was sent or came out differently, or what came for more samples does
            not begin with those that were there.
    """
    facts: dict[str, Any] = {}
    more = [replace(request, n=request.n + N_ADDED) for request in requests]
    rounds: list[Round] = []
    with Ledger(scratch / "ledger.sqlite") as ledger:
        for name, asked in (("first", requests), ("second", requests), ("more", more)):
            before = Counts.of(url)
            rounds.append(await ask(Ledgered(engine, ledger, stage="bench"), asked))
            facts[name] = Counts.of(url).since(before) | {"failed": len(rounds[-1].failures)}
    if facts["second"]["requests"] or facts["second"]["samples"] or rounds[0].tokens != rounds[1].tokens:
        raise AssertionError(f"the ledger's second pass was not free, or not the same: {facts['second']}")
    if [of[: requests[0].n] for of in rounds[2].tokens] != rounds[0].tokens:
        raise AssertionError("samples that were in the ledger changed when more were asked for")
    return facts


async def ask_extended(
    engine: OpenAIEngine, requests: Sequence[Request], prompts: Sequence[list[int]], sampled: Round, url: str
) -> dict[str, float | None]:
    """What the server counts for prompts that go on from an earlier one with half of an answer to it."""
    before = Counts.of(url)
    halves = [
        replace(request, prompt=[*prompt, *answers[0].token_ids[: len(answers[0].token_ids) // 2]], n=4)
        for request, prompt, answers in zip(requests, prompts, sampled.answers, strict=True)
        if answers
    ]
    await ask(engine, halves)
    return Counts.of(url).since(before)


async def compare(url: str, folder: Path, given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All figures."""
    local = TransformersEngine(folder, device="cpu", dtype="float32")
    name = json.loads(get(f"{url}/v1/models"))["data"][0]["id"]
    settings = EngineConfig(
        kind="openai", model=name, base_url=f"{url}/v1", api="completions", tokenizer=str(folder), concurrency=64
    )
    engine = OpenAIEngine(settings)
    pool = (await build_tasks(TasksConfig(n_pool=given.prompts, n_heldout=25), seed=0)).pool
    prompts = [local.encode(list(prompt.messages)) for prompt in pool]
    if prompts != [engine.encode(list(prompt.messages)) for prompt in pool]:
        raise AssertionError("the two engines make different tokens of the same messages")
    requests = [Request(p.messages, given.samples, given.max_tokens, seed=request_seed(0, p.id)) for p in pool]
    greedy = [replace(request, n=1, temperature=0.0) for request in requests]
    start = Counts.of(url)
    try:
        for warmed in (local, engine):  # and a server that can't serve this model is found out at once
            await warmed.sample(requests[0])
        ours, theirs = await ask(local, greedy), await ask(engine, greedy)
        rounds: list[Round] = []
        local_rounds: list[Round] = []
        orders = [random.Random(i).sample(range(len(requests)), len(requests)) for i in range(given.rounds)]
        for order in orders:
            local_rounds.append(await ask(local, requests))
            shuffled = await ask(engine, [requests[i] for i in order])
            back = sorted(zip(order, shuffled.answers, strict=True), key=lambda pair: pair[0])
            rounds.append(replace(shuffled, answers=[answers for _, answers in back]))
        gap, n_logprobs = logprob_gap(folder, prompts, rounds[0])
        facts = {
            "n_prompts": len(prompts),
            "n_samples": given.samples,
            "max_tokens": given.max_tokens,
            "greedy_equal": n_same(ours, theirs),
            "greedy_texts_equal": same_texts(ours, theirs),
            "logprob_gap": gap,
            "n_logprobs": n_logprobs,
            "same_seed_equal": [n_same(rounds[0], other) for other in rounds[1:]],
            "tokens_per_s": statistics.median(r.n_tokens / r.wall_s for r in rounds),
            "local_tokens_per_s": statistics.median(r.n_tokens / r.wall_s for r in local_rounds),
            "tokens_a_round": rounds[0].n_tokens,
            "failures": Counter(failure for r in [theirs, *rounds] for failure in r.failures),
        }
        so_far = Counts.of(url).since(start)
        extended = await ask_extended(engine, requests, prompts, rounds[0], url)
        facts["prefix_cache"] = {"so_far": so_far, "extended": extended}
        facts["ledger"] = await through_ledger(engine, requests, url, scratch)
    finally:
        await engine.aclose()
    return facts


def show(facts: dict[str, Any]) -> None:
    """Print the figures."""
    n_samples = facts["n_prompts"] * facts["n_samples"]
    print(f"{facts['n_prompts']} prompts, {facts['n_samples']} samples of each, {facts['max_tokens']} tokens at most")
    print(f"greedy answers equal token for token: {facts['greedy_equal']} of {facts['n_prompts']}", end="; ")
    print(f"equal in their text: {facts['greedy_texts_equal']}")
    print(f"largest difference of a log-probability: {facts['logprob_gap']:.1e} nats, {facts['n_logprobs']:,} tokens")
    print(f"samples equal under the same seeds, in other rounds: {facts['same_seed_equal']} of {n_samples}")
    print(f"server: {facts['tokens_per_s']:,.0f} tokens/s; in process: {facts['local_tokens_per_s']:,.0f} tokens/s")
    print(f"failures: {dict(facts['failures']) or 'none'}")
    for name, of in facts["ledger"].items():
        print(f"ledger, {name}: {of['requests']} requests and {of['samples']} samples, {of['failed']} failed")
    for name, of in facts["prefix_cache"].items():
        print(f"prefix cache, {name}: {of['cached_tokens']} of {of['prompt_tokens']} prompt tokens")


def main() -> None:
    """Start the server if need be, and print the figures."""
    parser = argparse.ArgumentParser(description="A vLLM server through the openai engine, beside our own engine.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--python", type=Path, help="the Python of an environment with vLLM: a server is started there")
    where.add_argument("--url", help="a vLLM server that is up, without /v1")
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face format; default: the quickstart's base")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block-size", type=int, default=32, help="tokens in a block of the server's prefix cache")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends too

    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        folder, difference = model_folder(given.model, scratch)
        if difference:
            print(f"heads widened for vLLM's attention on a CPU; logits differ by at most {difference:.1e}")
        if given.url:
            facts = asyncio.run(compare(given.url.rstrip("/"), folder, given, scratch))
        else:
            start = time.perf_counter()
            with served(given.python, folder, given.block_size, scratch / "server.log") as url:
                print(f"vLLM {json.loads(get(f'{url}/version'))['version']} is up after", end=" ")
                print(f"{time.perf_counter() - start:.0f} s")
                facts = asyncio.run(compare(url, folder, given, scratch))
    facts |= {"torch": version("torch"), "transformers": version("transformers"), "openai": version("openai")}
    show(facts)
    if given.json:
        write_json(given.json, facts)


if __name__ == "__main__":
    main()
