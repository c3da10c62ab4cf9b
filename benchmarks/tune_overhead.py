"""Optimiser steps a second of tuning, against TRL's `SFTTrainer` called by hand with the same settings.

    python benchmarks/tune_overhead.py [--rounds 5] [--models tiny,20M]
    python benchmarks/tune_overhead.py --gpu [--steps 30] [--peak-tflops 989]

By hand means: the model loaded, a data set of prompts and completions, an `SFTConfig`, `train()`. Both train on the
same examples in the same batches, so the losses must agree, and log every step; neither saves nor judges. They take
turns, and a rate is taken between the ends of the first and the last step, so that loading and preparing stand apart.
On one thread, in seconds of processor time: other work on the machine then hardly counts. Per model: the median of each
and of the rounds' ratios. Two further lines say what checkpoints by the clock and what evaluations add.

With --gpu: a model of the shape of Qwen2.5-0.5B with random weights, on one CUDA device, by the clock on the wall;
tokens a second and model FLOP utilisation, packing off and on. A token costs 6 FLOPs a weight, and 12 a layer, unit of
width and token before it on average (Chowdhery et al. 2022, PaLM, appendix B); padding is not counted as work done.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from teachable.chat import training_tokens
from teachable.records import Example
from teachable.store.files import read_json, write_json
from teachable.train.config import PretrainConfig
from teachable.train.corpus import conversations
from teachable.train.embedded import SPECIAL_TOKENS, build_model, chat_tokenizer, save_model
from teachable.train.loop import CurvePoint, TokenSequence
from teachable.train.sft import load_trainable
from teachable.train.tune import tune
from teachable.train.tune_config import SteeredConfig, TrainingConfig
from teachable.train.tune_plan import plan_tuning

RESULTS = Path(__file__).parent / "results" / "tune_overhead.json"
SHAPES = {
    "tiny": PretrainConfig(),
    "20M": PretrainConfig(hidden_size=384, n_layers=12, n_heads=6, n_kv_heads=6, intermediate_size=1152),
}
SETTINGS = {
    "tiny": SteeredConfig(batch_size=16, max_steps=60, max_epochs=1, warmup_steps=0, eval_every=25, patience=0),
    "20M": SteeredConfig(batch_size=2, max_steps=8, max_epochs=1, warmup_steps=0, eval_every=4, patience=0),
}
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0, "RTX 4090": 165.0}  # dense bfloat16


@dataclass(frozen=True)
class Round:
    """One training run: steps a second after the first, and its losses."""

    steps_per_s: float
    losses: tuple[float, ...]
    tokens_per_s: float = 0.0


def byte_tokenizer() -> Any:
    """A byte-level tokenizer without merges, which needs no corpus."""
    vocab = {token: i for i, token in enumerate([*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return chat_tokenizer(inner)


def example(number: int, messages: Sequence[Any]) -> Example:
    """A conversation as an example."""
    return Example(str(number), tuple(messages), "any", 0, "teachable", "a benchmark", 0)


def short_examples(n: int) -> list[Example]:
    """Conversations of the embedded model's corpus, of 200 bytes at most."""
    fitting = (one for one in conversations(PretrainConfig()) if sum(len(m["content"]) for m in one) <= 200)
    return [example(i, one) for i, one in enumerate(itertools.islice(fitting, n))]


def long_examples(n: int, longest: int) -> list[Example]:
    """Random letters, a question of 50 and answers whose lengths differ as those of real ones do (log-normal)."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz "
    made = []
    for i in range(n):
        length = min(longest - 60, max(20, int(draw.lognormvariate(5.5, 0.8))))
        question, answer = ("".join(draw.choices(letters, k=k)) for k in (50, length))
        made.append(example(i, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]))
    return made


def by_tune(
    base: Path,
    examples: Sequence[Example],
    config: TrainingConfig,
    folder: Path,
    *,
    clock: Callable[[], float],
    **more: Any,
) -> Round:
    """A run of `tune`; `more` is handed on to it."""
    ends: list[float] = []
    device = more.pop("device", "cpu")
    result = tune(
        base,
        examples,
        config,
        seed=0,
        out=folder / "out",
        device=device,
        on_step=lambda point: ends.append(clock()),
        **more,
    )
    return rated(ends, result.curve)


def rated(ends: Sequence[float], curve: Sequence[CurvePoint]) -> Round:
    """A round from the times at which steps ended."""
    seconds = ends[-1] - ends[0]
    tokens = curve[-1].tokens - curve[0].tokens
    return Round((len(ends) - 1) / seconds, tuple(point.loss for point in curve), tokens / seconds)


def by_hand(
    base: Path,
    examples: Sequence[Example],
    config: TrainingConfig,
    folder: Path,
    *,
    clock: Callable[[], float],
    device: str = "cpu",
) -> Round:
    """A run of `SFTTrainer` as its documentation has it, on the examples in the order in which `tune` takes them."""
    import datasets
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = load_trainable(base, device)
    ordered = in_order(base, examples, config)
    ends: list[float] = []
    curve: list[CurvePoint] = []

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **others: Any) -> None:
            if "loss" in logs:
                ends.append(clock())
                curve.append(CurvePoint(state.global_step - 1, int(logs["num_tokens"]), logs["loss"], 0.0))

    datasets.disable_progress_bars()
    rows = config.rows_at_once or config.batch_size
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder / "by-hand"),
            max_steps=config.max_steps,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=-(-config.batch_size // rows),
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant",
            max_grad_norm=config.max_grad_norm,
            max_length=config.max_length or 1024,
            packing=config.packing,
            gradient_checkpointing=config.gradient_checkpointing,
            optim="adamw_torch_fused",
            train_sampling_strategy="sequential",
            use_cpu=device == "cpu",
            bf16=device != "cpu",
            dataloader_pin_memory=device != "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(
            [{"prompt": list(one.messages[:-1]), "completion": [one.messages[-1]]} for one in ordered]
        ),
        processing_class=tokenizer,
        callbacks=[Watch()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return rated(ends, curve)


def in_order(base: Path, examples: Sequence[Example], config: TrainingConfig) -> list[Example]:
    """The examples as often and in the order in which `tune` uses them, of packs one after the other."""
    tokenizer = load_trainable(base, "cpu")[1]
    pairs = [training_tokens(tokenizer, one.messages) for one in examples]
    plan = plan_tuning([TokenSequence(tuple(i), tuple(m)) for i, m in pairs], config, seed=0, context=1024)
    return [examples[i] for step in plan.steps for row in step for i in plan.rows[row]]


def judged(model: Any, tokenizer: Any, step: int) -> list[float]:
    """A judge that has nothing to do: what is left is what evaluations cost beside it."""
    return [0.5, 0.5]


def compare(name: str, n_rounds: int, folder: Path, *, brief: bool = False) -> dict[str, Any]:
    """Alternating rounds of one model; if `brief`, without those of checkpoints and evaluations."""
    tokenizer, config = byte_tokenizer(), SETTINGS[name]
    model = build_model(SHAPES[name], tokenizer)
    save_model(model, tokenizer, folder / "base")
    examples = short_examples(config.batch_size * config.max_steps)
    more: dict[str, list[Round]] = {} if brief else {"tune, checkpoints": [], "tune, evaluations": []}
    runs: dict[str, list[Round]] = {"by hand": [], "tune": [], **more}
    given = (folder / "base", examples, config, folder)
    for number in range(n_rounds):
        runs["by hand"].append(by_hand(*given, clock=time.process_time))
        runs["tune"].append(by_tune(*given, clock=time.process_time))
        if brief:
            continue
        work = folder / f"work-{number}"
        runs["tune, checkpoints"].append(by_tune(*given, clock=time.process_time, work=work))
        runs["tune, evaluations"].append(by_tune(*given, clock=time.process_time, judge=judged))
    ratios = {
        way: [one.steps_per_s / hand.steps_per_s for one, hand in zip(of, runs["by hand"], strict=True)]
        for way, of in runs.items()
    }
    apart = max(abs(a - b) for a, b in zip(runs["tune"][0].losses, runs["by hand"][0].losses, strict=True))
    print(
        f"\n{name}: {model.num_parameters():,} parameters, {config.max_steps} steps of {config.batch_size} rows",
        flush=True,
    )
    print(f"{'':<20}{'steps/s':>9}{'ratio':>8}{'all rounds':>24}")
    for way, of in runs.items():
        rate, ratio = (statistics.median(values) for values in ([one.steps_per_s for one in of], ratios[way]))
        print(f"{way:<20}{rate:>9.2f}{ratio:>8.3f}   {' '.join(f'{one:.3f}' for one in ratios[way])}", flush=True)
    print(f"losses differ by at most {apart:.1e} nats", flush=True)
    return {
        "n_params": model.num_parameters(),
        "n_steps": config.max_steps,
        "batch_size": config.batch_size,
        "steps_per_s": {way: [one.steps_per_s for one in of] for way, of in runs.items()},
        "ratio": {way: statistics.median(values) for way, values in ratios.items()},
        "ratios": ratios,
        "losses_apart": apart,
    }


def on_gpu(n_steps: int, peak_tflops: float, folder: Path, *, device: str = "cuda") -> dict[str, Any]:
    """Tokens a second and utilisation of a model of half a billion weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    name = torch.cuda.get_device_name() if device == "cuda" else device
    tokenizer = byte_tokenizer()
    peak = 1e12 * (peak_tflops or next((value for key, value in PEAK_TFLOPS.items() if key in name), 0.0))
    shape = Qwen2Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=32_768, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(shape)
    save_model(model, tokenizer, folder / "base")
    n_weights, found = model.num_parameters(), {}
    examples = long_examples(4000, 1024)
    mean = statistics.fmean(len(one.messages[-1]["content"]) + 53 for one in examples)
    flops = 6 * n_weights + 12 * shape.num_hidden_layers * shape.hidden_size * mean / 2
    print(f"{name}; {n_weights:,} parameters; {n_steps} steps of 32 rows of up to 1,024 tokens, 16 at once")
    for packing in (False, True):
        config = TrainingConfig(
            batch_size=32, rows_at_once=16, max_length=1024, packing=packing, max_steps=n_steps, warmup_steps=0
        )
        for way, run in (("by hand", by_hand), ("tune", by_tune)):
            torch.cuda.empty_cache()
            one = run(folder / "base", examples, config, folder, clock=time.perf_counter, device=device)
            mfu = one.tokens_per_s * flops / peak if peak else None
            key = f"{way}, packing {'on' if packing else 'off'}"
            found[key] = {"steps_per_s": one.steps_per_s, "tokens_per_s": one.tokens_per_s, "mfu": mfu}
            told = f"{mfu:.1%} of peak" if mfu is not None else "its peak is not known: name it with --peak-tflops"
            print(f"{key:<24}{one.steps_per_s:>8.2f} steps/s{one.tokens_per_s:>12,.0f} tokens/s   {told}", flush=True)
    return {"device": name, "n_params": n_weights, "runs": found}


def main() -> None:
    """Print the tables and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="tiny,20M")
    parser.add_argument("--brief", action="store_true", help="without checkpoints and evaluations")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--steps", type=int, default=30, help="with --gpu")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="of the GPU, dense bfloat16")
    asked = parser.parse_args()
    if asked.gpu and not torch.cuda.is_available():
        raise SystemExit("error: there is no CUDA device here. Leave --gpu away.")
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        if asked.gpu:
            keep("gpu", on_gpu(asked.steps, asked.peak_tflops, Path(folder)))
            return
        for name in asked.models.split(","):
            keep(name, compare(name, asked.rounds, Path(folder) / name, brief=asked.brief))


def keep(name: str, found: dict[str, Any]) -> None:
    """Put a result in the place of the one of its name."""
    kept = read_json(RESULTS) if RESULTS.exists() else {}
    write_json(RESULTS, kept | {name: found | {"torch": torch.__version__}})


if __name__ == "__main__":
    main()
