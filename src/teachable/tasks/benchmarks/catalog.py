"""The benchmarks that have a name: where their data is, who reads it, what is asked, who decides, and what differs.

`docs/benchmarks.md` is the same table for readers; a test holds both together.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from teachable.errors import TeachableError
from teachable.tasks.benchmarks import choices, judged, maths, programs
from teachable.tasks.benchmarks.spec import BenchmarkSpec, Hub

ACCURACY = "accuracy"
PASS_RATE = "share of questions whose program passes every test"
GRADED_CORRECT = "share of answers graded correct"
WIN_RATE = "win rate against the baseline, a tie being half a win"

# Benchmarks whose prompts and scoring are lm-evaluation-harness's, under shorter names.
HARNESS_ALIASES: Mapping[str, str] = {"drop": "drop", "ifeval": "ifeval"}

_ZERO_SHOT = "Zero-shot, as a chat; the paper gives worked examples"
_OPTIONS = "Zero-shot with reasoning, the letter read from the response; the paper compares the letters' probabilities"
_GPQA = "Options in the order of a hash of their content, the same in every run"
_BOXES = r"Zero-shot; answers are compared as mathematics, not as normalised strings"
_PROGRAM = (
    "Asked as a chat, and the program must be whole; the paper has the text completed and puts the prompt before it"
)
_MBPP = "Zero-shot; the paper gives three worked examples. All tests are shown; the challenge tests are not used"
_ARENA = (
    "Judged by your judge and its votes, in both orders; ties count half. No Bradley-Terry fit and no style control, "
    "so the figures are no leaderboard's"
)
_MATHS_SOURCE = "Hendrycks et al. 2021, Measuring Mathematical Problem Solving With the MATH Dataset, arXiv:2103.03874"
_MATH_CONFIGS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_GPQA_SOURCE = "Rein et al. 2023, GPQA: A Graduate-Level Google-Proof Q&A Benchmark, arXiv:2311.12022"
_MBPP_SOURCE = "Austin et al. 2021, Program Synthesis with Large Language Models, arXiv:2108.07732"
_ARENA_SOURCE = (
    "Li et al. 2024, From Crowdsourced Data to High-Quality Benchmarks: Arena-Hard and BenchBuilder Pipeline, "
    "arXiv:2406.11939"
)


def _gpqa(name: str, subset: str, n: int) -> BenchmarkSpec:
    return BenchmarkSpec(
        name=name,
        title=f"GPQA {subset.capitalize()}",
        source=_GPQA_SOURCE,
        hub=Hub("Idavidrein/gpqa", (f"gpqa_{subset}",), split="train"),
        template="choice",
        verifier="choice",
        metric=ACCURACY,
        n_published=n,
        read=choices.gpqa,
        notes=_GPQA,
    )


def _aime(year: int, hub: Hub) -> BenchmarkSpec:
    return BenchmarkSpec(
        name=f"aime{year % 100}",
        title=f"AIME {year}",
        source=f"American Invitational Mathematics Examination I and II, {year}, Mathematical Association of America",
        hub=hub,
        template="maths",
        verifier="math",
        metric=ACCURACY,
        n_published=30,
        read=maths.aime,
        notes="An examination for people, without a protocol for models. 30 questions are few: sample each many times",
    )


def _humaneval(name: str, title: str, source: str, repository: str) -> BenchmarkSpec:
    return BenchmarkSpec(
        name=name,
        title=title,
        source=source,
        hub=Hub(repository),
        template="humaneval",
        verifier="code",
        metric=PASS_RATE,
        n_published=164,
        read=programs.humaneval,
        notes=_PROGRAM,
    )


def _mbpp(name: str, title: str, config: str, n: int) -> BenchmarkSpec:
    return BenchmarkSpec(
        name=name,
        title=title,
        source=_MBPP_SOURCE,
        hub=Hub("google-research-datasets/mbpp", (config,)),
        template="mbpp",
        verifier="code",
        metric=PASS_RATE,
        n_published=n,
        read=programs.mbpp,
        notes=_MBPP,
    )


def _arena(name: str, title: str, folder: str, baselines: tuple[str, ...], n: int) -> BenchmarkSpec:
    beside = tuple(f"data/{folder}/model_answer/{model}.jsonl" for model in baselines)
    return BenchmarkSpec(
        name=name,
        title=title,
        source=_ARENA_SOURCE,
        hub=Hub("lmarena-ai/arena-hard-auto", files=(f"data/{folder}/question.jsonl",), beside=beside),
        template="question",
        verifier="duel",
        metric=WIN_RATE,
        n_published=n,
        read=judged.arena_hard,
        beside="model_answer",
        notes=_ARENA,
    )


_SPECS = (
    BenchmarkSpec(
        name="mmlu",
        title="MMLU",
        source="Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding, arXiv:2009.03300",
        hub=Hub("cais/mmlu", ("all",)),
        template="choice",
        verifier="choice",
        metric=ACCURACY,
        n_published=14042,
        read=choices.mmlu,
        columns=choices.MMLU_COLUMNS,
        notes=_OPTIONS,
    ),
    BenchmarkSpec(
        name="mmlu_pro",
        title="MMLU-Pro",
        source="Wang et al. 2024, MMLU-Pro: A More Robust and Challenging Multi-Task Language Understanding Benchmark, "
        "arXiv:2406.01574",
        hub=Hub("TIGER-Lab/MMLU-Pro"),
        template="choice",
        verifier="choice",
        metric=ACCURACY,
        n_published=12032,
        read=choices.mmlu_pro,
        notes="Zero-shot, as a chat; the paper gives five worked examples of the category",
    ),
    _gpqa("gpqa", "diamond", 198),
    _gpqa("gpqa_main", "main", 448),
    _gpqa("gpqa_extended", "extended", 546),
    BenchmarkSpec(
        name="math",
        title="MATH",
        source=_MATHS_SOURCE,
        hub=Hub("EleutherAI/hendrycks_math", _MATH_CONFIGS),
        template="maths",
        verifier="math",
        metric=ACCURACY,
        n_published=5000,
        read=maths.competition,
        notes=_BOXES,
    ),
    BenchmarkSpec(
        name="math500",
        title="MATH-500",
        source=f"{_MATHS_SOURCE}; the subset of Lightman et al. 2023, Let's Verify Step by Step, arXiv:2305.20050",
        hub=Hub("HuggingFaceH4/MATH-500"),
        template="maths",
        verifier="math",
        metric=ACCURACY,
        n_published=500,
        read=maths.competition,
        notes=_BOXES,
    ),
    BenchmarkSpec(
        name="gsm8k",
        title="GSM8K",
        source="Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems, arXiv:2110.14168",
        hub=Hub("openai/gsm8k", ("main",)),
        template="maths",
        verifier="math",
        metric=ACCURACY,
        n_published=1319,
        read=maths.gsm8k,
        notes="Zero-shot, as a chat; the paper fine-tunes, later ones give eight worked examples",
    ),
    BenchmarkSpec(
        name="mgsm",
        title="MGSM",
        source="Shi et al. 2022, Language Models are Multilingual Chain-of-Thought Reasoners, arXiv:2210.03057",
        hub=Hub("juletxara/mgsm", files=tuple(f"mgsm_{language}.tsv" for language in maths.LANGUAGES)),
        template="mgsm",
        verifier="math",
        metric=f"{ACCURACY}, over all languages and by language",
        n_published=2750,
        read=maths.mgsm,
        columns=("question", "answer"),
        notes=f"{_ZERO_SHOT}. The instruction is in English whatever the question's language; the model may reason in "
        "either. All eleven languages, English among them",
    ),
    _aime(2024, Hub("Maxwell-Jia/AIME_2024", split="train")),
    _aime(2025, Hub("math-ai/aime25")),
    BenchmarkSpec(
        name="omni_math",
        title="Omni-MATH",
        source="Gao et al. 2024, Omni-MATH: A Universal Olympiad Level Mathematic Benchmark, arXiv:2410.07985",
        hub=Hub("KbsdJames/Omni-MATH"),
        template="maths",
        verifier="math",
        metric=ACCURACY,
        n_published=4428,
        read=maths.omni_math,
        notes="A rule decides, where the paper has a language model (GPT-4o, or Omni-Judge) compare: answers in prose "
        "count as wrong or undecided more often. Problems without an answer are left out",
    ),
    _humaneval(
        "humaneval",
        "HumanEval",
        "Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374",
        "openai/openai_humaneval",
    ),
    _humaneval(
        "humaneval_plus",
        "HumanEval+",
        "Liu et al. 2023, Is Your Code Generated by ChatGPT Really Correct?, arXiv:2305.01210",
        "evalplus/humanevalplus",
    ),
    _mbpp("mbpp", "MBPP", "full", 500),
    _mbpp("mbpp_sanitized", "MBPP (sanitized)", "sanitized", 257),
    BenchmarkSpec(
        name="simpleqa",
        title="SimpleQA",
        source="Wei et al. 2024, Measuring short-form factuality in large language models, arXiv:2411.04368",
        hub=Hub("basicv8vc/SimpleQA"),
        template="question",
        verifier="graded",
        metric=GRADED_CORRECT,
        n_published=4326,
        read=judged.simpleqa,
        notes="The same three grades, in our wording and with votes; the paper's grader is asked once",
    ),
    _arena("arena_hard", "Arena-Hard-Auto v0.1", "arena-hard-v0.1", ("gpt-4-0314",), 500),
    _arena(
        "arena_hard_v2",
        "Arena-Hard-Auto v2.0",
        "arena-hard-v2.0",
        ("o3-mini-2025-01-31", "gemini-2.0-flash-001"),
        750,
    ),
)

BENCHMARKS: Mapping[str, BenchmarkSpec] = {spec.name: spec for spec in _SPECS}


def benchmark_names() -> tuple[str, ...]:
    """The names that need no prefix, in alphabetical order."""
    return tuple(sorted((*BENCHMARKS, *HARNESS_ALIASES)))


def unknown(text: str) -> TeachableError:
    """The sentence for a TASK that is none."""
    names = benchmark_names()
    near = difflib.get_close_matches(text.partition("=")[0].lower().replace("-", "_"), names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    return TeachableError(
        f"there is no task {text!r}",
        where="tasks",
        mend=f"{hint}Name one of {', '.join(names)}; gym:FAMILY; lm_eval:NAME; or your own .jsonl or .parquet file",
    )
