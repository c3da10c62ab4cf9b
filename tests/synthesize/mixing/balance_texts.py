"""Texts with planted topics, honest or collapsed, for the tests of diversity and balance."""

from __future__ import annotations

import random

from teachable.records import Prompt, content_id
from teachable.synthesize.items import user
from teachable.synthesize.mixing.balance import Row

N_TOPICS = 12
_LUCK = random.Random(5)
WORDS = ["".join(_LUCK.choices("abdefgiklmnoprstuv", k=_LUCK.randint(3, 9))) for _ in range(4000)]
TOPICS = [_LUCK.sample(WORDS, 120) for _ in range(N_TOPICS)]


def honest(n: int, seed: int, topics: int = N_TOPICS, n_words: int = 50) -> list[str]:
    """Texts that each are of one topic, drawn evenly from the first so many."""
    luck = random.Random(seed)

    def one() -> str:
        own = TOPICS[luck.randrange(topics)]
        # Frequencies fall off as words' do; two words of five are the topic's.
        common = (WORDS[int(4000 * luck.random() ** 3)] for _ in range(n_words))
        return " ".join(luck.choice(own) if luck.random() < 0.4 else word for word in common)

    return [one() for _ in range(n)]


def edited(n: int, seed: int, n_edits: int = 6) -> list[str]:
    """One sentence again and again, with small edits."""
    luck = random.Random(seed)
    sentence = honest(1, seed)[0].split()
    found = []
    for _ in range(n):
        words = list(sentence)
        for _ in range(n_edits):
            words[luck.randrange(len(words))] = luck.choice(WORDS)
        found.append(" ".join(words))
    return found


def row(text: str, domain: str = "all", workflow: str = "", response: str = "") -> Row:
    """A row that asks a text."""
    history = {"workflow": workflow, "proof": "agreement"} if workflow else {}
    meta = {"synthesis": history} if workflow else {}
    prompt = Prompt(content_id(text), domain, user(text), meta=meta)
    return Row(prompt, response, workflow, history)


def rows(texts: list[str], domain: str = "all", workflow: str = "") -> list[Row]:
    """A row a text."""
    return [row(text, domain, workflow) for text in texts]
