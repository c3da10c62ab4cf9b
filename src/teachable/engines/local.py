"""The default engine: any causal language model of transformers with full attention in every layer, sampled with
continuous batching.

Requests from many coroutines share a batch. The n samples of a prompt share its prefill, and a prompt that begins like
an earlier one is read only from where they differ; finished rows leave the batch at once and waiting ones take their
places. Sample i of a request is drawn from a random stream of its own, keyed by the prompt, the request's seed and i,
by inversion of the cumulative distribution: the same request with the same seed gives the same tokens whatever else is
in the batch, and whatever was read before.

Weights are read from safetensors only, and code from a model folder is run only with `trust_remote_code`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import torch

from teachable.chat import prompt_tokens, text_tokens
from teachable.engines.attention import install, uninstall
from teachable.engines.batch import Batch, Ended, Job, Row
from teachable.engines.loading import load_model, load_tokenizer
from teachable.engines.proof import is_true
from teachable.engines.stops import cut
from teachable.errors import TeachableError
from teachable.records import Completion, Message, Request
from teachable.store.digest import model_digest

STEPS_BETWEEN_YIELDS = 8
PREFIX_BYTES = 256 << 20
CACHE_BYTES = 2 << 30  # on a CPU; on a GPU half of what is free


class PromptTooLong(RuntimeError):
    """One request that the model has no room for; it concerns no other request."""


class TransformersEngine:
    """Samples from a local or hub model.

    Args:
        model: a folder in Hugging Face format, or a hub id.
        device: "auto" takes CUDA where there is one.
        dtype: "auto" takes the checkpoint's own; "float32", "bfloat16", "float16".
        batch_rows: how many samples decode together, at most.
        cache_bytes: how much memory their keys and values may need, shared beginnings of prompts not counted; None is
            half of what is free on a GPU, and 2 GiB on a CPU. Where that is too little for `batch_rows`, fewer decode
            together. No sample depends on it.
        trust_remote_code: run Python code that comes with the model.
        prefix_bytes: how many bytes of prompts' keys and values to keep, for prompts that begin like an earlier one;
            0 keeps none. No sample depends on it.

    Raises:
        TeachableError: the model can't be loaded, or has layers that are no full attention.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_rows: int = 1024,
        cache_bytes: int | None = None,
        trust_remote_code: bool = False,
        prefix_bytes: int = PREFIX_BYTES,
    ) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded: Any = load_model(str(model), dtype=dtype, trust_remote_code=trust_remote_code)
        loaded.to(device).eval()
        loaded.requires_grad_(False)
        tokenizer = load_tokenizer(str(model), trust_remote_code=trust_remote_code)
        digest = model_digest(Path(model)) if Path(model).is_dir() else str(model)
        self._serve(loaded, tokenizer, str(model), digest, batch_rows, cache_bytes, prefix_bytes)

    @classmethod
    def around(
        cls,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        batch_rows: int = 1024,
        cache_bytes: int | None = None,
        prefix_bytes: int = PREFIX_BYTES,
    ) -> TransformersEngine:
        """An engine that samples from a model which is in memory already, as it is and where it is.

        The model must be in evaluation mode. Its attention is changed for good: `live.engine_around` gives a model back
        as it was.

        Args:
            name: what the model is called, in messages and in the engine's name.

        Raises:
            TeachableError: the model has layers that are no full attention.
        """
        engine = cls.__new__(cls)
        engine._serve(model, tokenizer, name, name, batch_rows, cache_bytes, prefix_bytes)
        return engine

    def _serve(
        self,
        model: Any,
        tokenizer: Any,
        called: str,
        digest: str,
        batch_rows: int,
        cache_bytes: int | None,
        prefix_bytes: int,
    ) -> None:
        """Make everything ready for requests to a model that is on its device, in evaluation mode."""
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self.device = torch.device(model.device)
        self.batch_rows = batch_rows
        self.digest = digest
        numbers = str(model.dtype).removeprefix("torch.")
        self.name = f"transformers:{digest[:16]}:{numbers}"
        self.context = _context(model.config, called)
        self._waiting: deque[Job] = deque()  # jobs with samples that are not begun
        self._jobs: dict[int, Job] = {}  # all under way
        self._driver: asyncio.Task[None] | None = None
        self._prefix_bytes = prefix_bytes
        self._cache_bytes = _memory(self.device) if cache_bytes is None else cache_bytes
        self._ours = _attends_as_ours(model, self.context, called)
        self._batch = self._new_batch()

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """Token ids of a text to go on from, or of a chat with the generation prompt."""
        if isinstance(prompt, str):
            return text_tokens(self.tokenizer, prompt)
        return prompt_tokens(self.tokenizer, prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The text of token ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    async def sample(self, request: Request) -> list[Completion]:
        """The request's n completions, in sample order.

        The text of a completion ends before the first stop string; its token ids are those that were sampled, up to
        and with the one that completed the stop string, or the end token.

        Raises:
            PromptTooLong: the prompt and `max_tokens` do not fit into the model's context.
            ValueError: the prompt has no tokens, or `max_tokens` is below 1.
        """
        prompt_ids = self._prompt_ids(request)
        if not prompt_ids or request.max_tokens < 1:
            raise ValueError(f"a prompt of {len(prompt_ids)} tokens and {request.max_tokens} new ones can't be sampled")
        if len(prompt_ids) + request.max_tokens > self.context:
            raise PromptTooLong(
                f"a prompt of {len(prompt_ids)} tokens and {request.max_tokens} new ones do not fit"
                f" the model's context of {self.context}. Shorten the prompt or lower max_tokens."
            )
        if request.n < 1:
            return []
        job = Job(request, prompt_ids, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._jobs[id(job)] = job
        if self._driver is None or self._driver.done():
            self._driver = asyncio.ensure_future(self._drive())
        try:
            return await job.done
        finally:
            self._jobs.pop(id(job), None)

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

    def _new_batch(self) -> Batch:
        return Batch(
            self.model,
            self.batch_rows,
            self._eos_ids(),
            self.context,
            self.decode,
            prefix_bytes=self._prefix_bytes,
            ours=self._ours,
        )

    async def _drive(self) -> None:
        """Admit and step until nothing is left; hand the loop back now and then so that others may ask."""
        try:
            await asyncio.sleep(0)
            batch = self._batch
            while self._waiting or batch.rows:
                batch.drop(lambda job: job.done.done())  # nobody waits for it any more
                for _ in range(STEPS_BETWEEN_YIELDS):
                    self._admit()
                    if not batch.rows:
                        break
                    for ended in batch.step():
                        self._finish(ended)
                await asyncio.sleep(0)
        except BaseException as error:
            self._fail_all(error)
            if not isinstance(error, Exception):
                raise  # an ordinary error has been given to everybody who waits

    def _admit(self) -> None:
        """Fill free seats with waiting samples, a block at a time so that prefills are batched."""
        batch = self._batch
        free, room = self.batch_rows - len(batch.rows), self._cache_bytes - batch.n_bytes
        scarce = free < self.batch_rows // 8 or room < self._cache_bytes // 8
        if not self._waiting or (batch.rows and scarce):
            return
        admitted: list[Row] = []
        while self._waiting and len(admitted) < free:
            job = self._waiting[0]
            if job.done.done():
                self._waiting.popleft()
                continue
            fit = room // batch.row_bytes(job)
            if not batch.rows and not admitted:
                fit = max(fit, 1)  # whatever it needs, it can't wait for others to leave
            take = min(job.request.n - job.started, free - len(admitted), fit)
            if take < 1:
                break
            room -= take * batch.row_bytes(job)
            admitted += [Row(job, job.started + i) for i in range(take)]
            job.started += take
            if job.started == job.request.n:
                self._waiting.popleft()
        if admitted:
            batch.admit(admitted)

    def _finish(self, ended: Ended) -> None:
        job, sample = ended.row.job, ended.row.sample
        text = self.decode(ended.tokens)
        job.finished[sample] = Completion(
            text=text[: cut(text, job.request.stop)],
            token_ids=tuple(ended.tokens),
            token_logprobs=tuple(ended.logprobs),
            finish_reason="stop" if ended.stopped else "length",
            n_prompt_tokens=len(job.prompt_ids) if sample == 0 else 0,
        )
        if len(job.finished) == job.request.n and not job.done.done():
            job.done.set_result([job.finished[i] for i in range(job.request.n)])

    def _fail_all(self, error: BaseException) -> None:
        """Let every request under way end with the error; the engine itself can go on, with a new batch."""
        self._batch = self._new_batch()
        self._waiting.clear()
        for job in self._jobs.values():
            if not job.done.done():
                job.done.set_exception(_named(error) if isinstance(error, Exception) else asyncio.CancelledError())
        self._jobs.clear()


def _memory(device: torch.device) -> int:
    """Bytes for the keys and values of rows, where nobody says how many."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else CACHE_BYTES


def _named(error: Exception) -> Exception:
    """The error, or what the user can do about it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error):
        return TeachableError(
            "there is not enough memory to sample so many rows at once", mend="Lower resources.batch_rows"
        )
    return error


def _attends_as_ours(model: Any, context: int, name: str) -> bool:
    """Whether the model attends as our keys say; if not, it keeps its own attention.

    Raises:
        TeachableError: it can't be sampled from either way.
    """
    if install(model):
        if is_true(model, context, ours=True):
            return True
        uninstall(model)
    if not is_true(model, context, ours=False):
        raise TeachableError(
            f"this engine can't sample from models of the kind {model.config.model_type}: their attention is special",
            where=name,
            mend="Serve it, with vLLM for example, and use the openai engine",
        )
    return False


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
