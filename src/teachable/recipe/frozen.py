"""A domain's training set once it has been tuned on: written down with a hash, not changed unless that is asked for.

What was tuned, added and compared later all speaks of the same examples, so a selection that has since moved on must
not slip in. The hash covers what is trained on (each example's messages, how often it occurs) and the mix (how many
examples of each level). It does not cover the order, which each training draws for itself.

A set that is proposed lies beside the frozen ones under a hidden name until its models are complete. So a training that
was broken off has frozen nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from teachable.errors import TeachableError
from teachable.recipe.domains import Domain
from teachable.recipe.slots import TUNED
from teachable.recipe.spec import StageContext
from teachable.records import Example
from teachable.store.digest import digest
from teachable.store.files import read_json, read_records, write_json, write_records

FORMAT = 1  # raised by hand when the same examples get another hash
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Frozen:
    """A domain's set: its JSONL file, the hash, and the counts; `n_tokens` are training tokens of one epoch."""

    domain: str
    path: Path
    hash: str
    n_examples: int
    n_tokens: int

    @property
    def facts(self) -> dict[str, str | int]:
        """What tables tell of it."""
        return {"hash": self.hash, "n_examples": self.n_examples, "n_tokens": self.n_tokens}


def file_name(domain: str) -> str:
    """A domain's name as part of a file's: itself where it can be, else what can be kept and some of its digest."""
    if _PLAIN.fullmatch(domain):
        return domain
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", domain).strip("-._")[:48] or "domain"
    return f"{kept}-{digest(domain)[:8]}"


def frozen_path(run: Path, domain: str) -> Path:
    """Where a domain's frozen examples are; what is told of them has the ending .json."""
    return run / TUNED / "frozen" / f"{file_name(domain)}.jsonl"


def set_hash(domain: str, examples: Sequence[Example]) -> str:
    """The digest of a set: its examples with their repeats and its mix, in any order."""
    return digest(
        {
            "format": FORMAT,
            "domain": domain,
            "examples": sorted(digest(example.messages) for example in examples),
            "mix": _mix(examples),
        }
    )


def _mix(examples: Sequence[Example]) -> dict[str, int]:
    """Examples by level."""
    return {str(level): n for level, n in sorted(Counter(example.level for example in examples).items())}


def read_frozen(run: Path, domain: str) -> Frozen | None:
    """The frozen set of a domain; None where it has none.

    Raises:
        TeachableError: its file is gone, or does not hold what was frozen.
    """
    path = frozen_path(run, domain)
    facts = path.with_suffix(".json")
    if not facts.is_file():
        return None
    told = read_json(facts)
    if not path.is_file() or set_hash(domain, read_records(path, Example)) != told["hash"]:
        raise TeachableError(
            f"this is not the frozen set of the domain {domain!r} any more: the file is gone or was changed",
            where=str(path),
            mend=f"Put it back, or freeze the present selection with --refreeze {domain}",
        )
    return Frozen(domain, path, told["hash"], told["n_examples"], told["n_tokens"])


def proposed(ctx: StageContext, domain: Domain) -> Frozen:
    """The set to tune a domain on: the frozen one where the selection still says the same, else one to be frozen.

    Raises:
        TeachableError: the domain has a frozen set, the selection says otherwise, and nobody allowed to replace it.
    """
    now = sorted(domain.examples, key=lambda example: (example.prompt_id, example.id))
    allowed = domain.name in ctx.permissions.refreeze
    frozen = None if allowed else read_frozen(ctx.run, domain.name)
    value = set_hash(domain.name, now)
    if frozen is not None:
        if frozen.hash == value:
            return frozen
        raise _changed(ctx, domain.name, now, read_records(frozen.path, Example))
    path = frozen_path(ctx.run, domain.name)
    path = path.with_name(f".{path.name}")
    write_records(path, now)
    return Frozen(domain.name, path, value, len(now), sum(example.n_tokens for example in now))


def _changed(ctx: StageContext, domain: str, now: Sequence[Example], before: Sequence[Example]) -> TeachableError:
    """The sentence for a selection that is not the frozen set."""
    n_now, n_before = (Counter((e.prompt_id, e.id, e.level) for e in examples) for examples in (now, before))
    new, gone = n_now - n_before, n_before - n_now
    first = next(iter([*new, *gone]))
    return TeachableError(
        f"the selection would change the frozen set of the domain {domain!r}: {new.total():,} of its "
        f"{len(now):,} examples are new and {gone.total():,} are gone, the first being of prompt {first[0]}",
        where=ctx.name,
        mend=f"Bring the selection back, or replace the frozen set with --refreeze {domain}",
    )


def freeze(ctx: StageContext, found: Frozen) -> Frozen:
    """Freeze a proposed set; one that is frozen already stays as it is."""
    path = frozen_path(ctx.run, found.domain)
    if found.path == path:
        return found
    examples = read_records(found.path, Example)
    path.with_suffix(".json").unlink(missing_ok=True)  # it tells of the file beside it, or of none
    found.path.replace(path)
    done = Frozen(found.domain, path, found.hash, found.n_examples, found.n_tokens)
    told = {**asdict(done), "mix": {"levels": _mix(examples)}, "format": FORMAT}
    write_json(path.with_suffix(".json"), {name: value for name, value in told.items() if name != "path"})
    return done
