"""Write the report at the top of the run folder."""

from __future__ import annotations

from teachable.recipe.spec import StageContext, StageOutcome
from teachable.report.build import build_report
from teachable.report.config import ReportConfig
from teachable.store.files import write_json


def run(ctx: StageContext) -> StageOutcome:
    """Build report.html and report.json from the stages before it."""
    folders = {role: folder.name for role, folder in ctx.inputs.items()}
    files = build_report(ctx.run, ctx.config_as(ReportConfig), folders=folders)
    write_json(ctx.folder / "stats.json", {"n_bytes": files.n_bytes, "missing": list(files.missing)})
    return StageOutcome(note=f"{files.html}")
