"""Everything that determines an evaluation's scores, to be written beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from teachable.evaluate import EvaluateConfig
from teachable.evaluate.score import task_of
from teachable.records import Prompt, to_row
from teachable.store.digest import digest

# Packages that have a say in what a model answers or whether it is right.
PACKAGES = (
    *("teachable", "transformers", "tokenizers", "torch", "openai", "numpy"),
    *("math-verify", "sympy", "reasoning-gym", "lm_eval", "langdetect", "nltk"),
)


def determined_by(
    config: EvaluateConfig,
    prompts: Sequence[Prompt],
    benchmarks: Iterable[Mapping[str, Any]],
    engines: Mapping[str, Any],
    *,
    request_seed: int,
    source: str = "",
) -> dict[str, Any]:
    """What has to be the same for the same scores.

    Args:
        benchmarks: what the tasks stage says of each benchmark.
        engines: of each arm, see `stats.json`.
        source: where questions come from that no benchmark brought.

    Returns:
        tasks (the facts of each, with the digest of its questions as they were put), sampling, request_seed, verifier
        (by task), judge, engines, packages (version by name, of those that are installed).
    """
    facts = {str(one["name"]): dict(one) for one in benchmarks}
    asked: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        asked.setdefault(task_of(prompt), []).append(prompt)
    tasks = [
        {
            **facts.get(task, {"name": task, "source": source}),
            "n_asked": len(ones),
            "questions_digest": digest(sorted(digest(to_row(prompt)) for prompt in ones)),
        }
        for task, ones in asked.items()
    ]
    return {
        "tasks": tasks,
        "sampling": {
            "n_samples": config.n_samples,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "greedy": config.greedy,
            "max_tokens": config.max_tokens,
        },
        "request_seed": request_seed,
        "verifier": {task: sorted({prompt.verifier for prompt in ones}) for task, ones in asked.items()},
        "judge": _judge(config),
        "engines": dict(engines),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _judge(config: EvaluateConfig) -> dict[str, Any] | None:
    if config.judge is None:
        return None
    how = {"votes": config.votes, "temperature": config.judge_temperature, "max_tokens": config.judge_max_tokens}
    return {**config.judge.identity(), **{f"reply_{name}": value for name, value in how.items()}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
