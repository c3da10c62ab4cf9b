"""The built-in task families: which reasoning-gym generator, which levels, and what makes two questions the same.

reasoning-gym writes the questions and owns the verdict; this module only says how to drive it. The families are
of different kinds (arithmetic, algebra, number theory, letters in text, spelling), and their levels run from what a
model of half a million parameters masters to what it cannot do.

A *content key* is what is left of a question once its phrasing is taken away: two questions with the same
key are near-duplicates (the same numbers in another order or another sentence) and never stand on both
sides of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from teachable.errors import TeachableError
from teachable.families import teacher
from teachable.records import Lineage, Message, Prompt, content_id

Entry = Mapping[str, Any]

# The content space is cut by the hash of the content key (`overlap.split_of`): what is trained on, what is held
# out, and what the embedded base model reads. No seed can move a question from one side to another.
SIDES: Mapping[str, float] = {"pool": 0.3, "heldout": 0.1, "base": 0.6}

SEED_STRIDE = 1_000_003  # reasoning-gym draws question i from Random(seed + i): streams must lie far apart
LEVEL_STRIDE = 100_000_007
BATCH = 4096


@dataclass(frozen=True)
class Family:
    """One kind of question.

    Attributes:
        name: the reasoning-gym dataset.
        levels: its generator's settings, easiest first; level 1 is the first.
        content_key: what identifies a question whatever its phrasing.
        solve: the rule-based teacher's worked steps, one a line, without the final answer line.
    """

    name: str
    levels: tuple[Mapping[str, Any], ...]
    content_key: Callable[[Entry], str]
    solve: Callable[[Entry], list[str]]


def _numbers_key(entry: Entry) -> str:
    return " ".join(str(n) for n in sorted(entry["metadata"]["numbers"]))


def _terms_key(entry: Entry) -> str:
    """Signed terms in sorted order: 3 + 5 and 5 + 3 are the same question."""
    terms = teacher.signed_terms(entry["metadata"]["expression"])
    return " ".join(str(t) for t in sorted(terms))


def _equation_key(entry: Entry) -> str:
    """The equation with its unknown renamed."""
    meta = entry["metadata"]
    return str(meta["equation"]).replace(str(meta["variable"]), "x")


def _letters_key(entry: Entry) -> str:
    meta = entry["metadata"]
    return f"{meta['target_letter']}: {' '.join(sorted(w.lower() for w in meta['span']))}"


def _word_key(entry: Entry) -> str:
    return str(entry["metadata"]["word"]).lower()


def _chain(terms: int, digits: int) -> dict[str, Any]:
    return {"min_terms": terms, "max_terms": terms, "min_digits": digits, "max_digits": digits}


def _equation(low: int, high: int) -> dict[str, Any]:
    weights = [0.5, 0.5, 0.0]  # a product of terms would make the unknown's coefficient a puzzle of its own
    return {"min_terms": 2, "max_terms": 2, "min_value": low, "max_value": high, "operators_weights": weights}


def _spell(low: int, high: int) -> dict[str, Any]:
    return {"min_word_len": low, "max_word_len": high}


def _words(low: int, high: int) -> dict[str, Any]:
    return {"min_words": low, "max_words": high}


FAMILIES: Mapping[str, Family] = {
    f.name: f
    for f in (
        Family(
            "chain_sum",
            (_chain(2, 1), _chain(3, 1), _chain(2, 2), _chain(3, 2), _chain(4, 2)),
            _terms_key,
            teacher.chain_sum,
        ),
        Family(
            "simple_equations",
            (_equation(1, 5), _equation(1, 9), _equation(2, 20), _equation(5, 50)),
            _equation_key,
            teacher.simple_equations,
        ),
        Family(
            "gcd",
            ({"max_value": 12}, {"max_value": 30}, {"max_value": 80}, {"max_value": 300}),
            _numbers_key,
            teacher.gcd,
        ),
        Family(
            "letter_counting",
            (_words(1, 1), _words(2, 3), _words(4, 5), _words(6, 8)),
            _letters_key,
            teacher.letter_counting,
        ),
        Family(
            "spell_backward",
            (_spell(3, 3), _spell(4, 5), _spell(6, 7), _spell(8, 10)),
            _word_key,
            teacher.spell_backward,
        ),
    )
}


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        TeachableError: there is none.
    """
    if name not in FAMILIES:
        raise TeachableError(
            f"there is no task family {name!r}", mend=f"Choose from {', '.join(FAMILIES)}", where="tasks.families"
        )
    return FAMILIES[name]


def require_reasoning_gym() -> Any:
    """The reasoning_gym package.

    Raises:
        TeachableError: it is not installed.
    """
    try:
        import reasoning_gym
    except ImportError as error:
        raise TeachableError(
            "the built-in tasks need reasoning-gym, which is not installed",
            mend="Run `pip install 'teachable[tasks]'` (one of its dependencies is built with a C compiler)",
        ) from error
    return reasoning_gym


def questions(name: str, level: int, seed: int) -> Iterator[Entry]:
    """An endless stream of reasoning-gym entries of one family and level, the same for the same seed."""
    gym = require_reasoning_gym()
    settings = family(name).levels[level - 1]
    start = seed * SEED_STRIDE + level * LEVEL_STRIDE
    while True:
        batch = gym.create_dataset(name, size=BATCH, seed=start, **settings)
        for index in range(BATCH):
            yield batch[index]
        start += BATCH


def to_prompt(name: str, level: int, entry: Entry) -> Prompt:
    """A prompt that the verifier `gym` can check; its id hashes the question alone."""
    question = str(entry["question"]).strip()
    kept = {k: v for k, v in entry["metadata"].items() if k not in ("difficulty", "source_index")}
    meta = {
        "family": name,
        "entry": {"question": question, "answer": entry["answer"], "metadata": kept},
        "content_key": f"{name} {family(name).content_key(entry)}",
    }
    source = f"reasoning-gym/{name}"
    return Prompt(
        id=content_id(name, question),
        domain=name,
        messages=(Message(role="user", content=question),),
        answer=str(entry["answer"]),
        answer_source="program",
        verifier="gym",
        level=level,
        meta=meta,
        lineage=(Lineage(parent=source, transform="generate", params=f"level {level}"),),
    )
