"""What docs/scale-out.md says is so: its plan is the command's, its fields and stages exist, its figures add up."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.recipe.accelerating import accelerate_settings, n_devices, n_shards
from teachable.recipe.config import Resources
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.training_costs import DEVICE_TFLOPS, EXAMPLE_TOKENS, LAUNCHED, UTILISATION
from teachable.train.memory import train_flops
from teachable.train.shapes import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "scale-out.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_plan_is_what_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path))
    monkeypatch.chdir(ROOT)
    at = next(i for i, block in enumerate(BLOCKS) if block.startswith("teachable plan"))
    result = CliRunner().invoke(app, [*shlex.split(BLOCKS[at])[1:], "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.stderr
    assert BLOCKS[at + 1] in result.stdout


def test_the_fields_are_those_of_resources() -> None:
    section = TEXT.split("## `resources`")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| `?([\w.]+)`? \|", section, flags=re.MULTILINE))
    defaults = Resources().model_dump()
    assert rows == {name: {None: "null"}.get(defaults[name], str(defaults[name])) for name in rows}
    assert set(rows) == {"processes", "accelerate", "device_tflops"}


def test_the_stages_and_the_stated_numbers_are_those_of_the_code() -> None:
    assert set(re.findall(r"`(\w+)`", TEXT.split("run in one process")[0])) == set(LAUNCHED) < set(STAGE_KINDS)
    assert f"{DEVICE_TFLOPS:g}, an H100's" in TEXT and f"arithmetic at {UTILISATION:.0%}".replace("%", " %") in TEXT
    assert f"at {EXAMPLE_TOKENS} tokens each" in TEXT
    assert f"{STAGE_KINDS['tune'].tokens_per_s:,.0f} tokens/s" in TEXT


def test_the_comparison_with_the_published_run_is_worked_out() -> None:
    mean = 8.3e9 / 1.4e6
    assert round(mean, -2) == 5900
    done = train_flops(PUBLISHED["microsoft/phi-4"], 16e9, mean, checkpointing=True)
    peak = DEVICE_TFLOPS * 1e12 * 3600
    assert round(done / (peak * UTILISATION), -1) == 1380 and "1,380 device-hours" in TEXT
    assert 32 * 2.5 * 24 == 1920 and "1,920 device-hours" in TEXT
    assert f"reached {done / (peak * 1920):.0%} of the peak".replace("%", " %") in TEXT


def test_the_config_that_comes_along_is_one() -> None:
    resources = Resources(accelerate=ROOT / "recipes" / "accelerate" / "fsdp-4x8.yaml")
    assert (n_devices(resources), n_shards(resources)) == (32, 32)
    with pytest.raises(TeachableError, match="leave FSDP out without a word"):
        accelerate_settings(resources, on_cpu=True, where="")
