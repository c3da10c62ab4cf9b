"""The draw of the next token: temperature, the filters in transformers' order, and random numbers of each sample's own.

A sample's random numbers are a function of its key and the token's index. Every operation here is a row's own, so a
row draws the same token whatever the other rows are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from teachable.records import Request

# SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): the increment of
# its state and the two multipliers of its finaliser.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


def stream_keys(request: Request, prompt_ids: Sequence[int]) -> np.ndarray:
    """The keys of the request's samples, uint64 [n], made from the prompt, the seed and each sample's index."""
    base = hashlib.sha256(f"{request.seed} {list(prompt_ids)}".encode())
    keys = []
    for sample in range(request.first, request.first + request.n):
        one = base.copy()
        one.update(f" {sample}".encode())
        keys.append(int.from_bytes(one.digest()[:8], "big"))
    return np.array(keys, dtype=np.uint64)


def uniforms(keys: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Random numbers in [0, 1) with 53 bits: the `index`-th of the SplitMix64 stream that starts at each key."""
    z = keys + (index.astype(np.uint64) + np.uint64(1)) * GAMMA  # modulo 2^64, as all that follows
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class Rules:
    """How each row's token is drawn; arrays of one value a row. Temperature 0 is greedy."""

    temperature: np.ndarray
    top_k: np.ndarray
    top_p: np.ndarray
    min_p: np.ndarray


def draw(logits_B_V: torch.Tensor, rules: Rules, uniform_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One token a row by inversion of the cumulative distribution, and its log-probability.

    Args:
        logits_B_V: the model's.
        rules: of B rows.
        uniform_B: random numbers in [0, 1).

    Returns:
        Token ids [B], and log-probabilities [B] in nats under the distribution that was drawn from, filters included.
        A greedy token has the one under the model's own distribution, at temperature 1.
    """
    device = logits_B_V.device
    greedy = rules.temperature <= 0
    temperature = np.where(greedy, 1.0, rules.temperature).astype(np.float32)
    scaled = logits_B_V.float()
    if (temperature != 1).any():
        scaled = scaled / torch.from_numpy(temperature).to(device)[:, None]
    probs = torch.softmax(scaled, dim=-1)
    filtered = ~greedy & ((rules.top_k > 0) | (rules.top_p < 1) | (rules.min_p > 0))
    if filtered.any():
        rows = torch.from_numpy(np.flatnonzero(filtered)).to(device)
        probs[rows] = _filter(probs[rows], rules, filtered)
    if greedy.all():
        token = logits_B_V.argmax(-1)
    else:
        token = _invert(probs, torch.from_numpy(uniform_B).to(device))
        if greedy.any():
            token = torch.where(torch.from_numpy(greedy).to(device), logits_B_V.argmax(-1), token)
    logprob = probs.gather(1, token[:, None])[:, 0].log()
    return token.cpu().numpy(), logprob.cpu().numpy()


def _invert(probs_B_V: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """The first token at which the cumulative distribution exceeds the random number."""
    cumulative = probs_B_V.cumsum(-1, dtype=torch.float64)
    target = uniform_B * cumulative[:, -1]
    found = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
    return found.clamp(max=probs_B_V.shape[1] - 1)


def _filter(probs_B_V: torch.Tensor, rules: Rules, chosen: np.ndarray) -> torch.Tensor:
    """Top-k, then top-p, then min-p, each on what the one before it left; renormalised.

    As in transformers, tokens that tie with the k-th stay, top-p keeps the smallest set whose probability reaches it,
    min-p keeps what is at least that share of the likeliest token, and the likeliest always stays.
    """
    device, n_vocab = probs_B_V.device, probs_B_V.shape[1]
    top_k, top_p, min_p = (torch.from_numpy(a[chosen]).to(device) for a in (rules.top_k, rules.top_p, rules.min_p))
    ordered, index = probs_B_V.sort(dim=-1, descending=True)
    last = torch.where(top_k > 0, top_k, n_vocab).clamp(max=n_vocab) - 1
    ordered = ordered.masked_fill(ordered < ordered.gather(1, last[:, None]), 0.0)
    ordered = ordered / ordered.sum(-1, keepdim=True)
    cumulative = ordered.cumsum(-1, dtype=torch.float64)
    before = (cumulative - ordered) >= top_p[:, None]
    ordered = ordered.masked_fill(before & (top_p < 1)[:, None], 0.0)
    ordered = ordered.masked_fill(ordered < min_p[:, None] * ordered[:, :1], 0.0)
    ordered = ordered / ordered.sum(-1, keepdim=True)
    return torch.zeros_like(probs_B_V).scatter_(1, index, ordered)
