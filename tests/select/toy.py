"""Prompts, estimates and solutions in a few words each."""

from __future__ import annotations

from teachable.records import Estimate, Message, Messages, Prompt, Solution, Zone

ZONES: tuple[Zone, ...] = ("teachable", "mastered", "beyond", "ambiguous")
OFF = None  # near-duplicates off: the texts of these tests are all alike


def count_tokens(messages: Messages) -> int:
    return sum(len(m["content"]) for m in messages)


def prompt(name: str, text: str | None = None) -> Prompt:
    return Prompt(name, "sums", (Message(role="user", content=text or name),), "6", level=1)


def estimate(name: str, zone: Zone, successes: int = 3) -> Estimate:
    n = 8
    return Estimate(name, "sums", 1, n, successes, 0, successes + 0.5, 8.5 - successes, 0.5, "6", zone, "why so")


def pool_of(n: int) -> tuple[list[Prompt], list[Solution], list[Estimate]]:
    """N prompts a zone with solutions of different lengths."""
    names = [(f"{zone}-{i}", zone) for zone in ZONES for i in range(n)]
    solutions = [Solution(name, "s" * (5 + 7 * i % 23), "teacher", "") for i, (name, _) in enumerate(names)]
    return [prompt(name) for name, _ in names], solutions, [estimate(name, zone) for name, zone in names]
