"""What commands share of their options: a type and a help text each. Nothing is imported but typer: see `main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="run folder; runs/NAME by default")]
NeededOut = Annotated[Path, typer.Option("--out", metavar="DIR", help="run folder, made if it is not there")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="set a field of the recipe, such as select.seeds=5; may be repeated"),
]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, for machines")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="the recipe's seed; the embedded base has its own, pretrain.seed"),
]
Base = Annotated[str | None, typer.Option("--base", metavar="MODEL", help="embedded, a model folder, or a hub id")]
From = Annotated[Path | None, typer.Option("--recipe", metavar="RECIPE", help="take the settings from this recipe")]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", min=0, metavar="USD", help="stop when the run folder holds this much paid work"),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, help="stop when this many tokens have been sampled in the run folder"),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="which column of PROMPTS holds a field; may be repeated"),
]
ENGINE = "transformers:MODEL, openai:MODEL@URL, or scripted:TABLE.json"
Prompts = Annotated[Path | None, typer.Argument(metavar="PROMPTS", help="your own prompts, JSONL or Parquet")]
RecipeEngine = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="ENGINE", help=f"in the place of the recipe's: {ENGINE}, or openai as it names it"
    ),
]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="a recipe file; `teachable init` writes one")]
