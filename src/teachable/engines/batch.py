"""The rows that decode together: they enter, take a token each at every step, and leave.

What a row is about is kept by seat, a number that stays its own while its slot in the cache changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from teachable.engines.blocks import slot_width
from teachable.engines.prefill import PromptReader
from teachable.engines.prefixes import block_keys
from teachable.engines.proof import decode
from teachable.engines.sampling import Rules, draw, stream_keys, uniforms
from teachable.engines.slots import Slots
from teachable.engines.stops import StopWatch
from teachable.records import Completion, Request

# A matrix product of fewer rows than this takes another path in the CPU's BLAS and rounds differently, which would
# let a sample depend on how many others are under way. From here on (measured for 1 to 400 rows) it does not.
# Activations round the last few numbers of a tensor in another way, too, unless every width in the model is a multiple
# of 16, as is usual.
MIN_ROWS = 8


@dataclass
class Job:
    """A request under way."""

    request: Request
    prompt_ids: list[int]
    done: asyncio.Future[list[Completion]]
    started: int = 0  # samples
    finished: dict[int, Completion] = field(default_factory=dict)
    stream_keys: np.ndarray = field(init=False)
    block_keys: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.stream_keys = stream_keys(self.request, self.prompt_ids)
        self.block_keys = block_keys(self.prompt_ids)


@dataclass
class Row:
    """One sample under way: the `sample`-th of those that its job's request asks for."""

    job: Job
    sample: int


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
        to_text: token ids to text.
        prefix_bytes: keys and values of prompts to keep for prompts that begin alike.
        ours: the model attends as our keys say.
    """

    def __init__(
        self,
        model: Any,
        capacity: int,
        eos: Sequence[int],
        context: int,
        to_text: Callable[[list[int]], str],
        *,
        prefix_bytes: int,
        ours: bool,
    ) -> None:
        self._model = model
        self._to_text = to_text
        self._is_eos = np.zeros(max(eos, default=0) + 2, dtype=bool)
        self._is_eos[list(eos)] = True
        self._reader = PromptReader(model, context, by_blocks=ours, prefix_bytes=prefix_bytes)
        self._slots = Slots(model.config, capacity, ours=ours)
        self.rows: dict[int, Row] = {}  # by seat
        self._watches: dict[int, StopWatch] = {}  # by seat, of rows with stop strings
        self._free = list(range(capacity))[::-1]
        self._length = np.zeros(capacity, dtype=np.int64)  # positions filled
        self._made = np.zeros(capacity, dtype=np.int64)  # tokens sampled
        self._limit = np.zeros(capacity, dtype=np.int64)
        self._last = np.zeros(capacity, dtype=np.int64)
        self._keys = np.zeros(capacity, dtype=np.uint64)
        self._rules = Rules(np.ones(capacity), np.zeros(capacity, np.int64), np.ones(capacity), np.zeros(capacity))
        self._position_bytes = _position_bytes(model)
        self.n_bytes = 0  # what the rows' own slots will need when they are longest
        self._tokens = np.zeros((capacity, 64), dtype=np.int64)
        self._logprobs = np.zeros((capacity, 64))

    def row_bytes(self, job: Job) -> int:
        """What the slot of a row of this job needs when it is longest."""
        n_prompt = len(job.prompt_ids)
        return slot_width(n_prompt - self._slots.n_shared(n_prompt) + job.request.max_tokens) * self._position_bytes

    @torch.inference_mode()
    def admit(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows, and give each a seat and a slot."""
        jobs: dict[int, tuple[Job, list[Row]]] = {}
        for row in rows:
            jobs.setdefault(id(row.job), (row.job, []))[1].append(row)
        prompts = list(jobs.values())
        ids, keys = [job.prompt_ids for job, _ in prompts], [job.block_keys for job, _ in prompts]
        for some, layers in self._reader.read(ids, keys):
            seats = np.concatenate([self._seat(*prompts[i]) for i in some])
            source = np.repeat(np.arange(len(some)), [len(prompts[i][1]) for i in some])
            known_by = [keys[some[i]][-1] if keys[some[i]] else b"" for i in source]
            self._slots.admit(seats, self._length[seats] + 1, known_by, layers, source)

    def _seat(self, job: Job, rows: Sequence[Row]) -> np.ndarray:
        """Seats for rows of one job."""
        request = job.request
        seats = np.array([self._free.pop() for _ in rows])
        self.n_bytes += len(rows) * self.row_bytes(job)
        for seat, row in zip(seats.tolist(), rows, strict=True):
            self.rows[seat] = row
            if request.stop:
                self._watches[seat] = StopWatch(request.stop, self._to_text)
        if request.max_tokens > self._tokens.shape[1]:
            more = ((0, 0), (0, request.max_tokens - self._tokens.shape[1]))
            self._tokens, self._logprobs = np.pad(self._tokens, more), np.pad(self._logprobs, more)
        self._length[seats] = len(job.prompt_ids) - 1
        self._made[seats] = 0
        self._limit[seats] = request.max_tokens
        self._last[seats] = job.prompt_ids[-1]
        self._keys[seats] = job.stream_keys[[row.sample for row in rows]]
        self._rules.temperature[seats] = request.temperature
        self._rules.top_k[seats] = request.top_k
        self._rules.top_p[seats] = request.top_p
        self._rules.min_p[seats] = request.min_p
        return seats

    @torch.inference_mode()
    def step(self) -> list[Ended]:
        """One token for every row; those that end with it leave."""
        seats = self._slots.seats()
        n = len(seats)
        n_run = max(n, MIN_ROWS)  # what is past n is nobody's
        at, last = np.zeros((2, n_run), dtype=np.int64)
        at[:n], last[:n] = self._length[seats], self._last[seats]
        self._slots.aim(self._length, n_run - n)
        logits_B_V = decode(self._model, self._slots, last, at)[:n]
        made = self._made[seats]
        rules = self._rules
        here = Rules(rules.temperature[seats], rules.top_k[seats], rules.top_p[seats], rules.min_p[seats])
        tokens, logprobs = draw(logits_B_V, here, uniforms(self._keys[seats], made))
        self._tokens[seats, made] = tokens
        self._logprobs[seats, made] = logprobs
        self._last[seats] = tokens
        self._made[seats] += 1
        self._length[seats] += 1
        left = self._leave(seats, tokens)
        self._slots.grow(self._length)
        return left

    def _leave(self, seats: np.ndarray, tokens: np.ndarray) -> list[Ended]:
        """Take out the rows that have ended."""
        stopped = self._is_eos[np.minimum(tokens, len(self._is_eos) - 1)]
        if self._watches:
            for i, seat in enumerate(seats.tolist()):
                if seat in self._watches and not stopped[i]:
                    stopped[i] = self._watches[seat].stopped(self._tokens[seat, : self._made[seat]].tolist())
        ends = stopped | (self._made[seats] >= self._limit[seats])
        left = []
        for seat, at_stop in zip(seats[ends].tolist(), stopped[ends].tolist(), strict=True):
            made = self._made[seat]
            sampled, logprobs = self._tokens[seat, :made].tolist(), self._logprobs[seat, :made].tolist()
            left.append(Ended(self.rows[seat], sampled, logprobs, at_stop))
        self._forget(seats[ends].tolist())
        return left

    def drop(self, unwanted: Callable[[Job], bool]) -> None:
        """Take out the rows of such jobs."""
        self._forget([seat for seat, row in self.rows.items() if unwanted(row.job)])

    def _forget(self, seats: list[int]) -> None:
        if seats:
            self._slots.remove(np.array(seats))
            self._free += seats
        for seat in seats:
            self.n_bytes -= self.row_bytes(self.rows.pop(seat).job)
            self._watches.pop(seat, None)


def _position_bytes(model: Any) -> int:
    """The keys and values of one position in all layers, in bytes; an estimate where layers differ."""
    config = model.config
    n_heads = config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    n_kv = getattr(config, "num_key_value_heads", None) or n_heads
    return int(2 * config.num_hidden_layers * n_kv * dim * model.dtype.itemsize)
