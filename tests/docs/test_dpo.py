"""What docs/dpo.md shows is so: its row is a pair, its columns are written, its Python names what there is."""

from __future__ import annotations

import ast
import importlib
import json
import re
from dataclasses import fields
from pathlib import Path

from teachable.recipe.stages.dpo import RUN_FIELDS
from teachable.train.config import DpoConfig, LoraConfig
from teachable.train.dpo_trainer import DpoPoint
from teachable.train.preferences import preferences_from

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "dpo.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_row_is_a_pair() -> None:
    rows = [json.loads(line) for kind, text in BLOCKS if kind == "json" for line in text.splitlines()]
    (pair,) = preferences_from(rows)
    assert pair.token_ids is None
    assert isinstance(pair.prompt, tuple)


def test_the_python_imports_what_there_is() -> None:
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    tree = ast.parse(code)
    names = [(node.module, name.name) for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert len(names) == 4
    for module, name in names:
        assert hasattr(importlib.import_module(str(module)), name)


def test_fields_and_columns_have_these_names() -> None:
    bullets = re.findall(r"^- `(\w+)(?:\.(\w+))?`", TEXT, flags=re.MULTILINE)
    assert len(bullets) == 6
    for name, inner in bullets:
        assert name in DpoConfig.model_fields
        assert not inner or inner in LoraConfig.model_fields
    told = {
        file: set(re.findall(r"`(\w+)`", cell))
        for file, cell in re.findall(r"^\| `(\w+\.\w+)` \| (.*) \|$", TEXT, flags=re.MULTILINE)
    }
    assert told["curves.parquet"] == {"arm", "seed", *(one.name for one in fields(DpoPoint))}
    assert told["runs.parquet"] == {"arm", "seed", "path", "backend", "final_loss", "seconds", *RUN_FIELDS}
