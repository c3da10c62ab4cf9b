"""One tiny model, greedy, the same files: lm-evaluation-harness alone and our engine and verifier give equal scores.

The model is trained for a moment to say "7" whatever it is asked, so that some answers are right and some are wrong.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import tiny_tokenizer
from tests.tasks.benchmarks.harness_rows import DROP, GSM8K, located, manager, write

from teachable.chat import prompt_text
from teachable.engines.local import TransformersEngine
from teachable.rollouts import Sampling, roll_out
from teachable.tasks.benchmarks.harness import load
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

pytest.importorskip("lm_eval")

REPLY = "So it is 7"
MAX_TOKENS = 24
SEVEN = {"answer": {**DROP[0]["answer"], "number": "7"}, "query_id": "seven"}


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of two layers that answers `REPLY`, mostly, as a chat and as plain text."""
    import torch

    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer()
    config = PretrainConfig(hidden_size=32, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=64, seed=3)
    model = build_model(config, tokenizer)
    asked = [row["passage"] + " " + row["question"] for row in DROP] + [row["question"] for row in GSM8K[:6]]
    before = [f"<|user|>{text}<|end|><|assistant|>" for text in asked] + [
        f"Question: {text}\nAnswer:" for text in asked
    ]
    reply = tokenizer.encode(f"{REPLY}<|end|>", add_special_tokens=False)
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in before]
    width = max(map(len, rows)) + len(reply)
    ids_B_T = torch.full((len(rows), width), tokenizer.pad_token_id)
    labels_B_T = torch.full((len(rows), width), -100)
    for place, row in enumerate(rows):
        ids_B_T[place, : len(row) + len(reply)] = torch.tensor(row + reply)
        labels_B_T[place, len(row) : len(row) + len(reply)] = torch.tensor(reply)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(input_ids=ids_B_T, labels=labels_B_T).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("talker")
    save_model(model, tokenizer, folder)
    return folder


def alone(folder: Path, yaml: str, files: dict[str, Path], model: Path, *, chat: bool) -> dict[int, dict[str, Any]]:
    """lm-evaluation-harness's samples by row, of the last of its filters."""
    from lm_eval import simple_evaluate

    located(folder, yaml, files, "theirs")
    found = simple_evaluate(
        "hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        tasks=["theirs"],
        task_manager=manager(folder),
        device="cpu",
        batch_size=1,
        num_fewshot=0,
        gen_kwargs={"max_gen_toks": MAX_TOKENS},
        apply_chat_template=chat,
        bootstrap_iters=0,
    )
    samples = found["samples"]["theirs"]
    return {one["doc_id"]: one for one in samples if one["filter"] == samples[-1]["filter"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "yaml", "rows", "chat"),
    [
        ("gsm8k+0shot", "gsm8k/gsm8k.yaml", {"train": GSM8K, "test": GSM8K}, False),
        ("drop+chat", "drop/default.yaml", {"train": DROP, "validation": [*DROP, {**DROP[0], **SEVEN}]}, True),
    ],
)
def test_equal_to_the_last_question(
    name: str,
    yaml: str,
    rows: dict[str, Any],
    chat: bool,
    talker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    files = {split: write(tmp_path / "data" / f"{split}.jsonl", some) for split, some in rows.items()}
    theirs = alone(tmp_path, yaml, files, talker, chat=chat)
    found = load(name, tmp_path / "data")
    prompts = [replace(prompt, meta={**prompt.meta, "max_tokens": MAX_TOKENS}) for prompt in found.prompts]
    engine = TransformersEngine(talker, device="cpu", dtype="float32")
    attempts = asyncio.run(roll_out(prompts, engine=engine, n=1, sampling=Sampling(MAX_TOKENS, 0.0), seed=0))
    assert len(attempts) == len(theirs) == len(prompts)
    scores = []
    for prompt, attempt in zip(prompts, attempts, strict=True):
        sample = theirs[prompt.meta["lm_eval"]["doc_id"]]
        given = prompt_text(engine.tokenizer, prompt.messages) if chat else prompt.text
        assert given == sample["arguments"][0][0]
        assert attempt.text == sample["resps"][0][0]
        assert attempt.frac_passed == float(sample[prompt.meta["lm_eval"]["metric"]])
        scores.append(attempt.frac_passed)
    assert {0.0} < set(scores), "some are right, some are wrong"
