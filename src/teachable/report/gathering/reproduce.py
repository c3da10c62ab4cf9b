"""What a reader needs to do it again, and nothing that says whose machine it was.

The environment is that of the process that writes the report, unless the manifest recorded one. Home folders
and the path to the run are taken out of every text of the report, the recipe and model output included.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from teachable.report.gathering.load import KINDS, ROLES, RunReader

PACKAGES = (
    "teachable",
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "numpy",
    "pyarrow",
    "reasoning-gym",
    "math-verify",
    "lm-eval",
)
_HOMES = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s\"'<>:,;]+")
_PATH = re.compile(r"(?:^|=)[~/]")  # a path that a recipe's field holds, also as NAME=PATH
_COUNTS = ("seconds", "prompts", "completions", "tokens_in", "tokens_out", "cost_usd")


def stage_facts(manifest: Mapping[str, Any], reader: RunReader) -> dict[str, Any]:
    """Time and tokens by stage as the manifest has them, and their sums; a needed stage it lacks is `missing`."""
    entries = manifest.get("stages") or {}
    rows = [
        {
            "stage": name,
            "kind": entry.get("kind") or name,
            "status": entry.get("status") or "unknown",
            "key": str(entry.get("key") or ""),
            "note": entry.get("note") or "",
            "bytes": sum(int(o.get("bytes") or 0) for o in (entry.get("outputs") or {}).values()),
            **{name: entry.get(name) for name in _COUNTS},
        }
        for name, entry in entries.items()
        if entry.get("kind") != "report"  # it cannot time itself, and a report made anew is to say the same
    ]
    needed = [reader.folders[role] for role in ROLES if reader.expects(role)]
    needed += [stage for kind in KINDS for stage in reader.stages_of(kind)]
    absent = [stage for stage in needed if stage not in entries]
    totals = {name: sum(r[name] or 0 for r in rows) for name in (*_COUNTS, "bytes")}
    return {"rows": rows, "absent": absent, "totals": totals}


def reproduce_facts(recipe_text: str, recipe: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The commands, the recipe and the environment.

    Whatever command made the run, run.yaml holds all that it was told, so one command makes it again. The keys of
    servers are in no recipe: whoever runs it must have them in the variables that it names.
    """
    variables = sorted(set(_named(recipe, "api_key_env")))
    return {
        "commands": [
            "make install",
            *(f"export {name}=..." for name in variables),
            "teachable run run.yaml --out again",
        ],
        "needs_files": any(_PATH.search(text) for text in _texts(recipe.get("stages"))),
        "recipe": recipe_text,
        "environment": manifest.get("environment") or environment(),
    }


def _texts(value: Any) -> list[str]:
    """Every text in a recipe."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [value] if isinstance(value, str) else [text for one in inner for text in _texts(one)]


def _named(value: Any, field: str) -> list[str]:
    """The values of a field wherever it stands in a recipe."""
    if isinstance(value, Mapping):
        own = [str(value[field])] if value.get(field) else []
        return own + [one for inner in value.values() for one in _named(inner, field)]
    if isinstance(value, list | tuple):
        return [one for inner in value for one in _named(inner, field)]
    return []


def environment() -> dict[str, str]:
    """Versions and size of the machine, without importing any of the packages."""
    versions = {name: version for name in PACKAGES if (version := _version(name))}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": str(os.cpu_count() or "unknown"),
        **versions,
    }


def private_words(run: Path) -> list[tuple[str, str]]:
    """What to replace by what: the run's own place by its name, the home folder by ~. Longest first."""
    pairs = {str(run.absolute()): run.name, str(run.resolve()): run.name}
    try:
        home = str(Path.home())
    except RuntimeError:  # no home in the environment and no entry for this user: nothing to hide
        home = ""
    if len(home) > 1:
        pairs.setdefault(home, "~")
    return sorted(pairs.items(), key=lambda pair: -len(pair[0]))


def redacted(value: Any, words: Sequence[tuple[str, str]]) -> Any:
    """The same value with private paths taken out of every text in it, keys included."""
    if isinstance(value, str):
        for old, new in words:
            if old not in value:  # nearly always, and asked of every text of the report
                continue
            # Only whole path components: /srv/run must not eat the start of /srv/runs.
            escaped = new.replace("\\", r"\\")  # what re.sub would read as a group
            value = re.sub(rf"{re.escape(old)}(?![\w.-])", escaped, value)
        return _HOMES.sub("~", value)
    if isinstance(value, Mapping):
        return {redacted(k, words): redacted(v, words) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(v, words) for v in value]
    return value


def private_spans(text: str, run: Path) -> list[tuple[int, int]]:
    """Where in a text `redacted` would find something, as (start, end)."""
    patterns = [re.compile(rf"{re.escape(old)}(?![\w.-])") for old, _ in private_words(run)]
    return [found.span() for pattern in (*patterns, _HOMES) for found in pattern.finditer(text)]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
