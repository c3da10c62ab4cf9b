"""The card of a model that the run has trained: what it is, what it learnt from, how it did, and what nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from teachable.report.cards.scores import Measured, measured
from teachable.report.cards.source import Source, overlaps, source_of
from teachable.report.gathering.load import Row, RunReader
from teachable.report.markdown.page import reproduction
from teachable.report.markdown.results import metric_name, score
from teachable.report.markdown.text import blocks, code, fence, one_line, table, text
from teachable.report.markup import count, interval, percent, points, probability
from teachable.report.terms import said

Facts = Mapping[str, Any]
KINDS = {
    "sft": ("supervised fine-tuning", "sft"),
    "dpo": ("direct preference optimisation on pairs at pivotal tokens", "dpo"),
    "judge_dpo": ("direct preference optimisation on judged pairs", "dpo"),
    "tune": ("supervised fine-tuning on one domain until it gained no more", "sft"),
    "add": ("several domains joined, one after the other", "sft"),
    "scale": ("supervised fine-tuning on a mix of domains", "sft"),
}
ARMS = {
    "teachable": "prompts that the base sometimes gets right and sometimes wrong",
    "random": "prompts drawn from the whole pool",
    "mastered": "prompts that the base nearly always gets right",
    "beyond": "prompts that the base hardly ever gets right",
}
RUN_COLUMNS = (
    "arm",
    "seed",
    "path",
    "digest",
    "n_examples",
    "n_pairs",
    "n_steps",
    "n_tokens",
    "n_response_tokens",
    "backend",
    "final_loss",
)
NO_SETTINGS = ("kind", "needs", "version")
QUESTION = "What is 17 + 25?"


def model_cards(reader: RunReader, facts: Facts) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(folder relative to the run, front matter, text) of every model that a finished stage of the run has trained."""
    finished = reader.manifest.get("stages") or {}
    source = source_of(reader)
    for kind in KINDS:
        for stage in reader.stages_of(kind):
            rows = reader.table(f"{stage}/runs.parquet", RUN_COLUMNS, note=False) if stage in finished else []
            for row in rows:
                folder = _inside(reader.run, str(row.get("path") or ""))
                if folder:
                    yield folder, *_card(reader, facts, source, stage, kind, row)


def _inside(run: Path, path: str) -> str | None:
    """The path of a model that the run itself keeps; None of anything else."""
    whole = (run / path).resolve()
    return path if path and not Path(path).is_absolute() and whole.is_relative_to(run.resolve()) else None


def _card(
    reader: RunReader, facts: Facts, source: Source, stage: str, kind: str, row: Row
) -> tuple[dict[str, Any], str]:
    name = Path(str(row["path"])).name
    found = measured(reader, source, str(row["arm"]), int(row["seed"]))
    method, tag = KINDS[kind]
    head = {
        "language": source.language,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": source.base,
        "base_model_relation": "finetune" if source.base else None,
        "tags": list(dict.fromkeys(["teachable", tag, *source.tags])),
        "model-index": [{"name": name, "results": found.index}] if found.index else None,
    }
    body = blocks(
        [
            f"# {text(name)}",
            f"A causal language model of the run {code(facts['name'])}: {_parent(facts, source.base)} after {method}.",
            _role(str(row["arm"]), facts),
            "## What it was trained on",
            *_training(reader, source, stage, kind, row),
            "## How it did",
            *_results(found, str(row["arm"]), facts),
            "## What is not known",
            _limits(source, found),
            "## How to use it",
            fence(snippet(name, reader), "python"),
            "## How to reproduce it",
            f"It is {code(row['path'])} of a run with this recipe; its identity, the SHA-256 over its files' digests, "
            f"was {code(row.get('digest'))}.",
            *reproduction(facts.get("reproduce") or {}, (facts.get("stages") or {}).get("rows") or []),
            "## Licence",
            "No licence is stated, because the run was told none. The base and the training data have terms of their "
            "own: choose a licence that they allow, and add it to the head of this file as `license:`.",
        ]
    )
    return head, body


def _parent(facts: Facts, hub_id: str | None) -> str:
    if hub_id:
        return f"[{text(hub_id)}](https://huggingface.co/{one_line(hub_id)})"
    if facts["base"] == "embedded":
        pretrain = (facts.get("training") or {}).get("pretrain") or {}
        size = f" of {count(pretrain['n_params'])} parameters" if pretrain.get("n_params") else ""
        return f"a toy model{size} that the run pretrained by itself on procedurally generated text,"
    return f"a base model kept in a local folder ({code(Path(str(facts['base'])).name)})"


def _role(arm: str, facts: Facts) -> str | None:
    """What the arm is for, where it is one of a comparison."""
    arms = {str(one["arm"]) for name in ("arms", "sets") for one in facts.get(name) or []}
    if arm not in ARMS or "teachable" not in arms:
        return None
    if arm == "teachable":
        return f"It was taught {ARMS[arm]}. Models of the other arms are its controls."
    return f"**It is a control**, made to be compared with and not to be used: it was taught {ARMS[arm]}."


def _training(reader: RunReader, source: Source, stage: str, kind: str, row: Row) -> list[str | None]:
    label = f"{row['arm']}-{row['seed']}"
    needs = reader.needs(stage)
    if kind == "sft":
        data = f"{needs.get('examples') or reader.folders['select']}/examples/{label}.jsonl"
        what = f"{count(row.get('n_examples'))} worked examples ({code(data)}), each with a response that was verified"
    elif kind == "tune":
        data = f"tuned/frozen/{row['arm']}.jsonl"
        what = f"{count(row.get('n_examples'))} worked examples of the domain {code(row['arm'])} ({code(data)})"
    elif kind in ("add", "scale"):
        what = f"{count(row.get('n_examples'))} worked examples of several domains"
        what = "No examples: tuned models were merged" if row.get("backend") == "merge" else what
    else:
        data = f"{needs.get('preferences') or ('pivot' if kind == 'dpo' else 'judge_pairs')}/preferences.parquet"
        what = f"{count(row.get('n_pairs'))} pairs of a chosen and a rejected continuation ({code(data)})"
    told = [
        f"{what}. {source.sentence}",
        f"{count(row.get('n_steps'))} steps, {count(row.get('n_tokens'))} tokens of training text"
        + (f", {count(row['n_response_tokens'])} of which bear loss" if row.get("n_response_tokens") else "")
        + f"; seed {text(row['seed'])}, backend {code(row.get('backend'))}.",
    ]
    config = source.stages.get(stage) or {}
    settings = [(code(k), code(said(v))) for k, v in config.items() if k not in NO_SETTINGS]
    parent = needs.get("base", "")
    if any(parent in reader.stages_of(one) for one in KINDS):
        told.append(f"Training began from a model that the run had trained before, in the stage {code(parent)}.")
    return [
        *told,
        overlaps(reader, stage),
        table((f"settings of {code(stage)}", ""), settings, 2) if settings else None,
    ]


def _results(found: Measured, arm: str, facts: Facts) -> list[str | None]:
    if not found.rows and not found.arms:
        return ["It has not been evaluated: nothing is known of what it can do."]
    told: list[str | None] = []
    if found.how:
        told.append(found.how)
    if found.rows:
        names = list(dict.fromkeys(name for row in found.rows for name in row.metrics))
        rows = [
            (text(row.title), count(row.n_questions), *(percent(row.metrics.get(name), "") for name in names))
            for row in found.rows
        ]
        told += ["This model, per cent:", table(("questions of", "number", *map(text, names)), rows)]
    for one in found.arms:
        metrics = one["metrics"]
        n_seeds = one.get("n_seeds") or 1
        over = f"mean of {n_seeds} models that differ in their seed" if n_seeds > 1 else "one model"
        told += [
            f"The arm {code(arm)} ({over}), per cent with 95% intervals:",
            table(
                ("", *(text(metric_name(name, one.get("n_samples"))) for name in metrics)),
                [(code(who), *(score(values.get(name)) for name in metrics)) for who, values in one["rows"]],
            ),
        ]
    differences = [
        (
            code(one["baseline"]),
            text(metric_name(one["metric"], found.n_samples)),
            points(one["diff"]),
            interval(one.get("low"), one.get("high"), signed=True),
            probability(one.get("p_value")),
        )
        for one in found.comparisons
    ]
    if differences:
        head = ("against", "metric", "difference", "95% interval", "p")
        told += ["Differences, paired by question, percentage points:", table(head, differences, 2)]
    verdict = (facts.get("verdict") or {}).get("sentence")
    return [*told, f"The run's verdict: {text(verdict)}" if verdict else None]


def _limits(source: Source, found: Measured) -> str:
    told = [
        "Intervals hold for questions like those asked. Of other tasks, other languages, long conversations, safety "
        "and bias nothing was measured: whoever uses it there must test it there.",
    ]
    if found.power:
        told.insert(0, text(found.power))
    if found.rows and not source.benchmarks:
        told.insert(0, "The held-out questions come from the same source as the training data.")
    if found.undecided:
        told.append(f"{percent(found.undecided)} of the answers could not be judged and count neither way.")
    return " ".join(told)


def snippet(name: str, reader: RunReader) -> str:
    """Python that asks the model one question as it was asked in the evaluation."""
    stage = (reader.recipe.get("stages") or {}).get(reader.folders["evaluate"])
    sampling: dict[str, Any] = stage if isinstance(stage, dict) else {}
    arguments: dict[str, Any] = {"max_new_tokens": int(sampling.get("max_tokens") or 256), "do_sample": True}
    arguments |= {
        "temperature": float(sampling.get("temperature") or 1.0),
        "top_p": float(sampling.get("top_p") or 1.0),
    }
    # top_k: transformers has a default of its own, which nobody asked for here.
    given = ", ".join(f"{key}={value!r}" for key, value in {**arguments, "top_k": 0}.items())
    return f"""\
from transformers import AutoModelForCausalLM, AutoTokenizer

name = {json.dumps(name)}  # this folder, or the repository that it was uploaded to
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)

messages = [{{"role": "user", "content": {json.dumps(QUESTION)}}}]
prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
inputs = tokenizer(prompt, add_special_tokens=False, return_token_type_ids=False, return_tensors="pt")
output = model.generate(**inputs, {given})
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))"""
