"""The default engine: any causal language model of transformers with full attention in every layer, sampled with
continuous batching.

Requests from many coroutines share a batch. The n samples of a prompt share its prefill; finished rows leave
the batch at once and waiting ones take their places. Sample i of a request is drawn from a random stream of its
own, keyed by the prompt, the request's seed and i, by inversion of the cumulative distribution: the same request
with the same seed gives the same tokens whatever else is in the batch.

Weights are read from safetensors only and no code from a model folder is ever run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teachable.chat import prompt_tokens
from teachable.engines.slots import ATTENTION, SlotCache
from teachable.errors import TeachableError
from teachable.records import Completion, Message, Request
from teachable.store.digest import model_digest

STEPS_BETWEEN_YIELDS = 8
# A matrix product of fewer rows than this takes another path in the CPU's BLAS and rounds differently, which would
# let a sample depend on how many others are under way. From here on (measured for 1 to 400 rows) it does not.
MIN_ROWS = 8
# Attention is cut into blocks by the padded width, and rounds accordingly. A prompt's width is therefore a function
# of its own length, the next multiple of this; and no decoding step is narrower than one block.
BLOCK = 32


@dataclass
class _Job:
    """A request under way."""

    request: Request
    prompt_ids: list[int]
    done: asyncio.Future[list[Completion]]
    started: int = 0
    finished: dict[int, Completion] = field(default_factory=dict)


@dataclass
class _Row:
    """One sample under way, in one slot."""

    job: _Job
    sample: int


class TransformersEngine:
    """Samples from a local or hub model.

    Args:
        model: a folder in Hugging Face format, or a hub id.
        device: "auto" takes CUDA where there is one.
        dtype: "auto" takes the checkpoint's own; "float32", "bfloat16", "float16".
        batch_rows: how many samples decode together.
    """

    def __init__(self, model: str | Path, *, device: str = "auto", dtype: str = "auto", batch_rows: int = 384) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.batch_rows = batch_rows
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(model))
        self.model: Any = AutoModelForCausalLM.from_pretrained(str(model), dtype=dtype, use_safetensors=True)
        self.model.to(self.device).eval()
        self.model.requires_grad_(False)
        self.digest = model_digest(Path(model)) if Path(model).is_dir() else str(model)
        numbers = str(self.model.dtype).removeprefix("torch.")
        self.name = f"transformers:{self.digest[:16]}:{numbers}"
        self.context = _context(self.model.config, str(model))
        self._waiting: deque[_Job] = deque()
        self._driver: asyncio.Task[None] | None = None
        self._batch = _Batch(self.model, batch_rows, self._eos_ids(), self.context, self.decode)

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """Token ids of a text as it stands, or of a chat with the generation prompt."""
        if isinstance(prompt, str):
            ids: list[int] = self.tokenizer.encode(prompt, add_special_tokens=False)
            return ids
        return prompt_tokens(self.tokenizer, prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The text of token ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    async def sample(self, request: Request) -> list[Completion]:
        """n completions, in sample order.

        Raises:
            TeachableError: the prompt and `max_tokens` do not fit into the model's context.
        """
        prompt_ids = self._prompt_ids(request)
        if not prompt_ids or len(prompt_ids) + request.max_tokens > self.context:
            raise TeachableError(
                f"a prompt of {len(prompt_ids)} tokens and {request.max_tokens} new ones do not fit"
                f" the model's context of {self.context}",
                mend="Shorten the prompt or lower max_tokens",
            )
        job = _Job(request, prompt_ids, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.ensure_future(self._drive())
        return await job.done

    def _prompt_ids(self, request: Request) -> list[int]:
        prompt = request.prompt
        if isinstance(prompt, str):
            return self.encode(prompt)
        ids = [part for part in prompt if isinstance(part, int)]
        return ids or self.encode([part for part in prompt if not isinstance(part, int)])

    def _eos_ids(self) -> list[int]:
        eos = getattr(self.model.generation_config, "eos_token_id", None)
        ids = set(eos if isinstance(eos, list) else [eos]) | {self.tokenizer.eos_token_id}
        return sorted(i for i in ids if i is not None)

    async def _drive(self) -> None:
        """Admit and step until nothing is left; hand the loop back now and then so that others may ask."""
        batch = self._batch
        try:
            await asyncio.sleep(0)
            while self._waiting or batch.rows:
                for _ in range(STEPS_BETWEEN_YIELDS):
                    self._admit()
                    if not batch.rows:
                        break
                    for row, tokens, logprobs, reason in batch.step():
                        self._finish(row, tokens, logprobs, reason)
                await asyncio.sleep(0)
        except BaseException as error:
            self._fail_all(error)
            raise

    def _admit(self) -> None:
        """Fill free slots with waiting samples, a block at a time so that prefills are batched."""
        batch = self._batch
        free = self.batch_rows - len(batch.rows)
        if not self._waiting or (batch.rows and free < self.batch_rows // 8):
            return
        admitted: list[_Row] = []
        while self._waiting and len(admitted) < free:
            job = self._waiting[0]
            if job.done.cancelled():
                self._waiting.popleft()
                continue
            take = min(job.request.n - job.started, free - len(admitted))
            admitted += [_Row(job, job.started + i) for i in range(take)]
            job.started += take
            if job.started == job.request.n:
                self._waiting.popleft()
        if admitted:
            batch.prefill(admitted)

    def _finish(self, row: _Row, tokens: list[int], logprobs: list[float], reason: str) -> None:
        job = row.job
        text = self.decode(tokens)
        for stop in job.request.stop:
            if stop in text:
                text, reason = text[: text.index(stop)], "stop"
        job.finished[row.sample] = Completion(text, tuple(tokens), tuple(logprobs), reason)
        if len(job.finished) == job.request.n and not job.done.done():
            job.done.set_result([job.finished[i] for i in range(job.request.n)])

    def _fail_all(self, error: BaseException) -> None:
        jobs = [r.job for r in self._batch.rows] + list(self._waiting)
        self._batch.rows.clear()
        self._waiting.clear()
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())


def _context(config: Any, model: str) -> int:
    """How many tokens a row may hold.

    Raises:
        TeachableError: some layers are no full attention, and what they keep does not fit into slots.
    """
    others = sorted({str(kind) for kind in getattr(config, "layer_types", None) or []} - {"full_attention"})
    if others:
        raise TeachableError(
            f"the model {model} has layers of the kind {', '.join(others)}, which this engine can't sample from",
            mend="Choose a model whose layers are all full attention",
        )
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return min(int(getattr(config, "max_position_embeddings", None) or 1 << 30), int(window or 1 << 30))


def _uniforms(job: _Job, sample: int) -> np.ndarray:
    """The random numbers of one sample, [max_tokens], keyed by the prompt, the seed and the sample's index."""
    request = job.request
    named = f"{request.seed} {sample} {job.prompt_ids}"
    key = int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(key=key)).random(request.max_tokens, dtype=np.float64)


class _Batch:
    """The rows that decode together, kept in slots 0..n-1."""

    def __init__(
        self, model: Any, capacity: int, eos: list[int], context: int, decode: Callable[[list[int]], str]
    ) -> None:
        device = model.device
        self.model = model
        self.device = device
        self._context = context
        self._decode = decode
        self.rows: list[_Row] = []
        self.cache = SlotCache(model.config.num_hidden_layers)
        self._attention = model.config._attn_implementation
        self._slots_pay = self._attention == "sdpa"
        self._eos = torch.tensor(eos, device=device, dtype=torch.long)
        capacity = max(capacity, MIN_ROWS)
        self._arange = torch.arange(capacity, device=device)
        self._length = torch.zeros(capacity, dtype=torch.long, device=device)  # positions filled
        self._made = torch.zeros(capacity, dtype=torch.long, device=device)  # tokens sampled
        self._limit = torch.zeros(capacity, dtype=torch.long, device=device)
        self._last = torch.zeros(capacity, dtype=torch.long, device=device)
        self._temperature = torch.ones(capacity, device=device)
        self._top_p = torch.ones(capacity, device=device)
        self._tokens = torch.zeros((capacity, 64), dtype=torch.long, device=device)
        self._logprobs = torch.zeros((capacity, 64), device=device)
        self._uniform = torch.zeros((capacity, 64), dtype=torch.float64, device=device)

    @torch.inference_mode()
    def prefill(self, admitted: list[_Row]) -> None:
        """Read the prompts of new rows, each prompt once, and put them into slots behind those in use.

        All but a prompt's last token is read here; that one is the row's first decoding step, so that every logit
        comes from the model's own forward pass, one position a row.
        """
        first = len(self.rows)
        buckets: dict[int, list[_Row]] = {}
        for row in admitted:
            buckets.setdefault(-(-len(row.job.prompt_ids) // BLOCK), []).append(row)
        for n_blocks, rows in sorted(buckets.items()):
            slots = self._arange[first : first + len(rows)]
            self._start(slots, rows)
            self._read_prompts(slots, rows, min(n_blocks * BLOCK, self._context))
            self.rows.extend(rows)
            first += len(rows)

    def _read_prompts(self, slots: torch.Tensor, rows: list[_Row], width: int) -> None:
        """Fill the slots' keys and values from these rows' prompts."""
        index: dict[int, int] = {}
        jobs: list[_Job] = []
        for row in rows:
            if id(row.job) not in index:
                index[id(row.job)] = len(jobs)
                jobs.append(row.job)
        source = torch.tensor([index[id(r.job)] for r in rows], device=self.device)
        ids_B_T = torch.zeros((len(jobs), width), dtype=torch.long)
        for i, job in enumerate(jobs):
            ids_B_T[i, : len(job.prompt_ids)] = torch.tensor(job.prompt_ids)
        lengths_B = torch.tensor([len(j.prompt_ids) for j in jobs], device=self.device)
        self._set_attention(decode=False)
        read = self.model(input_ids=ids_B_T.to(self.device), use_cache=True, logits_to_keep=1)
        self.cache.fill(slots, read.past_key_values, source, width + 1, self._arange.shape[0])
        self._length[slots] = lengths_B[source] - 1
        self._last[slots] = torch.tensor([j.prompt_ids[-1] for j in jobs], device=self.device)[source]
        self._made[slots] = 0

    def _start(self, slots: torch.Tensor, admitted: list[_Row]) -> None:
        longest = max(r.job.request.max_tokens for r in admitted)
        if longest > self._tokens.shape[1]:
            extra = longest - self._tokens.shape[1]
            self._tokens = torch.nn.functional.pad(self._tokens, (0, extra))
            self._logprobs = torch.nn.functional.pad(self._logprobs, (0, extra))
            self._uniform = torch.nn.functional.pad(self._uniform, (0, extra))
        first = int(slots[0])
        for i, row in enumerate(admitted):
            request = row.job.request
            self._limit[first + i] = request.max_tokens
            self._temperature[first + i] = request.temperature
            self._top_p[first + i] = request.top_p
            if request.temperature > 0:
                draws = torch.from_numpy(_uniforms(row.job, row.sample))
                self._uniform[first + i, : request.max_tokens] = draws.to(self.device)

    def _emit(self, slots: torch.Tensor, logits_B_V: torch.Tensor) -> None:
        """Draw the next token of these slots and write it down."""
        made = self._made[slots]
        temperature = self._temperature[slots]
        greedy = temperature <= 0
        scaled = logits_B_V.float() / torch.where(greedy, 1.0, temperature)[:, None]
        probs = torch.softmax(scaled, dim=-1)
        if bool((self._top_p[slots] < 1).any()):
            probs = _nucleus(probs, self._top_p[slots])
        cumulative = probs.double().cumsum(-1)
        target = self._uniform[slots, made] * cumulative[:, -1]
        drawn = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0].clamp(max=probs.shape[1] - 1)
        token = torch.where(greedy, logits_B_V.argmax(-1), drawn)
        self._tokens[slots, made] = token
        self._logprobs[slots, made] = probs.gather(1, token[:, None])[:, 0].log()
        self._last[slots] = token
        self._made[slots] = made + 1

    @torch.inference_mode()
    def step(self) -> list[tuple[_Row, list[int], list[float], str]]:
        """Let finished rows leave, then decode one token for every row that stays."""
        left = self._leave()
        n = len(self.rows)
        if n == 0:
            return left
        n_run = max(n, MIN_ROWS)  # rows past n are dummies whose tokens nobody reads
        slots = self._arange[:n_run]
        self._length[n:n_run] = 0
        at = self._length[:n_run]
        width = -(-(int(at.max()) + 1) // BLOCK) * BLOCK
        self.cache.grow(self._arange.shape[0], width)
        self.cache.aim(slots, at, width)
        beyond = torch.arange(width, device=self.device)[None, :] > at[:, None]
        mask = torch.zeros((n_run, width), device=self.device, dtype=self.model.dtype)
        mask.masked_fill_(beyond, torch.finfo(mask.dtype).min)
        self._set_attention(decode=True)
        out = self.model(
            input_ids=self._last[:n_run, None],
            position_ids=at[:, None],
            attention_mask=mask[:, None, None, :],
            past_key_values=self.cache,
            use_cache=True,
        )
        self._length[:n] += 1
        self._emit(slots[:n], out.logits[:n, -1])
        return left

    def _leave(self) -> list[tuple[_Row, list[int], list[float], str]]:
        """Take out rows whose last token ended them; rows from the end move into the holes."""
        n = len(self.rows)
        stopped = torch.isin(self._last[:n], self._eos) & (self._made[:n] > 0)  # a prompt may end in such a token
        for i, row in enumerate(self.rows):
            if row.job.request.stop and int(self._made[i]) > 0:
                text = self._decode(self._tokens[i, : int(self._made[i])].tolist())
                stopped[i] |= any(stop in text for stop in row.job.request.stop)
        full = self._made[:n] >= self._limit[:n]
        ended = (stopped | full).nonzero()[:, 0].tolist()
        if not ended:
            return []
        left = []
        for i in ended:
            made = int(self._made[i])
            tokens = self._tokens[i, :made].tolist()
            reason = "stop" if bool(stopped[i]) else "length"
            left.append((self.rows[i], tokens, self._logprobs[i, :made].tolist(), reason))
        gone = set(ended)
        n_stay = n - len(ended)
        holes = [i for i in ended if i < n_stay]
        movers = [i for i in range(n_stay, n) if i not in gone]
        if holes:
            source = torch.tensor(movers, device=self.device)
            target = torch.tensor(holes, device=self.device)
            self.cache.move(source, target, int(self._length[:n].max()) + 1)
            for state in (self._length, self._made, self._limit, self._last, self._temperature, self._top_p):
                state[target] = state[source]
            for table in (self._tokens, self._logprobs, self._uniform):
                table[target] = table[source]
            for hole, mover in zip(holes, movers, strict=True):
                self.rows[hole] = self.rows[mover]
        del self.rows[n_stay:]
        return left

    def _set_attention(self, *, decode: bool) -> None:
        if self._slots_pay:
            self.model.config._attn_implementation = ATTENTION if decode else self._attention


def _nucleus(probs_B_V: torch.Tensor, top_p_B: torch.Tensor) -> torch.Tensor:
    """Keep the smallest set of tokens whose probability reaches top_p; renormalised."""
    ordered, index = probs_B_V.sort(dim=-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    ordered = ordered.masked_fill(before >= top_p_B[:, None], 0.0)
    kept = torch.zeros_like(probs_B_V).scatter_(1, index, ordered)
    return kept / kept.sum(-1, keepdim=True)
