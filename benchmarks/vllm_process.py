"""A vLLM server of its own, for as long as it is needed, and what it counts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
SETTLE_S = 0.5  # the server counts a request a moment after its reply is out


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def get(url: str) -> str:
    """The body of a page.

    Raises:
        OSError: there is none.
    """
    with urllib.request.urlopen(url, timeout=10) as reply:
        return str(reply.read().decode())


def counter(url: str, name: str, **labels: str) -> float | None:
    """The sum of a counter of the server's /metrics over its other labels; None where it has no such counter."""
    time.sleep(SETTLE_S)
    try:
        page = get(f"{url}/metrics")
    except OSError:
        return None
    found = re.findall(rf"^{re.escape(name)}(?:{{(.*)}})? (\S+)$", page, flags=re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    values = [float(value) for told, value in found if all(label in told for label in wanted)]
    return sum(values) if values else None


@dataclass(frozen=True)
class Counts:
    """What the server has counted since it started."""

    requests: float | None
    samples: float | None
    prompt_tokens: float | None
    cached_tokens: float | None

    @classmethod
    def of(cls, url: str) -> Counts:
        """By now."""
        return cls(
            counter(url, "http_requests_total", handler="/v1/completions"),
            counter(url, "vllm:request_success_total"),
            counter(url, "vllm:prefix_cache_queries_total"),
            counter(url, "vllm:prefix_cache_hits_total"),
        )

    def since(self, before: Counts) -> dict[str, float | None]:
        """How much each has grown; None where the server does not say."""

        def grown(name: str) -> float | None:
            now, then = getattr(self, name), getattr(before, name)
            return None if now is None else now - (then or 0.0)

        return {name: grown(name) for name in ("requests", "samples", "prompt_tokens", "cached_tokens")}


@contextmanager
def served(python: Path, model: Path, block_size: int, log: Path) -> Iterator[str]:
    """The address of a vLLM server for `model`, which ends with the block.

    Raises:
        RuntimeError: it does not start; the message has the end of its log.
    """
    url = f"http://127.0.0.1:{free_port()}"
    # `vllm serve` needs a distribution of the name vllm, which the one for CPUs is not; this is the same server.
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1], "--dtype", "float32"]
    # On a CPU, vLLM 0.32 ends with an error when it reads the prompt of a request with a seed in more than one go.
    command += ["--block-size", str(block_size), "--generation-config", "vllm", "--no-enable-chunked-prefill"]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", **os.environ}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    try:
        wait_until_healthy(url, process, log)
        yield url
    finally:
        end_group(process)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers.

    Raises:
        RuntimeError: it ended, or took longer than `START_TIMEOUT_S`.
    """
    until = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            get(f"{url}/health")
            return
        except OSError:
            time.sleep(0.5)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise RuntimeError(f"the vLLM server did not start; the end of its log:\n{tail}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, gently first."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(STOP_TIMEOUT_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
