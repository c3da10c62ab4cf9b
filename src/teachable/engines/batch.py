"""The rows that decode together: they enter, take a token each at every step, and leave.

What a row is about is kept by seat, a number that stays its own while its slot in the cache changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from teachable.engines import prefill, slots
from teachable.engines.prefill import PromptReader
from teachable.engines.sampling import Rules, draw, stream_keys, uniforms
from teachable.engines.slots import Slots
from teachable.engines.stops import StopWatch
from teachable.records import Completion, Request

# A matrix product of fewer rows than this takes another path in the CPU's BLAS and rounds differently, which would
# let a sample depend on how many others are under way. From here on (measured for 1 to 400 rows) it does not.
MIN_ROWS = 8


@dataclass
class Job:
    """A request under way."""

    request: Request
    prompt_ids: list[int]
    done: asyncio.Future[list[Completion]]
    started: int = 0
    finished: dict[int, Completion] = field(default_factory=dict)
    keys: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.keys = stream_keys(self.request, self.prompt_ids)


@dataclass
class Row:
    """One sample under way: the `sample`-th of those that its job's request asks for."""

    job: Job
    sample: int
    watch: StopWatch | None = None


@dataclass(frozen=True)
class Ended:
    """A row that has left, and what it has sampled."""

    row: Row
    tokens: list[int]
    logprobs: list[float]
    stopped: bool  # by an end token or a stop string; else it was cut at its limit


class Batch:
    """Up to `capacity` rows of one model.

    Args:
        model: the model, on its device.
        capacity: rows at most.
        eos: tokens that end a row.
        context: positions that a row may have.
        decode: token ids to text.
        prefix_bytes: keys and values of prompts to keep for prompts that begin alike.
    """

    def __init__(
        self,
        model: Any,
        capacity: int,
        eos: Sequence[int],
        context: int,
        decode: Callable[[list[int]], str],
        prefix_bytes: int,
    ) -> None:
        self._model = model
        self._decode = decode
        self._eos = np.array(sorted(eos), dtype=np.int64)
        self._attention = model.config._attn_implementation
        self._ours = self._attention == "sdpa" and bool(model._supports_attention_backend)
        self._reader = PromptReader(model, context, by_blocks=self._ours, prefix_bytes=prefix_bytes)
        self._slots = Slots(model.config.num_hidden_layers, by_width=self._ours)
        self.rows: dict[int, Row] = {}  # by seat
        self._free = list(range(capacity))[::-1]
        self._length = np.zeros(capacity, dtype=np.int64)  # positions filled
        self._made = np.zeros(capacity, dtype=np.int64)  # tokens sampled
        self._limit = np.zeros(capacity, dtype=np.int64)
        self._last = np.zeros(capacity, dtype=np.int64)
        self._keys = np.zeros(capacity, dtype=np.uint64)
        self._rules = Rules(np.ones(capacity), np.zeros(capacity, np.int64), np.ones(capacity), np.zeros(capacity))
        self._tokens = np.zeros((capacity, 64), dtype=np.int64)
        self._logprobs = np.zeros((capacity, 64))
        self._gone = np.zeros(capacity, dtype=bool)

    @torch.inference_mode()
    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows, and give each a seat and a slot."""
        jobs: dict[int, tuple[Job, list[Row]]] = {}
        for row in rows:
            jobs.setdefault(id(row.job), (row.job, []))[1].append(row)
        prompts = list(jobs.values())
        with self._attending(prefill.ATTENTION):
            for some, layers in self._reader.read([job.prompt_ids for job, _ in prompts]):
                seats = np.array([self._seat(row) for i in some for row in prompts[i][1]])
                source_rows = np.repeat(np.arange(len(some)), [len(prompts[i][1]) for i in some])
                self._slots.admit(seats, self._length[seats] + 1, layers, source_rows)

    def _seat(self, row: Row) -> int:
        request, seat = row.job.request, self._free.pop()
        self.rows[seat] = row
        if request.stop:
            row.watch = StopWatch(request.stop, self._decode)
        if request.max_tokens > self._tokens.shape[1]:
            more = ((0, 0), (0, request.max_tokens - self._tokens.shape[1]))
            self._tokens, self._logprobs = np.pad(self._tokens, more), np.pad(self._logprobs, more)
        self._length[seat] = len(row.job.prompt_ids) - 1
        self._made[seat] = 0
        self._limit[seat] = request.max_tokens
        self._last[seat] = row.job.prompt_ids[-1]
        self._keys[seat] = row.job.keys[row.sample]
        for name in ("temperature", "top_k", "top_p", "min_p"):
            getattr(self._rules, name)[seat] = getattr(request, name)
        return seat

    @torch.inference_mode()
    def step(self) -> list[Ended]:
        """One token for every row; those that end with it leave."""
        seats = self._slots.seats()
        n = len(seats)
        n_dummies = max(MIN_ROWS - n, 0)
        at = np.pad(self._length[seats], (0, n_dummies))
        self._slots.aim(at, n_dummies)
        logits_B_V = self._forward(np.pad(self._last[seats], (0, n_dummies)), at)[:n]
        made = self._made[seats]
        rules = self._rules
        here = Rules(rules.temperature[seats], rules.top_k[seats], rules.top_p[seats], rules.min_p[seats])
        tokens, logprobs = draw(logits_B_V, here, uniforms(self._keys[seats], made))
        self._tokens[seats, made] = tokens
        self._logprobs[seats, made] = logprobs
        self._last[seats] = tokens
        self._made[seats] += 1
        self._length[seats] += 1
        return self._leave(seats, tokens)

    def _forward(self, last_B: np.ndarray, at_B: np.ndarray) -> torch.Tensor:
        """Logits after these tokens at these positions, [B, V]."""
        device = self._model.device
        with self._attending(slots.ATTENTION):
            out = self._model(
                input_ids=torch.from_numpy(last_B[:, None]).to(device),
                position_ids=torch.from_numpy(at_B[:, None]).to(device),
                attention_mask=None if self._ours else self._slots.parts[0].mask,
                past_key_values=self._slots.cache,
                use_cache=True,
            )
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def _leave(self, seats: np.ndarray, tokens: np.ndarray) -> list[Ended]:
        """Take out the rows that have ended."""
        stopped = np.isin(tokens, self._eos)
        for i, seat in enumerate(seats):
            watch = self.rows[seat].watch
            if watch is not None and not stopped[i]:
                stopped[i] = watch.stopped(self._tokens[seat, : self._made[seat]].tolist())
        ends = stopped | (self._made[seats] >= self._limit[seats])
        left = []
        for i in np.flatnonzero(ends):
            seat = int(seats[i])
            made = int(self._made[seat])
            row = self.rows.pop(seat)
            left.append(
                Ended(row, self._tokens[seat, :made].tolist(), self._logprobs[seat, :made].tolist(), bool(stopped[i]))
            )
            self._free.append(seat)
        self._gone[seats[ends]] = True
        self._slots.settle(self._gone, self._length + 1)
        self._gone[seats[ends]] = False
        return left

    def clear(self) -> None:
        """Forget every row."""
        self._free += self.rows
        self.rows.clear()
        self._slots.clear()

    @contextmanager
    def _attending(self, attention: str) -> Iterator[None]:
        """The model attends in this way for the block; one that keeps its own attention does not."""
        if self._ours:
            self._model.config._attn_implementation = attention
        try:
            yield
        finally:
            self._model.config._attn_implementation = self._attention
