"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Json
from teachable.errors import TeachableError


def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN RUN...", help="run folders; each is compared with the first")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="also write it to this .md or .json file")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what changed between runs: settings, data, scores with intervals, and cost."""
    with ending():
        from teachable.cli.show import print_json, tell
        from teachable.recipe.compare import compare_runs
        from teachable.recipe.compare_text import markdown_of, text_of
        from teachable.store.files import write_json, write_text

        if out is not None and (out.suffix not in (".md", ".json") or out.is_dir()):
            raise TeachableError(
                "a comparison is written as Markdown or JSON",
                where=str(out),
                mend="Name a file that ends in .md or .json",
            )
        found = compare_runs(runs or [])
        if out is not None and out.suffix == ".md":
            write_text(out, markdown_of(found))
        elif out is not None:
            write_json(out, found)
        if as_json:
            print_json(found)
        else:
            print(text_of(found), end="")
        if out is not None:
            tell(f"wrote {out}")
