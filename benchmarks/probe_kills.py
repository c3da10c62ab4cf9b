"""Kill a probe outright at random moments while it pays a server for samples, and see that nothing is lost.

    python benchmarks/probe_kills.py [--kills 10] [--prompts 400] [--concurrency 32] [--faults 0.05] [--seed 0]

A server of OpenAI's chat protocol runs on a local socket. Its answers are a function of the prompt and the request's
seed, take 5 to 60 ms, and a share of the requests meets a 500 or a 429 first. Each sample that it delivers whole is
counted. `teachable probe` is run against it undisturbed, and then in another folder with SIGKILL at random moments and
the same command again after each.

Compared: `estimates.parquet` and `attempts.parquet`, byte for byte; and how many samples were delivered more than once:
those can only be of requests in flight at a kill, so at most `--concurrency` requests a kill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from teachable.store.files import write_rows

COMPARED = ("estimates.parquet", "attempts.parquet")


class Server(ThreadingHTTPServer):
    """Answers right with the probability that the prompt names, drawn from its text and the request's seed."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, frac_faults: float, seed: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.delivered: Counter[tuple[str, int]] = Counter()  # whole replies by prompt and seed
        self.n_samples = 0
        self.luck = random.Random(seed)
        self.frac_faults = frac_faults
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """A chat completion, or a fault."""
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        except ValueError:  # the client was killed while it wrote
            self.close_connection = True
            return
        prompt, seed, n = body["messages"][-1]["content"], body["seed"], body.get("n", 1)
        with self.server.lock:
            unlucky = self.server.luck.random() < self.server.frac_faults
            status = self.server.luck.choice((429, 500)) if unlucky else 200
        if unlucky:
            self._reply(status, {"error": {"message": "busy"}})
            return
        generator = random.Random(hashlib.sha256(f"{prompt} {seed}".encode()).digest())
        time.sleep(generator.uniform(0.005, 0.06))
        rate = float(prompt.split()[-1])
        texts = ["Answer: yes" if generator.random() < rate else "Answer: no" for _ in range(n)]
        choices = [
            {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 3 * n, "total_tokens": len(prompt) + 3 * n}
        with self.server.lock:  # counted before it leaves: a reply that nobody reads was paid for all the same
            self.server.delivered[prompt, seed] += 1
            self.server.n_samples += n
        self._reply(200, {"id": "x", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage})

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        raw = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def handle(self) -> None:
        """Serve until the client goes, which a killed one does without a word."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


def start(prompts: Path, server: Server, out: Path, concurrency: int) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own."""
    engine = f"openai:m@http://127.0.0.1:{server.server_address[1]}/v1"
    command = [sys.executable, "-m", "teachable", "probe", str(prompts), "--engine", engine, "--out", str(out)]
    command += ["--set", f"engine.concurrency={concurrency}"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a probe to end well."""
    _, error = process.communicate()
    if process.returncode:
        raise SystemExit(f"the probe failed: {error.decode(errors='replace')}")


def served(server: Server) -> Server:
    """The server, serving."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    """Run undisturbed, run with kills, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    luck = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates = [min(1.0, max(0.0, luck.betavariate(0.4, 0.4))) for _ in range(given.prompts)]
        rows = [{"prompt": f"question {i} of rate {rate:.3f}", "answer": "yes"} for i, rate in enumerate(rates)]
        write_rows(folder / "prompts.jsonl", rows)
        servers = {"calm": served(Server(given.faults, given.seed))}
        begun = time.monotonic()
        finish(start(folder / "prompts.jsonl", servers["calm"], folder / "calm", given.concurrency))
        seconds = time.monotonic() - begun
        print(f"undisturbed: {seconds:.1f} s, {servers['calm'].n_samples:,} samples", flush=True)
        servers["calm"].shutdown()
        servers["calm"].server_close()
        # The address is part of an attempt's engine, so both runs have the same.
        servers["killed"] = served(Server(given.faults, given.seed, servers["calm"].server_address[1]))
        n_kills = 0
        for _ in range(given.kills):
            process = start(folder / "prompts.jsonl", servers["killed"], folder / "killed", given.concurrency)
            wait = luck.uniform(0.7, 1.0 + seconds / 8)
            try:
                process.wait(wait)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                n_kills += 1
                print(f"kill {n_kills} after {wait:.1f} s: {servers['killed'].n_samples:,} samples so far", flush=True)
        finish(start(folder / "prompts.jsonl", servers["killed"], folder / "killed", given.concurrency))
        different = [
            file
            for file in COMPARED
            if (folder / "calm" / "probe" / file).read_bytes() != (folder / "killed" / "probe" / file).read_bytes()
        ]
        twice = {kind: sum(n - 1 for n in server.delivered.values()) for kind, server in servers.items()}
        most = n_kills * given.concurrency
        print(f"{n_kills} kills; files that differ: {', '.join(different) or 'none'}")
        print(
            f"replies delivered more than once: undisturbed {twice['calm']}, killed {twice['killed']} (at most {most})"
        )
        raise SystemExit(1 if different or twice["calm"] or twice["killed"] > most else 0)


if __name__ == "__main__":
    main()
