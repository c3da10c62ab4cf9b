"""Read documents and cut them into passages."""

from __future__ import annotations

from teachable.errors import TeachableError
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.synthesizing import DOCUMENTS
from teachable.store.files import write_json, write_records
from teachable.synthesize.config import DocumentsConfig
from teachable.synthesize.material.documents import read_documents


def run(ctx: StageContext) -> StageOutcome:
    """Write the passages and their counts."""
    config = ctx.config_as(DocumentsConfig)
    if config.source is None:
        raise TeachableError("no documents are named", where=f"{ctx.name}.source", mend="Write a folder or a file")
    found = read_documents(config.source, config)
    write_records(ctx.folder / DOCUMENTS, found.documents)
    stats = {
        "n_documents": len(found.documents),
        "n_chars": sum(len(one.text) for one in found.documents),
        "left_out": dict(found.left_out),
    }
    write_json(ctx.folder / "stats.json", stats)
    for reason, n in found.left_out.items():
        ctx.say(f"{n:,} left out: {reason}")
    return StageOutcome(note=f"{len(found.documents):,} passages", prompts=len(found.documents))
