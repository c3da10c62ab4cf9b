"""Write the report at the top of the run folder, and cards beside its models and data."""

from __future__ import annotations

from pathlib import Path

from teachable.recipe.spec import StageContext, StageOutcome
from teachable.report.build import build_report
from teachable.report.config import ReportConfig
from teachable.store.files import write_json


def run(ctx: StageContext) -> StageOutcome:
    """Build the report and the cards from the stages before it."""
    folders = {role: folder.name for role, folder in ctx.inputs.items()}
    files = build_report(ctx.run, ctx.config_as(ReportConfig), folders=folders)
    cards, kept = ([path.relative_to(ctx.run).as_posix() for path in one] for one in (files.cards, files.kept))
    if kept:
        ctx.say(f"cards that somebody has written or edited are left as they are: {', '.join(kept)}")
    stats = {"n_bytes": files.n_bytes, "missing": list(files.missing), "cards": cards, "kept_cards": kept}
    write_json(ctx.folder / "stats.json", stats)
    return StageOutcome(note=f"{files.html}", requires=tuple(Path(name) for name in (*cards, *kept)))
