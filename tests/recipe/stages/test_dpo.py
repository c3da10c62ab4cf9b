"""The stages that train on preferences: their files, a second round on the first one's model, what a kill costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from teachable.cli import wiring
from teachable.engines.local import TransformersEngine
from teachable.errors import TeachableError
from teachable.overlap.guard import Guard
from teachable.recipe.guarding import HeldOut
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.run import RunSummary, run_recipe
from teachable.recipe.spec import Forecast
from teachable.recipe.stages import dpo as stage
from teachable.records import Progress, Prompt, Request
from teachable.store.digest import model_digest
from teachable.store.files import read_json, read_rows, write_rows
from teachable.store.manifest import RunFolder, StageEntry
from teachable.train.config import DpoConfig, PretrainConfig
from teachable.train.embedded import build_model, save_model

pytest.importorskip("trl")

SFT_COLUMNS = {
    "arm",
    "seed",
    "path",
    "digest",
    "n_steps",
    "n_tokens",
    "n_response_tokens",
    "backend",
    "final_loss",
    "seconds",
}
Run = Callable[..., RunSummary]


@dataclass
class Watch:
    """What was told of the work."""

    progress: list[tuple[str, Progress]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def cached(self, stage: str, entry: StageEntry) -> None: ...

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None: ...

    def progressed(self, stage: str, progress: Progress) -> None:
        self.progress.append((stage, progress))

    def finished(self, stage: str, entry: StageEntry) -> None: ...

    def interrupted(self, stage: str, n_in_flight: int) -> None: ...

    def said(self, stage: str, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.fixture(scope="module")
def base(tokenizer: Any, small_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_model(build_model(small_config, tokenizer), tokenizer, folder)
    return folder


def rows(tokenizer: Any) -> list[dict[str, Any]]:
    """Nine pairs of single tokens after a chat's beginning, of which the last is longer than the others."""
    found = []
    for n in range(9):
        sum_ = f"{n} + 1" if n < 8 else "8 + 1 + 1 + 1"
        ids = {
            "prompt": tokenizer.encode(f"<|user|>What is {sum_}?<|end|><|assistant|>", add_special_tokens=False),
            "chosen": [30 + n],
            "rejected": [50 + n],
        }
        found.append(
            {name: tokenizer.decode(its, skip_special_tokens=True) for name, its in ids.items()}
            | {f"{name}_token_ids": its for name, its in ids.items()}
            | {"kind": "pivotal", "delta": 0.5}
        )
    return found


@pytest.fixture
def run(base: Path, tokenizer: Any, tmp_path: Path) -> Run:
    """Run a recipe of these stages over a file of nine pairs."""
    write_rows(tmp_path / "pairs.parquet", rows(tokenizer))

    def ran(stages: dict[str, Any], *, out: str = "run", watch: Watch | None = None, **fields: Any) -> RunSummary:
        document = {
            "name": "mine",
            "base": str(base),
            "seed": 5,
            "resources": {"workers": 1, "device": "cpu"},
            "stages": {"preferences": {"source": "pairs.parquet"}, **stages},
            **fields,
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
        recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
        return run_recipe(recipe, RunFolder(tmp_path / out), STAGE_KINDS, wiring.runner_for, watch or Watch())

    return ran


FIRST = {"needs": {"preferences": "preferences"}, "pairs_per_step": 3, "learning_rate": 5e-3}
SECOND = FIRST | {"needs": {"preferences": "preferences", "base": "dpo"}, "lora": {"r": 2}}


def test_two_rounds(run: Run, base: Path, tmp_path: Path) -> None:
    watch = Watch()
    summary = run({"dpo": FIRST | {"seeds": 2}, "judge_dpo": SECOND}, watch=watch)
    folder = tmp_path / "run"
    models = read_rows(folder / "dpo/runs.parquet")
    assert set(models[0]) >= SFT_COLUMNS
    assert [(row["arm"], row["seed"], row["path"]) for row in models] == [
        ("dpo", 5, "models/dpo-5"),
        ("dpo", 6, "models/dpo-6"),
    ]
    assert [row["digest"] for row in models] == [model_digest(folder / row["path"]) for row in models]
    assert models[0]["digest"] != models[1]["digest"]
    curves = read_rows(folder / "dpo/curves.parquet")
    assert [(row["seed"], row["step"]) for row in curves] == [(seed, step) for seed in (5, 6) for step in range(3)]
    assert {"loss", "reward_margin", "reward_accuracy", "logp_chosen"} <= set(curves[0])
    stats = read_json(folder / "dpo/stats.json")
    assert stats["path"] == str(folder / "models/dpo-5")
    assert stats["n_params"] == sum(weights.numel() for weights in load_file(base / "model.safetensors").values())
    assert (stats["n_pairs"], stats["n_runs"], stats["tokens"]) == (9, 2, sum(row["n_tokens"] for row in models))
    assert summary.entries["dpo"].note == "2 models of 3 steps, on 9 pairs"
    assert [(p.done, p.unit) for name, p in watch.progress if name == "dpo"] == [(n, "models") for n in range(3)]
    # Of a single model, the steps are told.
    steps = [(p.done, p.total) for name, p in watch.progress if name == "judge_dpo" and p.unit == "steps"]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    # The second round starts where the first one ended: its base is indifferent, and not the first round's base.
    (second,) = read_rows(folder / "judge_dpo/runs.parquet")
    first_step = read_rows(folder / "judge_dpo/curves.parquet")[0]
    assert (second["arm"], first_step["reward_margin"]) == ("judge_dpo", 0.0)
    key = summary.entries["judge_dpo"].ingredients
    assert key["models"] == {"base": summary.entries["dpo"].model_digest}
    assert read_json(folder / "judge_dpo/stats.json")["lora"] is True
    assert sorted(path.name for path in (folder / "models").iterdir()) == ["dpo-5", "dpo-6", "judge_dpo-5"]
    assert {path.name for path in (folder / "dpo").iterdir()} == {
        ".key",
        "runs.parquet",
        "curves.parquet",
        "stats.json",
    }
    assert run({"dpo": FIRST | {"seeds": 2}, "judge_dpo": SECOND}).ran == ()


def test_the_model_with_merged_adapters_is_sampled_from_like_any_other(
    run: Run, base: Path, tokenizer: Any, tmp_path: Path
) -> None:
    run({"dpo": FIRST | {"learning_rate": 5e-2, "n_epochs": 10, "lora": {"r": 8}}})
    prompt = tuple(rows(tokenizer)[4]["prompt_token_ids"])
    told = []
    for folder in (base, tmp_path / "run/models/dpo-5"):
        engine = TransformersEngine(folder, device="cpu")
        found = asyncio.run(engine.sample(Request(prompt=prompt, n=8, max_tokens=1, seed=0)))
        told.append([one.token_logprobs[0] for one in found if one.token_logprobs])
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        with torch.no_grad():
            logp_V = torch.log_softmax(model(torch.tensor([prompt])).logits[0, -1], dim=-1)
        assert told[-1] == pytest.approx([logp_V[one.token_ids[0]].item() for one in found], abs=1e-4)
    assert told[0] != pytest.approx(told[1], abs=1e-2)


def test_a_killed_stage_keeps_the_models_that_were_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {"dpo": FIRST | {"seeds": 3}}
    train_one, trained = stage.train_one, []

    def killed(job: stage.DpoJob) -> dict[str, Any]:
        trained.append(job.seed)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train_one(job)

    monkeypatch.setattr(stage, "train_one", killed)
    with pytest.raises(KeyboardInterrupt):
        run(stages)
    assert "dpo" not in RunFolder(tmp_path / "run").entries()
    run(stages)
    assert trained == [5, 6, 6, 7]
    monkeypatch.setattr(stage, "train_one", train_one)
    run(stages, out="undisturbed")
    timed = {"seconds"}
    for name in ("runs", "curves"):
        left, right = (read_rows(tmp_path / out / f"dpo/{name}.parquet") for out in ("run", "undisturbed"))
        for one in (*left, *right):
            for column in timed & set(one):
                del one[column]
        assert left == right
    assert not list((tmp_path / "run/dpo").glob(".part*"))


def test_pairs_that_are_too_long_are_said(run: Run, tokenizer: Any) -> None:
    with pytest.raises(TeachableError, match="all 9 pairs are longer than 3 tokens"):
        run({"dpo": FIRST | {"max_length": 3}})
    *_, other, longest = (len(row["prompt_token_ids"]) + 1 for row in rows(tokenizer))
    assert other < longest
    for limit, note, sentences in (
        (longest, "1 model of 3 steps, on 9 pairs", []),
        (other, "1 model of 3 steps, on 8 pairs", [1]),
    ):
        watch = Watch()
        assert run({"dpo": FIRST | {"max_length": limit}}, watch=watch).entries["dpo"].note == note
        left_out = "of 9 pairs are longer than the base or max_length allows: left out"
        assert watch.sentences == [f"{n} {left_out}" for n in sentences]


def test_no_pairs_is_one_sentence(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "read_preferences", lambda path: [])
    with pytest.raises(TeachableError) as caught:
        run({"dpo": FIRST})
    counts = tmp_path / "run/preferences/stats.json"
    assert str(caught.value) == (
        f"dpo: there are no preference pairs to train on. {counts} counts what was left out, and why."
    )


def test_a_file_of_ones_own_is_handed_on_as_it_was_read(run: Run, tokenizer: Any, tmp_path: Path) -> None:
    run({})
    found = read_rows(tmp_path / "run/preferences/preferences.parquet")
    expected = [{**row, "kind": "given"} for row in rows(tokenizer)]
    for row in expected:
        del row["delta"]
    assert found == expected
    assert read_json(tmp_path / "run/preferences/stats.json")["n_with_token_ids"] == 9


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "pairs.jsonl: the file holds no preference pairs. Name another one."),
        ([{"prompt": "a", "chosen": "b"}], "pairs.jsonl: the column 'rejected' is missing; there are prompt, chosen."),
        ([{"prompt": "a", "chosen": "b", "rejected": "b"}], "pairs.jsonl, row 1: chosen and rejected are the same."),
        (
            [
                {"prompt": "a", "chosen": "b", "rejected": "c"},
                {"prompt": "a", "chosen": [{"role": "assistant", "content": "b"}], "rejected": "c"},
            ],
            "pairs.jsonl, row 2: this row holds messages and the first one text.",
        ),
    ],
)
def test_a_file_that_is_no_pairs_is_one_sentence(
    run: Run, tmp_path: Path, lines: list[dict[str, Any]], sentence: str
) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(TeachableError) as caught:
        run({"preferences": {"source": "pairs.jsonl"}})
    assert str(caught.value).startswith(str(tmp_path / sentence.partition(":")[0].partition(",")[0]))
    assert sentence in str(caught.value)
    with pytest.raises(TeachableError, match=r"preferences\.source: no file of preference pairs is named"):
        run({"preferences": {}}, out="other")


def test_defaults_are_a_config_that_the_recipe_writes_out() -> None:
    assert DpoConfig.model_validate(DpoConfig().model_dump(mode="json")) == DpoConfig()


# ---- held-out questions ----

RIVER = "Which of the three rivers that meet below the old mill carries the most water in April?"
OURS = [
    {"prompt": "How many oars does the smallest boat of the harbour have?", "chosen": "Two.", "rejected": "Six."},
    {"prompt": f"Please answer this one for me. {RIVER} Thank you!", "chosen": "The first.", "rejected": "The last."},
    {"prompt": "Tell me a riddle.", "chosen": "What has four legs?", "rejected": f"Here is one: {RIVER.upper()}"},
]


@pytest.mark.parametrize("kind", ["dpo", "judge_dpo"])
def test_pairs_that_overlap_what_is_held_out_are_refused(run: Run, tmp_path: Path, kind: str) -> None:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in OURS))
    (tmp_path / "exam.jsonl").write_text(json.dumps({"prompt": RIVER, "answer": "the first"}) + "\n")
    stages = {
        "preferences": {"source": "pairs.jsonl"},
        "exam": {"kind": "tasks", "source": "none", "benchmarks": ["exam.jsonl"]},
        kind: {"needs": {"preferences": "preferences", "base": "pretrain", "heldout": "exam"}, "pairs_per_step": 3},
    }
    with pytest.raises(TeachableError) as caught:
        run(stages)
    assert str(caught.value).startswith(f"{kind}: 2 of 3 training rows overlap the held-out question: ")
    found = read_rows(tmp_path / f"run/{kind}/overlaps.jsonl")
    assert [(row["row"], row["field"], row["how"]) for row in found] == [
        ("preferences.parquet, row 2", "prompt", "shared run"),
        ("preferences.parquet, row 3", "rejected", "shared run"),
    ]
    assert not (tmp_path / "run/models").exists()
    stages[kind]["allow_overlap"] = True
    watch = Watch()
    run(stages, watch=watch)
    assert read_json(tmp_path / f"run/{kind}/stats.json")["n_overlaps"] == 2
    assert watch.sentences[0].startswith("2 of 3 training rows overlap the held-out question, and are trained on")


def test_the_beginning_of_a_solution_to_a_pools_prompt_is_no_question(tmp_path: Path) -> None:
    """A pivotal pair's prompt is a chat's beginning with half a solution, which repeats its question."""
    known = Prompt(id="p1", domain="d", messages=({"role": "user", "content": f"{RIVER} Name it."},))
    held = HeldOut((Prompt(id="q1", domain="d", messages=({"role": "user", "content": RIVER},)),), {"p1": known})
    said = f"<|user|>{RIVER} Name it.<|end|><|assistant|>You ask: {RIVER} Name it. It"
    guard = Guard(held.questions)
    assert guard.check([held.row_of_text("row 1", "p1", said, {"chosen": " is"})]) == []
    (found,) = guard.check([held.row_of_text("row 1", "", said, {"chosen": " is"})])
    assert (found.field, found.how) == ("prompt", "shared run")
