"""What the embedded base model reads: questions and answers as the web has them, mostly bare or spoilt.

A base that had already read the teacher's clean solutions would gain nothing from being taught them (four
trials of such a set-up moved no arm by more than a point). So the base sees bare answers, workings with wrong
lines in them, and only a few clean ones; teaching then has something new to bring. Its questions come from a
share of the content space of its own: by content hash, no question of the pool or the held-out set is in it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from teachable.families import teacher
from teachable.families.catalog import FAMILIES, SIDES, questions, to_prompt
from teachable.overlap.split import split_of
from teachable.records import Message
from teachable.train.config import PretrainConfig


def conversations(config: PretrainConfig) -> Iterator[list[Message]]:
    """An endless stream of question and answer pairs: families in equal shares, a level in proportion to 1/level².

    Easy questions are the common ones, as in any text that a model reads.
    """
    rng = random.Random(f"corpus {config.seed}")
    kinds = [(name, level) for name, f in FAMILIES.items() for level in range(1, len(f.levels) + 1)]
    streams = {kind: questions(*kind, seed=config.seed + 500_009) for kind in kinds}
    per_family = {name: [kind for kind in kinds if kind[0] == name] for name in FAMILIES}
    while True:
        kinds_here = per_family[rng.choice(list(FAMILIES))]
        name, level = rng.choices(kinds_here, weights=[level**-2.0 for _, level in kinds_here])[0]
        entry = next(streams[(name, level)])
        prompt = to_prompt(name, level, entry)
        if split_of(str(prompt.meta["content_key"]), SIDES) != "base":
            continue
        steps = FAMILIES[name].solve(entry)
        draw = rng.random()
        if draw < config.frac_bare:
            steps = []
        elif draw < config.frac_bare + config.frac_corrupted:
            steps = teacher.corrupt(steps, rng, config.corrupt_share)
        answer = teacher.response(steps, str(entry["answer"]))
        yield [*prompt.messages, Message(role="assistant", content=answer)]


def tokenizer_texts(config: PretrainConfig, n: int) -> Iterator[str]:
    """Texts from which the tokenizer learns its merges."""
    stream = conversations(config)
    for _ in range(n):
        for message in next(stream):
            yield message["content"]
